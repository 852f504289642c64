package e2e

import (
	"encoding/json"
	"fmt"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// traced is what of a transaction's log line joins it to its neighbours' logs.
type traced struct {
	Msg, ID, Upstream, Outcome, Reply string
	QueueID                           string `json:"queue_id"`
	UpstreamID                        string `json:"upstream_id"`
}

// TestCorrelation follows each mail through the logs of a real Postfix in front,
// of the relay, and of SES or of a real Postfix in Cuenote's place: by the
// Received line and the replies that these really write. The forms of the line
// differ with the way in (SMTP, sendmail) and with the kind of queue id.
func TestCorrelation(t *testing.T) {
	t.Parallel()
	for _, long := range []string{"no", "yes"} {
		t.Run("long queue ids "+long, func(t *testing.T) {
			t.Parallel()
			h := startHops(t)
			cuenote := startPostfix(t, bracketed(h.cuenote.Addr()), "enable_long_queue_ids = "+long)
			r := startRelay(t, relayOptions{ses: h.ses.URL(), cuenote: cuenote.addr, percent: "50"})
			p := startPostfix(t, bracketed(r.smtp), "enable_long_queue_ids = "+long)
			mails := corpus(30)
			for i := range mails {
				mails[i].from, mails[i].to = "taro@goo.ne.jp", []string{"hanako@docomo.ne.jp"}
			}
			submit(t, p.addr, mails)
			for range 10 {
				local := exec.Command("/usr/sbin/sendmail", "-C", p.dir, "-f", "taro@goo.ne.jp", "hanako@docomo.ne.jp")
				local.Stdin = strings.NewReader("From: taro@goo.ne.jp\nSubject: from cron\n\nhi\n")
				if out, err := local.CombinedOutput(); err != nil {
					t.Fatalf("sendmail: %v\n%s", err, out)
				}
			}
			p.drained(t, time.Minute)
			cuenote.drained(t, time.Minute)
			sent := correlate(t, p, cuenote, r, h)
			if sent["ses"]+sent["cuenote"] != len(mails)+10 || sent["ses"] == 0 || sent["cuenote"] == 0 {
				t.Errorf("followed %v of %d mails", sent, len(mails)+10)
			}
		})
	}
}

// sentLine is Postfix's line about a delivery: its queue id and our reply.
var sentLine = regexp.MustCompile(`postfix/smtp\[\d+\]: (\w+): to=<[^>]*>.* status=sent \((250 2\.0\.0 (\w+) accepted by (ses|cuenote).*)\)`)

// correlate follows the mails that the front Postfix has sent, and returns how
// many went which way.
func correlate(t *testing.T, front, cuenote *postfix, r *relayProcess, h *hops) map[string]int {
	t.Helper()
	byQueueID := map[string]traced{}
	eventually(t, 20*time.Second, "the relay's log", func() error {
		clear(byQueueID)
		for line := range strings.Lines(r.out.String()) {
			var l traced
			if json.Unmarshal([]byte(line), &l) == nil && l.Msg == "transaction" {
				byQueueID[l.QueueID] = l
			}
		}
		if n := len(sentLine.FindAllString(front.logged(t), -1)); n == 0 || len(byQueueID) < n {
			return fmt.Errorf("%d transactions with a queue id of their own, Postfix has sent %d", len(byQueueID), n)
		}
		return nil
	})
	atSES := map[string]bool{}
	for _, m := range h.store.Of(simulator.UpstreamSES) {
		atSES[m.ID] = true
	}
	next := cuenote.logged(t)
	sent := map[string]int{}
	for _, m := range sentLine.FindAllStringSubmatch(front.logged(t), -1) {
		queueID, reply, id, upstream := m[1], m[2], m[3], m[4]
		l, ok := byQueueID[queueID]
		if !ok || l.ID != id || l.Upstream != upstream || l.Outcome != "accepted" || l.Reply != reply || l.UpstreamID == "" || !strings.Contains(reply, l.UpstreamID) {
			t.Errorf("Postfix: %s\nthe relay: %+v", m[0], l)
			continue
		}
		switch upstream {
		case "ses":
			if !atSES[l.UpstreamID] {
				t.Errorf("SES knows no message %s", l.UpstreamID)
			}
		case "cuenote":
			if !strings.Contains(next, "]: "+l.UpstreamID+": client=") {
				t.Errorf("Cuenote knows no queue id %s", l.UpstreamID)
			}
		}
		sent[upstream]++
	}
	return sent
}
