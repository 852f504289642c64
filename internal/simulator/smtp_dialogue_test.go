package simulator_test

import (
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/smtp"
	"slices"
	"strings"
	"testing"

	"sesrelay/internal/simulator"
)

// talk is a raw SMTP connection.
type talk struct {
	t testing.TB
	net.Conn
}

func dial(t testing.TB, s *simulator.SMTP) *talk {
	t.Helper()
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &talk{t, conn}
}

// say sends the text and reads until the reply's last line begins with the code.
func (c *talk) say(text, code string) string {
	c.t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		c.t.Fatalf("%q: %v", text, err)
	}
	return readUntil(c.t, c.Conn, func(got []byte) bool {
		if !bytes.HasSuffix(got, []byte("\r\n")) {
			return false
		}
		lines := strings.Split(strings.TrimSuffix(string(got), "\r\n"), "\r\n")
		last := lines[len(lines)-1]
		if len(last) > 3 && last[3] == '-' {
			return false
		}
		if !strings.HasPrefix(last, code) {
			c.t.Fatalf("after %.200q: got %q, want %s", text, got, code)
		}
		return true
	}, code)
}

// closed reads to the end of the connection.
func (c *talk) closed() string {
	c.t.Helper()
	got, _ := io.ReadAll(c)
	return string(got)
}

// hello greets.
func (c *talk) hello() *talk {
	c.t.Helper()
	c.say("", "220")
	c.say("EHLO client.example\r\n", "250")
	return c
}

// open begins a mail up to the 354.
func (c *talk) open(from string, to ...string) *talk {
	c.t.Helper()
	c.say("MAIL FROM:<"+from+">\r\n", "250")
	for _, r := range to {
		c.say("RCPT TO:<"+r+">\r\n", "250")
	}
	c.say("DATA\r\n", "354")
	return c
}

func kinds(s *simulator.SMTP) []string {
	var list []string
	for _, a := range s.Anomalies() {
		list = append(list, a.Kind)
	}
	slices.Sort(list)
	return slices.Compact(list)
}

func TestSMTPOffers(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		cfg  simulator.SMTPConfig
		want string
	}{
		{simulator.SMTPConfig{}, "cuenote.example ENHANCEDSTATUSCODES PIPELINING 8BITMIME SIZE 52428800"},
		{simulator.SMTPConfig{Hostname: "h", NoPIPELINING: true, No8BITMIME: true, NoSIZE: true, SMTPUTF8: true}, "h ENHANCEDSTATUSCODES SMTPUTF8"},
		{simulator.SMTPConfig{Hostname: "h", STARTTLS: true, Username: "u", MaxSize: 5}, "h ENHANCEDSTATUSCODES PIPELINING 8BITMIME SIZE 5 STARTTLS AUTH PLAIN LOGIN"},
	} {
		conn := dial(t, startSMTP(t, c.cfg))
		conn.say("", "220")
		var lines []string
		for line := range strings.Lines(conn.say("EHLO x\r\n", "250")) {
			lines = append(lines, strings.TrimSpace(line[4:]))
		}
		if got := strings.Join(lines, " "); got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
	s := startSMTP(t, simulator.SMTPConfig{NoEHLO: true})
	conn := dial(t, s)
	conn.say("", "220")
	conn.say("EHLO x\r\n", "502")
	conn.say("HELO x\r\n", "250")
	conn.open("a@b.jp", "c@d.jp").say("x\r\n.\r\n", "250 2.0.0 Ok: queued as 4F")
	if r := s.Store().All()[0]; r.SMTP.ESMTP || r.SMTP.HELO != "x" {
		t.Errorf("recorded %+v", r.SMTP)
	}
	noAnomalies(t, s)
}

