package config

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// set reads text into v, which has the type of f.
func (f field) set(v reflect.Value, text string) *valueError {
	switch {
	case f.typ == durationType:
		return f.setNumber(text, func() (float64, *valueError) {
			d, err := parseDuration(text)
			v.SetInt(int64(d))
			return float64(d), err
		})
	case f.typ == prefixType:
		p, err := parsePrefix(text)
		v.Set(reflect.ValueOf(p))
		return err
	case f.typ.Kind() == reflect.Pointer:
		elem := f
		elem.typ = f.typ.Elem()
		p := reflect.New(elem.typ)
		v.Set(p)
		return elem.set(p.Elem(), text)
	case f.form == "auto":
		return f.setAuto(v, text)
	}
	return f.setPlain(v, text)
}

// setPlain reads the kinds of Go that stand for themselves.
func (f field) setPlain(v reflect.Value, text string) *valueError {
	switch f.typ.Kind() {
	case reflect.Bool:
		if text != "true" && text != "false" {
			return badValue("is neither true nor false", "write true or false")
		}
		v.SetBool(text == "true")
		return nil
	case reflect.Int, reflect.Int64:
		return f.setNumber(text, func() (float64, *valueError) {
			n, err := f.parseInt(text)
			v.SetInt(n)
			return float64(n), err
		})
	case reflect.Float64:
		return f.setNumber(text, func() (float64, *valueError) {
			x, err := parseFloat(text)
			v.SetFloat(x)
			return x, err
		})
	case reflect.String:
		v.SetString(text)
		return f.checkText(text)
	}
	panic("config: no reader for " + f.typ.String()) // a test reads every key
}

// setAuto reads a number, or "auto" for 0.
func (f field) setAuto(v reflect.Value, text string) *valueError {
	if text == "auto" {
		v.SetZero()
		return nil
	}
	number := f
	number.form = ""
	err := number.set(v, text)
	if err != nil {
		err.fix = "write auto to ask SES, or " + strings.TrimPrefix(err.fix, "write ")
	}
	return err
}

// setNumber checks the range of what read returns.
func (f field) setNumber(text string, read func() (float64, *valueError)) *valueError {
	x, err := read()
	if err != nil {
		return err
	}
	if f.min != "" && x < f.bound(f.min) || f.max != "" && x > f.bound(f.max) {
		return badValue("is out of range", "write "+f.span())
	}
	return nil
}

// bound reads a limit of the tags, which has the form of the value.
func (f field) bound(limit string) float64 {
	plain := field{typ: f.typ, form: f.form}
	if f.form == "auto" {
		plain.form = ""
	}
	v := reflect.New(f.typ).Elem()
	if err := plain.set(v, limit); err != nil {
		panic("config: tag of " + f.key + ": " + err.what) // a test reads every tag
	}
	if v.CanFloat() {
		return v.Float()
	}
	return float64(v.Int())
}

// span says the range in words.
func (f field) span() string {
	switch {
	case f.max == "":
		return f.min + " or more"
	case f.min == "":
		return "at most " + f.max
	}
	return f.min + " to " + f.max
}

func (f field) parseInt(text string) (int64, *valueError) {
	switch f.form {
	case "size":
		return parseSize(text)
	case "percent":
		n, err := ParsePercent(text)
		if err != nil {
			return 0, badValue(err.Error(), "write 0 to 100, with at most two decimals, such as 25 or 0.5")
		}
		return int64(n), nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, badValue("is not a whole number", "write digits only")
	}
	return n, nil
}

func parseFloat(text string) (float64, *valueError) {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(x) || math.IsInf(x, 0) || strings.ContainsAny(text, "xX_") {
		return 0, badValue("is not a number", "write a number such as 0.9")
	}
	return x, nil
}

func parseDuration(text string) (time.Duration, *valueError) {
	d, err := time.ParseDuration(text)
	if err != nil {
		return 0, badValue("is not a duration", "write a number with its unit: ms, s, m or h, such as 30s or 1h30m")
	}
	return d, nil
}

// ParsePercent reads a percentage in steps of 0.01 and returns hundredths, 0 to
// 10000. Its error says what is wrong, to be put after the text.
func ParsePercent(text string) (int, error) {
	whole, decimals, point := strings.Cut(text, ".")
	if point && decimals == "" || !digits(whole) || whole == "" || !digits(decimals) || len(whole) > 9 {
		return 0, fmt.Errorf("is not a percentage")
	}
	if len(decimals) > 2 {
		return 0, fmt.Errorf("has more than two decimals")
	}
	n, _ := strconv.Atoi(whole)
	hundredths, _ := strconv.Atoi((decimals + "00")[:2])
	if n = n*100 + hundredths; n > 10000 {
		return 0, fmt.Errorf("is more than 100 percent")
	}
	return n, nil
}

// FormatPercent writes hundredths of a percent in the shortest form: "25", "0.5", "12.25".
func FormatPercent(hundredths int) string {
	return strconv.FormatFloat(float64(hundredths)/100, 'f', -1, 64)
}

func digits(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// units of sizes; only binary ones, so that 40MB is not read as either.
var units = []struct {
	name  string
	bytes int64
}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", mib}, {"KiB", kib}, {"B", 1}}

func parseSize(text string) (int64, *valueError) {
	number, factor := text, int64(1)
	for _, u := range units {
		if before, ok := strings.CutSuffix(text, u.name); ok {
			number, factor = strings.TrimSuffix(before, " "), u.bytes
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || !digits(number) {
		return 0, badValue("is not a size", "write bytes, or a whole number with KiB, MiB, GiB or TiB, such as 40MiB")
	}
	if n > math.MaxInt64/factor {
		return 0, badValue("is too large", "write a smaller size")
	}
	return n * factor, nil
}

// formatSize writes bytes with the largest unit that divides them.
func formatSize(n int64) string {
	for _, u := range units {
		if n >= u.bytes && n%u.bytes == 0 && u.bytes > 1 {
			return strconv.FormatInt(n/u.bytes, 10) + u.name
		}
	}
	return strconv.FormatInt(n, 10)
}

// parsePrefix reads a network in CIDR form; a bare address is a network of one.
func parsePrefix(text string) (netip.Prefix, *valueError) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return p, badValue("is not a network", "write an address or a CIDR, such as 10.0.0.0/8 or \"::1/128\"")
	}
	if p.Addr().Is4In6() {
		return p, badValue("is an IPv4 network in IPv6 form", "write it as IPv4, such as 10.0.0.0/8")
	}
	if m := p.Masked(); m != p {
		return p, badValue("has address bits beyond its length", "did you mean "+m.String()+" or "+p.Addr().String()+"?")
	}
	return p, nil
}

// checkText checks a string by its words or its form.
func (f field) checkText(text string) *valueError {
	if len(f.enum) > 0 && !slices.Contains(f.enum, text) {
		fix := "write " + alternatives(f.enum)
		if near := nearest(text, f.enum); near != "" {
			fix += "; did you mean " + near + "?"
		}
		return badValue("is not one of the words", fix)
	}
	if text == "" {
		if f.required {
			return badValue("must not be empty", "write "+sample(f))
		}
		return nil
	}
	if strings.ContainsFunc(text, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return badValue("has a control character", "write it without line breaks and tabs")
	}
	if check, ok := forms[f.form]; ok {
		return check(text)
	}
	return nil
}

// alternatives joins words: "a, b or c".
func alternatives(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	last := len(words) - 1
	return strings.Join(words[:last], ", ") + " or " + words[last]
}
