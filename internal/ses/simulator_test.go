package ses

import (
	"bytes"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"

	"sesrelay/internal/relay"
	"sesrelay/internal/simulator"
)

// simulated starts a simulated SES that checks signatures, and a client of it.
func simulated(t *testing.T, sender string, sim simulator.SESConfig, edit ...func(*Config)) (*simulator.SES, *Client) {
	t.Helper()
	sim.Credentials = map[string]string{testKey: testSecret}
	s, err := simulator.NewSES(sim)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	c := newClient(t, s.URL(), sender, append([]func(*Config){func(cfg *Config) {
		cfg.RootCAs = s.CertPool()
		cfg.Credentials = credentials.NewStaticCredentialsProvider(testKey, testSecret, "")
	}}, edit...)...)
	return s, c
}

// TestSimulator: over TLS, with the signature checked by another hand, every
// byte, recipient and tag arrives, and nothing that would change the message.
func TestSimulator(t *testing.T) {
	t.Parallel()
	for _, sender := range senders {
		for _, secure := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/tls=%v", sender, secure), func(t *testing.T) {
				t.Parallel()
				s, c := simulated(t, sender, simulator.SESConfig{TLS: secure, Identities: []string{"example.jp"}}, func(cfg *Config) {
					cfg.KeepMessageTags = true
					cfg.Identities = NewIdentitySet("example.jp").Verified
				})
				d := begin(t, c, "one@example.com", "two+x=y&z@example.net")
				d.SetTags("12.5", "campaign=spring, relay-step=100")
				r, err := d.Send(t.Context(), newBody(testMail[:50], testMail[50:]))
				if err != nil {
					t.Fatal(err)
				}
				got, ok := s.Store().Find(r.ID)
				if !ok || r.Route != relay.SES {
					t.Fatalf("receipt %+v is of no mail", r)
				}
				if !bytes.Equal(got.Raw, []byte(testMail)) {
					t.Errorf("content\n%q, not\n%q", got.Raw, testMail)
				}
				if to := strings.Join(got.To, " "); to != "one@example.com two+x=y&z@example.net" {
					t.Errorf("recipients %q", to)
				}
				i := got.SES
				if i.FromEmailAddress != "" || len(i.ReplyToAddresses) > 0 || len(i.CcAddresses) > 0 || len(i.BccAddresses) > 0 {
					t.Errorf("From, Reply-To, Cc or Bcc are given: %+v", i)
				}
				if i.FeedbackAddress != "bounce@example.jp" || i.ConfigurationSet != "cs" || i.ConfigurationSetHeader != "cs" {
					t.Errorf("feedback %q, configuration set %q, header %q", i.FeedbackAddress, i.ConfigurationSet, i.ConfigurationSetHeader)
				}
				if want := map[string]string{"relay-step": "12_5", "campaign": "spring"}; fmt.Sprint(i.Tags) != fmt.Sprint(want) {
					t.Errorf("tags %v, not %v", i.Tags, want)
				}
			})
		}
	}
}

