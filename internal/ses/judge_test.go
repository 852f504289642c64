package ses

import (
	"fmt"
	"strings"
	"testing"

	"sesrelay/internal/relay"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://127.0.0.1:9", SenderDirect, func(cfg *Config) { cfg.MessageSize = 1000 })
	type mail struct {
		env     *relay.Envelope
		to      []relay.Address
		content relay.Content
	}
	to := func(list ...string) func(*mail) {
		return func(m *mail) {
			m.to = nil
			for _, s := range list {
				m.to = append(m.to, address(t, s))
			}
		}
	}
	many := func(n int) func(*mail) {
		return to(strings.Split(strings.Repeat("a@example.com,", n)[:n*14-1], ",")...)
	}
	cases := []struct {
		name  string
		edit  func(*mail)
		class string
		reply relay.Reply
	}{
		{"good", func(*mail) {}, "", relay.Reply{}},
		{"null sender", func(m *mail) { m.env.ReversePath = relay.Address{} }, JudgeNullSender, relay.ReplyConfig},
		{"SMTPUTF8", func(m *mail) { m.env.SMTPUTF8 = true }, JudgeSMTPUTF8, relay.ReplyNeedsUTF8},
		{"UTF-8 sender", func(m *mail) { m.env.ReversePath = relay.Address{Local: "é", Domain: "example.jp"} }, JudgeSMTPUTF8, relay.ReplyNeedsUTF8},
		{"no recipient", func(m *mail) { m.to = nil }, JudgeRecipients, relay.ReplyTooManyRcpts},
		{"50 recipients", many(50), "", relay.Reply{}},
		{"51 recipients", many(51), JudgeRecipients, relay.ReplyTooManyRcpts},
		{"dots of a carrier", to("a@example.com", "a..b.@docomo.example.jp"), JudgeAddress, relay.ReplyBadDest},
		{"quoted local part", to(`"a b"@example.com`), JudgeAddress, relay.ReplyBadDest},
		{"address literal", to("a@[192.0.2.1]"), JudgeAddress, relay.ReplyBadDest},
		{"UTF-8 recipient", to("é@example.com"), JudgeAddress, relay.ReplyBadDest},
		{"UTF-8 domain", to("a@é.example"), JudgeAddress, relay.ReplyBadDest},
		{"dot behind the domain", to("a@example.com."), JudgeAddress, relay.ReplyBadDest},
		{"64 octets", to(strings.Repeat("a", 64) + "@example.com"), "", relay.Reply{}},
		{"65 octets", to(strings.Repeat("a", 65) + "@example.com"), JudgeAddress, relay.ReplyBadDest},
		{"as large as may be", func(m *mail) { m.content.Size = 1000 }, "", relay.Reply{}},
		{"too large", func(m *mail) { m.content.Size = 1001 }, JudgeSize, relay.ReplyTooLarge},
		{"repeated field", func(m *mail) { m.content.Repeated = true }, JudgeRepeated, relay.ReplyMessage},
		{"line of 998", func(m *mail) { m.content.LongestLine = 998 }, "", relay.Reply{}},
		{"line of 999", func(m *mail) { m.content.LongestLine = 999 }, JudgeLine, relay.ReplyMessage},
		{"no From", func(m *mail) { m.content.From = nil }, JudgeNoFrom, relay.ReplyMessage},
		{"empty From", func(m *mail) { m.content.From = []string{" \t"} }, JudgeNoFrom, relay.ReplyMessage},
	}
	for _, k := range cases {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			m := mail{env: envelope(t), to: []relay.Address{address(t, "to@example.com")},
				content: relay.Content{Header: relay.Header{From: []string{"a@example.jp"}}, Size: 100, LongestLine: 78}}
			k.edit(&m)
			e := c.Judge(m.env, m.to, &m.content)
			if k.class == "" {
				if e != nil {
					t.Errorf("refused: %v", e)
				}
				return
			}
			if e == nil || e.Class != k.class || e.Outcome != na || e.Kind != relay.Rejected || e.Signal != relay.SignalNone || e.Reply != k.reply {
				t.Fatalf("got %v, not %q with %q", e, k.class, k.reply)
			}
			noLeak(t, e.Reply)
		})
	}
}

func TestAddRecipients(t *testing.T) {
	t.Parallel()
	c := newClient(t, "http://127.0.0.1:9", SenderDirect)
	d := begin(t, c)
	var to []relay.Address
	for i := range 49 {
		to = append(to, address(t, fmt.Sprintf("a%d@example.com", i)))
	}
	to = append(to, address(t, "a..b@example.com"), address(t, "b@example.com"), address(t, "c@example.com"))
	errs := d.AddRecipients(t.Context(), to)
	for i, err := range errs[:49] {
		if err != nil {
			t.Fatalf("recipient %d: %v", i, err)
		}
	}
	if e := refusal(t, errs[49]); e.Kind != relay.Rejected || !e.Reply.Temporary() {
		t.Errorf("an address for Cuenote: %v", e)
	}
	if errs[50] != nil {
		t.Errorf("recipient 50: %v", errs[50])
	}
	if e := refusal(t, errs[51]); e.Kind != relay.ClientFault || e.Reply != relay.ReplyTooManyRcpts {
		t.Errorf("recipient 51: %v", e)
	}
	if len(d.to) != MaxRecipients {
		t.Errorf("%d recipients taken", len(d.to))
	}
}
