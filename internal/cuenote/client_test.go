package cuenote

import (
	"slices"
	"testing"

	"sesrelay/internal/relay"
)

func TestMailIsSent(t *testing.T) {
	t.Parallel()
	f := newFake()
	c := newClient(t, f.listen(t))
	env := envelope(t)
	env.Size, env.EightBit = 1000, true
	for range 2 {
		r := mail(t, c, env, "a@example.jp", "b@example.jp")
		r.ok(t)
		want := relay.Receipt{Route: relay.Cuenote, ID: "4XyZ1k2m3n", Text: "2.0.0 Ok: queued as 4XyZ1k2m3n"}
		if r.receipt != want {
			t.Errorf("receipt %+v, want %+v", r.receipt, want)
		}
	}
	got := f.conn(0)
	transaction := []string{"MAIL FROM:<from@goo.ne.jp> SIZE=1512 BODY=8BITMIME", "RCPT TO:<a@example.jp>", "RCPT TO:<b@example.jp>", "DATA"}
	want := append(append([]string{"EHLO relay-1.example"}, transaction...), transaction...)
	if !slices.Equal(got.commands, want) || f.count() != 1 {
		t.Errorf("%d connections, commands %q", f.count(), got.commands)
	}
	if len(got.content) != 2 || got.content[1] != message+".\r\n" {
		t.Errorf("content %q", got.content)
	}
}