// simulatorFaults are the simulator's faults by what they must come to.
var simulatorFaults = []struct {
	name     string
	outcome  relay.Outcome
	class    string
	recorded int // mails that SES took although
}{
	{simulator.FaultThrottled, na, ClassThrottled, 0},
	{simulator.FaultThrottling, na, ClassThrottled, 0},
	{simulator.FaultDailyQuota, na, ClassDailyQuota, 0},
	{simulator.FaultLimitExceeded, na, ClassDailyQuota, 0},
	{simulator.FaultAccountSuspended, na, ClassSuspended, 0},
	{simulator.FaultSendingPaused, na, ClassPaused, 0},
	{simulator.FaultSendingPausedText, na, ClassPaused, 0},
	{simulator.FaultMailFromNotVerified, na, ClassMailFrom, 0},
	{simulator.FaultNoConfigurationSet, na, ClassNotFound, 0},
	{simulator.FaultIdentityNotVerified, na, ClassUnverified, 0},
	{simulator.FaultMessageRejected, na, ClassMessageRejected, 0},
	{simulator.FaultBadRequest, na, ClassBadRequest, 0},
	{simulator.FaultAccessDenied, na, ClassAccess, 0},
	{simulator.FaultExpiredToken, na, ClassCredentials, 0},
	{simulator.FaultRequestExpired, na, ClassCredentials, 0},
	{simulator.FaultInvalidToken, na, ClassCredentials, 0},
	{simulator.FaultUnrecognizedClient, na, ClassCredentials, 0},
	{simulator.FaultSignatureMismatch, na, ClassCredentials, 0},
	{simulator.FaultInternalError, unknown, ClassServerError, 0},
	{simulator.FaultUnavailable, unknown, ClassServerError, 0},
	{simulator.FaultBadGateway, unknown, ClassServerError, 0},
	{simulator.FaultUnknownError, unknown, ClassUnexpected, 0},
	{simulator.FaultCutBeforeRecord, unknown, ClassConnectionLost, 0},
	{simulator.FaultCutAfterRecord, unknown, ClassConnectionLost, 1},
	{simulator.FaultResetAfterRecord, unknown, ClassConnectionLost, 1},
	{simulator.FaultErrorAfterRecord, unknown, ClassServerError, 1},
	{simulator.FaultHang, unknown, ClassTimeout, 0},
	{simulator.FaultHangAfterRecord, unknown, ClassTimeout, 1},
	{simulator.FaultGarbledAnswer, relay.Accepted, "", 1},
	{simulator.FaultTruncatedAnswer, relay.Accepted, "", 1},
}

func TestSimulatorFaults(t *testing.T) {
	t.Parallel()
	for _, f := range simulatorFaults {
		for _, sender := range senders {
			t.Run(sender+"/"+f.name, func(t *testing.T) {
				t.Parallel()
				s, c := simulated(t, sender, simulator.SESConfig{}, func(cfg *Config) { cfg.Timeout = 500 * time.Millisecond })
				if err := s.Faults().Set(simulator.Fault{Name: f.name}); err != nil {
					t.Fatal(err)
				}
				r, err := send(t, c)
				if n := s.Requests(); n != 1 {
					t.Errorf("%d requests for one mail", n)
				}
				if n := s.Store().Count(); n != f.recorded {
					t.Errorf("%d mails recorded, not %d", n, f.recorded)
				}
				if f.outcome == relay.Accepted {
					if err != nil || r.ID == "" {
						t.Errorf("receipt %+v, error %v", r, err)
					}
					return
				}
				e := refusal(t, err)
				if e.Outcome != f.outcome || e.Class != f.class {
					t.Errorf("got %v", e)
				}
				if e.Outcome == na && f.recorded > 0 {
					t.Error("called not accepted what was recorded")
				}
				noLeak(t, e.Reply)
			})
		}
	}
}

