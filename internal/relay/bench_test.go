package relay

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"
)

// nullUpstream accepts everything and keeps nothing.
type nullUpstream struct{}

type nullDelivery struct{ errs [1]error }

func (nullUpstream) Begin(context.Context, *Envelope) (Delivery, error) { return &nullDelivery{}, nil }

func (d *nullDelivery) AddRecipients(_ context.Context, to []Address) []error {
	if len(to) == 1 {
		return d.errs[:]
	}
	return make([]error, len(to))
}

func (d *nullDelivery) Send(ctx context.Context, body Body) (Receipt, error) {
	if err := body.Open(ctx); err != nil {
		return Receipt{}, err
	}
	for {
		if _, err := body.Next(); errors.Is(err, io.EOF) {
			return Receipt{ID: "0106019abcdef012-01234567-89ab-cdef-0123-456789abcdef-000000"}, nil
		} else if err != nil {
			return Receipt{}, err
		}
	}
}

func (d *nullDelivery) Abort() {}

// bulkSource is a client whose content is there already; seven bytes of it
// make each mail another one.
type bulkSource struct {
	content []byte
	at      int
}

func (s *bulkSource) Open() error { return nil }

func (s *bulkSource) Read(p []byte) (int, error) {
	if s.at == len(s.content) {
		return 0, io.EOF
	}
	n := copy(p, s.content[s.at:])
	s.at += n
	return n, nil
}

// benchMail is a mail of size bytes with a header section like Postfix's own.
func benchMail(size int) []byte {
	head := "Received: from web (web.goo.ne.jp [192.0.2.7])\r\n\tby mta01.goo.ne.jp (Postfix) with ESMTP id 4dFxYz0Abc;\r\n\tMon, 23 Nov 2026 10:00:00 +0900 (JST)\r\n" +
		"Message-ID: <00000000@goo.ne.jp>\r\nDate: Mon, 23 Nov 2026 10:00:00 +0900\r\nFrom: =?UTF-8?B?44GC?= <info@goo.ne.jp>\r\nTo: <to@example.jp>\r\n" +
		"Subject: =?UTF-8?B?44GC44GE44GG?=\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=UTF-8\r\nContent-Transfer-Encoding: base64\r\n" +
		"List-Unsubscribe: <https://example.jp/u>\r\nX-Mailer: x\r\n\r\n"
	line := strings.Repeat("a", 76) + "\r\n"
	return []byte(head + strings.Repeat(line, max(0, size-len(head))/len(line)))
}

// BenchmarkData is a whole transaction of one recipient, everything on but the
// upstream and the log.
func BenchmarkData(b *testing.B) {
	for _, route := range []Route{SES, Cuenote} {
		for _, size := range []int{8 << 10, 100 << 10, 1 << 20} {
			b.Run(fmt.Sprintf("%s/%dK", route, size>>10), func(b *testing.B) { benchData(b, route, size) })
		}
	}
}

func benchData(b *testing.B, route Route, size int) {
	w := newWorld(nil)
	w.router.route = route
	w.quota.left = 1 << 40
	w.ledger = NewMemoryLedger(6*time.Hour, 50_000, time.Now)
	w.set(func(c *Config) {
		c.SES.Upstream, c.Cuenote.Upstream, c.Ledger = nullUpstream{}, nullUpstream{}, w.ledger
	})
	w.relay.observe = nil
	content, to, ctx := benchMail(size), addr("to@example.jp"), context.Background()
	id := strings.Index(string(content), "<00000000")
	env := Envelope{ReversePath: addr("sender@goo.ne.jp"), Size: int64(size), Client: Client{HELO: "mta01.goo.ne.jp", Extended: true}}
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		for d, n := id+8, i; d > id; d, n = d-1, n/10 {
			content[d] = '0' + byte(n%10)
		}
		e := env
		e.ID = "01khabcdefghjkmnpqrs"
		t := w.relay.Begin(&e)
		t.Recipient(ctx, to)
		if r := t.Data(ctx, &bulkSource{content: content}); r.Code != 250 {
			b.Fatal(r)
		}
		t.Abort()
	}
}

func BenchmarkScanHeader(b *testing.B) {
	content := benchMail(8 << 10)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ScanHeader(content, true, "relay.example.jp"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFingerprint(b *testing.B) {
	content := benchMail(8 << 10)
	env, to := &Envelope{ReversePath: addr("sender@goo.ne.jp")}, []Address{addr("to@example.jp")}
	b.SetBytes(int64(len(content)))
	b.ReportAllocs()
	for b.Loop() {
		fingerprint(env, to, sha256.Sum256(content))
	}
}

func BenchmarkParseAddress(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseAddress("someone.somewhere@mail.example.jp", false); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkLedger is what one accepted mail costs with a full ledger of
// 500,000 receipts, and what a receipt takes in memory.
func BenchmarkLedger(b *testing.B) {
	const entries = 500_000
	receipt := func(i int) Receipt {
		return Receipt{Route: SES, RelayID: fmt.Sprintf("01khabcdefghjk%06d", i%1_000_000), ID: fmt.Sprintf("0106019abcdef012-01234567-89ab-cdef-0123-%012d-000000", i)}
	}
	key := func(i int) Fingerprint { return sha256.Sum256(fmt.Append(nil, i)) }
	before := heap()
	l := NewMemoryLedger(6*time.Hour, entries, time.Now)
	ctx, n := context.Background(), 0
	accept := func() {
		owner := "01khabcdefghjkmnpqrs"
		fp := key(n)
		if c, _ := l.Claim(ctx, fp, owner); c.State != Claimed {
			b.Fatal(c)
		}
		l.Accept(fp, owner, receipt(n))
		n++
	}
	for range entries + entries/10 {
		accept()
	}
	perEntry := float64(heap()-before) / entries
	var longest time.Duration
	b.ReportAllocs()
	for b.Loop() {
		start := time.Now()
		accept()
		longest = max(longest, time.Since(start))
	}
	b.ReportMetric(perEntry, "B/entry")
	b.ReportMetric(float64(longest.Microseconds()), "longest-µs")
	runtime.KeepAlive(l)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
