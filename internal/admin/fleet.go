package admin

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"sesrelay/internal/relay"
)

// Fleet is what the API knows of the other instances.
type Fleet interface {
	// Instances are those heard of last, this one among them.
	Instances() []Instance
	// Look asks for them now, which takes a moment when Redis is away.
	Look(ctx context.Context) []Instance
	// Reports are what the other instances made of API.Report last.
	Reports(ctx context.Context) ([][]byte, error)
	// Ask puts a question to the others, and returns what API.Answer said there
	// and who could not be asked.
	Ask(ctx context.Context, about, text string) (answers [][]byte, missed []string)
	// Trouble is why Redis does not answer, and since when; "": it does.
	Trouble() (cause string, since time.Time)
}

// FleetView says whose figures a status shows.
type FleetView struct {
	Instances int        `json:"instances"` // that live, or lived last
	Reporting int        `json:"reporting"` // whose figures are added up, this one among them
	Up        bool       `json:"up"`        // Redis answers
	Error     string     `json:"error"`     // why it does not
	Since     *time.Time `json:"since"`     // then
}

// report is what an instance tells the others of its last five minutes.
type report struct {
	Decided   int64           `json:"decided"`
	Eligible  int64           `json:"eligible"`
	Routes    [2]reportRoute  `json:"routes"`
	Recent    [2]reportRoute  `json:"recent"`  // of the last minute
	Seconds   float64         `json:"seconds"` // that Recent covers
	Reasons   []ReasonCount   `json:"reasons"`
	Upstreams []reportedState `json:"upstreams"`
}

type reportRoute struct {
	Messages   int64  `json:"messages"`
	Accepted   int64  `json:"accepted"`
	Recipients int64  `json:"recipients"`
	Attempts   int64  `json:"attempts"`
	Successes  int64  `json:"successes"`
	Latency    []byte `json:"latency,omitempty"` // HdrHistogram V2, compressed
}

// reportedState is Upstream for the others.
type reportedState struct {
	Name     relay.Route `json:"name"`
	Open     bool        `json:"open"`
	Because  string      `json:"because"`
	InFlight int64       `json:"in_flight"`
}

// maxReasons bounds what a report may bring: there are fewer reasons than that.
const maxReasons = 200

// Report is this instance's figures, for the others.
func (a *API) Report() ([]byte, error) {
	f := a.Stats.figures()
	r := report{Decided: f.decided, Eligible: f.eligible, Seconds: f.recentTime.Seconds(), Reasons: f.reasonCounts()}
	for i := range f.routes {
		r.Routes[i], r.Recent[i] = reported(&f.routes[i]), reported(&f.recent[i])
		var err error
		if r.Routes[i].Latency, err = f.routes[i].latency.Encode(hdrhistogram.V2CompressedEncodingCookieBase); err != nil {
			return nil, fmt.Errorf("admin: report: %w", err)
		}
	}
	for _, u := range a.Upstreams() {
		r.Upstreams = append(r.Upstreams, reportedState(u))
	}
	return json.Marshal(r)
}

func reported(s *routeSlot) reportRoute {
	return reportRoute{Messages: s.messages, Accepted: s.accepted, Recipients: s.recipients, Attempts: s.attempts, Successes: s.successes}
}

// others are the reports of the other instances, asked for at most once a
// second whoever wants them.
type others struct {
	mu      sync.Mutex // guards what follows; held while asking, which is bounded
	at      time.Time
	reports []report
}

const othersLife = time.Second

// others returns what the other instances reported; none while Redis is away.
func (a *API) others() []report {
	if a.Fleet == nil {
		return nil
	}
	o := &a.reported
	o.mu.Lock()
	defer o.mu.Unlock()
	if now := time.Now(); now.Sub(o.at) >= othersLife {
		all, err := a.Fleet.Reports(context.Background())
		o.at, o.reports = time.Now(), nil
		if err == nil {
			o.reports = readReports(all)
		}
	}
	return o.reports
}

// readReports leaves out what no relay has written.
func readReports(all [][]byte) (out []report) {
	for _, b := range all {
		var r report
		if json.Unmarshal(b, &r) == nil && r.sane() {
			out = append(out, r)
		}
	}
	return out
}

func (r *report) sane() bool {
	ok := r.Decided >= 0 && r.Eligible >= 0 && r.Seconds >= 1 && len(r.Reasons) <= maxReasons && len(r.Upstreams) <= len(r.Routes)
	for _, s := range slices.Concat(r.Routes[:], r.Recent[:]) {
		ok = ok && min(s.Messages, s.Accepted, s.Recipients, s.Attempts, s.Successes) >= 0
	}
	return ok
}

