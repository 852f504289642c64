package main

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

func testBag(sizes distribution) *mailbag {
	return newMailbag(mailbag{run: "t", seed: 3, sizes: sizes, recipients: distribution{{1, 1}, {3, 1}}, senders: 10, senderDomain: senderDomain})
}

func content(t *testing.T, m *mail) string {
	t.Helper()
	wire := m.wire()
	var b bytes.Buffer
	if _, err := wire.WriteTo(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestMailIsClean: whatever the size, line ends are whole, no line needs a dot
// stuffed, and the declared size is the true one.
func TestMailIsClean(t *testing.T) {
	for size := smallestMail; size < smallestMail+300; size++ {
		m := testBag(distribution{{size, 1}}).mail(size, time.Unix(0, 0))
		wire := content(t, m)
		text, ended := strings.CutSuffix(wire, "\r\n.\r\n")
		if !ended {
			t.Fatalf("size %d: ends with %q", size, wire[len(wire)-10:])
		}
		text += "\r\n"
		if len(text) != m.Size || m.Size > size || m.Size < size-2 {
			t.Fatalf("size %d: %d bytes, declared %d", size, len(text), m.Size)
		}
		if rest := strings.ReplaceAll(text, "\r\n", ""); strings.ContainsAny(rest, "\r\n") {
			t.Fatalf("size %d: a bare CR or LF", size)
		}
		if strings.Contains(text, "\n.") {
			t.Fatalf("size %d: a line begins with a dot", size)
		}
	}
}

func TestMailIsTheSameEveryTime(t *testing.T) {
	at := time.Unix(1_800_000_000, 0)
	a, b := testBag(distribution{{2000, 1}, {5000, 1}}), testBag(distribution{{2000, 1}, {5000, 1}})
	seen := map[string]bool{}
	for seq := range 200 {
		first := content(t, a.mail(seq, at))
		if first != content(t, b.mail(seq, at)) {
			t.Fatalf("mail %d differs from itself", seq)
		}
		if !strings.Contains(first, "\r\nX-Test-Id: "+a.id(seq)+"\r\n") || seen[a.id(seq)] {
			t.Fatalf("mail %d has no id of its own", seq)
		}
		seen[a.id(seq)] = true
	}
}

func TestDistribution(t *testing.T) {
	d, err := parseDistribution("8KiB:3, 1MiB", parseSize)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 1))
	count := map[int]int{}
	for range 4000 {
		count[d.draw(r)]++
	}
	if n := count[8<<10]; n < 2850 || n > 3150 || count[1<<20] != 4000-n || d.largest() != 1<<20 {
		t.Errorf("drew %v, largest %d", count, d.largest())
	}
	for _, bad := range []string{"", "8", "8KB", "-8KiB", "8KiB:0", "8KiB:x", "200MiB", "512"} {
		if _, err := parseDistribution(bad, parseSize); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
	for _, bad := range []string{"0", "65", "x"} {
		if _, err := parseDistribution(bad, parseRecipients); err == nil {
			t.Errorf("%q recipients were taken", bad)
		}
	}
}

func TestSinglePieceWrite(t *testing.T) {
	// The body is shared between mails: writing it must not change it.
	bag := testBag(distribution{{3000, 1}})
	before := bytes.Clone(bag.padding)
	wire := bag.mail(1, time.Unix(0, 0)).wire()
	wire.WriteTo(io.Discard)
	if !bytes.Equal(before, bag.padding) {
		t.Error("the shared text has changed")
	}
}
