package e2e

import (
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"sesrelay/internal/simulator"
)

// connectFrom opens a connection from another address of loopback.
func connectFrom(t *testing.T, from, addr string) *client {
	t.Helper()
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}, Timeout: 10 * time.Second}
	conn, err := d.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	return speak(t, conn)
}

// TestNobodyByDefault: without networks and users nobody relays, and such a
// relay does not start where the world could reach it.
func TestNobodyByDefault(t *testing.T) {
	t.Parallel()
	s := newStage(t, relayOptions{plain: true, set: settings{"access.networks": "[]"}})
	for _, from := range []string{"127.0.0.1", "127.0.0.9"} {
		c := connectFrom(t, from, s.relay.smtp)
		like(t, from, c.read(), `554 5\.7\.1 `)
		like(t, from, c.read(), "closed|lost")
	}
	s2 := newStage(t, relayOptions{plain: true, set: settings{"access.networks": "[127.0.0.1/32]"}})
	like(t, "who is named", deliver(t, s2.relay.smtp, plainMail("named")), "250 ")
	like(t, "who is not", connectFrom(t, "127.0.0.2", s2.relay.smtp).read(), `554 5\.7\.1 `)
	for name, networks := range map[string]string{"everybody": "[0.0.0.0/0]", "all of IPv6": "[\"::/0\"]", "half of the world": "[0.0.0.0/1, 128.0.0.0/1]", "nobody, in public": "[]"} {
		o := s2.relay.options
		o.set = settings{"access.networks": networks}
		o.smtp, o.admin = "0.0.0.0:0", freePort(t)
		config := filepath.Join(t.TempDir(), "relay.yaml")
		write(t, config, o.settings().yaml())
		cmd := exec.CommandContext(within(t, 20*time.Second), s2.relay.binary, "serve", "--config", config)
		if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "access.networks") {
			t.Errorf("%s: it started, or does not say why not: %v\n%s", name, err, out)
		}
	}
	if n := s.store.Count() + s2.store.Count(); n != 1 {
		t.Errorf("%d mails arrived, want the one", n)
	}
}

// TestProxyHeaderIsNotACredential: it is believed from the named address only,
// demanded there, and opens nothing for anybody else.
func TestProxyHeaderIsNotACredential(t *testing.T) {
	t.Parallel()
	behind := freePort(t)
	s := newStage(t, relayOptions{smtp: freePort(t), plain: true, set: settings{
		"listeners":       "[" + listener(behind, "proxy_protocol_from: [127.0.0.2/32]") + "]",
		"access.networks": "[192.0.2.0/24, 127.0.0.2/32]",
	}})
	insider := "PROXY TCP4 192.0.2.1 192.0.2.200 1234 25\r\n"
	for _, row := range []struct{ name, from, header, want string }{
		{"the balancer, for a client that may", "127.0.0.2", insider, "220 "},
		{"the balancer, for a client that may not", "127.0.0.2", "PROXY TCP4 198.51.100.1 192.0.2.200 1 25\r\n", `554 5\.7\.1 `},
		{"the balancer, v2", "127.0.0.2", proxyV2("192.0.2.9:1", "192.0.2.200:25"), "220 "},
		{"somebody else, with a header", "127.0.0.1", insider, `554 5\.7\.1 `},
		{"somebody else, v2", "127.0.0.3", proxyV2("192.0.2.9:1", "192.0.2.200:25"), `554 5\.7\.1 `},
		{"the balancer, without one", "127.0.0.2", "EHLO app\r\n", "closed|lost"},
		{"the balancer, with a broken one", "127.0.0.2", "PROXY TCP4 192.0.2.1\r\n", "closed|lost"},
		{"the balancer, an endless one", "127.0.0.2", "PROXY TCP4 " + strings.Repeat("1", 2000), "closed|lost"},
		{"the balancer, of a socket file", "127.0.0.2", "\r\n\r\n\x00\r\nQUIT\n\x21\x31\x00\xd8" + strings.Repeat("x", 216), "closed|lost"},
		{"the balancer, twice", "127.0.0.2", "PROXY TCP4 198.51.100.1 192.0.2.200 1 25\r\n" + insider, `554 5\.7\.1 `},
	} {
		c := connectFrom(t, row.from, behind)
		c.write(row.header)
		like(t, row.name, c.read(), row.want)
		c.conn.Close()
	}
	// Of no address is the balancer's own health check: greeted, and no more.
	health := connectFrom(t, "127.0.0.2", behind)
	health.write("PROXY UNKNOWN\r\n")
	health.greet("EHLO balancer")
	like(t, "mail of a health check", health.do("MAIL FROM:<news@goo.ne.jp>"), `550 5\.7\.1 `)
	// A header behind the first one is a bad command and changes nobody's address.
	c := connectFrom(t, "127.0.0.2", behind)
	c.write(insider)
	c.greet("EHLO app")
	like(t, "a second header", c.do("PROXY TCP4 192.0.2.77 192.0.2.200 1 25"), "500 ")
	if n := s.store.Count(); n != 0 {
		t.Errorf("%d mails arrived", n)
	}
}