// merge adds another instance's figures.
func (f *figures) merge(r *report) {
	f.decided += r.Decided
	f.eligible += r.Eligible
	for i := range f.routes {
		s := r.Routes[i].slot(1)
		f.routes[i].add(&s)
		// Rates are over this instance's time: its minute began when the other's did, or nearly.
		recent := r.Recent[i].slot(f.recentTime.Seconds() / r.Seconds)
		f.recent[i].add(&recent)
	}
	for _, c := range r.Reasons {
		f.reasons[reasonKey{c.Upstream, c.Reason}] += max(0, c.Messages)
	}
}

// slot turns a report back. A histogram that cannot be read is left out.
func (r *reportRoute) slot(scale float64) routeSlot {
	times := func(n int64) int64 { return int64(float64(n)*scale + 0.5) }
	s := routeSlot{messages: times(r.Messages), accepted: times(r.Accepted), recipients: times(r.Recipients), attempts: times(r.Attempts), successes: times(r.Successes)}
	if h, err := hdrhistogram.Decode(r.Latency); err == nil {
		s.latency = h
	}
	return s
}

// fleetFigures are the figures of this instance and of those that report.
func (a *API) fleetFigures(reports []report) figures {
	f := a.Stats.figures()
	for i := range reports {
		f.merge(&reports[i])
	}
	return f
}

// states are the upstreams as each instance sees them, this one's first.
func (a *API) states(reports []report) [][]Upstream {
	out := [][]Upstream{a.Upstreams()}
	for i := range reports {
		theirs := make([]Upstream, len(reports[i].Upstreams))
		for n, u := range reports[i].Upstreams {
			theirs[n] = Upstream(u)
		}
		out = append(out, theirs)
	}
	return out
}

// together is the state of each upstream over all instances: what is in flight
// is added up, and a breaker that is open somewhere is open.
func together(states [][]Upstream) []Upstream {
	out := slices.Clone(states[0])
	for i := range out {
		u := &out[i]
		open, because := 0, u.Because
		u.InFlight = 0
		for _, s := range states {
			for _, o := range s {
				if o.Name != u.Name {
					continue
				}
				u.InFlight += max(0, o.InFlight)
				if o.Open {
					open++
					because = cmp.Or(o.Because, because)
				}
			}
		}
		u.Open, u.Because = open > 0, because
		if open > 0 && len(states) > 1 {
			u.Because = fmt.Sprintf("%s, on %d of %d instances", because, open, len(states))
		}
	}
	return out
}

func (a *API) fleetView(instances, reporting int) *FleetView {
	if a.Fleet == nil {
		return nil
	}
	cause, since := a.Fleet.Trouble()
	v := &FleetView{Instances: instances, Reporting: reporting, Up: cause == "", Error: cause}
	if !v.Up {
		v.Since = &since
	}
	return v
}

// Answer says what this instance knows about a subject; nil: nothing. It is
// asked by other instances, and what it says is masked as for everybody.
func (a *API) Answer(about, text string) []byte {
	if about != aboutTrace {
		return nil
	}
	b, err := json.Marshal(traceAnswer{Records: a.trace(text)})
	if err != nil {
		return nil
	}
	return b
}

const aboutTrace = "trace"

// traceAnswer is the answer of GET /v1/trace/{id}.
type traceAnswer struct {
	Records []TraceRecord `json:"records"`          // oldest first
	Missed  []string      `json:"missed,omitempty"` // instances that could not be asked
}

func (a *API) trace(id string) []TraceRecord {
	found := a.Traces.Find(id)
	records := make([]TraceRecord, 0, len(found))
	for _, rec := range found {
		records = append(records, a.show(rec))
	}
	return records
}

func (a *API) getTrace(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	all := traceAnswer{Records: a.trace(id)}
	if a.Fleet != nil {
		var answers [][]byte
		answers, all.Missed = a.Fleet.Ask(r.Context(), aboutTrace, id)
		for _, b := range answers {
			var theirs traceAnswer
			if json.Unmarshal(b, &theirs) == nil {
				all.Records = append(all.Records, theirs.Records...)
			}
		}
	}
	slices.SortStableFunc(all.Records, func(x, y TraceRecord) int { return x.Ended.Compare(y.Ended) })
	if len(all.Records) == 0 {
		text := "no message with this id is among the last ones of any instance"
		if len(all.Missed) > 0 {
			text += "; not asked: " + strings.Join(all.Missed, ", ")
		}
		return refuse(http.StatusNotFound, text)
	}
	writeJSON(w, http.StatusOK, all)
	return nil
}
