package e2e

import (
	"context"
	"fmt"
	"net/http"
	"net/smtp"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// eventDestination publishes what the simulated SES accepted to moto's
// CloudWatch, as the event destination of infra/templates/ses.yaml does: by
// configuration set and relay-step, each event once, in the minute in which it
// happened.
type eventDestination struct {
	t         *testing.T
	url       string
	store     *simulator.Store
	bouncing  atomic.Bool
	published atomic.Int64 // mails whose end is in CloudWatch
	bounced   atomic.Int64
}

func (d *eventDestination) run(ctx context.Context) {
	done := 0
	for ctx.Err() == nil {
		all := d.store.Of(simulator.UpstreamSES)
		bounce := d.bouncing.Load()
		counts := map[string]int{}
		for _, r := range all[done:] {
			counts[r.SES.Tags["relay-step"]]++
		}
		for step, n := range counts {
			end := "Delivery"
			if bounce {
				end = "Bounce"
				d.bounced.Add(int64(n))
			}
			d.put("Send", step, n)
			d.put(end, step, n)
		}
		done = len(all)
		d.published.Store(int64(done))
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
}

// put is PutMetricData of the CloudWatch query API.
func (d *eventDestination) put(metric, step string, n int) {
	const m = "MetricData.member.1."
	form := url.Values{"Action": {"PutMetricData"}, "Version": {"2010-08-01"}, "Namespace": {"AWS/SES"},
		m + "MetricName": {metric}, m + "Value": {strconv.Itoa(n)}, m + "Unit": {"Count"}, m + "Timestamp": {time.Now().UTC().Format(time.RFC3339)},
		m + "Dimensions.member.1.Name": {"ses:configuration-set"}, m + "Dimensions.member.1.Value": {configurationSet},
		m + "Dimensions.member.2.Name": {"relay-step"}, m + "Dimensions.member.2.Value": {step}}
	r, _ := http.NewRequest("POST", d.url, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261123/ap-northeast-1/monitoring/aws4_request, SignedHeaders=host, Signature=0")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		d.t.Errorf("PutMetricData: %v", err)
		return
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		d.t.Errorf("PutMetricData: %s", answer.Status)
	}
}

// steadyTraffic sends mails to all addresses in turn until the test ends. An instance
// that was killed takes none.
func steadyTraffic(t *testing.T, perSecond int, addrs ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); wg.Wait() })
	wg.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		places := make(chan struct{}, 50)
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			select {
			case places <- struct{}{}:
			default:
				continue
			}
			wg.Go(func() {
				defer func() { <-places }()
				oneMail(addrs[n%len(addrs)], plainMail(fmt.Sprintf("tr%d", n)))
			})
		}
	})
}

// oneMail is deliver for mail whose reply nobody judges here.
func oneMail(addr string, m *corpusMail) {
	c, err := smtp.Dial(addr)
	if err != nil {
		return
	}
	defer c.Close()
	if c.Hello("mx1.goo.ne.jp") != nil {
		return
	}
	id, err := c.Text.Cmd("MAIL FROM:<%s>", m.from)
	if err != nil {
		return
	}
	c.Text.StartResponse(id)
	_, _, err = c.Text.ReadResponse(250)
	c.Text.EndResponse(id)
	if err != nil || c.Rcpt(m.to[0]) != nil {
		return
	}
	w, err := c.Data()
	if err != nil {
		return
	}
	w.Write(m.content)
	w.Close()
	c.Quit()
}

// rolloutView is the part of GET /v1/rollout that the tests look at.
type rolloutView struct {
	Phase  string `json:"phase"`
	Step   int    `json:"step"`
	Events struct {
		LastData *time.Time `json:"last_data"`
		Trouble  string     `json:"trouble"`
	} `json:"events"`
	Guard struct {
		Armed    bool     `json:"armed"`
		Blind    bool     `json:"blind_to_delivery"`
		Verdict  string   `json:"verdict"`
		Reasons  []string `json:"reasons"`
		Trips    int      `json:"trips"`
		LastTrip *struct {
			Reasons []string `json:"reasons"`
			Text    string   `json:"text"`
			From    float64  `json:"from"`
			To      float64  `json:"to"`
		} `json:"last_trip"`
	} `json:"guard"`
	Controller struct {
		Instance string `json:"instance"`
		Here     bool   `json:"here"`
	} `json:"controller"`
}

func (r *relayProcess) rollout(t *testing.T) (v rolloutView) {
	t.Helper()
	r.get(t, "/v1/rollout", &v)
	return v
}

// leader returns the instance that moves the steps; -1: none does now.
func (f *fleet) leader(t *testing.T) int {
	t.Helper()
	for i, r := range f.all {
		if r.rollout(t).Controller.Here {
			return i
		}
	}
	return -1
}

