package split

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestParsePercent(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Percent{"0": 0, "25": 2500, "0.01": 1, "0.29": 29, "100": Full, "100.00": Full, "12.5": 1250, "007": 700, "99.99": 9999} {
		if got, err := ParsePercent(in); err != nil || got != want {
			t.Errorf("ParsePercent(%q) = %d, %v; want %d", in, got, err, want)
		}
	}
	for in, word := range map[string]string{
		"": "not a percentage", "x": "not a percentage", "-1": "not a percentage", "+1": "not a percentage", "25%": "not a percentage", "1e1": "not a percentage",
		"1.": "not a percentage", ".5": "not a percentage", "1,5": "not a percentage", "NaN": "not a percentage", " 1": "not a percentage", `"25"`: "not a percentage", "null": "not a percentage",
		"0.001": "more than two decimals", "100.01": "above 100", "101": "above 100", "99999999999999999999": "above 100", strings.Repeat("9", 5000): "above 100",
	} {
		_, err := ParsePercent(in)
		if err == nil || !strings.Contains(err.Error(), word) || !strings.Contains(err.Error(), "write a number from 0 to 100") || len(err.Error()) > 200 {
			t.Errorf("ParsePercent(%.50q): %v; want %q and what to write", in, err, word)
		}
	}
}

func TestPercentRoundTrip(t *testing.T) {
	t.Parallel()
	for p := Percent(0); p <= Full; p++ {
		b, err := json.Marshal(p)
		if err != nil {
			t.Fatal(err)
		}
		var q Percent
		if err := json.Unmarshal(b, &q); err != nil || q != p {
			t.Fatalf("%d became %s became %d (%v)", p, b, q, err)
		}
		if strings.Trim(p.Tag(), "0123456789_") != "" {
			t.Fatalf("tag %q has a byte that SES refuses", p.Tag())
		}
	}
}

func FuzzParsePercent(f *testing.F) {
	for _, s := range []string{"25", "0.01", "100.00", "-0", "1e5", "0x10", "99.999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePercent(s)
		if err != nil {
			return
		}
		if q, err := ParsePercent(p.String()); !p.Valid() || err != nil || q != p {
			t.Fatalf("%q is %d, written %q, read %d (%v)", s, p, p.String(), q, err)
		}
	})
}