// A whole pipelined session in one packet is answered, except before the 354 and the dot, in one packet each.
func TestSMTPPipelining(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, simulator.SMTPConfig{})
	s.Faults().Set(simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Address: "bad@d.jp", Code: 550, Text: "5.1.1 No such user"})
	c := dial(t, s).hello()
	if _, err := io.WriteString(c, "MAIL FROM:<a@b.jp> SIZE=10 BODY=8BITMIME\r\nRCPT TO:<c@d.jp>\r\nRCPT TO:<bad@d.jp>\r\nRCPT TO:<e@d.jp>\r\nDATA\r\n"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := c.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	want := "250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n550 5.1.1 No such user\r\n250 2.1.5 Ok\r\n354 End data with <CR><LF>.<CR><LF>\r\n"
	if got := string(buf[:n]); got != want {
		t.Errorf("one read gave %q, want %q", got, want)
	}
	// The dot may be followed by the next transaction, and by QUIT.
	io.WriteString(c, "12345678\r\n.\r\nMAIL FROM:<>\r\nRCPT TO:<f@d.jp>\r\nDATA\r\n")
	c.say("", "354")
	io.WriteString(c, ".\r\nQUIT\r\n")
	if got := c.closed(); !strings.HasPrefix(got, "250 2.0.0 Ok: queued as ") || !strings.HasSuffix(got, "221 2.0.0 Bye\r\n") {
		t.Errorf("the end was %q", got)
	}
	all := s.Store().All()
	if len(all) != 2 || string(all[0].Raw) != "12345678\r\n" || strings.Join(all[0].To, " ") != "c@d.jp e@d.jp" || all[0].SMTP.Parameters != "SIZE=10 BODY=8BITMIME" {
		t.Fatalf("recorded %+v", all)
	}
	if all[1].From != "" || len(all[1].Raw) != 0 || all[1].SMTP.Connection != all[0].SMTP.Connection || all[1].ID == all[0].ID {
		t.Errorf("recorded %+v", all[1])
	}
	if got := s.Commands(); got["MAIL"] != 2 || got["RCPT"] != 4 || got["DOT"] != 2 || got["QUIT"] != 1 {
		t.Errorf("commands %v", got)
	}
	noAnomalies(t, s)
}

// All recipients refused: DATA pipelined behind them gets 554, which is no anomaly of the client.
func TestSMTPPipelinedDataBehindRefusals(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, simulator.SMTPConfig{})
	s.Faults().Set(simulator.Fault{Name: simulator.FaultReply, At: simulator.AtRCPT, Code: 450})
	c := dial(t, s).hello()
	c.say("MAIL FROM:<a@b.jp>\r\nRCPT TO:<c@d.jp>\r\nDATA\r\n", "554")
	c.say("RSET\r\n", "250")
	s.Faults().Set(simulator.Fault{Name: simulator.FaultReply, At: simulator.AtMAIL, Code: 550})
	c.say("MAIL FROM:<a@b.jp>\r\nRCPT TO:<c@d.jp>\r\nDATA\r\n", "554")
	noAnomalies(t, s)
}

// Dots are unstuffed and the end is found wherever a packet ends.
func TestSMTPUnstuffing(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, simulator.SMTPConfig{})
	c := dial(t, s).hello()
	bodies := []string{
		"", "x\r\n", ".\r\n", "..\r\n", ".x\r\n", "\r\n.\r\n", "a\r\n.\r\n.\r\nb\r\n", "\r\n\r\n", "a.\r\n.b\r\n..c\r\n...\r\n",
		strings.Repeat(".\r\n", 100),
	}
	for _, size := range []int{64<<10 - 3, 64<<10 - 2, 64<<10 - 1, 64 << 10, 64<<10 + 1, 64<<10 + 2, 128 << 10, 300 << 10} {
		bodies = append(bodies, strings.Repeat("x", size-2)+"\r\n", strings.Repeat("x", size-5)+"\r\n.\r\n")
	}
	for i, body := range bodies {
		wire := stuff(body) + ".\r\n"
		c.open("a@b.jp", "c@d.jp")
		if len(wire) < 1000 {
			for _, b := range []byte(wire) {
				c.Write([]byte{b})
			}
		} else {
			io.WriteString(c, wire)
		}
		c.say("", "250")
		if got := s.Store().All()[i]; string(got.Raw) != body || got.Size != len(body) {
			t.Errorf("body %d (%d bytes): recorded %d bytes, %.80q, want %.80q", i, len(body), len(got.Raw), got.Raw, body)
		}
	}
	noAnomalies(t, s)
}

// stuff is the reference implementation of RFC 5321 section 4.5.2, line by line.
func stuff(body string) string {
	var b strings.Builder
	for line := range strings.SplitAfterSeq(body, "\r\n") {
		if strings.HasPrefix(line, ".") {
			b.WriteByte('.')
		}
		b.WriteString(line)
	}
	return b.String()
}