// TestPasswordsAreLimited: a few tries per connection, a few more per client,
// and nobody else pays for them.
func TestPasswordsAreLimited(t *testing.T) {
	t.Parallel()
	s := newTLSStage(t)
	try := func(from, user, password string, n int) (replies []string) {
		c := connectFrom(t, from, s.starttls)
		c.greet("EHLO app")
		c.startTLS()
		c.want("250", c.do("EHLO app"))
		for range n {
			replies = append(replies, c.do("AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00"+user+"\x00"+password))))
		}
		c.conn.Close()
		return replies
	}
	got := try("127.0.0.5", "app", "wrong", 5)
	for i, want := range []string{"535 ", "535 ", "535 ", `421 4\.7\.0 `, "closed|lost"} {
		like(t, fmt.Sprintf("try %d on one connection", i+1), got[i], want)
	}
	denied, later := 0, 0
	for i := range 15 {
		for _, r := range try("127.0.0.6", "app", fmt.Sprint("guess", i), 3) {
			switch {
			case strings.HasPrefix(r, "535 "):
				denied++
			case strings.HasPrefix(r, "454 4.7.0 "):
				later++
			default:
				t.Errorf("reply %q", r)
			}
		}
	}
	if denied > 25 || later < 15 {
		t.Errorf("%d guesses of one client were looked at, %d put off", denied, later)
	}
	like(t, "another client", try("127.0.0.7", "app", "correct horse", 1)[0], "235 ")
	for _, odd := range [][2]string{{"", ""}, {"app", ""}, {"", "correct horse"}, {"app\x01", "correct horse"}, {"app", "correct horse "}, {"APP", "correct horse"}, {"app", strings.Repeat("x", 5000)}} {
		like(t, fmt.Sprintf("%q", odd), try("127.0.0.8", odd[0], odd[1], 1)[0], "5[03][15] |454 ")
	}
}

