package mask

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"mime"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"golang.org/x/text/encoding/japanese"
)

var pseudonyms = regexp.MustCompile(`#[0-9a-f]{16}|#[0-9a-f]{10}`)

// everyByte writes each byte of s by format.
func everyByte(format, s string) string {
	var b strings.Builder
	for i := range len(s) {
		fmt.Fprintf(&b, format, s[i])
	}
	return b.String()
}

func quotedPair(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

func fullWidth(s string) string {
	return strings.Map(func(r rune) rune {
		if '!' <= r && r <= '~' {
			return r - '!' + 0xFF01
		}
		return r
	}, s)
}

func iso2022jp(s string) string {
	out, err := japanese.ISO2022JP.NewEncoder().String("宛先 " + s)
	if err != nil {
		out = s
	}
	return "=?ISO-2022-JP?B?" + base64.StdEncoding.EncodeToString([]byte(out)) + "?="
}

// forms are the ways in which an address can stand in a text. Those that take a
// quoted local part can hold any character.
var forms = []func(local, domain string) string{
	func(l, d string) string { return l + "@" + d },
	func(l, d string) string { return "<" + l + "@" + d + ">" },
	func(l, d string) string { return `"` + l + `" <` + l + "@" + d + ">" },
	func(l, d string) string { return "山田 太郎 <" + l + "@" + d + ">" },
	func(l, d string) string { return quotedPair(l) + "@" + d },
	func(l, d string) string { return quotedPair(l+" x") + "@" + d },
	func(l, d string) string { return "mailto:" + l + "%40" + d },
	func(l, d string) string { return l + "%2540" + d },
	func(l, d string) string { return everyByte("%%%02x", l+"@"+d) },
	func(l, d string) string { return url.QueryEscape(l + "@" + d) },
	func(l, d string) string { return l + "=40" + d },
	func(l, d string) string { return everyByte("=%02X", l+"@"+d) },
	func(l, d string) string { return l + "+40" + d },
	func(l, d string) string { return l + `\u0040` + d },
	func(l, d string) string { return everyByte(`\u%04x`, l+"@"+d) },
	func(l, d string) string { return everyByte(`\x%02x`, l+"@"+d) },
	func(l, d string) string { b, _ := json.Marshal("<" + l + "@" + d + ">"); return string(b) },
	func(l, d string) string { return l + "&#64;" + d },
	func(l, d string) string { return l + "&#x40;" + d },
	func(l, d string) string { return everyByte("&#%d;", l+"@"+d) },
	func(l, d string) string { return html.EscapeString("<" + l + "@" + d + ">") },
	func(l, d string) string { return fullWidth(l + "@" + d) },
	func(l, d string) string { return l + "(at)" + d },
	func(l, d string) string { return l + " @ " + d },
	func(l, d string) string { return l + " (c) @" + d },
	func(l, d string) string {
		return "=?UTF-8?B?" + base64.StdEncoding.EncodeToString([]byte(l+"@"+d)) + "?="
	},
	func(l, d string) string { return mime.QEncoding.Encode("utf-8", "名 <"+l+"@"+d+">") },
	func(l, d string) string { return iso2022jp(l + "@" + d) },
	func(l, d string) string { return "bounce+" + l + "=" + d + "@goo.ne.jp" },
	func(l, d string) string { return "bounce-" + l + "=" + d + "@goo.ne.jp" },
	func(l, d string) string { return "https://goo.ne.jp/" + l + "?to=" + l + "@" + d },
	func(l, d string) string { return "<" + l + "@" },
	func(l, d string) string { return "<@goo.ne.jp,@b.jp:" + l + "@" + d + ">" },
	func(l, d string) string { return l + "@[192.0.2.77]" },
	func(l, d string) string { return "no user " + l + ": <" + l + "@" + d + ">" },
}

var domains = []string{"docomo.ne.jp", "ezweb.ne.jp", "例え.jp", "xn--r8jz45g.jp", "a.b.example.co.jp"}

// localPart makes a local part of what the fuzzer gives: characters of an atom,
// dots in any place, non-ASCII letters.
func localPart(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < 0x80 && (isAlnum(byte(r)) || strings.ContainsRune("!#$%&'*+-/=?^_`{|}~.", r)):
			return r
		case 0x3041 <= r && r <= 0x30FA, 0x4E00 <= r && r <= 0x9FFF:
			return r
		}
		return -1
	}, s)
}

var (
	escapedPercent = regexp.MustCompile(`%[0-9a-fA-F]{2}`)
	escapedQuoted  = regexp.MustCompile(`=[0-9A-F]{2}`)
	escapedUnicode = regexp.MustCompile(`\\(u00|x)[0-9a-fA-F]{2}`)
)

func unhex(s string) string {
	var c byte
	fmt.Sscanf(s[len(s)-2:], "%02x", &c)
	return string([]byte{c})
}

// readings returns s and what a reader could make of it, each escape undone by
// a decoder that is not ours.
func readings(s string) []string {
	s = strings.ReplaceAll(pseudonyms.ReplaceAllString(s, "#"), "***", "\x00") // our stars are not the input's
	all := []string{s, html.UnescapeString(s), escapedPercent.ReplaceAllStringFunc(s, unhex),
		escapedQuoted.ReplaceAllStringFunc(s, unhex), escapedUnicode.ReplaceAllStringFunc(s, unhex)}
	all = append(all, escapedPercent.ReplaceAllStringFunc(all[2], unhex))
	all = append(all, strings.Map(func(r rune) rune {
		if 0xFF01 <= r && r <= 0xFF5E {
			return r - 0xFF01 + '!'
		}
		return r
	}, s))
	words := mime.WordDecoder{}
	if decoded, err := words.DecodeHeader(s); err == nil {
		all = append(all, decoded)
	}
	return all
}

