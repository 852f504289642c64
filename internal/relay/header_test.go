package relay

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// kept returns what remains of a message's own header and body.
func kept(t *testing.T, content string) string {
	t.Helper()
	h, err := ScanHeader([]byte(content), true, "relay.example.jp")
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, s := range h.Kept {
		b.WriteString(content[s.Start:s.End])
	}
	return b.String() + content[h.End:]
}

// TestStripSESFields: every X-SES-* field goes, in any disguise that a receiver
// might read as one; everything else stays to the byte.
func TestStripSESFields(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"none", "A: 1\r\nB: 2\r\n\r\nbody", "A: 1\r\nB: 2\r\n\r\nbody"},
		{"plain", "A: 1\r\nX-SES-CONFIGURATION-SET: evil\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n"},
		{"case", "x-sEs-configuration-set: evil\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n"},
		{"folded", "X-SES-MESSAGE-TAGS: a=b,\r\n\tc=d\r\n e=f\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n"},
		{"repeated", "X-SES-TENANT: 1\r\nX-SES-TENANT: 2\r\n\r\nX-SES-TENANT: body", "\r\nX-SES-TENANT: body"},
		{"blank before the colon", "X-SES-SOURCE-ARN \t : evil\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n"},
		{"after a broken line", "no field at all\r\nX-SES-FROM-ARN: evil\r\nB: 2\r\n\r\n", "no field at all\r\nB: 2\r\n\r\n"},
		{"last, no body", "A: 1\r\nX-SES-TENANT: 1\r\n", "A: 1\r\n"},
		{"last, no line end", "A: 1\r\nX-SES-TENANT: 1", "A: 1\r\n"},
		{"in a MIME part", "A: 1\r\n\r\n--b\r\nX-SES-TENANT: 1\r\n\r\n", "A: 1\r\n\r\n--b\r\nX-SES-TENANT: 1\r\n\r\n"},
		{"similar name", "X-SESSION: 1\r\nX-SE-S: 2\r\nSES: 3\r\n\r\n", "X-SESSION: 1\r\nX-SE-S: 2\r\nSES: 3\r\n\r\n"},
		{"unknown suffix", "X-SES-: 1\r\nX-SES-NEW-THING: 2\r\n\r\n", "\r\n"},
		{"folded into a kept field", "A: 1\r\n X-SES-TENANT: part of A\r\n\r\n", "A: 1\r\n X-SES-TENANT: part of A\r\n\r\n"},
		{"behind a control byte", "A: 1\r\n\vX-SES-TENANT: 1\r\n\x7f\x01X-SES-TENANT: 1\r\nB: 2\r\n\r\n", "A: 1\r\nB: 2\r\n\r\n"},
		{"folded into nothing", " X-SES-TENANT: 1\r\n\tevil\r\nB: 2\r\n\r\n", "B: 2\r\n\r\n"},
		{"empty header", "\r\nX-SES-TENANT: body\r\n", "\r\nX-SES-TENANT: body\r\n"},
		{"empty", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := kept(t, c.in); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestScanHeader(t *testing.T) {
	h, err := ScanHeader([]byte("Received: from mx (mx [1.2.3.4]) by relay.EXAMPLE.jp (Postfix) with ESMTP id 4XyZ\r\n"+
		"\tfor <a@b>; Mon, 23 Nov 2026 10:00:00 +0900 (JST)\r\nReceived: from x by y; whenever\r\n"+
		"From: =?utf-8?B?44GC?=\r\n <a@goo.ne.jp>\r\nfrom: second@goo.ne.jp\r\nSender: s@goo.ne.jp\r\nMESSAGE-ID: <1@x>\r\n\r\n"), false, "relay.example.jp")
	if err != nil {
		t.Fatal(err)
	}
	want := time.Date(2026, 11, 23, 1, 0, 0, 0, time.UTC)
	if h.Received != 2 || h.OwnReceived != 1 || h.QueueID != "4XyZ" || !h.HopTime.Equal(want) || !h.HasMessageID || !h.Repeated {
		t.Errorf("%+v", h)
	}
	if len(h.From) != 2 || h.From[0] != "=?utf-8?B?44GC?= <a@goo.ne.jp>" || len(h.Sender) != 1 {
		t.Errorf("From %q, Sender %q", h.From, h.Sender)
	}
	if _, err := ScanHeader([]byte("A: 1\r\n"), false, ""); err == nil {
		t.Error("an incomplete header section was read as complete")
	}
}

// TestHeaderBorders: the header section is found, and every X-SES-* field of it,
// wherever the borders of the reads fall; and a section of nearly 1 MiB, or
// without an end, goes the same way on both routes.
func TestHeaderBorders(t *testing.T) {
	t.Parallel()
	tricky := "Subject: x\r\nX-SES-TENANT: 1\r\n\tfolded\r\nMessage-ID: <1@x>\r\n\r\nX-SES-TENANT: body\r\n\r\n"
	large := strings.Repeat("X-SES-A: "+strings.Repeat("y", 980)+"\r\nB: 1\r\n", 1000) + "\r\nbody\r\n"
	for name, c := range map[string]struct {
		content string
		chunks  []int
		want    int
	}{
		"small":             {tricky, []int{1, 2, 3, 4, 5, 7, 16, 17, 31}, 250},
		"nearly 1 MiB":      {large, []int{1000, 16 << 10, 1 << 20}, 250},
		"no end":            {"Subject: x\r\nX-SES-TENANT: 1\r\n", []int{1, 5, 100}, 250},
		"no end, large":     {strings.Repeat("X-SES-A: "+strings.Repeat("y", 980)+"\r\n", 1000), []int{1000, 1 << 20}, 250},
		"no end, too large": {strings.Repeat("no field\r\n", 200_000), []int{1000, 1 << 20}, 554},
		"only the end":      {"\r\n", []int{1, 2}, 250},
		"nothing":           {"", []int{1}, 250},
	} {
		for _, route := range []Route{SES, Cuenote} {
			for _, chunk := range c.chunks {
				w := newWorld(t)
				w.router.route = route
				tx := w.begin()
				tx.Recipient(context.Background(), addr("to@example.jp"))
				r := tx.Data(context.Background(), &fakeSource{content: c.content, chunk: chunk})
				if r.Code != c.want {
					t.Fatalf("%s at %s by %d: %v", name, route, chunk, r)
				}
				if r.Code != 250 {
					continue
				}
				if got := append(w.ses.mails(), w.cuenote.mails()...)[0].content; !strings.HasSuffix(got, "\r\n"+kept(t, c.content)) || strings.Count(got, "X-SES-") != strings.Count(kept(t, c.content), "X-SES-")+boolInt(route == SES) {
					t.Fatalf("%s at %s by %d: %.300q", name, route, chunk, got)
				}
			}
		}
	}
}

func TestHopDelay(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		hop  time.Time
		want time.Duration
	}{{time.Time{}, -1}, {now.Add(time.Hour), -1}, {now.Add(500 * time.Millisecond), 0}, {now.Add(-time.Minute), time.Minute}} {
		if got := hopDelay(c.hop, now); got != c.want {
			t.Errorf("%v: %v, want %v", c.hop, got, c.want)
		}
	}
}

