package suppression_test

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/unicode"

	"sesrelay/internal/suppression"
)

func sjis(t *testing.T, s string) string {
	t.Helper()
	out, err := japanese.ShiftJIS.NewEncoder().String(s)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Each form in which a list of bounced addresses leaves another system.
func TestRead(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		text     string
		options  suppression.Options
		want     []string
		format   suppression.Format
		encoding string
		refused  []suppression.Refusal
		twice    int
	}{
		"lines": {text: "# 2026-11\na@goo.ne.jp\n\n <b@Goo.NE.jp> \na@goo.ne.jp\nA@goo.ne.jp", format: "lines", encoding: "UTF-8",
			want: []string{"a@goo.ne.jp", "b@goo.ne.jp", "A@goo.ne.jp"}, twice: 1},
		"byte order mark, CRLF, no last line end": {text: "\xef\xbb\xbfa@goo.ne.jp\r\nb@goo.ne.jp", format: "lines", encoding: "UTF-8",
			want: []string{"a@goo.ne.jp", "b@goo.ne.jp"}},
		"old Macintosh line ends": {text: "a@goo.ne.jp\rb@goo.ne.jp\r", format: "lines", encoding: "UTF-8", want: []string{"a@goo.ne.jp", "b@goo.ne.jp"}},
		"CSV in Shift_JIS, a second byte that is @": {text: sjis(t, "氏名,メールアドレス,理由\r\nァァ,a@goo.ne.jp,ユーザ不明\r\n\"山,田\",b@goo.ne.jp,満杯\r\n"), format: "csv", encoding: "Shift_JIS",
			want: []string{"a@goo.ne.jp", "b@goo.ne.jp"}},
		"tabs, column found by its @":       {text: "1\ta@goo.ne.jp\n2\tb@goo.ne.jp\n", format: "csv", encoding: "UTF-8", want: []string{"a@goo.ne.jp", "b@goo.ne.jp"}},
		"semicolons, column by name":        {text: "from;ziel\nx@goo.ne.jp;a@goo.ne.jp\n", options: suppression.Options{Column: "ZIEL"}, format: "csv", encoding: "UTF-8", want: []string{"a@goo.ne.jp"}},
		"column by number, no heading":      {text: "x@goo.ne.jp,a@goo.ne.jp\nx@goo.ne.jp,b@goo.ne.jp\n", options: suppression.Options{Column: "2"}, format: "csv", encoding: "UTF-8", want: []string{"a@goo.ne.jp", "b@goo.ne.jp"}},
		"one column with a heading":         {text: "Email\na@goo.ne.jp\n", format: "csv", encoding: "UTF-8", want: []string{"a@goo.ne.jp"}},
		"quoted cell over two lines, short": {text: "email,why\na@goo.ne.jp,\"550\nunknown\"\n\"\"\nb@goo.ne.jp,x\n", format: "csv", encoding: "UTF-8", want: []string{"a@goo.ne.jp", "b@goo.ne.jp"}, refused: []suppression.Refusal{{Line: 4, Why: "no address"}}},
		"JSON lines": {text: "{\"emailAddress\":\"a@goo.ne.jp\",\"reason\":\"BOUNCE\"}\n{\"email\":\"b@goo.ne.jp\"}\n{\"x\":1}\n{oops\n{\"to\":\"a@b.jp\",\"mail\":\"c@d.jp\"}\n", format: "jsonl", encoding: "UTF-8",
			want: []string{"a@goo.ne.jp", "b@goo.ne.jp"}, refused: []suppression.Refusal{{Line: 3, Why: "has no key with an address"}, {Line: 4, Why: "no JSON object"}, {Line: 5, Why: "has several keys with an address"}}},
		"what SES never gets": {text: "a..b.@docomo.ne.jp\n太郎@goo.ne.jp\n\"a b\"@goo.ne.jp\nnobody\na@b@c.jp\na@localhost\na@[192.0.2.1]\na b@goo.ne.jp\n" + strings.Repeat("x", 65) + "@goo.ne.jp\nok@goo.ne.jp\n", format: "lines", encoding: "UTF-8",
			want: []string{"ok@goo.ne.jp"}, refused: []suppression.Refusal{
				{Line: 1, Why: "no Dot-string before the @: never sent to SES, needs no entry"}, {Line: 2, Why: "not ASCII: never sent to SES, needs no entry"},
				{Line: 3, Why: "no Dot-string before the @: never sent to SES, needs no entry"}, {Line: 4, Why: "no address"}, {Line: 5, Why: "no address"}, {Line: 6, Why: "no domain of the Internet"},
				{Line: 7, Why: "no domain of the Internet"}, {Line: 8, Why: "no address"}, {Line: 9, Why: "longer than RFC 5321 allows"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := suppression.Read(strings.NewReader(row.text), row.options)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got.Addresses, row.want) || got.Format != row.format || got.Encoding != row.encoding || got.Duplicates != row.twice || !slices.Equal(got.Refused, row.refused) {
				t.Errorf("got %+v", *got)
			}
		})
	}
}

// A file that cannot be read as a whole is refused with what to do about it.
func TestReadRefuses(t *testing.T) {
	t.Parallel()
	utf16, err := unicode.UTF16(unicode.LittleEndian, unicode.UseBOM).NewEncoder().String("a@goo.ne.jp\n")
	if err != nil {
		t.Fatal(err)
	}
	for name, row := range map[string]struct {
		text    string
		options suppression.Options
		want    string
	}{
		"UTF-16":            {text: utf16, want: "save it as UTF-8"},
		"a spreadsheet":     {text: "PK\x03\x04\x00\x00", want: "spreadsheet"},
		"neither encoding":  {text: "a@goo.ne.jp\n\xff\xff\x80\n", want: "neither UTF-8 nor Shift_JIS"},
		"empty":             {text: "\n\n", want: "no address"},
		"two address cells": {text: "a@goo.ne.jp,b@goo.ne.jp\n", want: "--column"},
		"no such column":    {text: "email,x\na@goo.ne.jp,1\n", options: suppression.Options{Column: "adresse"}, want: "adresse"},
		"no such number":    {text: "email,x\na@goo.ne.jp,1\n", options: suppression.Options{Column: "3"}, want: "column 3"},
		"no such format":    {text: "a@goo.ne.jp\n", options: suppression.Options{Format: "xml"}, want: "xml"},
	} {
		if _, err := suppression.Read(strings.NewReader(row.text), row.options); err == nil || !strings.Contains(err.Error(), row.want) {
			t.Errorf("%s: %v, want %q", name, err, row.want)
		}
	}
}

// Whatever a file holds: no panic, every address fits SES, none is given twice.
func FuzzRead(f *testing.F) {
	f.Add("a@goo.ne.jp\r\n")
	f.Add("氏名,メール\nx,a@goo.ne.jp\n")
	f.Add("{\"email\":\"a@goo.ne.jp\"}\n")
	f.Add("\"a\"\"b\";\n\"")
	f.Fuzz(func(t *testing.T, text string) {
		l, err := suppression.Read(strings.NewReader(text), suppression.Options{})
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, a := range l.Addresses {
			if seen[a] || strings.Count(a, "@") != 1 || strings.ContainsAny(a, " \r\n\"<>\\") {
				t.Errorf("%q gives %q", text, a)
			}
			seen[a] = true
		}
	})
}
