package relay

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// sent is one mail of a client.
type sent struct {
	from, content string
	to            []string
}

func (m sent) but(change func(*sent)) sent {
	change(&m)
	return m
}

// give sends a mail and returns the reply to DATA.
func (w *world) give(m sent) Reply {
	t := w.begin()
	t.env.ReversePath = Address{}
	if m.from != "" {
		t.env.ReversePath = addr(m.from)
	}
	for _, to := range m.to {
		if r := t.Recipient(context.Background(), addr(to)); !r.Positive() {
			w.t.Errorf("RCPT %s: %s", to, r)
		}
	}
	return t.Data(context.Background(), &fakeSource{content: m.content})
}

func (w *world) arrived() int { return len(w.ses.mails()) + len(w.cuenote.mails()) }

// TestWhatIsTheSameMail: only the same sender, recipients and bytes are a retry.
// Whatever differs is a mail of its own, whatever its Message-ID.
func TestWhatIsTheSameMail(t *testing.T) {
	base := sent{"news@goo.ne.jp", testMail, []string{"a@example.jp", "b@example.jp"}}
	content := func(s string) sent { return base.but(func(m *sent) { m.content = s }) }
	to := func(list ...string) sent { return base.but(func(m *sent) { m.to = list }) }
	from := func(s string) sent { return base.but(func(m *sent) { m.from = s }) }
	bare := func(messageID string) sent {
		return content(messageID + "From: a@goo.ne.jp\r\nSubject: alarm\r\n\r\non fire\r\n")
	}
	long := "Message-ID: <" + strings.Repeat("x", 64<<10) + "@goo.ne.jp>\r\n"
	for name, k := range map[string]struct {
		first, second sent
		want          int
	}{
		"the same":                         {base, base, 1},
		"recipients in another order":      {base, to("b@example.jp", "a@example.jp"), 1},
		"a recipient less":                 {base, to("a@example.jp"), 2},
		"a recipient more":                 {base, to("a@example.jp", "b@example.jp", "c@example.jp"), 2},
		"a recipient twice":                {base, to("a@example.jp", "b@example.jp", "b@example.jp"), 2},
		"a blind copy":                     {base, to("bcc@example.jp"), 2},
		"a recipient in capitals":          {base, to("A@example.jp", "b@example.jp"), 2},
		"a recipient in quotes":            {base, to(`"a"@example.jp`, "b@example.jp"), 2},
		"recipients that join to the same": {to("a@x.jp", "b@x.jp"), to(`"a@x.jp"@x.jp`, "b@x.jp"), 2},
		"another sender":                   {base, from("shop@goo.ne.jp"), 2},
		"the null sender":                  {base, from(""), 2},
		"another byte":                     {base, content(testMail[:len(testMail)-3] + "O\r\n"), 2},
		"another line end":                 {base, content(testMail + "\r\n"), 2},
		"another queue id":                 {base, content(strings.Replace(testMail, "4ABC", "4ABD", 1)), 2},
		"another X-SES field":              {base, content("X-SES-TENANT: a\r\n" + testMail), 2},
		"a header section without end":     {content("Message-ID: <1@x>\r\nFrom: a@x\r\n"), content("Message-ID: <1@x>\r\nFrom: a@x\r\n\r\n"), 2},
		"no name of its own":               {bare(""), bare(""), 2},
		"an empty Message-ID":              {bare("Message-ID: \r\n"), bare("Message-ID: \r\n"), 2},
		"an empty folded Message-ID":       {bare("Message-ID:\r\n \r\n"), bare("Message-ID:\r\n \r\n"), 2},
		"a Message-ID":                     {bare("Message-ID: <1@x>\r\n"), bare("Message-ID: <1@x>\r\n"), 1},
		"a folded Message-ID":              {bare("Message-ID:\r\n <1@x>\r\n"), bare("Message-ID:\r\n <1@x>\r\n"), 1},
		"two Message-IDs":                  {bare("Message-ID: <1@x>\r\nMessage-ID: <2@x>\r\n"), bare("Message-ID: <2@x>\r\nMessage-ID: <1@x>\r\n"), 2},
		"a long Message-ID":                {bare(long), bare(long), 1},
		"a long Message-ID, its last byte": {bare(long), bare(strings.Replace(long, "x@", "y@", 1)), 2},
	} {
		for _, route := range []Route{SES, Cuenote} {
			t.Run(name+"/"+string(route), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.router.route = route
				first, second := w.give(k.first), w.give(k.second)
				if !first.Positive() || !second.Positive() {
					t.Fatalf("replies %s, %s", first, second)
				}
				if n := w.arrived(); n != k.want {
					t.Errorf("%d mails arrived, want %d", n, k.want)
				}
				if k.want == 1 && first != second {
					t.Errorf("the retry's receipt is %s, not %s", second, first)
				}
			})
		}
	}
}

// TestOneMessageIDInParallel: many mails with one Message-ID at once, some of
// them the same mail: each that differs arrives, each that is the same arrives once.
func TestOneMessageIDInParallel(t *testing.T) {
	t.Parallel()
	for _, route := range []Route{SES, Cuenote} {
		w := newWorld(t)
		w.router.route = route
		var all sync.WaitGroup
		for i := range 60 {
			all.Go(func() {
				n := i / 3 // three clients with the same mail each
				m := sent{"news@goo.ne.jp", testMail, []string{"a@example.jp"}}
				switch n % 3 {
				case 0:
					m.content += fmt.Sprintf("%d\r\n", n)
				case 1:
					m.to = []string{fmt.Sprintf("to%d@example.jp", n)}
				case 2:
					m.from = fmt.Sprintf("from%d@goo.ne.jp", n)
				}
				if r := w.give(m); !r.Positive() {
					t.Errorf("%s", r)
				}
			})
		}
		all.Wait()
		if n := w.arrived(); n != 20 {
			t.Errorf("%s: %d mails arrived, want 20", route, n)
		}
	}
}
