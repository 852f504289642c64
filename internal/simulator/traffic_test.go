package simulator_test

import (
	"fmt"
	"net/smtp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"sesrelay/internal/simulator"
)

// Faults change while mail flows to both hops. What a client was told must be true: every mail answered with success is
// recorded once, every mail answered with a refusal is not, and of the others, whose connection broke, either is possible.
func TestFaultsChangeUnderTraffic(t *testing.T) {
	t.Parallel()
	store := simulator.NewStore(simulator.StoreConfig{})
	ses := startSES(t, simulator.SESConfig{Store: store, Seed: 3})
	cuenote := startSMTP(t, simulator.SMTPConfig{Store: store, Seed: 4})
	var accepted, refused, unknown sync.Map
	viaSES := func(id string) {
		_, err := send(ses, "From: a@b.jp\r\nX-Test-Id: "+id+"\r\n\r\nx\r\n", "c@d.jp")
		switch {
		case err == nil:
			accepted.Store(id, true)
		case code(err) == "TooManyRequestsException" || code(err) == "MessageRejected":
			refused.Store(id, true)
		default:
			unknown.Store(id, true)
		}
	}
	viaSMTP := func(id string) {
		err := smtp.SendMail(cuenote.Addr(), nil, "a@b.jp", []string{"c@d.jp"}, []byte("X-Test-Id: "+id+"\r\n\r\nx\r\n"))
		switch {
		case err == nil:
			accepted.Store(id, true)
		case strings.HasPrefix(err.Error(), "451 4.3.0"):
			refused.Store(id, true)
		default:
			unknown.Store(id, true)
		}
	}
	const workers, each = 4, 60
	var senders, changer sync.WaitGroup
	var over atomic.Bool
	changer.Go(func() {
		for i := 0; !over.Load(); i++ {
			p := float64(i%5) / 10
			ses.Faults().Set(
				simulator.Fault{Name: simulator.FaultThrottled, Probability: 0.1},
				simulator.Fault{Name: simulator.FaultMessageRejected, Probability: 0.1},
				simulator.Fault{Name: simulator.FaultCutBeforeRecord, Probability: 0.1},
				simulator.Fault{Name: simulator.FaultCutAfterRecord, Probability: p + 0.01},
			)
			cuenote.Faults().Set(
				simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Probability: 0.1},
				simulator.Fault{Name: simulator.FaultReply, At: simulator.AtDot, Probability: 0.1},
				simulator.Fault{Name: simulator.FaultRecordThenCut, Probability: p + 0.01},
				simulator.Fault{Name: simulator.FaultReset, At: simulator.AtMAIL, Probability: 0.1},
			)
			ses.Faults().Struck()
			store.Summaries(3)
		}
	})
	for w := range workers {
		senders.Go(func() {
			for i := range each {
				viaSES(fmt.Sprintf("ses-%d-%d", w, i))
				viaSMTP(fmt.Sprintf("smtp-%d-%d", w, i))
			}
		})
	}
	senders.Wait()
	over.Store(true)
	changer.Wait()
	ses.Close()
	cuenote.Close()
	counts := map[string]int{}
	judge := func(outcome string, m *sync.Map, fewest, most int) {
		m.Range(func(id, _ any) bool {
			counts[outcome]++
			if n := store.Copies(id.(string)); n < fewest || n > most {
				t.Errorf("%s was %s and recorded %d times", id, outcome, n)
			}
			return true
		})
	}
	judge("accepted", &accepted, 1, 1)
	judge("refused", &refused, 0, 0)
	judge("unknown", &unknown, 0, 1)
	if counts["accepted"] == 0 || counts["refused"] == 0 || counts["unknown"] == 0 || counts["accepted"]+counts["refused"]+counts["unknown"] != 2*workers*each {
		t.Errorf("outcomes %v", counts)
	}
	if _, extra, lost := store.IDs(); extra != 0 || lost != 0 {
		t.Errorf("%d extra copies, %d lost", extra, lost)
	}
}
