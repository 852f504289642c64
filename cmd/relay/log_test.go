package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net/netip"
	"strings"
	"testing"

	"sesrelay/internal/mask"
	"sesrelay/internal/relay"
)

func testMasker(t *testing.T, mode mask.Mode) *mask.Masker {
	t.Helper()
	m, err := mask.New(mode, []byte("0123456789abcdef"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func address(t *testing.T, s string) relay.Address {
	t.Helper()
	a, err := relay.ParseAddress(s, false)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// Wherever a client or an upstream can write an address, the line does not
// hold it, unless log.addresses is full.
func TestTransactionLineHoldsNoAddress(t *testing.T) {
	t.Parallel()
	secrets := []string{"taro.yamada", "hanako.suzuki", "jiro.helo", "saburo.queue", "shiro.receipt", "goro.user", "rokuro.text", "nana.refused", "203.0.113.77"}
	record := &relay.Record{
		Envelope: relay.Envelope{ID: "06h0", ReversePath: address(t, "taro.yamada@goo.ne.jp"),
			Client: relay.Client{Addr: netip.MustParseAddr("203.0.113.77"), HELO: "jiro.helo@goo.ne.jp", User: "goro.user@goo.ne.jp"}},
		Recipients: []relay.Address{address(t, "hanako.suzuki@docomo.ne.jp")},
		QueueID:    "saburo.queue@goo.ne.jp", Receipt: relay.Receipt{ID: "shiro.receipt@goo.ne.jp"},
		Reply:    relay.ReplyLocalError,
		Refused:  []relay.Refusal{{To: address(t, "nana.refused@docomo.ne.jp"), Reply: relay.ReplyLocalError, Err: &relay.Error{Err: errors.New("no <nana.refused@docomo.ne.jp>")}}},
		Attempts: []relay.Attempt{{Route: relay.SES, Err: errors.New("Address rokuro.text@docomo.ne.jp is on the list")}},
		Err:      errors.New("said rokuro.text@docomo.ne.jp"),
	}
	write := func(mode mask.Mode) string {
		var b bytes.Buffer
		(&transactionLog{log: slog.New(slog.NewJSONHandler(&b, nil)), mask: testMasker(t, mode)}).write(record)
		return b.String()
	}
	masked, full := write(mask.Masked), write(mask.Full)
	for _, s := range secrets {
		if strings.Contains(masked, s) {
			t.Errorf("%s stands in %s", s, masked)
		}
		if !strings.Contains(full, s) {
			t.Errorf("with full, %s does not stand in %s", s, full)
		}
	}
	record.Envelope.Client.Addr = netip.MustParseAddr("10.1.2.3")
	if line := write(mask.Masked); !strings.Contains(line, `"client":"10.1.2.3"`) {
		t.Errorf("our own host is not named: %s", line)
	}
}

// What a session logs beside transactions is masked too, also what it has set
// once for all its lines.
func TestSessionLinesAreMasked(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	m := testMasker(t, mask.Masked)
	log := slog.New(sessionMask{slog.NewJSONHandler(&b, nil), func() *mask.Masker { return m }})
	log.With("client", netip.MustParseAddr("203.0.113.77")).WithGroup("g").
		Warn("authentication failed", "user", "taro.yamada@goo.ne.jp", "err", errors.New("from 203.0.113.77:25"), "count", 7)
	if line := b.String(); strings.Contains(line, "taro.yamada") || strings.Contains(line, "203.0.113.77") || !strings.Contains(line, `"count":7`) {
		t.Error(line)
	}
}