// survivor returns the reading of out in which personal stands, in any case.
func survivor(out, personal string) (string, bool) {
	for _, reading := range readings(out) {
		if strings.Contains(asciiLower(reading), asciiLower(personal)) {
			return reading, true
		}
	}
	return "", false
}

func asciiLower(s string) string { return string(appendLower(nil, s)) }

// testable reports whether a local part is long enough to be looked for, and is
// none that may stay or that the masks themselves contain.
func testable(local string) bool {
	for _, known := range []string{"[masked 0123456789]", "***#@", "/[masked]", "https://goo.ne.jp", "0/24 0::/48"} {
		if strings.Contains(known, asciiLower(local)) {
			return false
		}
	}
	return len(local) > minRevealing && len(local) <= 64 && revealing([]byte(asciiLower(local))) &&
		strings.Trim(local, "'`{|*0123456789./") != ""
}

// FuzzText: an address in any form in any text does not survive, nor does its
// local part.
func FuzzText(f *testing.F) {
	for i := range forms {
		f.Add("taro.yamada", "smtp; 550 5.1.1 ", ": Recipient address rejected", uint8(i), uint8(i))
	}
	for _, local := range []string{"00%00", "a..b.c", ".foobar", "bounce+taro=docomo", "太郎.山田", "taro+tag40", "taro%host", "x=40y=2Ez", "a&#64;bc", "'taro'y"} {
		for i := range forms {
			f.Add(local, "to=<", ">, relay=mx[192.0.2.1]:25", uint8(i), uint8(1))
		}
	}
	f.Add("0%000", "\xd11;\xfb", "7@x", uint8(18), uint8(0))
	masked, hashed := newTest(f, Masked), newTest(f, Hashed)
	f.Fuzz(func(t *testing.T, local, before, after string, form, domain uint8) {
		local = localPart(local)
		if !testable(local) {
			return
		}
		d := domains[int(domain)%len(domains)]
		embedded := forms[int(form)%len(forms)](local, d)
		other := before + forms[int(form)%len(forms)]("qz.xwvk", d) + after
		if _, ok := survivor(other, local); ok {
			return // what stands around it makes up the same characters
		}
		text := before + embedded + after
		for _, m := range []*Masker{masked, hashed} {
			out := m.Text(text)
			if reading, ok := survivor(out, local); ok {
				t.Fatalf("%s: local part %q survives\n in %q\nout %q\nread %q", m.Mode(), local, text, out, reading)
			}
		}
		if reading, ok := survivor(masked.Address(local+"@"+d), local); ok {
			t.Fatalf("address %q: %q", local+"@"+d, reading)
		}
		if out := masked.Text(after, local+"@"+d); strings.Contains(asciiLower(hidden(out)), asciiLower(local)) {
			t.Fatalf("known %q survives: %q", local, out)
		}
	})
}

// FuzzEvent: an address in any form in any string or name of an event does not
// survive, nor does its local part; what comes out is JSON.
func FuzzEvent(f *testing.F) {
	files, err := filepath.Glob("testdata/events/*.json")
	if err != nil {
		f.Fatal(err)
	}
	for i, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		for j := range 8 {
			f.Add(data, "ichiro.tanaka", "550 5.1.1 ", uint8(i+5*j), uint16(7*j))
		}
	}
	f.Add([]byte(`{"mail":{"source":"x"}}`), "ichiro.tanaka", "55\x9c\xb80 5.1.@ ", uint8(23), uint16(1))
	m := newTest(f, Masked)
	f.Fuzz(func(t *testing.T, data []byte, local, before string, form uint8, place uint16) {
		base, err := m.Event(data)
		if err != nil {
			if base != nil {
				t.Fatalf("error and output: %q", base)
			}
			return
		}
		if !json.Valid(base) {
			t.Fatalf("not JSON: %q", base)
		}
		local = localPart(local)
		if !testable(local) {
			return
		}
		if _, ok := survivor(string(base)+string(data)+before, local); ok {
			return
		}
		n, err := parse(data)
		if err != nil {
			t.Fatal(err)
		}
		insert(n, int(place), before+forms[int(form)%len(forms)](local, domains[int(place)%len(domains)]))
		in := n.appendTo(nil)
		out, err := m.Event(in)
		if err != nil {
			t.Fatalf("%v\nin %s", err, in)
		}
		for _, reading := range jsonReadings(t, out) {
			if _, ok := survivor(reading, local); ok {
				t.Fatalf("local part %q survives\n in %s\nout %s", local, in, out)
			}
		}
	})
}

// insert puts s in place of one string or name of n.
func insert(n *node, place int, s string) {
	var places []func()
	var walk func(*node)
	walk = func(n *node) {
		if n.kind == '"' {
			places = append(places, func() { n.text = s })
		}
		for i := range n.members {
			places = append(places, func() { n.members[i].name = s })
			walk(n.members[i].value)
		}
		for _, item := range n.items {
			walk(item)
		}
	}
	walk(n)
	if len(places) > 0 {
		places[place%len(places)]()
	}
}

// jsonReadings returns the text of out and every string and name in it.
func jsonReadings(t *testing.T, out []byte) []string {
	t.Helper()
	all := []string{string(out)}
	d := json.NewDecoder(bytes.NewReader(out))
	for d.More() {
		token, err := d.Token()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if s, ok := token.(string); ok {
			all = append(all, s)
		}
	}
	return all
}
