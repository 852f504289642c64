package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"time"

	"sesrelay/internal/simulator"
)

// sinkStats are the counters of a sink.
type sinkStats struct {
	SES         simulator.Totals `json:"ses"`
	Cuenote     simulator.Totals `json:"cuenote"`
	SESRequests int64            `json:"ses_requests"`        // of any kind, answered or not
	Open        int64            `json:"cuenote_connections"` // open now
	Opened      int64            `json:"cuenote_connections_total"`

	Anomalies []simulator.Anomaly `json:"anomalies"` // what a correct SMTP client would not have sent
}

// idStats tells about the mails by their ids.
type idStats struct {
	Unique    int   `json:"unique"`
	Extra     int   `json:"extra_copies"`
	Uncounted int64 `json:"uncounted"` // for want of room
}

// sinkState changes a hop; what is nil stays.
type sinkState struct {
	Latency *simulator.Latency    `json:"latency,omitempty"`
	Account *simulator.Account    `json:"account,omitempty"` // SES only
	Limits  *simulator.SMTPLimits `json:"limits,omitempty"`  // Cuenote only
	Faults  *[]simulator.Fault    `json:"faults,omitempty"`
	Outage  *simulator.Outage     `json:"outage,omitempty"`
}

// arrivedAt is one delivery in GET /deliveries.
type arrivedAt struct {
	At  int64 `json:"at"` // Unix time in ns
	SES bool  `json:"ses"`
}

// handler is the control endpoint. It is for loopback only and asks for no token.
func (s *sink) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /stats", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.stats()) })
	mux.HandleFunc("GET /ids", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.ids()) })
	mux.HandleFunc("GET /per-second/{upstream}", func(w http.ResponseWriter, r *http.Request) {
		answer(w, s.store.PerSecond(r.PathValue("upstream")))
	})
	mux.HandleFunc("GET /deliveries", func(w http.ResponseWriter, _ *http.Request) { answer(w, s.deliveries()) })
	mux.HandleFunc("POST /reconcile", s.serveReconcile)
	mux.HandleFunc("PUT /ses", s.change(s.setSES))
	mux.HandleFunc("PUT /cuenote", s.change(s.setCuenote))
	return mux
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

func (s *sink) stats() sinkStats {
	st := sinkStats{SES: s.store.Totals(simulator.UpstreamSES), Cuenote: s.store.Totals(simulator.UpstreamCuenote),
		SESRequests: s.ses.Requests()}
	st.Open, st.Opened = s.cuenote.Connections()
	st.Anomalies = s.cuenote.Anomalies()
	return st
}

// ids looks at every id, which takes a while when there are millions.
func (s *sink) ids() (st idStats) {
	st.Unique, st.Extra, st.Uncounted = s.store.IDs()
	return st
}

// deliveries lists when the kept mails arrived, and where, in order of arrival.
func (s *sink) deliveries() []arrivedAt {
	all := s.store.All()
	list := make([]arrivedAt, len(all))
	for i, r := range all {
		list[i] = arrivedAt{r.Time.UnixNano(), r.Upstream == simulator.UpstreamSES}
	}
	return list
}

// serveReconcile compares the claims in the body with what arrived.
func (s *sink) serveReconcile(w http.ResponseWriter, r *http.Request) {
	c := s.reconciler()
	if err := readClaims(r.Body, c.add); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	unique, _, _ := s.store.IDs()
	answer(w, c.result(unique))
}

// reconciler compares by recipient while every delivery is still known, else by
// mail.
func (s *sink) reconciler() *reconciler {
	if s.store.Count() > s.opts.Records {
		return byMail(s.store.Copies)
	}
	arrived := make(map[delivery]int, s.store.Count())
	for _, rec := range s.store.All() {
		for _, to := range rec.To {
			arrived[delivery{rec.TestID, to}]++
		}
	}
	return byRecipient(arrived)
}

// change reads a sinkState from the body and applies it.
func (s *sink) change(apply func(sinkState) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var state sinkState
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		err := dec.Decode(&state)
		if err == nil {
			err = apply(state)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		answer(w, struct {
			At time.Time `json:"at"`
		}{time.Now()})
	}
}

func (s *sink) setSES(c sinkState) error {
	if c.Limits != nil {
		return fmt.Errorf("limits are Cuenote's; SES has an account")
	}
	if c.Latency != nil {
		s.ses.SetLatency(*c.Latency)
	}
	if c.Account != nil {
		s.ses.SetAccount(*c.Account)
	}
	if c.Faults != nil {
		if err := s.ses.Faults().Set(*c.Faults...); err != nil {
			return err
		}
	}
	if c.Outage != nil {
		return s.ses.SetOutage(*c.Outage)
	}
	return nil
}

func (s *sink) setCuenote(c sinkState) error {
	if c.Account != nil {
		return fmt.Errorf("the account is SES's; Cuenote has limits")
	}
	if c.Latency != nil {
		s.cuenote.SetLatency(*c.Latency)
	}
	if c.Limits != nil {
		s.cuenote.SetLimits(*c.Limits)
	}
	if c.Faults != nil {
		if err := s.cuenote.Faults().Set(*c.Faults...); err != nil {
			return err
		}
	}
	if c.Outage != nil {
		return s.cuenote.SetOutage(*c.Outage)
	}
	return nil
}
