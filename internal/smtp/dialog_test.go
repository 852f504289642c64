package smtp

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/relay"
)

// TestDialogs plays testdata/*.dialog. A file is an SMTP session:
//
//	config tls=starttls users    settings of the service, see config
//	c -> EHLO client.test        sends a line
//	c => MAIL...\r\nRCPT...      sends bytes, with escapes, and no line end
//	c <- 250 2.1.0               reads one reply: how its last line begins
//	c <. 250-PIPELINING          reads one line: all of it
//	c starttls                   TLS from here on
//	c closed                     the service closes, and says nothing more
//	kept 1                       so many mails were accepted
//	body Hi\r\n                  content of the last one
//	event abort                  what the transactions saw last
//
// Recipients at the service of the tests: local part refuse is 550, defer 451,
// hangup 421. Senders: nodata gets 452 before the body, each gets one reply per
// recipient by the same names.
func TestDialogs(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("testdata/*.dialog")
	if len(files) < 10 {
		t.Fatalf("only %d dialogs", len(files))
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".dialog")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			playDialog(t, f, 0)
		})
		t.Run("parked/"+name, func(t *testing.T) {
			t.Parallel()
			playDialog(t, f, time.Millisecond)
		})
	}
}

// playDialog plays one file. With a short park every pause of the client, also
// within its lines, takes the library away and puts another one in its place.
func playDialog(t *testing.T, file string, park time.Duration) {
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	d := &dialog{k: scripted(), park: park}
	for i, line := range strings.Split(string(text), "\n") {
		if line = strings.TrimRight(line, " "); line == "" || line[0] == '#' {
			continue
		}
		if err := d.step(t, line); err != nil {
			t.Fatalf("%s:%d: %s: %v", file, i+1, line, err)
		}
	}
}

type dialog struct {
	park    time.Duration
	k       *keeper
	address string
	c       net.Conn
	br      *bufio.Reader
}

func (d *dialog) step(t *testing.T, line string) error {
	word, arg, _ := strings.Cut(line, " ")
	switch word {
	case "config":
		_, d.address = serve(t, d.k, d.config(t, strings.Fields(arg)))
		return nil
	case "c":
		return d.speak(t, arg)
	case "kept":
		return same(strconv.Itoa(len(d.k.accepted())), arg)
	case "body":
		m := d.k.accepted()
		return same(string(m[len(m)-1].body), unescape(arg))
	case "event":
		events := strings.Split(d.k.log(), "\n")
		return same(events[len(events)-1], arg)
	}
	return fmt.Errorf("unknown word")
}

func (d *dialog) speak(t *testing.T, line string) error {
	if d.address == "" {
		_, d.address = serve(t, d.k, d.config(t, nil))
	}
	if d.c == nil {
		c := dial(t, d.address)
		d.c, d.br = c.Conn, c.br
	}
	do, arg, _ := strings.Cut(line, " ")
	switch do {
	case "->":
		if d.park > 0 {
			time.Sleep(5 * d.park) // the pause that parks
		}
		_, err := d.c.Write([]byte(unescape(arg) + "\r\n"))
		return err
	case "=>":
		_, err := d.c.Write([]byte(unescape(arg)))
		return err
	case "<-":
		return d.reply(arg)
	case "<.":
		line, err := d.br.ReadString('\n')
		if err != nil {
			return err
		}
		return same(strings.TrimSuffix(line, "\r\n"), arg)
	case "starttls":
		c := tls.Client(d.c, &tls.Config{InsecureSkipVerify: true})
		d.c, d.br = c, bufio.NewReader(c)
		return c.Handshake()
	case "closed":
		return same(d.rest(), "")
	}
	return fmt.Errorf("unknown word %s", do)
}

func (d *dialog) reply(want string) error {
	for {
		line, err := d.br.ReadString('\n')
		if err != nil {
			return fmt.Errorf("%q, %w", line, err)
		}
		if len(line) > 3 && line[3] == '-' && want[3:] != "-" {
			continue
		}
		if !strings.HasPrefix(line, want) {
			return fmt.Errorf("got %q", line)
		}
		return nil
	}
}

// rest returns what is still said before the end, or why there is no end.
func (d *dialog) rest() string {
	var said strings.Builder
	if _, err := d.br.WriteTo(&said); err != nil {
		return said.String() + err.Error()
	}
	return said.String()
}

func same(got, want string) error {
	if got != want {
		return fmt.Errorf("got %q", got)
	}
	return nil
}

func unescape(s string) string {
	u, err := strconv.Unquote(`"` + strings.ReplaceAll(s, `"`, `\"`) + `"`)
	if err != nil {
		panic(s + ": " + err.Error())
	}
	return u
}

func (d *dialog) config(t *testing.T, words []string) func(*Config) {
	return func(c *Config) {
		c.Limits.Park = d.park
		for _, w := range words {
			name, value, _ := strings.Cut(w, "=")
			n, _ := strconv.Atoi(value)
			switch name {
			case "protocol":
				c.Listeners[0].Protocol = Protocol(value)
			case "tls":
				c.Listeners[0].TLS = TLSMode(value)
				c.Certificate = testCertificate(t)
			case "users":
				c.Access.Users = testUsers(t)
			case "nonetworks":
				c.Access.Networks = nil
			case "proxy":
				c.Listeners[0].ProxyFrom = loopback.Networks
			case "network":
				c.Access.Networks = []netip.Prefix{netip.MustParsePrefix(value)}
			case "size":
				c.Limits.MessageSize = int64(n)
			case "recipients":
				c.Limits.Recipients = n
			case "command":
				c.Limits.Command, _ = time.ParseDuration(value)
			case "data":
				c.Limits.Data, _ = time.ParseDuration(value)
			case "idle":
				c.Limits.Idle, _ = time.ParseDuration(value)
			case "idlecommands":
				c.Limits.IdleCommands = n
			default:
				t.Fatalf("config %s", w)
			}
		}
	}
}

// scripted is the keeper that the dialogs talk to.
func scripted() *keeper {
	byName := func(a relay.Address) relay.Reply {
		switch a.Local {
		case "refuse":
			return relay.Reply{Code: 550, Enhanced: [3]int{5, 1, 1}, Text: "No such user"}
		case "defer":
			return relay.Reply{Code: 451, Enhanced: [3]int{4, 2, 1}, Text: "Mailbox busy\nTry later"}
		case "hangup":
			return relay.Reply{Code: 421, Enhanced: [3]int{4, 3, 2}, Text: "Closing"}
		}
		return relay.ReplyRecipientOK
	}
	return &keeper{
		recipient: func(a relay.Address) relay.Reply {
			if strings.HasPrefix(a.Domain, "later.") {
				return relay.ReplyRecipientOK
			}
			return byName(a)
		},
		data: func(_ context.Context, m *mail, src relay.Source) []relay.Reply {
			if m.env.ReversePath.Local == "nodata" {
				return []relay.Reply{relay.ReplyMemory}
			}
			replies := []relay.Reply{m.keep(src)}
			if m.env.ReversePath.Local == "each" {
				for _, a := range m.to[1:] {
					r := byName(a)
					r.Text += " for " + a.Local
					replies = append(replies, r)
				}
			}
			return replies
		},
	}
}
