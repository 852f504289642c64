package split

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Traffic is the load a plan is made for, configured or measured.
type Traffic struct {
	PeakPerMinute        float64 `json:"peak_per_minute"` // messages; 0: not known
	PerDay               float64 `json:"per_day"`         // messages; 0: not known
	RecipientsPerMessage float64 `json:"recipients_per_message"`
}

// Capacity is what the two upstreams carry.
type Capacity struct {
	SESRate     float64 `json:"ses_rate"`     // recipients a second, headroom taken off; 0: not known
	SESDay      float64 `json:"ses_day"`      // recipients in 24 hours; -1: unlimited, 0: not known
	CuenoteRate float64 `json:"cuenote_rate"` // messages a second; 0: unlimited
}

// Shortfall is one thing that is missing.
type Shortfall struct {
	Of      string  `json:"of"` // ses_rate, ses_day or cuenote_rate
	Needed  float64 `json:"needed"`
	Allowed float64 `json:"allowed"`
	Text    string  `json:"text"`
}

// Plan tells whether a percentage can be carried.
type Plan struct {
	Percent Percent `json:"percent"`
	// OK: both upstreams carry their share. SESFits: SES carries its own;
	// an increase is refused when it is false. What Cuenote lacks never stands
	// in the way of an increase, which only makes Cuenote's share smaller.
	OK       bool        `json:"ok"`
	SESFits  bool        `json:"ses_fits"`
	Missing  []Shortfall `json:"missing"`
	Unknown  []string    `json:"unknown"` // what could not be judged, and how to make it known
	Traffic  Traffic     `json:"traffic"`
	Capacity Capacity    `json:"capacity"`

	SESRateNeeded     float64 `json:"ses_rate_needed"`     // recipients a second at the peak
	SESDayNeeded      float64 `json:"ses_day_needed"`      // recipients in 24 hours
	CuenoteRateNeeded float64 `json:"cuenote_rate_needed"` // messages a second at the peak
}

// MakePlan compares peak x percent with SES's rate and day quota, and the rest
// with what Cuenote can carry.
func MakePlan(percent Percent, t Traffic, c Capacity) Plan {
	if t.RecipientsPerMessage < 1 {
		t.RecipientsPerMessage = 1
	}
	share := percent.Float() / 100
	p := Plan{Percent: percent, Traffic: t, Capacity: c, SESFits: true, Missing: []Shortfall{}, Unknown: []string{},
		SESRateNeeded:     t.PeakPerMinute / 60 * share * t.RecipientsPerMessage,
		SESDayNeeded:      t.PerDay * share * t.RecipientsPerMessage,
		CuenoteRateNeeded: t.PeakPerMinute / 60 * (1 - share)}
	p.judgeRate()
	p.judgeDay()
	p.judgeCuenote()
	p.OK = len(p.Missing) == 0
	return p
}

func (p *Plan) judgeRate() {
	switch {
	case p.Percent == 0:
	case p.Traffic.PeakPerMinute == 0:
		p.unknown("the peak is not known: set traffic.peak_per_minute, or ask again under load")
	case p.Capacity.SESRate == 0:
		p.unknown("SES's sending rate is not known yet: GetAccount has not answered, and quota.rate is auto")
	case above(p.SESRateNeeded, p.Capacity.SESRate):
		p.SESFits = false
		p.missing("ses_rate", p.SESRateNeeded, p.Capacity.SESRate, fmt.Sprintf(
			"%s %% of the peak of %s messages a minute, %s each, is %s recipients a second; SES allows %s (headroom taken off): %s are missing",
			p.Percent, number(p.Traffic.PeakPerMinute), recipients(p.Traffic.RecipientsPerMessage), number(p.SESRateNeeded),
			number(p.Capacity.SESRate), number(p.SESRateNeeded-p.Capacity.SESRate)))
	}
}

func (p *Plan) judgeDay() {
	switch {
	case p.Percent == 0, p.Capacity.SESDay < 0:
	case p.Traffic.PerDay == 0:
		p.unknown("the daily volume is not known: set traffic.per_day")
	case p.Capacity.SESDay == 0:
		p.unknown("SES's 24-hour quota is not known yet: GetAccount has not answered, and quota.daily is auto")
	case above(p.SESDayNeeded, p.Capacity.SESDay):
		p.SESFits = false
		p.missing("ses_day", p.SESDayNeeded, p.Capacity.SESDay, fmt.Sprintf(
			"%s %% of %s messages a day, %s each, is %s recipients; SES allows %s in 24 hours: %s are missing",
			p.Percent, number(p.Traffic.PerDay), recipients(p.Traffic.RecipientsPerMessage), number(p.SESDayNeeded),
			number(p.Capacity.SESDay), number(p.SESDayNeeded-p.Capacity.SESDay)))
	}
}

func (p *Plan) judgeCuenote() {
	if p.Capacity.CuenoteRate <= 0 || !above(p.CuenoteRateNeeded, p.Capacity.CuenoteRate) {
		return
	}
	p.missing("cuenote_rate", p.CuenoteRateNeeded, p.Capacity.CuenoteRate, fmt.Sprintf(
		"the rest at the peak is %s messages a second; Cuenote carries %s (cuenote.rate): %s are missing",
		number(p.CuenoteRateNeeded), number(p.Capacity.CuenoteRate), number(p.CuenoteRateNeeded-p.Capacity.CuenoteRate)))
}

// DaySpent adds that the day's quota is spent now, whatever a whole day needs.
func (p *Plan) DaySpent(used float64) {
	if p.Percent == 0 {
		return
	}
	p.SESFits, p.OK = false, false
	p.missing("ses_day", p.SESDayNeeded, p.Capacity.SESDay, fmt.Sprintf(
		"the 24-hour quota of SES is spent now: %s of %s recipients", number(used), number(p.Capacity.SESDay)))
}

// MeasuredFor adds that the peak was measured over d only.
func (p *Plan) MeasuredFor(d time.Duration) {
	if p.Percent > 0 && p.Traffic.PeakPerMinute > 0 && d < 24*time.Hour {
		p.unknown(fmt.Sprintf("the peak of %s messages a minute is that of the last %s only: set traffic.peak_per_minute",
			number(p.Traffic.PeakPerMinute), d.Round(time.Second)))
	}
}

// above forgives what floating point adds: a share that fits exactly fits.
func above(needed, allowed float64) bool { return needed > allowed*(1+1e-9) }

func (p *Plan) unknown(text string) { p.Unknown = append(p.Unknown, text) }

func (p *Plan) missing(of string, needed, allowed float64, text string) {
	p.Missing = append(p.Missing, Shortfall{Of: of, Needed: needed, Allowed: allowed, Text: text})
}

func recipients(n float64) string {
	if n == 1 {
		return "1 recipient"
	}
	return number(n) + " recipients"
}

// number writes at most one decimal, and thousands apart.
func number(f float64) string {
	s := strconv.FormatFloat(math.Round(f*10)/10, 'f', -1, 64)
	whole, _, _ := strings.Cut(s, ".")
	for i := len(whole) - 3; i > 0 && s[i-1] != '-'; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
