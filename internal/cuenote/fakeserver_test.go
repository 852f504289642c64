package cuenote

import (
	"bufio"
	"context"
	"crypto/tls"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// script maps a command, or a place in the dialogue, to what the fake server
// does there: a reply (lines separated by "\n"), or
//
//	reset         a TCP reset instead of a reply
//	close         the end of the connection instead of a reply
//	hang          no reply, until the client goes away
//	wait          what follows waits for the test to close fake.waiting
//	stall         nothing is read any more for ten minutes (of virtual time)
//	R|reset       reply R, then a reset; also R|close
//	R|R2          reply R, then R2 unasked
//
// Places: greeting, EHLO, TLS (after STARTTLS), STARTTLS, AUTH, response (to a
// 334), RSET, MAIL, RCPT, DATA, content (on its first line), dot, QUIT. A more
// exact key wins: "RCPT TO:<b@x.jp>" before "RCPT", "RCPT#2" for the second of a connection.
type script map[string]string

var polite = script{
	"greeting": "220 fake.example ESMTP", "EHLO": "250-fake.example\n250-PIPELINING\n250-8BITMIME\n250-SIZE 1000000\n250-SMTPUTF8\n250 ENHANCEDSTATUSCODES",
	"STARTTLS": "220 2.0.0 go ahead", "AUTH": "235 2.7.0 welcome", "response": "235 2.7.0 welcome", "RSET": "250 2.0.0 ok", "MAIL": "250 2.1.0 ok",
	"RCPT": "250 2.1.5 ok", "DATA": "354 go ahead", "dot": "250 2.0.0 Ok: queued as 4XyZ1k2m3n", "QUIT": "221 2.0.0 bye",
}

// fake is a scripted SMTP server. Connection i follows scripts[i], later ones
// the last; what a script does not name is polite.
type fake struct {
	scripts []script
	tls     *tls.Config
	onDot   func()        // called when content is complete, before the reply
	reacted chan struct{} // closed when the action of "content" or "DATA" was played
	react   sync.Once
	waiting chan struct{}

	mu    sync.Mutex // guards what follows
	conns []*fakeConn
}

// fakeConn is what one connection brought.
type fakeConn struct {
	commands []string // as written, without CRLF
	content  []string // raw, up to the final dot and with it
	dots     int      // contents that were complete
	ended    chan struct{}
}

func newFake(scripts ...script) *fake {
	if len(scripts) == 0 {
		scripts = []script{{}}
	}
	return &fake{scripts: scripts, reacted: make(chan struct{}), waiting: make(chan struct{})}
}

// listen serves on loopback until the test ends and returns the address.
func (f *fake) listen(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			f.start(nc)
		}
	}()
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String()
}

// dial is a dialer over pipes, for virtual time.
func (f *fake) dial(context.Context, string, string) (net.Conn, error) {
	ours, theirs := net.Pipe()
	f.start(theirs)
	return ours, nil
}

func (f *fake) start(nc net.Conn) {
	f.mu.Lock()
	s := f.scripts[min(len(f.conns), len(f.scripts)-1)]
	fc := &fakeConn{ended: make(chan struct{})}
	f.conns = append(f.conns, fc)
	f.mu.Unlock()
	go func() {
		defer close(fc.ended)
		defer nc.Close()
		(&fakeSession{f: f, fc: fc, script: s, nc: nc, br: bufio.NewReader(nc), seen: map[string]int{}}).serve()
	}()
}

// conn returns connection i as it stands now.
func (f *fake) conn(i int) fakeConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i >= len(f.conns) {
		return fakeConn{}
	}
	c := *f.conns[i]
	c.commands, c.content = slices.Clone(c.commands), slices.Clone(c.content)
	return c
}

// first returns the first connection itself, to wait for its end.
func (f *fake) first() *fakeConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conns[0]
}

// last returns the newest connection itself.
func (f *fake) last() *fakeConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.conns[len(f.conns)-1]
}

func (f *fake) count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.conns)
}

// dots returns how many contents were completed on all connections.
func (f *fake) dots() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		n += c.dots
	}
	return n
}

// wait returns when every connection has ended.
func (f *fake) wait() {
	f.mu.Lock()
	conns := slices.Clone(f.conns)
	f.mu.Unlock()
	for _, c := range conns {
		<-c.ended
	}
}