// TestGuardOfAFleet runs three relays, a Redis, an SES and moto's CloudWatch.
// The one that leads is killed and another takes over; bounces that CloudWatch
// reports put the split back everywhere, and so does an outage that each relay
// sees itself, within 15 s; a subscriber of the SNS topic hears of it. Nothing is
// injected below the wire.
func TestGuardOfAFleet(t *testing.T) {
	t.Parallel()
	m := startMoto(t)
	pager := m.topic(t)
	f := startFleet(t, fleetOptions{size: 3, redis: at(startRedis(t)), relayOptions: relayOptions{plain: true,
		env: []string{"AWS_ENDPOINT_URL_CLOUDWATCH=" + m.url, "AWS_ENDPOINT_URL_SNS=" + m.url},
		set: settings{"rollout.events": "cloudwatch", "rollout.notify.sns_topic": pager.arn, "rollout.steps": "[{set_percent: 50}, {pause: 0s}, {set_percent: 100}]",
			"rollout.guard.min_messages": "100", "rollout.guard.window": "1m", "breaker.min_requests": "20"}}})
	f.mayAbort = true
	d := &eventDestination{t: t, url: m.url, store: f.store}
	ctx, cancel := context.WithCancel(t.Context())
	var publishing sync.WaitGroup
	publishing.Go(func() { d.run(ctx) })
	t.Cleanup(func() { cancel(); publishing.Wait() })
	steadyTraffic(t, 45, f.all[0].smtp, f.all[1].smtp, f.all[2].smtp)

	f.all[1].cli(t, "rollout", "start", "--reason", "week 1", "--force")
	f.apply(t, 50)
	eventually(t, time.Minute, "waiting for good reports", func() error {
		i := f.leader(t)
		if i < 0 {
			return fmt.Errorf("nobody leads")
		}
		if v := f.all[i].rollout(t); v.Events.LastData == nil || v.Guard.Verdict == "rollback" || d.published.Load() < 150 {
			return fmt.Errorf("%+v, %d published", v, d.published.Load())
		}
		return nil
	})

	gone := f.leader(t)
	f.all[gone].kill()
	f.all = append(f.all[:gone:gone], f.all[gone+1:]...)
	killed := time.Now()
	eventually(t, 30*time.Second, "waiting for another one to lead", func() error {
		if f.leader(t) < 0 {
			return fmt.Errorf("nobody leads")
		}
		return nil
	})
	t.Logf("another instance leads after %.1f s", time.Since(killed).Seconds())

	f.pulledBack(t, "bounce", 60*time.Second, func() { d.bouncing.Store(true) })
	d.bouncing.Store(false)
	pager.told(t, "rolled back")

	// What has bounced counts for the guard's window, a minute, in CloudWatch's
	// whole minutes: it would trip again, for the same reason and rightly.
	time.Sleep(2*time.Minute + 5*time.Second)
	f.all[0].cli(t, "rollout", "start", "--reason", "SES is repaired", "--force")
	f.apply(t, 50)
	time.Sleep(3 * time.Second)
	f.pulledBack(t, "acceptance", 60*time.Second, func() { f.ses.SetOutage(simulator.OutageUnavailable) })
}

// pulledBack lets something go wrong, and waits until no instance gives SES
// anything and the reason is on record.
func (f *fleet) pulledBack(t *testing.T, reason string, patience time.Duration, wrong func()) {
	t.Helper()
	start := time.Now()
	trips := f.all[0].rollout(t).Guard.Trips
	wrong()
	eventually(t, patience, "waiting for the guard: "+reason, func() error {
		for _, r := range f.all {
			if v := r.soon(t); v.Applied != 0 || v.Brake == nil || v.Brake.By != "guard" {
				return fmt.Errorf("%g %% are applied; guard: %+v", v.Applied, r.rollout(t).Guard)
			}
		}
		return nil
	})
	t.Logf("%s: put back on all instances %.1f s after it began", reason, time.Since(start).Seconds())
	f.wait(t, "the record", func(r *relayProcess) error {
		v := r.rollout(t)
		if v.Phase != "rolled_back" || v.Guard.Trips != trips+1 || v.Guard.LastTrip.From != 50 || v.Guard.LastTrip.To != 0 {
			return fmt.Errorf("%+v", v)
		}
		if !strings.Contains(strings.Join(v.Guard.LastTrip.Reasons, " "), reason) {
			return fatal{fmt.Errorf("the reasons are %q: %s", v.Guard.LastTrip.Reasons, v.Guard.LastTrip.Text)}
		}
		return nil
	})
	counted := 0.0
	for _, r := range f.all {
		counted += max(0, r.metric(t, `relay_guard_trips_total{reason="`+reason+`"}`))
	}
	if counted < 1 {
		t.Errorf("no relay_guard_trips_total{reason=%q}", reason)
	}
	out := f.all[len(f.all)-1].cli(t, "rollout", "status")
	like(t, "relay rollout status", out, "(?s)phase +rolled back since .*because .*guard.*go on with +relay rollout resume")
	report := f.all[0].cli(t, "rollout", "report")
	like(t, "relay rollout report", report, "(?s)# Rollout report.*Ended by guard \\(rollback\\)")
}