func FuzzSMTPMessage(f *testing.F) {
	for _, seed := range []string{"", ".", "..", "\r\n.", "a\r\n.\r\n.b", "\n.\n", "\r.\r", "\x00"} {
		f.Add([]byte(seed), 3)
	}
	s := startSMTP(f, simulator.SMTPConfig{})
	f.Fuzz(func(t *testing.T, body []byte, split int) {
		s.Store().Reset()
		want := string(body) + "\r\n"
		wire := stuff(want) + ".\r\n"
		c := dial(t, s).hello().open("a@b.jp", "c@d.jp")
		cut := max(0, min(split, len(wire)))
		io.WriteString(c, wire[:cut])
		io.WriteString(c, wire[cut:])
		c.say("", "250")
		if all := s.Store().All(); len(all) != 1 || string(all[0].Raw) != want {
			t.Fatalf("sent %q as %q, recorded %v", want, wire, all)
		}
	})
}

func TestSMTPAnomalies(t *testing.T) {
	t.Parallel()
	body := func(text string) func(*talk) {
		return func(c *talk) { c.hello().open("a@b.jp", "c@d.jp").say(text+"\r\n.\r\n", "250") }
	}
	for name, c := range map[string]struct {
		cfg  simulator.SMTPConfig
		do   func(*talk)
		want string
	}{
		"clean":                    {simulator.SMTPConfig{}, body("hello\r\n..\r\n..x"), ""},
		"bare LF":                  {simulator.SMTPConfig{}, body("a\nb"), "bare-lf"},
		"bare CR":                  {simulator.SMTPConfig{}, body("a\rb"), "bare-cr"},
		"NUL":                      {simulator.SMTPConfig{}, body("a\x00b"), "nul"},
		"LF dot LF":                {simulator.SMTPConfig{}, body("a\n.\nMAIL FROM:<x@y.jp>"), "bare-dot bare-lf"},
		"LF dot CRLF":              {simulator.SMTPConfig{}, body("a\n.\r\nMAIL FROM:<x@y.jp>"), "bare-dot bare-lf"},
		"CR dot CR":                {simulator.SMTPConfig{}, body("a\r.\rb"), "bare-cr bare-dot"},
		"CRLF dot LF":              {simulator.SMTPConfig{}, body("a\r\n.\nb"), "bare-dot bare-lf"},
		"CRLF dot CR":              {simulator.SMTPConfig{}, body("a\r\n.\rb"), "bare-cr bare-dot"},
		"CR CR LF dot CR LF":       {simulator.SMTPConfig{}, func(c *talk) { c.hello().open("a@b.jp", "c@d.jp").say("a\r\r\n.\r\n", "250") }, "bare-cr"},
		"dot not doubled":          {simulator.SMTPConfig{}, body("a\r\n.b"), "unstuffed-dot"},
		"dot not doubled at first": {simulator.SMTPConfig{}, body(".b"), "unstuffed-dot"},
		"bare LF in a command":     {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("NOOP\n", "250") }, "bare-lf"},
		"bare CR in a command":     {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("NOOP \r \r\n", "250") }, "bare-cr"},
		"NUL in a command":         {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("NOOP \x00\r\n", "250") }, "nul"},
		"MAIL before HELO":         {simulator.SMTPConfig{}, func(c *talk) { c.say("", "220"); c.say("MAIL FROM:<a@b.jp>\r\n", "503") }, "sequence"},
		"nested MAIL":              {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("MAIL FROM:<a@b.jp>\r\n", "250"); c.say("MAIL FROM:<a@b.jp>\r\n", "503") }, "sequence"},
		"RCPT before MAIL":         {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("RCPT TO:<a@b.jp>\r\n", "503") }, "sequence"},
		"DATA before RCPT":         {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("MAIL FROM:<a@b.jp>\r\n", "250"); c.say("DATA\r\n", "503") }, "sequence"},
		"unknown command":          {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("HI\r\n", "500") }, "syntax"},
		"space before the path":    {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("MAIL FROM: <a@b.jp>\r\n", "501") }, "syntax"},
		"no brackets":              {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("MAIL FROM:a@b.jp\r\n", "501") }, "syntax"},
		"space in the path":        {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("MAIL FROM:<a b@b.jp>\r\n", "501") }, "syntax"},
		"quoted bracket":           {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("MAIL FROM:<\"a> x \\\" b\"@b.jp>\r\n", "250") }, ""},
		"null recipient":           {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("MAIL FROM:<>\r\n", "250"); c.say("RCPT TO:<>\r\n", "501") }, "syntax"},
		"BDAT":                     {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("BDAT 1 LAST\r\n", "502") }, "not-offered"},
		"STARTTLS not offered":     {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("STARTTLS\r\n", "502") }, "not-offered"},
		"AUTH not offered":         {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("AUTH PLAIN AA==\r\n", "502") }, "not-offered"},
		"SIZE not offered":         {simulator.SMTPConfig{NoSIZE: true}, func(c *talk) { c.hello().say("MAIL FROM:<a@b.jp> SIZE=1\r\n", "555") }, "not-offered"},
		"BODY not offered":         {simulator.SMTPConfig{No8BITMIME: true}, func(c *talk) { c.hello().say("MAIL FROM:<a@b.jp> BODY=8BITMIME\r\n", "555") }, "not-offered"},
		"8-bit not offered":        {simulator.SMTPConfig{No8BITMIME: true}, body("\x82\xa0"), "not-offered"},
		"SMTPUTF8 not offered":     {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("MAIL FROM:<a@b.jp> SMTPUTF8\r\n", "555") }, "not-offered"},
		"SMTPUTF8": {simulator.SMTPConfig{SMTPUTF8: true}, func(c *talk) {
			c.hello().say("MAIL FROM:<あ@b.jp> SMTPUTF8\r\n", "250")
			c.say("RCPT TO:<い@b.jp>\r\n", "250")
		}, ""},
		"non-ASCII reverse-path": {simulator.SMTPConfig{SMTPUTF8: true}, func(c *talk) { c.hello().say("MAIL FROM:<あ@b.jp>\r\n", "553") }, "not-offered"},
		"RCPT parameter": {simulator.SMTPConfig{}, func(c *talk) {
			c.hello().say("MAIL FROM:<>\r\n", "250")
			c.say("RCPT TO:<a@b.jp> NOTIFY=NEVER\r\n", "555")
		}, "not-offered"},
		"declared too small": {simulator.SMTPConfig{}, func(c *talk) {
			c.hello().say("MAIL FROM:<> SIZE=2\r\n", "250")
			c.say("RCPT TO:<a@b.jp>\r\nDATA\r\n", "354")
			c.say("x\r\n.\r\n", "250")
		}, "syntax"},
		"body before the 354":    {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("MAIL FROM:<>\r\nRCPT TO:<a@b.jp>\r\nDATA\r\nx\r\n.\r\n", "250 2.0.0") }, "pipelining"},
		"pipelined behind EHLO":  {simulator.SMTPConfig{}, func(c *talk) { c.say("", "220"); c.say("EHLO x\r\nNOOP\r\n", "250 2.0.0") }, "pipelining"},
		"PIPELINING not offered": {simulator.SMTPConfig{NoPIPELINING: true}, func(c *talk) { c.hello().say("MAIL FROM:<>\r\nRCPT TO:<a@b.jp>\r\n", "250 2.1.5") }, "pipelining"},
		"long line":              {simulator.SMTPConfig{}, func(c *talk) { c.hello().say("NOOP "+strings.Repeat("x", 2100)+"\r\n", "500") }, "long-line"},
		"endless line":           {simulator.SMTPConfig{}, func(c *talk) { c.hello().say(strings.Repeat("x", 70_000), "500") }, "long-line"},
		"end inside a message":   {simulator.SMTPConfig{}, func(c *talk) { c.hello().open("a@b.jp", "c@d.jp"); io.WriteString(c, "x"); c.Close() }, "truncated"},
	} {
		s := startSMTP(t, c.cfg)
		talk := dial(t, s)
		c.do(talk)
		talk.Close()
		s.Close()
		if got := strings.Join(kinds(s), " "); got != c.want {
			t.Errorf("%s: anomalies %q, want %q: %v", name, got, c.want, s.Anomalies())
		}
	}
}

