package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"sesrelay/internal/simulator"
)

// relayCounters reads from the relays' /metrics what only they can know: SES's
// errors, and how many mails had an end that nobody knows.
func (st *stand) relayCounters(ctx context.Context, r *result) (err error) {
	r.SESErrors = map[string]float64{}
	for _, relay := range st.relays.alive() {
		err = errors.Join(err, relay.counters(ctx, r))
	}
	return err
}

// counters adds one relay's to a result.
func (p *relayProcess) counters(ctx context.Context, r *result) error {
	req, err := http.NewRequestWithContext(ctx, "GET", p.API+"/metrics", nil)
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("relay: metrics: %w", err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		return fmt.Errorf("relay: metrics: %s", res.Status)
	}
	list, err := readCounters(res.Body, "relay_ses_errors_total", "relay_messages_total")
	for _, c := range list {
		switch {
		case c.name == "relay_ses_errors_total" && c.value > 0:
			r.SESErrors[c.label("class")] += c.value
		case c.name == "relay_messages_total" && c.label("outcome") == "unknown":
			r.UnknownEnds += int(c.value)
		}
	}
	return err
}

// counter is one line of the Prometheus text format: name{labels} value.
type counter struct {
	name, labels string
	value        float64
}

// label is the value of a label. It is for closed sets, without quotes in them.
func (c counter) label(name string) string {
	_, rest, _ := strings.Cut(","+c.labels, ","+name+`="`)
	value, _, _ := strings.Cut(rest, `"`)
	return value
}

// readCounters reads the lines of the named metrics.
func readCounters(r io.Reader, names ...string) (list []counter, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		name, rest, labelled := strings.Cut(lines.Text(), "{")
		if !labelled || !slices.Contains(names, name) {
			continue
		}
		labels, text, _ := strings.Cut(rest, "} ")
		value, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return nil, fmt.Errorf("metrics: %s: %w", name, err)
		}
		list = append(list, counter{name, labels, value})
	}
	return list, lines.Err()
}

// anomalyKinds counts what Cuenote complained of. A connection that ends inside
// a message is counted apart: before the final dot it is how a client takes a
// message back, and nothing is delivered.
func anomalyKinds(list []simulator.Anomaly) (kinds map[string]*failure, takenBack int) {
	kinds = map[string]*failure{}
	for _, a := range list {
		switch f := kinds[a.Kind]; {
		case a.Kind == simulator.AnomalyTruncated:
			takenBack++
		case f == nil:
			kinds[a.Kind] = &failure{Count: 1, Example: a.String()}
		default:
			f.Count++
		}
	}
	return kinds, takenBack
}

// sum is how often all kinds together happened.
func sum(kinds map[string]*failure) (n int) {
	for _, f := range kinds {
		n += f.Count
	}
	return n
}
