package smtp

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/crypto/bcrypt"
)

var somewhere = netip.MustParseAddr("192.0.2.1")

// TestUsersFiles: each testdata/users.*.txt has one kind of mistake; what is
// said about it stands in its first line.
func TestUsersFiles(t *testing.T) {
	t.Parallel()
	files, _ := filepath.Glob("testdata/users.*.txt")
	if len(files) < 5 {
		t.Fatal("testdata is missing")
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		first, _, _ := strings.Cut(string(text), "\n")
		want := strings.ReplaceAll(strings.TrimPrefix(first, "# "), " & ", "\n")
		if _, err := ReadUsers(f); err == nil || err.Error() != strings.ReplaceAll(want, "FILE", f) {
			t.Errorf("%s: %v, want %s", f, err, want)
		}
	}
	if _, err := ReadUsers("testdata/none"); err == nil {
		t.Error("a missing file was read")
	}
}

// TestUnknownUserCostsTheSame: the dummy has the highest cost of the file, and
// nobody has its password.
func TestUnknownUserCostsTheSame(t *testing.T) {
	t.Parallel()
	lines := ""
	for i, cost := range []int{4, 6, 5} {
		h, _ := bcrypt.GenerateFromPassword([]byte("secret"), cost)
		lines += fmt.Sprintf("u%d:%s\n", i, h)
	}
	u, err := ParseUsers(strings.NewReader(lines), "users")
	if err != nil {
		t.Fatal(err)
	}
	h, known := u.hash("nobody")
	if cost, err := bcrypt.Cost(h); known || err != nil || cost != 6 {
		t.Fatalf("dummy: known %v, cost %d, %v", known, cost, err)
	}
	a := newAuthenticator()
	for _, password := range []string{"nobody", "", "secret"} {
		if v := a.check(context.Background(), u, somewhere, "nobody", password); v != denied {
			t.Errorf("unknown user with %q: %v", password, v)
		}
	}
}

// TestPasswords: verdicts, remembered or not, and void when the hash changes.
func TestPasswords(t *testing.T) {
	t.Parallel()
	a, u := newAuthenticator(), testUsers(t)
	for range 2 {
		for password, want := range map[string]verdict{"secret": granted, "Secret": denied, "": denied} {
			if v := a.check(context.Background(), u, somewhere, "ops", password); v != want {
				t.Errorf("%q: %v", password, v)
			}
		}
	}
	h, _ := bcrypt.GenerateFromPassword([]byte("changed"), bcrypt.MinCost)
	changed, _ := ParseUsers(strings.NewReader("ops:"+string(h)), "users")
	if v := a.check(context.Background(), changed, somewhere, "ops", "secret"); v != denied {
		t.Errorf("the old password still counts: %v", v)
	}
}

// TestFailuresAreLimited: per client and per user; a password that was right
// lately is not locked out by somebody else's failures.
func TestFailuresAreLimited(t *testing.T) {
	t.Parallel()
	u := testUsers(t)
	synctest.Test(t, func(t *testing.T) { // no failure is forgiven while a slow machine looks at passwords
		a := newAuthenticator()
		ctx := t.Context()
		if v := a.check(ctx, u, somewhere, "ops", "secret"); v != granted {
			t.Fatal(v)
		}
		count := func(addr func(i int) netip.Addr, user func(i int) string) (n int) {
			for i := range 100 {
				if a.check(ctx, u, addr(i), user(i), fmt.Sprint("wrong", i)) == denied {
					n++
				}
			}
			return n
		}
		one := func(int) netip.Addr { return netip.MustParseAddr("198.51.100.1") }
		many := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{203, 0, 113, byte(i)}) }
		if n := count(one, func(i int) string { return fmt.Sprint("user", i) }); n != 20 {
			t.Errorf("one client: %d passwords looked at", n)
		}
		if n := count(many, func(int) string { return "ops" }); n != 50 {
			t.Errorf("one user: %d passwords looked at", n)
		}
		if v := a.check(ctx, u, netip.MustParseAddr("2001:db8::1"), "ops", "other"); v != later {
			t.Errorf("new password of a limited user: %v", v)
		}
		if v := a.check(ctx, u, somewhere, "ops", "secret"); v != granted {
			t.Errorf("the user is locked out: %v", v)
		}
	})
}

// TestLimiter: failures are forgiven with time, and names are forgotten.
func TestLimiter(t *testing.T) {
	t.Parallel()
	l, now := newLimiter(2, time.Second), time.Unix(1000, 0)
	l.fail("a", now)
	l.fail("a", now)
	if l.allow("a", now) || !l.allow("b", now) || !l.allow("a", now.Add(1001*time.Millisecond)) {
		t.Error("limit")
	}
	for i := range 3 * maxNames {
		l.fail(fmt.Sprint(i), now)
	}
	if n := len(l.names); n > maxNames {
		t.Errorf("%d names", n)
	}
	l.fail("c", now.Add(time.Hour))
	if !l.allow("a", now.Add(time.Hour)) {
		t.Error("not forgiven")
	}
}

// TestAuthFlood: many wrong passwords at once run few bcrypts at once.
func TestAuthFlood(t *testing.T) {
	t.Parallel()
	a, u := newAuthenticator(), testUsers(t)
	for range cap(a.places) {
		a.places <- struct{}{} // all places taken
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for i := range 50 {
		wg.Go(func() {
			if v := a.check(ctx, u, somewhere, "ops", fmt.Sprint(i)); v != later {
				t.Errorf("checked without a place: %v", v)
			}
		})
	}
	cancel()
	wg.Wait()
}

// TestUserRemoved: AUTH holds as long as the user does.
func TestUserRemoved(t *testing.T) {
	t.Parallel()
	s, address := serve(t, &keeper{}, func(c *Config) {
		c.Listeners[0].TLS = TLSImplicit
		c.Certificate = testCertificate(t)
		c.Access = Access{Users: testUsers(t)}
	})
	c := overTLS(t, dial(t, address))
	c.want("220")
	c.do("EHLO client.test", "250")
	c.do("AUTH PLAIN "+base64.StdEncoding.EncodeToString([]byte("\x00ops\x00secret")), "235")
	c.do("MAIL FROM:<a@goo.ne.jp>", "250")
	c.do("RSET", "250")
	none, _ := ParseUsers(strings.NewReader(""), "users")
	s.SetAccess(Access{Users: none})
	c.do("MAIL FROM:<a@goo.ne.jp>", "530 5.7.0")
	s.SetAccess(loopback)
	c.do("MAIL FROM:<a@goo.ne.jp>", "250")
	c.do("RSET", "250")
	s.SetAccess(Access{})
	c.do("MAIL FROM:<a@goo.ne.jp>", "550 5.7.1")
}

// TestHerdBehindARestart: whoever has waited for a place takes the verdict that
// was found meanwhile. bcrypt would say something else here.
func TestHerdBehindARestart(t *testing.T) {
	t.Parallel()
	u := testUsers(t)
	synctest.Test(t, func(t *testing.T) {
		a := newAuthenticator()
		for range cap(a.places) {
			a.places <- struct{}{}
		}
		const user, password = "mta1", "no password of anybody"
		verdicts := make(chan verdict, 50)
		for range cap(verdicts) {
			go func() { verdicts <- a.check(t.Context(), u, somewhere, user, password) }()
		}
		synctest.Wait() // all wait for a place
		hash, _ := u.hash(user)
		a.remember(a.id(user, password, hash), granted, time.Now())
		<-a.places
		for range cap(verdicts) {
			if v := <-verdicts; v != granted {
				t.Errorf("verdict %d", v)
			}
		}
	})
}
