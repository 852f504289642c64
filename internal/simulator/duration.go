package simulator

import (
	"encoding/json"
	"fmt"
	"time"
)

// duration is a time.Duration that JSON shows and takes as "1.5s".
type duration time.Duration

func (d duration) MarshalJSON() ([]byte, error) { return json.Marshal(time.Duration(d).String()) }

func (d *duration) UnmarshalJSON(b []byte) error {
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return fmt.Errorf("simulator: a duration is a string such as \"1.5s\", not %s", b)
	}
	v, err := time.ParseDuration(text)
	if err != nil {
		return fmt.Errorf("simulator: %w", err)
	}
	*d = duration(v)
	return nil
}

// faultJSON is Fault with its Delay as text: the outer field hides the inner one.
type faultJSON struct {
	*plainFault
	Delay duration `json:"delay,omitzero"`
}

type plainFault Fault

// MarshalJSON writes the delay as "1.5s".
func (f Fault) MarshalJSON() ([]byte, error) {
	return json.Marshal(faultJSON{(*plainFault)(&f), duration(f.Delay)})
}

// UnmarshalJSON reads the delay as "1.5s".
func (f *Fault) UnmarshalJSON(b []byte) error {
	shape := faultJSON{plainFault: (*plainFault)(f)}
	if err := json.Unmarshal(b, &shape); err != nil {
		return err
	}
	f.Delay = time.Duration(shape.Delay)
	return nil
}

type latencyJSON struct {
	Fixed duration `json:"fixed,omitzero"`
	Min   duration `json:"min,omitzero"`
	Max   duration `json:"max,omitzero"`
	P50   duration `json:"p50,omitzero"`
	P99   duration `json:"p99,omitzero"`
}

// MarshalJSON writes the times as "1.5s".
func (l Latency) MarshalJSON() ([]byte, error) {
	return json.Marshal(latencyJSON{duration(l.Fixed), duration(l.Min), duration(l.Max), duration(l.P50), duration(l.P99)})
}

// UnmarshalJSON reads the times as "1.5s".
func (l *Latency) UnmarshalJSON(b []byte) error {
	var j latencyJSON
	if err := json.Unmarshal(b, &j); err != nil {
		return err
	}
	*l = Latency{time.Duration(j.Fixed), time.Duration(j.Min), time.Duration(j.Max), time.Duration(j.P50), time.Duration(j.P99)}
	return nil
}

// limitsJSON is SMTPLimits with its IdleTimeout as text.
type limitsJSON struct {
	*plainLimits
	IdleTimeout duration `json:"idle_timeout"`
}

type plainLimits SMTPLimits

// MarshalJSON writes the timeout as "1.5s".
func (l SMTPLimits) MarshalJSON() ([]byte, error) {
	return json.Marshal(limitsJSON{(*plainLimits)(&l), duration(l.IdleTimeout)})
}

// UnmarshalJSON reads the timeout as "1.5s".
func (l *SMTPLimits) UnmarshalJSON(b []byte) error {
	shape := limitsJSON{plainLimits: (*plainLimits)(l)}
	if err := json.Unmarshal(b, &shape); err != nil {
		return err
	}
	l.IdleTimeout = time.Duration(shape.IdleTimeout)
	return nil
}
