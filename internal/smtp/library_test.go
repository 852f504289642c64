package smtp

import (
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
)

// wiretap is a connection that gives the library one line per Read and notes
// what happens in which order.
type wiretap struct {
	net.Conn
	lines  []string
	closed chan struct{}

	mu     sync.Mutex // over LMTP the library writes replies while it reads the body's end
	events []string
}

func (w *wiretap) note(format string, v ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.events = append(w.events, fmt.Sprintf(format, v...))
}

func (w *wiretap) Read(p []byte) (int, error) {
	if len(w.lines) == 0 {
		w.note("read end")
		return 0, io.EOF
	}
	line := w.lines[0]
	w.lines = w.lines[1:]
	w.note("read %s", strings.TrimSpace(line))
	return copy(p, line), nil
}

func (w *wiretap) Write(p []byte) (int, error) {
	w.note("write %s", strings.TrimSpace(string(p)))
	return len(p), nil
}

func (w *wiretap) Close() error {
	w.note("close")
	select {
	case <-w.closed:
	default:
		close(w.closed)
	}
	return nil
}

func (w *wiretap) RemoteAddr() net.Addr             { return &net.TCPAddr{} }
func (w *wiretap) SetReadDeadline(time.Time) error  { w.note("deadline"); return nil }
func (w *wiretap) SetWriteDeadline(time.Time) error { w.note("deadline"); return nil }

// tapped is a session that notes its calls.
type tapped struct{ w *wiretap }

func (s tapped) Reset()                                        { s.w.note("Reset") }
func (s tapped) Logout() error                                 { s.w.note("Logout"); return nil }
func (s tapped) Mail(from string, _ *gosmtp.MailOptions) error { s.w.note("Mail %s", from); return nil }
func (s tapped) Rcpt(to string, _ *gosmtp.RcptOptions) error   { s.w.note("Rcpt %s", to); return nil }
func (s tapped) Data(io.Reader) error                          { s.w.note("Data"); return nil }
func (s tapped) LMTPData(io.Reader, gosmtp.StatusCollector) error {
	s.w.note("LMTPData")
	return nil
}

// tap plays lines to an untouched library and returns what happened.
func tap(lmtp bool, lines ...string) []string {
	w := &wiretap{lines: lines, closed: make(chan struct{})}
	lib := gosmtp.NewServer(gosmtp.BackendFunc(func(*gosmtp.Conn) (gosmtp.Session, error) { return tapped{w}, nil }))
	lib.Domain, lib.MaxMessageBytes, lib.LMTP, lib.MaxLineLength = "relay.test", 1000, lmtp, 0
	lib.EnableSMTPUTF8, lib.AllowInsecureAuth = true, true
	h := &handover{conns: make(chan net.Conn), done: make(chan struct{})}
	ended := make(chan error)
	go func() { ended <- lib.Serve(h) }()
	h.give(w)
	<-w.closed
	h.Close()
	<-ended
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.events)
}

// TestLibraryAssumptions is what the guard rests on and the library does not
// promise: every reply is written before the next read; 354 comes before Data;
// Data is followed by the reading of a body, then one reply; the EHLO reply has
// a CHUNKING line and ends in SIZE; no deadline is touched; Reset follows DATA;
// QUIT logs out and closes. A new version that fails here needs a new guard.
func TestLibraryAssumptions(t *testing.T) {
	t.Parallel()
	got := tap(false, "EHLO c\r\n", "MAIL FROM:<a@b>\r\n", "RCPT TO:<\"c d\"@b>\r\n", "DATA\r\n", ".\r\n", "NOOP\r\n", "QUIT\r\n")
	want := []string{
		"write 220 relay.test ESMTP Service Ready",
		"read EHLO c", "write 250-Hello c", "write 250-PIPELINING", "write 250-8BITMIME", "write 250-ENHANCEDSTATUSCODES",
		"write 250-CHUNKING", "write 250-SMTPUTF8", "write 250 SIZE 1000",
		"read MAIL FROM:<a@b>", "Mail a@b", "write 250 2.0.0 Roger, accepting mail from <a@b>",
		`read RCPT TO:<"c d"@b>`, "Rcpt c d@b", "write 250 2.0.0 I'll make sure <c d@b> gets this",
		"read DATA", "write 354 Go ahead. End your data with <CR><LF>.<CR><LF>", "Data", "read .", "write 250 2.0.0 OK: queued", "Reset",
		"read NOOP", "write 250 2.0.0 I have successfully done nothing",
		"read QUIT", "write 221 2.0.0 Bye", "Logout", "close",
	}
	if len(got) < len(want) || !slices.Equal(got[:len(want)], want) {
		t.Errorf("got:\n%s", strings.Join(got, "\n"))
	}
}

// TestLibraryAssumptionsLMTP: one reply per recipient, behind LMTPData.
func TestLibraryAssumptionsLMTP(t *testing.T) {
	t.Parallel()
	got := tap(true, "LHLO c\r\n", "MAIL FROM:<a@b>\r\n", "RCPT TO:<c@b>\r\n", "RCPT TO:<c@b>\r\n", "DATA\r\n", ".\r\n", "QUIT\r\n")
	data := slices.Index(got, "LMTPData")
	reply := "write 250 2.0.0 <c@b> OK: queued"
	first := slices.Index(got, reply)
	if data < 0 || first < data || slices.Index(got[first+1:], reply) < 0 || slices.Index(got, "read QUIT") < first {
		t.Errorf("got:\n%s", strings.Join(got, "\n"))
	}
}

// TestLibraryUnknownsAreOurs: the refusals that the guard words anew.
func TestLibraryUnknownsAreOurs(t *testing.T) {
	t.Parallel()
	got := tap(false, "EHLO c\r\n", "MAIL FROM:<a@b> X=Y\r\n", "MAIL FROM:<a@b> SIZE=1001\r\n")
	for _, want := range []string{"write 500 5.5.4 Unknown MAIL FROM argument", "write 552 5.3.4 Max message size exceeded"} {
		if !slices.Contains(got, want) {
			t.Errorf("no %q in:\n%s", want, strings.Join(got, "\n"))
		}
	}
}