// TestSimulatorLoad: mails in parallel over few connections, some of them cut:
// each is posted once, and what was accepted arrived once, to the byte, so that
// no pooled buffer was given back too early.
func TestSimulatorLoad(t *testing.T) {
	t.Parallel()
	for _, sender := range senders {
		t.Run(sender, func(t *testing.T) {
			t.Parallel()
			s, c := simulated(t, sender, simulator.SESConfig{}, func(cfg *Config) { cfg.InFlightWait = time.Minute })
			must(t, s.Faults().Set(
				simulator.Fault{Name: simulator.FaultCutAfterRecord, Probability: 0.1},
				simulator.Fault{Name: simulator.FaultCutBeforeRead, Probability: 0.1}))
			const mails = 400
			var accepted sync.Map
			var wg sync.WaitGroup
			for worker := range 20 {
				wg.Go(func() {
					for i := range mails / 20 {
						content := fmt.Sprintf("X-Test-Id: %d-%d\r\nFrom: a@example.jp\r\n\r\n%s\r\n", worker, i, strings.Repeat(fmt.Sprint(worker%10), 100+997*i))
						r, err := begin(t, c, "to@example.com").Send(t.Context(), newBody(content))
						if err == nil {
							accepted.Store(r.ID, content)
						}
					}
				})
			}
			wg.Wait()
			n := 0
			accepted.Range(func(id, content any) bool {
				n++
				got, ok := s.Store().Find(id.(string))
				if !ok || string(got.Raw) != content.(string) {
					t.Errorf("mail %v arrived: %v; it is not what was sent", id, ok)
				}
				return true
			})
			if d := s.Store().Duplicates("X-Test-Id"); len(d) > 0 {
				t.Errorf("%d mails arrived twice: %+v", len(d), d[0].Value)
			}
			if s.Requests() > mails || n == 0 || n == mails {
				t.Errorf("%d requests for %d mails, %d accepted", s.Requests(), mails, n)
			}
		})
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestJudgeAgreesWithSES: what Judge lets through the simulator takes, and what
// it refuses the simulator refuses as well.
func TestJudgeAgreesWithSES(t *testing.T) {
	t.Parallel()
	s, c := simulated(t, SenderDirect, simulator.SESConfig{})
	_ = s
	mails := map[string]string{
		"plain":         "From: a@example.jp\r\n\r\nhello\r\n",
		"no From":       "Subject: x\r\n\r\nhello\r\n",
		"two Subjects":  "From: a@example.jp\r\nSubject: x\r\nSubject: y\r\n\r\nhello\r\n",
		"two DKIM":      "From: a@example.jp\r\nDKIM-Signature: x\r\nDKIM-Signature: y\r\n\r\nhello\r\n",
		"two Received":  "Received: x\r\nReceived: y\r\nFrom: a@example.jp\r\n\r\nhello\r\n",
		"line of 998":   "From: a@example.jp\r\n\r\n" + strings.Repeat("x", 998) + "\r\n",
		"line of 999":   "From: a@example.jp\r\n\r\n" + strings.Repeat("x", 999) + "\r\n",
		"8-bit":         "From: a@example.jp\r\n\r\n\x93\xfa\x96\x7b\r\n",
		"display names": "From: =?iso-2022-jp?B?GyRCRnxLXBsoQg==?= <a@example.jp>\r\n\r\nhello\r\n",
	}
	for name, m := range mails {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h, err := relay.ScanHeader([]byte(m), true, "relay.example")
			must(t, err)
			longest := 0
			for line := range strings.SplitSeq(m, "\r\n") {
				longest = max(longest, len(line))
			}
			judged := c.Judge(envelope(t), []relay.Address{address(t, "to@example.com")}, &relay.Content{Header: h, Size: int64(len(m)), LongestLine: longest})
			_, sent := begin(t, c, "to@example.com").Send(t.Context(), newBody(m))
			if (judged == nil) != (sent == nil) {
				t.Errorf("Judge: %v, SES: %v", judged, sent)
			}
		})
	}
}

// TestOutage: a port that refuses is surely not accepted; one that answers 503
// to everything is not known.
func TestOutage(t *testing.T) {
	t.Parallel()
	for outage, want := range map[simulator.Outage]relay.Outcome{simulator.OutageRefuse: na, simulator.OutageUnavailable: unknown} {
		s, c := simulated(t, SenderDirect, simulator.SESConfig{})
		must(t, s.SetOutage(outage))
		_, err := send(t, c)
		if e := refusal(t, err); e.Outcome != want {
			t.Errorf("%v: %v", outage, e)
		}
	}
}

// TestRedirectIsNotFollowed: nothing makes a second request out of one mail.
func TestRedirectIsNotFollowed(t *testing.T) {
	t.Parallel()
	for _, sender := range senders {
		for _, status := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
			s := newRawServer(t, func(_ *rawServer, c *rawConn) {
				for c.request() {
					c.write(fmt.Sprintf("HTTP/1.1 %d X\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n", status))
				}
			})
			_, err := send(t, newClient(t, s.url, sender))
			if e := refusal(t, err); e.Outcome != unknown || s.posts.Load() != 1 {
				t.Errorf("%s %d: %v, %d requests", sender, status, e, s.posts.Load())
			}
		}
	}
}
