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
// although most instances have little mail. Then the busy one is killed.
func TestFleetQuota(t *testing.T) {
	t.Parallel()
	const rate, size = 400.0, 8
	s := startRedis(t)
	h := startHopsWith(t, simulator.StoreConfig{DiscardBodies: true}, simulator.SMTPConfig{})
	f := joinFleet(t, h, fleetOptions{size: size, redis: at(s), relayOptions: relayOptions{plain: true, percent: "100", set: settings{
		"quota.rate": fmt.Sprint(rate), "quota.max_wait": "1s", "log.level": "warn"}}})
	slow := watchStalls(t)
	parts := []float64{0.7 * 1.3 * rate}
	for range size - 1 {
		parts = append(parts, 0.3*1.3*rate/(size-1))
	}
	w := f.flow(t, "q", parts...)
	time.Sleep(2 * time.Second)
	f.useAll(t, s, rate, "8 instances")
	for _, r := range f.all { // what was claimed without Redis, which was too late, a kill may double
		w.mayDouble += int(r.metric(t, "relay_ledger_alone_total"))
	}
	f.mayAbort = true // its DATA to Cuenote
	f.all[0].kill()
	time.Sleep(2 * time.Second) // its lease is over
	f.useAll(t, s, rate, "7 instances, the busy one dead")
	w.abandon(t, h, 2*rate)
	judgeRate(t, f.store.Of(simulator.UpstreamSES), rate, slow)
}

// useAll looks at windows of some seconds until one shows that 97 % of the rate
// are used, with fewer than one question to Redis for ten mails: a machine with
// too much to do has moments in which it cannot.
func (f *fleet) useAll(t *testing.T, s *redistest.Server, rate float64, what string) {
	t.Helper()
	const windows, span = 6, 4 * time.Second
	for range windows {
		began, sent, before := time.Now(), f.ses.SentLast24Hours(), commandCalls(t, s)
		time.Sleep(span)
		mails := float64(f.ses.SentLast24Hours() - sent)
		took, after := time.Since(began), commandCalls(t, s)
		// Only the quota's script reads a hash with HMGET, once for a question.
		used, asked := mails/(rate*took.Seconds()), float64(after["hmget"]-before["hmget"])/mails
		t.Logf("%s: %.1f %% of the rate used, %.3f questions of the quota and %.2f scripts for a mail",
			what, 100*used, asked, float64(after["evalsha"]-before["evalsha"])/mails)
		if used >= 0.97 && asked < 0.1 {
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
