package split

import (
	"fmt"
	"strconv"
	"strings"
)

// Percent is a share in hundredths of a percent: 0 to 10000 stand for 0 % to
// 100 %. It is an integer so that a comparison is exact.
type Percent int

// Full is 100 %.
const Full Percent = 10000

// Valid reports whether p is between 0 and 100 %.
func (p Percent) Valid() bool { return p >= 0 && p <= Full }

// Float returns p as a number of percent, for metrics and arithmetic.
func (p Percent) Float() float64 { return float64(p) / 100 }

// String returns p as it is written in the configuration: "25", "0.01", "12.5".
func (p Percent) String() string {
	if p < 0 {
		return "-" + (-p).String()
	}
	s := strconv.Itoa(int(p / 100))
	if rest := p % 100; rest != 0 {
		s += "." + strings.TrimRight(fmt.Sprintf("%02d", int(rest)), "0")
	}
	return s
}

// Tag returns p as the value of an SES message tag, which allows letters,
// digits, "_" and "-" only: "25", "0_01", "12_5" (SES API, MessageTag).
func (p Percent) Tag() string { return strings.Replace(p.String(), ".", "_", 1) }

// ParsePercent reads "25", "0.01" or "100". It goes by digits, not by floats:
// 0.29 is 29 hundredths and nothing near it.
func ParsePercent(s string) (Percent, error) {
	whole, frac, point := strings.Cut(s, ".")
	switch {
	case whole == "" || !digits(whole) || point && (frac == "" || !digits(frac)):
		return 0, percentError(s, "is not a percentage")
	case len(frac) > 2:
		return 0, percentError(s, "has more than two decimals")
	case len(whole) > 9:
		return 0, percentError(s, "is above 100")
	}
	n, err := strconv.Atoi(whole + (frac + "00")[:2])
	if err != nil {
		return 0, percentError(s, "is not a percentage")
	}
	if p := Percent(n); p.Valid() {
		return p, nil
	}
	return 0, percentError(s, "is above 100")
}

func percentError(s, what string) error {
	if len(s) > 40 {
		s = s[:40]
	}
	return fmt.Errorf("%q %s: write a number from 0 to 100 in steps of 0.01, such as 25 or 0.5", s, what)
}

func digits(s string) bool {
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// MarshalJSON writes a JSON number of percent: 25, 0.01.
func (p Percent) MarshalJSON() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalJSON reads a JSON number of percent and nothing else: not a string,
// not null, no exponent.
func (p *Percent) UnmarshalJSON(b []byte) error { return p.UnmarshalText(b) }

// UnmarshalText reads what ParsePercent reads.
func (p *Percent) UnmarshalText(b []byte) error {
	v, err := ParsePercent(string(b))
	if err != nil {
		return err
	}
	*p = v
	return nil
}
