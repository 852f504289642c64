package smtp

import (
	"strings"
	"testing"
	"time"
)

// TestParkedSession: what was agreed before the library went away holds
// after it, and what was not agreed does not.
func TestParkedSession(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	s, address := serve(t, k, func(c *Config) {
		c.Limits.Park = time.Millisecond
		c.Limits.Command = patience
	})
	asleep := func() { waitFor(t, func() bool { return parked(s) == 1 }) }
	c := dial(t, address)
	c.want("220")
	asleep()
	c.do("MAIL FROM:<a@goo.ne.jp>", "503 5.5.1")
	asleep()
	c.do("HELO old.test", "250 relay.test")
	for range 3 {
		asleep()
		c.toData()
		c.send("Hi\r\n.\r\n")
		c.want("250")
	}
	asleep()
	c.do("EHLO new.test", "250 SIZE")
	asleep()
	c.send("MA") // half a line wakes, and is waited for without parking again
	waitFor(t, func() bool { return parked(s) == 0 })
	time.Sleep(10 * time.Millisecond)
	c.send("IL FROM:<a@goo.ne.jp>\r\n")
	c.want("250")
	time.Sleep(10 * time.Millisecond) // inside a transaction nothing parks
	if parked(s) > 0 {
		t.Fatal("parked with a transaction")
	}
	c.do("RCPT TO:<b@docomo.ne.jp>", "250")
	c.do("DATA", "354")
	c.send(".\r\n")
	c.want("250")
	m := k.accepted()
	if e := m[0].env; e.Client.HELO != "old.test" || e.Client.Extended || e.Protocol() != "SMTP" {
		t.Errorf("first: %+v", e.Client)
	}
	if e := m[3].env; e.Client.HELO != "new.test" || !e.Client.Extended {
		t.Errorf("last: %+v", e.Client)
	}
	if strings.Contains(k.log(), "abort") && strings.Count(k.log(), "abort") != 4 {
		t.Errorf("aborts: %s", k.log())
	}
	asleep()
	c.do("QUIT", "221")
	c.ended()
}

// TestParkedTimeout: parking does not lengthen a client's time.
func TestParkedTimeout(t *testing.T) {
	t.Parallel()
	_, address := serve(t, &keeper{}, func(c *Config) {
		c.Limits.Park = time.Millisecond
		c.Limits.Command = 100 * time.Millisecond
	})
	c := open(t, address)
	begun := time.Now()
	c.want("421 4.4.2")
	c.ended()
	if d := time.Since(begun); d > 5*time.Second {
		t.Errorf("waited %v", d)
	}
}
