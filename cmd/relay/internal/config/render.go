package config

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// render writes a value as it stands in the file, lists and sections in YAML's
// short form.
func render(f field, v reflect.Value) string {
	switch {
	case f.typ == durationType:
		return formatDuration(time.Duration(v.Int()))
	case f.typ.Kind() == reflect.Pointer:
		if v.IsNil() {
			return ""
		}
		f.typ = f.typ.Elem()
		return render(f, v.Elem())
	case isList(f.typ):
		items := make([]string, v.Len())
		for i := range v.Len() {
			items[i] = render(f.item(), v.Index(i))
		}
		return "[" + strings.Join(items, ", ") + "]"
	case isSection(f.typ):
		return renderSection(f.typ, v)
	case f.form == "auto" && v.IsZero():
		return "auto"
	case f.form == "size":
		return formatSize(v.Int())
	case f.form == "percent":
		return FormatPercent(int(v.Int()))
	}
	return renderPlain(v)
}

// renderSection leaves out what is empty: an item of a list shows what it says.
func renderSection(t reflect.Type, v reflect.Value) string {
	var keys []string
	for _, f := range fieldsOf(t) {
		if value := v.Field(f.index); !value.IsZero() {
			keys = append(keys, f.key+": "+render(f, value))
		}
	}
	return "{" + strings.Join(keys, ", ") + "}"
}

func renderPlain(v reflect.Value) string {
	if m, ok := v.Interface().(encoding.TextMarshaler); ok {
		text, _ := m.MarshalText() // a netip.Prefix does not fail
		return quoteYAML(string(text))
	}
	switch v.Kind() {
	case reflect.String:
		return quoteYAML(v.String())
	case reflect.Float64:
		return strconv.FormatFloat(v.Float(), 'f', -1, 64)
	}
	return fmt.Sprint(v.Interface())
}

// quoteYAML quotes what YAML would read as something else.
func quoteYAML(s string) string {
	if s == "" || strings.HasPrefix(s, ":") || strings.HasSuffix(s, ":") || strings.ContainsAny(s, " #{}[],\"'") {
		return strconv.Quote(s)
	}
	return s
}

// formatDuration writes a duration in one unit where that is short: 110s, 90m, 168h.
func formatDuration(d time.Duration) string {
	switch {
	case d == 0:
		return "0s"
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d%time.Minute == 0:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d%time.Second == 0 && d < time.Hour:
		return fmt.Sprintf("%ds", d/time.Second)
	}
	return d.String()
}