// TestNothingElseChanges: on both routes the content is the original to the
// byte, but for the documented header lines, however it is cut into reads.
func TestNothingElseChanges(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		content := randomMail(rnd)
		for _, route := range []Route{SES, Cuenote} {
			w := newWorld(t)
			w.router.route = route
			tx := w.begin()
			tx.Recipient(context.Background(), addr("to@example.jp"))
			if r := tx.Data(context.Background(), &fakeSource{content: content, chunk: 1 + rnd.IntN(5000)}); r.Code != 250 {
				t.Fatalf("%s: %v for %q", route, r, content)
			}
			got := append(w.ses.mails(), w.cuenote.mails()...)[0].content
			want := kept(t, content)
			if !strings.HasSuffix(got, want) {
				t.Fatalf("%s: the content changed: %q does not end with %q", route, got, want)
			}
			added := strings.TrimSuffix(got, want)
			if strings.Count(added, "Received: from mail.goo.ne.jp ([192.0.2.1])\r\n\tby relay.example.jp (sesrelay) with ESMTP id id1;\r\n\t") != 1 {
				t.Fatalf("%s: added %q", route, added)
			}
			if n := strings.Count(added, "X-SES-CONFIGURATION-SET: set\r\n"); n != boolInt(route == SES) {
				t.Fatalf("%s: the configuration set stands %d times in %q", route, n, added)
			}
			if content[0] == ' ' && route == SES && !strings.HasPrefix(got, "X-SES-CONFIGURATION-SET: set\r\nReceived") {
				t.Fatalf("a folded first line reaches the configuration set: %q", got[:200])
			}
		}
	}
}

// randomMail makes a mail of odd header lines and a body of up to 200 kB.
func randomMail(rnd *rand.Rand) string {
	lines := []string{"Subject: x\r\n", "X-SES-TENANT: 1\r\n", "x-ses-a : 1\r\n 2\r\n", "broken line\r\n", "Message-ID: <1@x>\r\n",
		"A:\r\n\tb\r\n", "Received: from a by b; Mon, 23 Nov 2026 10:00:00 +0900\r\n", ": empty name\r\n", "X-Long: " + strings.Repeat("y", 20000) + "\r\n"}
	var b strings.Builder
	if rnd.IntN(5) == 0 {
		b.WriteString(" starts with a blank\r\n")
	}
	for range rnd.IntN(12) {
		b.WriteString(lines[rnd.IntN(len(lines))])
	}
	b.WriteString("\r\n")
	for range rnd.IntN(40) {
		b.WriteString(strings.Repeat("z", rnd.IntN(5000)) + "\r\n")
	}
	return b.String()
}

func FuzzScanHeader(f *testing.F) {
	f.Add("A: 1\r\nX-SES-TENANT: 2\r\n\r\nbody")
	f.Add(" folded\r\nx-ses-a : 1\r\n 2\r\nReceived: (a;b) by x id y; date\r\n\r\n")
	f.Fuzz(func(t *testing.T, content string) {
		h, err := ScanHeader([]byte(content), true, "h")
		if err != nil {
			t.Fatal(err)
		}
		at := 0
		for _, s := range h.Kept {
			if s.Start < at || s.End <= s.Start || s.End > h.End {
				t.Fatalf("spans %v of %d bytes", h.Kept, h.End)
			}
			at = s.End
		}
		if strings.ContainsAny(strings.ReplaceAll(content, "\r\n", ""), "\r\n\x00") {
			return // refused at the end of the data: of it only the bounds matter
		}
		again, _ := ScanHeader([]byte(kept(t, content)), true, "h")
		if n := len(again.Kept); n > 1 || again.SESTags != "" {
			t.Fatalf("an X-SES field survived in %q", kept(t, content))
		}
	})
}