// TestNothingPersonalIsShown sends mail whose addresses, subject, body and
// password are unmistakable through every kind of outcome, and looks for them in
// each reply, the log, the metrics, the traces and the status.
func TestNothingPersonalIsShown(t *testing.T) {
	t.Parallel()
	s := newTLSStage(t)
	s.mayAbort = true
	secrets := []string{"kusunoki.haruka", "minamoto-no-yoritomo", "geheimbetreff", "geheimtext", "correct horse", "Y29ycmVjdCBob3JzZQ", "AGFwcABjb3JyZWN0IGhvcnNl", "falschespasswort"}
	var said strings.Builder
	var ids []string
	dialogue := func(route, to, subject string) {
		s.n++
		c := connect(t, s.starttls)
		c.greet("EHLO app.goo.ne.jp")
		c.startTLS()
		c.want("250", c.do("EHLO app.goo.ne.jp"))
		said.WriteString(c.do("AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00app\x00falschespasswort"))) + "\n")
		said.WriteString(c.do("AUTH PLAIN %s", base64.StdEncoding.EncodeToString([]byte("\x00app\x00correct horse"))) + "\n")
		said.WriteString(c.do("MAIL FROM:<kusunoki.haruka@goo.ne.jp>") + "\n")
		said.WriteString(c.do("RCPT TO:<%s>", to) + "\n")
		said.WriteString(c.do("RCPT TO:<kusunoki.haruka@@broken>") + "\n")
		said.WriteString(c.do("DATA") + "\n")
		c.write(fmt.Sprintf("From: <kusunoki.haruka@goo.ne.jp>\r\nTo: <%s>\r\nSubject: %s\r\nMessage-ID: <%d-%s@goo.ne.jp>\r\nX-Test-Id: p%d\r\n\r\ngeheimtext\r\n.\r\n", to, subject, s.n, route, s.n))
		r := c.read()
		said.WriteString(r + "\n")
		if f := strings.Fields(r); len(f) > 2 && f[0] == "250" {
			ids = append(ids, f[2])
		}
		c.do("VRFY kusunoki.haruka@goo.ne.jp")
		c.conn.Close()
	}
	victim := "minamoto-no-yoritomo@docomo.ne.jp"
	cuenote := func(f ...simulator.Fault) {
		if err := s.cuenote.Faults().Set(f...); err != nil {
			t.Fatal(err)
		}
	}
	ses := func(f ...simulator.Fault) {
		if err := s.ses.Faults().Set(f...); err != nil {
			t.Fatal(err)
		}
	}
	dialogue("cuenote", victim, "geheimbetreff")
	cuenote(simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Code: 550, Text: "5.1.1 <" + victim + ">: user minamoto-no-yoritomo unknown"})
	dialogue("refused", victim, "geheimbetreff")
	cuenote(simulator.Fault{Name: simulator.FaultReply, At: simulator.AtDot, Code: 554, Text: "5.7.1 spam from kusunoki.haruka@goo.ne.jp, subject geheimbetreff"})
	dialogue("spam", victim, "geheimbetreff")
	cuenote(simulator.Fault{Name: simulator.FaultCut, At: simulator.AtDot})
	dialogue("cut", victim, "geheimbetreff")
	cuenote()
	s.relay.split(t, "100")
	dialogue("ses", victim, "geheimbetreff")
	ses(simulator.Fault{Name: simulator.FaultIdentityNotVerified, Text: "Email address is not verified. The following identities failed the check: kusunoki.haruka@goo.ne.jp"})
	dialogue("unverified", victim, "geheimbetreff")
	ses(simulator.Fault{Name: simulator.FaultCutAfterRecord})
	dialogue("unknown", victim, "geheimbetreff")
	ses()

	shown := map[string]string{"the log": s.relay.out.String()}
	for _, path := range append([]string{"/metrics", "/v1/status", "/v1/split", "/v1/split/history"}, traces(ids)...) {
		resp, err := http.Get("http://" + s.relay.admin + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s", path, resp.Status)
		}
		shown[path] = string(b)
	}
	if len(ids) < 3 || strings.Count(shown["the log"], `"transaction"`) < 7 {
		t.Fatalf("too little happened: ids %v\n%s", ids, said.String())
	}
	for where, text := range shown {
		for _, secret := range secrets {
			if i := strings.Index(strings.ToLower(text), strings.ToLower(secret)); i >= 0 && !(secret == "geheimbetreff" && where == "the log") {
				t.Errorf("%q in %s: %.200q", secret, where, text[max(0, i-100):])
			}
		}
	}
	// A reply may repeat what its own client has just said of a recipient, in
	// Cuenote's words, and nothing else.
	for _, secret := range secrets[4:] {
		if strings.Contains(said.String(), secret) {
			t.Errorf("%q in a reply:\n%s", secret, said.String())
		}
	}
}

func traces(ids []string) (paths []string) {
	for _, id := range ids {
		paths = append(paths, "/v1/trace/"+id)
	}
	return paths
}