type fakeSession struct {
	f      *fake
	fc     *fakeConn
	script script
	nc     net.Conn
	br     *bufio.Reader
	seen   map[string]int
}

func (s *fakeSession) serve() {
	if s.script["TLS"] == "implicit" && !s.handshake() {
		return
	}
	if _, ok := s.do("greeting", ""); !ok {
		return
	}
	for {
		line, err := s.br.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimSuffix(line, "\r\n")
		s.f.mu.Lock()
		s.fc.commands = append(s.fc.commands, line)
		s.f.mu.Unlock()
		verb, _, _ := strings.Cut(line, " ")
		code, ok := s.do(verb, line)
		switch {
		case !ok || verb == "QUIT":
			return
		case verb == "STARTTLS" && code == "220" && !s.handshake():
			return
		case code == "334" && !s.challenge(code):
			return
		case verb == "DATA" && code == "354" && !s.data():
			return
		}
	}
}

func (s *fakeSession) challenge(code string) bool {
	for code == "334" {
		line, err := s.br.ReadString('\n')
		if err != nil {
			return false
		}
		s.f.mu.Lock()
		s.fc.commands = append(s.fc.commands, strings.TrimSuffix(line, "\r\n"))
		s.f.mu.Unlock()
		var ok bool
		if code, ok = s.do("response", ""); !ok {
			return false
		}
	}
	return true
}

func (s *fakeSession) handshake() bool {
	t := tls.Server(s.nc, s.f.tls)
	if t.Handshake() != nil {
		return false
	}
	s.nc, s.br = t, bufio.NewReader(t)
	return true
}

// data reads content to the final dot.
func (s *fakeSession) data() bool {
	var raw strings.Builder
	s.f.mu.Lock()
	at := len(s.fc.content)
	s.fc.content = append(s.fc.content, "")
	s.f.mu.Unlock()
	for first := true; ; first = false {
		line, err := s.br.ReadString('\n')
		raw.WriteString(line)
		s.f.mu.Lock()
		s.fc.content[at] = raw.String()
		s.f.mu.Unlock()
		if err != nil {
			return false
		}
		if first && s.script["content"] != "" {
			if _, ok := s.do("content", ""); !ok {
				return false
			}
		}
		if line == ".\r\n" {
			break
		}
	}
	s.f.mu.Lock()
	s.fc.dots++
	s.f.mu.Unlock()
	if s.f.onDot != nil {
		s.f.onDot()
	}
	_, ok := s.do("dot", "")
	return ok
}

// do plays what the script says for place; false ends the connection.
func (s *fakeSession) do(place, line string) (code string, ok bool) {
	s.seen[place]++
	action, rest, more := strings.Cut(s.action(place, line), "|")
	for {
		switch action {
		case "reset", "close":
			if tcp, ok := s.nc.(*net.TCPConn); ok && action == "reset" {
				tcp.SetLinger(0)
			}
			s.nc.Close()
			s.played()
			return code, false
		case "wait":
			<-s.f.waiting
			action, rest, more = strings.Cut(rest, "|")
			continue
		case "stall":
			time.Sleep(10 * time.Minute)
			return code, false
		case "hang":
			for {
				if _, err := s.br.Discard(1); err != nil {
					return code, false
				}
			}
		}
		code = action[:min(3, len(action))]
		if _, err := s.nc.Write([]byte(strings.ReplaceAll(action, "\n", "\r\n") + "\r\n")); err != nil {
			return code, false
		}
		if place == "content" || place == "DATA" && !more && s.script["content"] == "" {
			s.played()
		}
		if code == "421" {
			return code, false
		}
		if !more {
			return code, true
		}
		action, rest, more = strings.Cut(rest, "|")
	}
}

func (s *fakeSession) played() { s.f.react.Do(func() { close(s.f.reacted) }) }

func (s *fakeSession) action(place, line string) string {
	for _, key := range []string{line, place + "#" + string(rune('0'+s.seen[place])), place} {
		if a, ok := s.script[key]; ok && key != "" {
			return a
		}
	}
	if a, ok := polite[place]; ok {
		return a
	}
	return "502 5.5.1 what?"
}
