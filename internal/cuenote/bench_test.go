package cuenote

import (
	"bufio"
	"context"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"sesrelay/internal/relay"
)

// sink is a server that reads as little as it can: what is measured is the client.
func sink(b *testing.B) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go drown(nc)
		}
	}()
	return ln.Addr().String()
}

func drown(nc net.Conn) {
	defer nc.Close()
	br := bufio.NewReaderSize(nc, 32<<10)
	reply := func(s string) { io.WriteString(nc, s) }
	reply("220 sink\r\n")
	for {
		line, err := br.ReadSlice('\n')
		if err != nil {
			return
		}
		switch string(line[:4]) {
		case "EHLO":
			reply("250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 50000000\r\n")
		case "MAIL":
			if _, err := br.ReadSlice('\n'); err != nil { // RCPT comes with it
				return
			}
			reply("250 2.1.0 Ok\r\n250 2.1.5 Ok\r\n")
		case "DATA":
			reply("354 End data with <CR><LF>.<CR><LF>\r\n")
			for string(line) != ".\r\n" {
				if line, err = br.ReadSlice('\n'); err != nil {
					return
				}
			}
			reply("250 2.0.0 Ok: queued as 4XyZ1k2m3n\r\n")
		default:
			reply("221 2.0.0 Bye\r\n")
			return
		}
	}
}

type benchBody struct {
	b    []byte
	done bool
}

func (p *benchBody) Open(context.Context) error { return nil }
func (p *benchBody) Size() int64                { return int64(len(p.b)) }
func (p *benchBody) Next() ([]byte, error) {
	if p.done {
		return nil, io.EOF
	}
	p.done = true
	return p.b, nil
}

// BenchmarkMail is one mail of 8 KiB to one recipient. cpu-µs/mail is the whole
// process: the client and the sink.
func BenchmarkMail(b *testing.B) {
	c := newClient(b, sink(b))
	env := &relay.Envelope{ReversePath: addresses(b, "from@goo.ne.jp")[0], EightBit: true, Size: 8192}
	to := addresses(b, "someone@example.jp")
	body := []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 105))
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	b.ReportAllocs()
	before := cpu()
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			d, _ := c.Begin(ctx, env)
			if err := d.AddRecipients(ctx, to)[0]; err != nil {
				b.Error(err)
				return
			}
			if _, err := d.Send(ctx, &benchBody{b: body}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric((cpu()-before)/float64(b.N), "cpu-µs/mail")
}

// BenchmarkDots is the encoding alone.
func BenchmarkDots(b *testing.B) {
	body := []byte("Subject: x\r\n\r\n" + strings.Repeat(strings.Repeat("x", 76)+"\r\n", 105))
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		w := newDotWriter(func([]byte) error { return nil })
		if err := w.add(body); err != nil {
			b.Fatal(err)
		}
		if _, err := w.end(); err != nil {
			b.Fatal(err)
		}
		w.free()
	}
}

// cpu returns the process's CPU time in microseconds.
func cpu() float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Sec+u.Stime.Sec)*1e6 + float64(u.Utime.Usec+u.Stime.Usec)
}
