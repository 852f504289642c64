package split

import (
	"slices"
	"strings"
	"testing"
)

func TestPlan(t *testing.T) {
	t.Parallel()
	migration := Traffic{PeakPerMinute: 100_000, PerDay: 5_300_000, RecipientsPerMessage: 1}
	big := Capacity{SESRate: 1800, SESDay: 5_500_000}
	for _, c := range []struct {
		name     string
		percent  Percent
		traffic  Traffic
		capacity Capacity
		ok, fits bool
		missing  []string
		words    []string
		unknown  int
	}{
		{name: "fits", percent: Full, traffic: migration, capacity: big, ok: true, fits: true},
		{name: "exactly", percent: 5000, traffic: Traffic{PeakPerMinute: 120, PerDay: 100}, capacity: Capacity{SESRate: 1, SESDay: 50}, ok: true, fits: true},
		{name: "rate", percent: 5000, traffic: migration, capacity: Capacity{SESRate: 450, SESDay: -1}, missing: []string{"ses_rate"},
			words: []string{"50 % of the peak of 100,000", "833.3 recipients a second", "allows 450", "383.3 are missing"}},
		{name: "day", percent: 5000, traffic: migration, capacity: Capacity{SESRate: 1800, SESDay: 50_000}, missing: []string{"ses_day"},
			words: []string{"2,650,000 recipients", "allows 50,000", "2,600,000 are missing"}},
		{name: "recipients count", percent: Full, traffic: Traffic{PeakPerMinute: 60_000, PerDay: 1, RecipientsPerMessage: 2}, capacity: big, missing: []string{"ses_rate"}, words: []string{"2,000 recipients a second"}},
		{name: "both", percent: Full, traffic: migration, capacity: Capacity{SESRate: 12.6, SESDay: 50_000}, missing: []string{"ses_rate", "ses_day"}},
		{name: "cuenote", percent: 1000, traffic: migration, capacity: Capacity{SESRate: 1800, SESDay: -1, CuenoteRate: 417}, fits: true, missing: []string{"cuenote_rate"},
			words: []string{"1,500 messages a second", "carries 417", "1,083 are missing"}},
		{name: "nothing for SES", percent: 0, traffic: migration, capacity: Capacity{SESRate: 1, SESDay: 1}, ok: true, fits: true},
		{name: "traffic not known", percent: 5000, capacity: Capacity{SESRate: 1, SESDay: 1}, ok: true, fits: true, unknown: 2},
		{name: "quota not known", percent: 5000, traffic: migration, ok: true, fits: true, unknown: 2},
	} {
		p := MakePlan(c.percent, c.traffic, c.capacity)
		var of []string
		var text string
		for _, m := range p.Missing {
			of = append(of, m.Of)
			text += m.Text
		}
		if p.OK != c.ok || p.SESFits != c.fits || !slices.Equal(of, c.missing) || len(p.Unknown) != c.unknown {
			t.Errorf("%s: %+v", c.name, p)
		}
		for _, w := range c.words {
			if !strings.Contains(text, w) {
				t.Errorf("%s: %q is not in %q", c.name, w, text)
			}
		}
	}
}
