package main

import (
	"io"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"sesrelay/internal/mask"
	"sesrelay/internal/relay"
)

// BenchmarkTransactionLine is what the log costs each mail, without the write.
func BenchmarkTransactionLine(b *testing.B) {
	m, err := mask.New(mask.Masked, []byte("0123456789abcdef"))
	if err != nil {
		b.Fatal(err)
	}
	l := &transactionLog{log: newLogger(io.Discard, "json", slog.LevelInfo), mask: m}
	receipt := relay.Receipt{Route: relay.SES, RelayID: "06h24j8x8apb9dvkqsp0", ID: "0106019afe28eae7-fe28eae7-0000-4000-8000-00000000a027-000000"}
	r := &relay.Record{
		Envelope: relay.Envelope{ID: receipt.RelayID, ReversePath: relay.Address{Local: "news", Domain: "goo.ne.jp"},
			Client: relay.Client{Addr: netip.MustParseAddr("10.1.2.3"), HELO: "mta1.goo.ne.jp"}},
		Route: relay.SES, Reason: "split", Result: relay.ResultAccepted, Reply: receipt.Reply(), Receipt: receipt,
		Recipients: []relay.Address{{Local: "taro.yamada", Domain: "docomo.ne.jp"}},
		Attempts:   []relay.Attempt{{Route: relay.SES, Outcome: relay.Accepted, Took: 80 * time.Millisecond}},
		QueueID:    "4FB04A29vmh", Fingerprint: relay.Fingerprint{1, 2, 3}, Size: 8328, Duration: 81 * time.Millisecond, Upstream: 80 * time.Millisecond,
	}
	b.ReportAllocs()
	for b.Loop() {
		l.write(r)
	}
}
