package smtp

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
)

// model is a slow second opinion on a body: what was sent, cut at the first
// CRLF "." CRLF (the one before it belongs to DATA), dots taken out line by line.
func model(wire string) (content string, used int, bad, done bool) {
	end := strings.Index("\r\n"+wire, "\r\n.\r\n")
	if end < 0 {
		return "", 0, false, false
	}
	lines := strings.Split(wire[:end], "\r\n")
	for i, l := range lines {
		bad = bad || strings.ContainsAny(l, "\r\n\x00")
		lines[i] = strings.TrimPrefix(l, ".")
	}
	return strings.Join(lines, "\r\n"), end + len(".\r\n"), bad, true
}

// decodeAll runs a decoder over wire, in pieces of in and out bytes.
func decodeAll(wire string, in, out int) (content string, used int, d decoder) {
	var got []byte
	dst := make([]byte, out)
	for used < len(wire) && !d.done {
		nd, ns := d.decode(dst, []byte(wire[used:min(len(wire), used+in)]))
		got, used = append(got, dst[:nd]...), used+ns
	}
	return string(got), used, d
}

func checkDecoder(t *testing.T, wire string, in, out int) {
	t.Helper()
	want, wantUsed, bad, done := model(wire)
	got, used, d := decodeAll(wire, in, out)
	if d.done != done {
		t.Fatalf("%q in %d out %d: end of data seen: %v", wire, in, out, d.done)
	}
	if !done {
		return
	}
	if got != want || used != wantUsed || d.bad != bad {
		t.Fatalf("%q in %d out %d: got %q, used %d, bad %v; want %q, %d, %v", wire, in, out, got, used, d.bad, want, wantUsed, bad)
	}
}

// TestDecoderMatrix is every body of up to seven bytes that matter, whole and
// cut anywhere (go-smtp 2 and 3).
func TestDecoderMatrix(t *testing.T) {
	t.Parallel()
	const bytesThatMatter = "\r\n.a"
	bodies := []string{""}
	for from := 0; len(bodies[len(bodies)-1]) < 7; {
		to := len(bodies)
		for _, b := range bodies[from:to] {
			for _, c := range bytesThatMatter {
				bodies = append(bodies, b+string(c))
			}
		}
		from = to
	}
	for _, b := range bodies {
		wire := b + "\r\n.\r\nNOOP\r\n"
		for _, size := range [][2]int{{100, 100}, {1, 100}, {100, 1}, {1, 1}, {2, 3}, {3, 2}} {
			checkDecoder(t, wire, size[0], size[1])
		}
	}
	t.Logf("%d bodies", len(bodies))
}

// endings are ends of a body that were missed, or taken for one, by somebody.
var endings = []string{
	"", "a", "\r", "\n", "\r\r", "\n\r", "a\r", "a\n", ".", "..", "\r\n..", "\r\n.", "\r\n.\r", "\r\n.\r\r", "\r\n.\ra",
	"\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r.\r\n", "\r.\n", "\n.\r", "\r\n.\n.", "\r\n\x00.", "\x00", "\r\n.\x00", "\r\n.\r\x00",
	"\r\n", "\r\n\r\n", "\r\r\n", "\r\n\r", "\r\n\n", "\r\n.a", "\r\n.a\r", "\xc3\xa4", "\r\n\xff",
}

// TestDecoderAtBorders puts every ending around the border of the read buffer.
func TestDecoderAtBorders(t *testing.T) {
	t.Parallel()
	for _, e := range endings {
		for back := range 10 {
			wire := strings.Repeat("x", bulkSize-back) + e + "\r\n.\r\nQUIT\r\n"
			checkDecoder(t, wire, bulkSize, bulkSize)
			checkDecoder(t, wire, bulkSize, bulkSize-1)
			checkDecoder(t, wire, bulkSize-1, 4096)
		}
	}
}

// TestEndOfDataOnTheWire sends every ending to a service, at the border of its
// buffer and in one-byte writes: the mail is kept to the byte or refused with
// 554 5.6.0, and the session goes on behind the true end of data.
func TestEndOfDataOnTheWire(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	_, address := serve(t, k, func(c *Config) { c.Limits.IdleCommands = 1e6 })
	c := open(t, address)
	for _, e := range endings {
		for _, before := range []int{0, 1, bulkSize - 6, bulkSize - 5, bulkSize - 4, bulkSize - 3, bulkSize - 2, bulkSize - 1, bulkSize} {
			wire := strings.Repeat("x", before) + e + "\r\n.\r\n"
			want, used, bad, _ := model(wire)
			c.toData()
			if before == 0 {
				for i := range used {
					c.send(wire[i : i+1])
				}
				c.send("NOOP\r\n")
			} else {
				c.send(wire[:used] + "NOOP\r\n")
			}
			if bad {
				c.want("554 5.6.0", "250 2.0.0 I have")
				continue
			}
			c.want("250 2.0.0 id", "250 2.0.0 I have")
			m := k.accepted()
			if got := string(m[len(m)-1].body); got != want {
				t.Fatalf("ending %q behind %d bytes: kept %.100q", e, before, got)
			}
		}
	}
}

// TestSmuggling sends a second transaction in the body, behind everything that
// is not CRLF.CRLF. It must stay content, or the mail be refused as a whole.
func TestSmuggling(t *testing.T) {
	t.Parallel()
	k := &keeper{}
	_, address := serve(t, k, nil)
	c := open(t, address)
	for _, a := range []string{"\n", "\r", "\r\n", "\r\r\n", "\n\n", "\r\n\x00", "\x00", "\r\r"} {
		for _, b := range []string{"\n", "\r", "\r\n", "\r\r\n", "\n\n", "\x00\r\n", "\x00", "\r\r"} {
			if a+"."+b == "\r\n.\r\n" || strings.HasSuffix(a, "\r\n") && b == "\r\n" {
				continue
			}
			c.toData()
			c.send("Hi" + a + "." + b + "MAIL FROM:<evil@goo.ne.jp>\r\nRCPT TO:<evil@goo.ne.jp>\r\nDATA\r\nevil\r\n.\r\nNOOP\r\n")
			if r := c.reply(); !strings.HasPrefix(r, "554 5.6.0") {
				t.Fatalf("%q . %q: %s", a, b, r)
			}
			c.want("250 2.0.0 I have")
		}
	}
	if strings.Contains(k.log(), "evil@") || len(k.accepted()) > 0 {
		t.Fatalf("smuggled: %s", k.log())
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, line := range []int{76, 998} {
		wire := []byte(strings.Repeat(strings.Repeat("x", line)+"\r\n", 8192/(line+2)) + ".\r\n")
		b.Run(fmt.Sprintf("line=%d", line), func(b *testing.B) {
			b.SetBytes(int64(len(wire)))
			dst := make([]byte, bulkSize)
			for b.Loop() {
				var d decoder
				d.decode(dst, wire)
				if !d.done {
					b.Fatal(bytes.Count(wire, []byte("\n")))
				}
			}
		})
	}
}
