package simulator

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// parseSend must give what encoding/json alone gives, for every body that has raw content only.
func FuzzParseSend(f *testing.F) {
	data := base64.StdEncoding.EncodeToString([]byte("From: a@b.jp\r\n\r\nx"))
	for _, seed := range []string{
		`{"Content":{"Raw":{"Data":"` + data + `"}},"Destination":{"ToAddresses":["a@b.jp"]}}`,
		`{"Content":{"Raw":{"Data":"\u0041AAA"}}}`, `{"Content":{"Raw":{"Data":"AA=="}},"FromEmailAddress":"\"Data\":\"x"}`,
		`{"Content":{"Raw":{"Data": "AAAA"}}}`, `{"Content":{"Raw":{"Data":"AA`, `{"Content":{"Raw":{"Data":"!"}}}`, `{"Data":"AAAA"}`, `null`, ``,
		`{"Content":{"Simple":{"Subject":{"Data":"AAAA"}}}}`, `{"Content":{"Raw":{"Data":"AAAA","Data":"BBBB"}}}`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, body string) {
		var got, want sendRequest
		_, ok := parseSend([]byte(body), &got)
		err := json.Unmarshal([]byte(body), &want)
		if (err == nil) != ok {
			t.Fatalf("parseSend %v, encoding/json %v", ok, err)
		}
		if !ok || want.Content == nil || want.Content.Raw == nil || want.Content.Simple != nil || want.Content.Template != nil {
			return
		}
		if strings.Count(strings.ToLower(body), `"data"`) != 1 {
			return // which of two keys counts is nobody's business
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("parseSend %+v, encoding/json %+v", got, want)
		}
	})
}

func TestLongLine(t *testing.T) {
	t.Parallel()
	for _, first := range []int{0, 1, 500, 997, 998, 999, 1000, 1001, 2500} {
		for _, second := range []int{0, 1, 997, 998, 999, 1000} {
			for _, end := range []string{"\r\n", "\n", ""} {
				raw := strings.Repeat("x", first) + "\r\n" + strings.Repeat("y", second) + end
				want := first > maxLine || second > maxLine
				if got := longLine([]byte(raw)); got != want {
					t.Errorf("%d and %d %q: %v", first, second, end, got)
				}
			}
		}
	}
}

// The header section ends at the first empty line, whatever its line end; what folds belongs to the field before.
func TestHeaderSection(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"A: 1\r\nB: 2\r\n\r\nC: 3\r\n": "A=1 B=2",
		"A: 1\nB : 2\n\nC: 3\n":        "A=1 B=2",
		"A: 1\r\n  2\r\n\t3\r\nB:\r\n": "A=1  2\t3 B=",
		"A: 1":                         "A=1",
		"\r\nA: 1\r\n":                 "",
		"":                             "",
		"no colon\r\nA: 1\r\n":         "=no colon A=1",
	} {
		var got []string
		for _, h := range headers([]byte(raw)) {
			got = append(got, h.Name+"="+h.Value)
		}
		if s := strings.Join(got, " "); s != want {
			t.Errorf("%q: %q, want %q", raw, s, want)
		}
	}
	if got := headerValues([]byte("a: 1\r\nA: 2\r\n\r\na: 3\r\n"), "A"); fmt.Sprint(got) != "[1 2]" {
		t.Errorf("values %q", got)
	}
	if got := headerValue([]byte("b: 1\r\nA: 2\r\n"), "a"); got != "2" {
		t.Errorf("value %q", got)
	}
}
