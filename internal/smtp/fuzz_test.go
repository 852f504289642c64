package smtp

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// tape is a connection whose client has sent everything in advance, in pieces.
type tape struct {
	in    []byte
	piece int
	mu    sync.Mutex
	out   bytes.Buffer
}

func (c *tape) Read(p []byte) (int, error) {
	if len(c.in) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.in[:min(len(c.in), c.piece)])
	c.in = c.in[n:]
	return n, nil
}

func (c *tape) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.out.Write(p)
}

func (c *tape) Close() error                     { return nil }
func (c *tape) LocalAddr() net.Addr              { return &net.TCPAddr{} }
func (c *tape) RemoteAddr() net.Addr             { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }
func (c *tape) SetDeadline(time.Time) error      { return nil }
func (c *tape) SetReadDeadline(time.Time) error  { return nil }
func (c *tape) SetWriteDeadline(time.Time) error { return nil }

// played is what became of a tape.
type played struct {
	replies []string // last lines
	mails   []mail
	log     string
}

var replyShape = regexp.MustCompile(`^[2-5][0-9][0-9][ -][ -~]*$`)

// play plays a tape. inTLS makes the connection one on which AUTH is offered.
func play(t *testing.T, protocol Protocol, in []byte, piece int, inTLS bool) played {
	k, log := scripted(), &logBuffer{}
	access := loopback
	if inTLS {
		access.Users = testUsers(t)
	}
	s, err := New(Config{
		Hostname: "relay.test", Access: access, Begin: k.begun, NewID: k.newID,
		Limits: Limits{MessageSize: 3000, Recipients: 20},
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	c := &tape{in: in, piece: piece}
	g := s.newGuard(Listener{Protocol: protocol}.withDefaults(), c)
	g.client = netip.MustParseAddr("127.0.0.1")
	g.tls = inTLS
	s.add(g)
	empty := s.whenEmpty()
	go s.prepare(g)
	<-empty
	p := played{mails: k.accepted(), log: log.String()}
	for line := range strings.SplitSeq(strings.TrimSuffix(c.out.String(), "\r\n"), "\r\n") {
		if !replyShape.MatchString(line) || len(line) > maxReplyLine-2 {
			t.Fatalf("malformed reply %q", line)
		}
		if line[3] == ' ' {
			p.replies = append(p.replies, line)
		}
	}
	return p
}

// ends reports whether a connection may end behind this reply to this command.
func ends(command, reply string) bool {
	for _, r := range []string{"421 ", "221 ", "500 5.5.6", "500 5.5.2 Command lines", "502 5.5.1 CHUNKING", "554 5.5.0"} {
		if strings.HasPrefix(reply, r) {
			return true
		}
	}
	return strings.EqualFold(strings.TrimRight(command, " \t\r\n"), "DATA") && reply[0] != '3' // a refusal with input behind it
}

// checkPlayed walks over what the client sent, one reply per command, and
// compares what was kept with a slow second opinion on every body.
func checkPlayed(t *testing.T, protocol Protocol, in string, p played) {
	if strings.Contains(p.log, "panic in") {
		t.Fatal(p.log)
	}
	replies, mails := p.replies[1:], p.mails
	next := func() string {
		if len(replies) == 0 {
			return ""
		}
		r := replies[0]
		replies = replies[1:]
		return r
	}
	accepted := 0
	for {
		i := strings.IndexByte(in, '\n')
		if i < 0 || len(replies) == 0 {
			break
		}
		command, r := in[:i+1], next()
		in = in[i+1:]
		verb := strings.ToUpper(command[:min(4, len(command))])
		switch {
		case ends(command, r):
			if len(replies) > 0 && !strings.HasPrefix(replies[0], "421") && verb != "DATA" {
				t.Fatalf("%q: %q is not the last reply: %q", command, r, replies)
			}
		case verb == "RCPT" && r[0] == '2':
			accepted++
		case r[0] == '2' && (verb == "MAIL" || verb == "RSET" || strings.HasSuffix(verb, "HLO") || verb == "HELO"):
			accepted = 0
		case strings.HasPrefix(r, "354"):
			content, used, bad, done := model(in)
			if !done {
				in = ""
				break
			}
			in = in[used:]
			want := "250 2.0.0"
			if bad || len(content) > 3000 {
				want = "55"
			}
			r := next()
			switch {
			case strings.HasPrefix(r, "452 4.3.1"): // nodata@ over LMTP
			case !strings.HasPrefix(r, want):
				t.Fatalf("body %q: %q", content, r)
			case want[0] == '2':
				if len(mails) == 0 || string(mails[0].body) != content {
					t.Fatalf("body %q was accepted and not kept", content)
				}
				mails = mails[1:]
			}
			for ; protocol == LMTP && accepted > 1; accepted-- {
				next()
			}
			accepted = 0
		}
	}
	if len(mails) > 0 {
		t.Fatalf("kept what nobody sent: %q", mails[0].body)
	}
	if len(replies) > 1 || len(replies) == 1 && !ends("", replies[0]) {
		t.Fatalf("replies to no command: %q", replies)
	}
	if i := strings.IndexByte(in, '\n'); i >= 0 && !endedBy(p.replies) {
		t.Fatalf("%q has no reply: %q", in[:i+1], p.replies)
	}
}

// endedBy reports whether the replies hold the end of the session.
func endedBy(replies []string) bool {
	last := replies[len(replies)-1]
	return ends("DATA", last)
}

// FuzzSession plays any bytes as a client, in pieces of any size.
func FuzzSession(f *testing.F) {
	states := []string{
		"", "EHLO c\r\n", "EHLO c\r\nMAIL FROM:<a@b.jp>\r\n", "EHLO c\r\nMAIL FROM:<a@b.jp>\r\nRCPT TO:<c@d.jp>\r\n",
		"EHLO c\r\nMAIL FROM:<a@b.jp>\r\nRCPT TO:<c@d.jp>\r\nDATA\r\n", "EHLO c\r\nMAIL FROM:<nodata@b.jp>\r\nRCPT TO:<c@d.jp>\r\nRCPT TO:<c@d.jp>\r\n",
		"EHLO c\r\nMAIL FROM:<a@b.jp>\r\nRCPT TO:<c@d.jp>\r\nDATA\r\nHi\r\n.\r\n",
	}
	commands := []string{
		"EHLO x", "HELO x", "LHLO x", "MAIL FROM:<a@b.jp> SIZE=5 BODY=8BITMIME SMTPUTF8", "MAIL FROM:<>", "RCPT TO:<c@d.jp>", `RCPT TO:<"x> y"@d.jp>`,
		"RCPT TO:<refuse@d.jp>", "RCPT TO:<hangup@d.jp>", "DATA", "RSET", "NOOP", "VRFY a", "EXPN a", "HELP", "QUIT", "AUTH PLAIN AG8AcA==", "AUTH LOGIN", "AUTH LOGIN b3Bz\r\nc2VjcmV0", "AUTH PLAIN\r\nAG9wcwBzZWNyZXQ=", "AUTH LOGIN\r\n*",
		"STARTTLS", "BDAT 5 LAST", "GET / HTTP/1.1", "", "X", "DATA\r\nHi\n.\n", ".", "\r", "Hi\r\n.\r\r", "\x00", strings.Repeat("y", 3000), "a\r\n..b\r\n.",
	}
	for _, s := range states {
		for i, c := range commands {
			f.Add([]byte(strings.ReplaceAll(s+c+"\r\nNOOP\r\n.\r\nQUIT\r\n", "EHLO", "LHLO")), uint16(i), byte(1))
			f.Add([]byte(s+c+"\r\nNOOP\r\n.\r\nQUIT\r\n"), uint16(1000*i), byte(i%2*2))
		}
	}
	f.Add([]byte("EHLO c\r\n"+strings.Repeat("y", 3000)), uint16(5000), byte(0)) // found: a long line without an end
	f.Fuzz(func(t *testing.T, in []byte, piece uint16, mode byte) {
		protocol := SMTP
		if mode&1 > 0 {
			protocol = LMTP
		}
		p := play(t, protocol, slices.Clone(in), int(piece)+1, mode&2 > 0)
		checkPlayed(t, protocol, string(in), p)
	})
}
