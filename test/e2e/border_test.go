package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// borders are the sizes of buffers on the way of a body: a command line, the
// first buffer of a message, the bulk reader, the stream's and Cuenote's.
var borders = []int{2048, 16 << 10, 32 << 10, 64 << 10}

// dotTricks stand around such a border. clean ones are content and arrive to
// the byte; the others are refused whole.
var dotTricks = []struct {
	wire  string
	clean bool
}{
	{"\r\n..\r\n", true}, {"\r\n..a\r\n", true}, {"\r\n...\r\n", true}, {"\r\n.a\r\n", true}, {"\r\n\r\n..\r\n\r\n", true},
	{"\n.\n", false}, {"\r\n.\n", false}, {"\n.\r\n", false}, {"\r.\r", false}, {"\r\n.\r", false}, {"\r.\r\n", false},
	{"\r\n.\r\r\n", false}, {"\r\r\n..\r\n", false}, {"\r\n\x00.\r\n", false}, {"\r\n.\x00\r\n", false}, {"\r\n.\r\x00\n", false},
}

// TestDotsAtBorders puts every trick with a dot across every border, in one
// piece and cut at the border, and looks at every byte that leaves.
func TestDotsAtBorders(t *testing.T) {
	t.Parallel()
	for _, percent := range []string{"0", "100"} {
		t.Run(percent, func(t *testing.T) {
			t.Parallel()
			s, p := newTappedStage(t, relayOptions{percent: percent, plain: true})
			s.mayAbort = true
			c := dial(t, s.relay.smtp)
			n := 0
			for _, border := range borders {
				for _, trick := range dotTricks {
					for back := range len(trick.wire) + 2 {
						n++
						s.border(t, c, fmt.Sprintf("b%d", n), border-back, border, trick.wire, trick.clean)
					}
				}
			}
			t.Logf("%d mails", n)
			if percent == "0" {
				p.checkWire(t)
			}
			s.nobodySmuggled(t)
		})
	}
}

// newTappedStage is a stage whose way to Cuenote is watched.
func newTappedStage(t *testing.T, o relayOptions) (*stage, *tap) {
	t.Helper()
	h := startHops(t)
	p := startTap(t, h.cuenote.Addr())
	o.ses, o.cuenote = h.ses.URL(), p.addr
	return &stage{hops: h, relay: startRelay(t, o)}, p
}

// border sends a mail with the trick at offset from, cut at the border.
func (s *stage) border(t *testing.T, c *client, id string, from, border int, trick string, clean bool) {
	t.Helper()
	m := plainMail(id)
	head := string(m.content)
	if pad := from - len(head); pad > 0 {
		line := strings.Repeat("x", 98) + "\r\n"
		head += strings.Repeat(line, pad/100)
		head += strings.Repeat("y", pad%100)
	}
	wire := head + trick + evilDialogue
	// What is clean is unstuffed by us: the content that has to arrive.
	want := strings.ReplaceAll(wire, "\r\n.", "\r\n")
	c.want("250", c.do("MAIL FROM:<news@goo.ne.jp>"))
	c.want("250", c.do("RCPT TO:<%s>", m.to[0]))
	c.want("354", c.do("DATA"))
	cut := min(border, len(wire))
	c.write(wire[:cut])
	if len(trick)%2 == 0 { // every other one arrives in two pieces
		time.Sleep(time.Millisecond)
	}
	c.write(wire[cut:] + "\r\n.\r\n")
	reply := c.read()
	got := s.store.ByHeader("X-Test-Id", id)
	switch {
	case !clean:
		like(t, fmt.Sprintf("%q at %d", trick, from), reply, `554 5\.6\.0 `)
		if len(got) != 0 {
			t.Errorf("%q at %d: refused and arrived", trick, from)
		}
	default:
		like(t, fmt.Sprintf("%q at %d", trick, from), reply, "250 ")
		if len(got) != 1 || !strings.HasSuffix(string(got[0].Raw), want+"\r\n") {
			t.Errorf("%q at %d: %d copies, or another content", trick, from, len(got))
		}
	}
	like(t, "NOOP behind it", c.do("NOOP"), "250 ")
}

func (s *stage) nobodySmuggled(t *testing.T) {
	t.Helper()
	for _, r := range s.store.All() {
		if strings.Contains(strings.Join(r.To, ",")+r.From, "victim") || strings.Contains(r.From, "evil") {
			t.Errorf("smuggled: from %q to %v at %s", r.From, r.To, r.Upstream)
		}
	}
}

// TestDenseDots has bodies that are nothing but dots and line ends, in periods
// that meet every buffer at every alignment.
func TestDenseDots(t *testing.T) {
	t.Parallel()
	for _, percent := range []string{"0", "100"} {
		s, p := newTappedStage(t, relayOptions{percent: percent, plain: true})
		c := dial(t, s.relay.smtp)
		for i, line := range []string{".\r\n", "..\r\n", ".a\r\n", "\r\n.\r\n", "a\r\n.\r\n\r\n", "...........\r\n"} {
			for shift := range 3 {
				m := plainMail(fmt.Sprintf("dense%s-%d-%d", percent, i, shift))
				m.content = append(m.content, strings.Repeat("s", shift)+"\r\n"+strings.Repeat(line, 140_000/len(line))...)
				like(t, fmt.Sprintf("%q", line), c.send(m, false).final(), "250 ")
				got := s.store.ByHeader("X-Test-Id", m.id)
				if len(got) != 1 || !strings.HasSuffix(string(got[0].Raw), m.own()) {
					t.Errorf("%q, shifted by %d: %d copies, or another content", line, shift, len(got))
				}
			}
		}
		if percent == "0" {
			p.checkWire(t)
		}
	}
}

// TestBDAT: CHUNKING is not offered, and what follows a BDAT is never a command,
// nor half a mail (RFC 3030).
func TestBDAT(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{plain: true})
	if hello := connect(t, s.relay.smtp).greet("EHLO app.goo.ne.jp"); strings.Contains(hello, "CHUNKING") || strings.Contains(hello, "BINARYMIME") {
		t.Errorf("offered: %q", hello)
	}
	before := "MAIL FROM:<news@goo.ne.jp>\r\nRCPT TO:<bdat@example.jp>\r\n"
	for _, group := range []string{
		before + "BDAT 20 LAST\r\nSubject: x\r\n\r\nbody\r\n" + evilDialogue + ".\r\n",
		before + "BDAT 5\r\nSubje" + evilDialogue + ".\r\n",
		before + "BDAT 0 LAST\r\n" + evilDialogue + ".\r\n",
		before + "bdat 100 last\r\nshort", before + "BDAT\r\n" + evilDialogue + ".\r\n", before + "BDAT -1 LAST\r\n" + evilDialogue + ".\r\n",
		before + "BDAT 99999999999999999999 LAST\r\n" + evilDialogue + ".\r\n",
		"BDAT 10 LAST\r\n" + evilDialogue + ".\r\n",
		before + "DATA\r\nBDAT 10 LAST\r\n.\r\nBDAT 5 LAST\r\n" + evilDialogue + ".\r\n",
	} {
		c := dial(t, s.relay.smtp)
		c.write(group)
		last := ""
		for r := c.read(); r != "closed" && !strings.HasPrefix(r, "lost"); r = c.read() {
			last = r
		}
		like(t, fmt.Sprintf("the last reply to %q", group), last, `502 5\.5\.1 `)
	}
	s.nobodySmuggled(t)
	if n := s.store.Count(); n != 1 { // the one whose body was a BDAT line
		t.Errorf("%d mails arrived, want 1", n)
	}
}
