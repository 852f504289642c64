package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/redistest"
	"sesrelay/internal/simulator"
)

// TestFleetQuota has eight instances, and 70 % of the mail on one of them. What
// SES gets is never more than the rate and a burst, and all of the rate is used
// although most instances have little mail. Then the busy one is killed. Not
// parallel: it would take the processor from other tests.
func TestFleetQuota(t *testing.T) {
	const rate, size = 200.0, 8
	s := startRedis(t)
	h := startHopsWith(t, simulator.StoreConfig{DiscardBodies: true}, simulator.SMTPConfig{})
	f := joinFleet(t, h, fleetOptions{size: size, redis: at(s), relayOptions: relayOptions{plain: true, percent: "100", set: settings{
		"quota.rate": fmt.Sprint(rate), "quota.max_wait": "1s", "log.level": "warn",
		"rollout.guard.enabled": "false"}}}) // what a machine with too much to do leaves unanswered is a reason to put the split back
	slow := watchStalls(t)
	parts := []float64{0.7 * 1.3 * rate}
	for range size - 1 {
		parts = append(parts, 0.3*1.3*rate/(size-1))
	}
	w := f.flow(t, "q", parts...)
	time.Sleep(2 * time.Second)
	f.useAll(t, s, rate, "8 instances")
	// What was claimed without Redis, which was too late, a kill may double, on
	// either side (docs/decisions.md).
	alone := int(f.all[0].metric(t, "relay_ledger_alone_total"))
	f.mayAbort = true // its DATA to Cuenote
	f.all[0].kill()
	time.Sleep(2 * time.Second) // its lease is over
	f.useAll(t, s, rate, "7 instances, the busy one dead")
	w.leave.Store(true)
	w.end()
	for _, r := range f.all[1:] {
		alone += int(r.metric(t, "relay_ledger_alone_total"))
	}
	t.Logf("%d mails were claimed without Redis", alone)
	w.mayDouble = alone
	w.abandon(t, h, 4*rate)
	judgeRate(t, w, f.store.Of(simulator.UpstreamSES), rate, slow)
}

// useAll looks at windows of some seconds until one shows that 97 % of the rate
// are used, with no more questions to Redis than one for each life of a lease: a
// machine with too much to do has moments in which it cannot.
func (f *fleet) useAll(t *testing.T, s *redistest.Server, rate float64, what string) {
	t.Helper()
	const windows, span, most = 12, 4 * time.Second, 5 // questions of an instance in a second; a lease lives for 250 ms
	for range windows {
		began, sent, before := time.Now(), f.ses.SentLast24Hours(), commandCalls(t, s)
		time.Sleep(span)
		mails := float64(f.ses.SentLast24Hours() - sent)
		took, after := time.Since(began), commandCalls(t, s)
		// Only the quota's script reads a hash with HMGET, once for a question.
		used, asked := mails/(rate*took.Seconds()), float64(after["hmget"]-before["hmget"])/(took.Seconds()*float64(len(f.all)))
		t.Logf("%s: %.1f %% of the rate used, %.2f questions of the quota in a second from an instance, %.2f scripts for a mail",
			what, 100*used, asked, float64(after["evalsha"]-before["evalsha"])/mails)
		if used >= 0.97 && asked < most {
			return
		}
	}
	t.Errorf("%s: the rate was never used, or Redis was asked too often", what)
}

// commandCalls is how often Redis has run each command.
func commandCalls(t *testing.T, s *redistest.Server) map[string]int {
	t.Helper()
	conn, err := net.DialTimeout("tcp", s.Addr, 20*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	io.WriteString(conn, "INFO commandstats\r\n")
	br := bufio.NewReader(conn)
	head, err := br.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(strings.Trim(head, "$\r\n"))
	if err != nil {
		t.Fatal(head)
	}
	body := make([]byte, n)
	if _, err := io.ReadFull(br, body); err != nil {
		t.Fatal(err)
	}
	calls := map[string]int{}
	for line := range strings.Lines(string(body)) {
		rest, _ := strings.CutPrefix(line, "cmdstat_")
		name, numbers, ok := strings.Cut(rest, ":calls=")
		digits, _, _ := strings.Cut(numbers, ",")
		if n, err := strconv.Atoi(digits); ok && err == nil {
			calls[name] = n
		}
	}
	return calls
}