func TestSMTPSTARTTLSAndAUTH(t *testing.T) {
	t.Parallel()
	cfg := simulator.SMTPConfig{Hostname: "127.0.0.1", STARTTLS: true, Username: "user", Password: "pass", AuthRequired: true}
	s := startSMTP(t, cfg)
	client := dialTLS(t, s)
	if err := client.Mail("a@b.jp"); err == nil || !strings.HasPrefix(err.Error(), "530") {
		t.Errorf("MAIL before AUTH: %v", err)
	}
	if err := client.Auth(smtp.PlainAuth("", "user", "pass", "127.0.0.1")); err != nil {
		t.Fatal(err)
	}
	if ok, _ := client.Extension("STARTTLS"); ok {
		t.Error("STARTTLS is offered under TLS")
	}
	deliver(t, client)
	if r := s.Store().All()[0]; !r.SMTP.TLS || r.SMTP.User != "user" {
		t.Errorf("recorded %+v", r.SMTP)
	}
	noAnomalies(t, s)
	if err := smtp.SendMail(s.Addr(), nil, "a@b.jp", []string{"c@d.jp"}, []byte("x\r\n")); err == nil {
		t.Error("SendMail trusted an unknown certificate")
	}
	if err := dialTLS(t, s).Auth(smtp.PlainAuth("", "user", "wrong", "127.0.0.1")); err == nil || !strings.HasPrefix(err.Error(), "535") {
		t.Errorf("wrong password: %v", err)
	}
}

