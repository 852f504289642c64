package simulator_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/sesv2"

	"sesrelay/internal/simulator"
)

// eightKiB is a mail of 8 KiB in lines of 76 characters.
func eightKiB() string {
	head := "From: info@goo.ne.jp\r\nTo: a@example.jp\r\nSubject: bench\r\nX-Test-Id: %08d\r\n\r\n"
	return head + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 105)
}

// BenchmarkSMTP sends pipelined groups over one connection: the dot of one mail goes with the next mail's MAIL, RCPT and
// DATA, and the client waits for 354 before each body.
func BenchmarkSMTP(b *testing.B) {
	for _, discard := range []bool{false, true} {
		b.Run(fmt.Sprintf("discard=%v", discard), func(b *testing.B) {
			store := simulator.NewStore(simulator.StoreConfig{DiscardBodies: discard, MaxRecords: 10_000})
			s := startSMTP(b, simulator.SMTPConfig{Store: store})
			conn, err := net.Dial("tcp", s.Addr())
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			mail := eightKiB()
			group := []byte("MAIL FROM:<a@example.jp>\r\nRCPT TO:<b@example.jp>\r\nDATA\r\n")
			expect(b, conn, "220")
			io.WriteString(conn, "EHLO bench\r\n")
			expect(b, conn, "250 ")
			b.SetBytes(int64(len(mail)))
			b.ReportAllocs()
			conn.Write(group)
			for i := range b.N {
				expect(b, conn, "354")
				body := fmt.Appendf(nil, mail+".\r\n", i)
				if i < b.N-1 {
					body = append(body, group...)
				}
				conn.Write(body)
			}
			expect(b, conn, "queued")
			if n := store.Count(); n != b.N {
				b.Fatalf("%d of %d recorded", n, b.N)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
		})
	}
}

// expect reads until the wanted text has come.
func expect(t testing.TB, conn net.Conn, want string) string {
	t.Helper()
	return readUntil(t, conn, func(got []byte) bool {
		return bytes.Contains(got, []byte(want)) && bytes.HasSuffix(got, []byte("\n"))
	}, want)
}

// expectSuffix reads until what came ends with the wanted text.
func expectSuffix(t testing.TB, conn net.Conn, want string) string {
	t.Helper()
	return readUntil(t, conn, func(got []byte) bool { return bytes.HasSuffix(got, []byte(want)) }, want)
}

func readUntil(t testing.TB, conn net.Conn, done func([]byte) bool, want string) string {
	t.Helper()
	var got []byte
	buf := make([]byte, 4096)
	for !done(got) {
		n, err := conn.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			t.Fatalf("waiting for %q: got %q, %v", want, got, err)
		}
	}
	return string(got)
}

// BenchmarkSES sends one signed request again and again over one connection, so that the client costs little.
func BenchmarkSES(b *testing.B) {
	store := simulator.NewStore(simulator.StoreConfig{DiscardBodies: true, MaxRecords: 10_000})
	s := startSES(b, simulator.SESConfig{Store: store})
	wire := signedWire(b, s, fmt.Sprintf(eightKiB(), 1))
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL(), "http://"))
	if err != nil {
		b.Fatal(err)
	}
	defer conn.Close()
	b.SetBytes(int64(len(wire)))
	b.ReportAllocs()
	for b.Loop() {
		conn.Write(wire)
		if reply := expectSuffix(b, conn, `-000000"}`); !strings.HasPrefix(reply, "HTTP/1.1 200") {
			b.Fatal(reply)
		}
	}
	if n := store.Count(); n != b.N {
		b.Fatalf("%d of %d recorded", n, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "mails/s")
}

// signedWire captures the bytes of one SendEmail request as the SDK signs it.
func signedWire(t testing.TB, s *simulator.SES, raw string) []byte {
	t.Helper()
	var wire bytes.Buffer
	client := clientFor(s, func(o *sesv2.Options) {
		o.HTTPClient = roundTrip(func(r *http.Request) (*http.Response, error) {
			if err := r.Write(&wire); err != nil {
				return nil, err
			}
			return nil, errors.New("captured")
		})
	})
	client.SendEmail(context.Background(), input(raw, "a@example.jp"))
	if wire.Len() == 0 {
		t.Fatal("nothing captured")
	}
	return wire.Bytes()
}

type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) Do(r *http.Request) (*http.Response, error) { return f(r) }
