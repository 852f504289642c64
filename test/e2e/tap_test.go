package e2e

import (
	"bytes"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
)

// tap stands between the relay and Cuenote and keeps every byte that the relay
// sends, one slice per connection.
type tap struct {
	addr string

	mu    sync.Mutex // guards what follows
	conns []*bytes.Buffer
}

// startTap passes connections on to addr until the test ends.
func startTap(t *testing.T, addr string) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p := &tap{addr: l.Addr().String()}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", addr)
			if err != nil {
				client.Close()
				continue
			}
			go p.pass(client, server)
		}
	}()
	return p
}

func (p *tap) pass(client, server net.Conn) {
	p.mu.Lock()
	kept := &bytes.Buffer{}
	p.conns = append(p.conns, kept)
	p.mu.Unlock()
	go func() {
		io.Copy(client, server)
		client.Close()
	}()
	io.Copy(io.MultiWriter(server, lockedWriter{p, kept}), client)
	server.Close()
}

// lockedWriter appends to a connection's bytes.
type lockedWriter struct {
	p  *tap
	to *bytes.Buffer
}

func (w lockedWriter) Write(b []byte) (int, error) {
	w.p.mu.Lock()
	defer w.p.mu.Unlock()
	return w.to.Write(b)
}

// sent returns what each connection has carried so far.
func (p *tap) sent() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]string, len(p.conns))
	for i, c := range p.conns {
		all[i] = c.String()
	}
	return all
}

// checkWire judges every byte that went to Cuenote: no CR or LF but in CRLF, no
// NUL, no command that no test of ours could have caused, and the same mails
// whichever line end a receiver takes for one.
func (p *tap) checkWire(t *testing.T) {
	t.Helper()
	lines := 0
	for i, wire := range p.sent() {
		if at := strings.IndexAny(strings.ReplaceAll(wire, "\r\n", "  "), "\r\n\x00"); at >= 0 {
			t.Errorf("connection %d: a bare CR, LF or NUL left towards Cuenote: %q", i, wire[max(0, at-30):min(len(wire), at+30)])
		}
		strict, lenient := commandsOf(wire, false), commandsOf(wire, true)
		if strings.Join(strict, "\n") != strings.Join(lenient, "\n") {
			t.Errorf("connection %d: a lenient receiver reads other commands:\n%q\nthan a strict one:\n%q", i, lenient, strict)
		}
		for _, c := range strict {
			if strings.Contains(c, "evil") || strings.Contains(c, "victim") {
				t.Errorf("connection %d: smuggled: %q", i, c)
			}
		}
		lines += len(strict)
	}
	if lines == 0 {
		t.Error("nothing went to Cuenote: the test shows nothing")
	}
}

// commandsOf reads the client's side of an SMTP connection as a server does that
// ends lines at CRLF only, or, when it is lenient, at any CR, LF or CRLF. It
// returns the lines that are commands.
func commandsOf(wire string, lenient bool) (commands []string) {
	if lenient {
		wire = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(wire)
	} else {
		wire = strings.ReplaceAll(wire, "\r\n", "\n")
	}
	data := false
	for line := range strings.SplitSeq(wire, "\n") {
		switch {
		case data:
			data = line != "."
		case line != "":
			commands = append(commands, line)
			data = strings.EqualFold(line, "DATA")
		}
	}
	return commands
}