// dialTLS greets and does STARTTLS as the standard library does.
func dialTLS(t *testing.T, s *simulator.SMTP) *smtp.Client {
	t.Helper()
	client, err := smtp.Dial(s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if err := client.StartTLS(&tls.Config{RootCAs: s.CertPool(), ServerName: "127.0.0.1"}); err != nil {
		t.Fatal(err)
	}
	return client
}

func deliver(t *testing.T, client *smtp.Client) {
	t.Helper()
	err := client.Mail("a@b.jp")
	if err == nil {
		err = client.Rcpt("c@d.jp")
	}
	if err != nil {
		t.Fatal(err)
	}
	data, err := client.Data()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(data, "Subject: x\r\n\r\nx\r\n")
	if err := data.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSMTPImplicitTLS(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, simulator.SMTPConfig{ImplicitTLS: true})
	conn, err := tls.Dial("tcp", s.Addr(), &tls.Config{RootCAs: s.CertPool(), ServerName: "localhost"})
	if err != nil {
		t.Fatal(err)
	}
	client, err := smtp.NewClient(conn, "localhost")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	deliver(t, client)
	if r := s.Store().All()[0]; !r.SMTP.TLS {
		t.Error("recorded as plain text")
	}
	noAnomalies(t, s)
}

func TestSMTPAUTHDialogues(t *testing.T) {
	t.Parallel()
	b64 := func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }
	good, bad := b64("\x00user\x00pass"), b64("\x00user\x00nope")
	for name, dialogue := range map[string][]string{
		"PLAIN, initial response": {"AUTH PLAIN " + good, "235"},
		"PLAIN, challenge":        {"AUTH PLAIN", "334 ", good, "235"},
		"PLAIN, wrong":            {"AUTH PLAIN " + bad, "535", "AUTH PLAIN " + good, "235", "AUTH PLAIN " + good, "503"},
		"PLAIN, not base64":       {"AUTH PLAIN !", "501"},
		"PLAIN, one part":         {"AUTH PLAIN " + b64("user"), "501"},
		"PLAIN, empty":            {"AUTH PLAIN =", "501"},
		"PLAIN, given up":         {"AUTH PLAIN", "334 ", "*", "501"},
		"LOGIN":                   {"AUTH LOGIN", "334 " + b64("Username:"), b64("user"), "334 " + b64("Password:"), b64("pass"), "235"},
		"LOGIN, initial response": {"auth login " + b64("user"), "334 " + b64("Password:"), b64("pass"), "235"},
		"LOGIN, wrong":            {"AUTH LOGIN", "334", b64("user"), "334", b64("nope"), "535"},
		"other":                   {"AUTH CRAM-MD5", "504"},
	} {
		s := startSMTP(t, simulator.SMTPConfig{Username: "user", Password: "pass"})
		c := dial(t, s).hello()
		for i := 0; i < len(dialogue); i += 2 {
			if got := c.say(dialogue[i]+"\r\n", dialogue[i+1]); !strings.HasPrefix(got, dialogue[i+1]) {
				t.Errorf("%s: %q gave %q, want %q", name, dialogue[i], got, dialogue[i+1])
			}
		}
	}
}

// What was injected in plain text behind STARTTLS is dropped and noted.
func TestSMTPSTARTTLSInjection(t *testing.T) {
	t.Parallel()
	s := startSMTP(t, simulator.SMTPConfig{STARTTLS: true})
	c := dial(t, s).hello()
	c.say("STARTTLS\r\nMAIL FROM:<evil@b.jp>\r\n", "220")
	conn := tls.Client(c.Conn, &tls.Config{RootCAs: s.CertPool(), ServerName: "localhost"})
	secure := &talk{t, conn}
	secure.say("MAIL FROM:<a@b.jp>\r\n", "503")
	if got := fmt.Sprint(kinds(s)); got != "[pipelining sequence]" {
		t.Errorf("anomalies %s", got)
	}
}
