package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/spf13/cobra"
)

// bare is the least that a relay in Go can do with this dialogue: the client's
// replies are the next hop's, which is reached over kept connections with MAIL
// and RCPT in one packet. It looks at nothing, counts nothing, logs nothing and
// recovers from nothing. What a mail costs it is what the packets cost on this
// machine, and a relay's cost minus that is what the relay does.
type bare struct {
	next string
	mu   sync.Mutex // guards idle
	idle []*bareConn
}

type bareConn struct {
	net.Conn
	br *bufio.Reader
}

func newBareCommand() *cobra.Command {
	var listen, next string
	cmd := &cobra.Command{Use: "bare", Args: cobra.NoArgs, Hidden: true,
		Short: "A relay that does nothing but pass packets on: what a dialogue costs at least",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return (&bare{next: next}).run(cmd.Context(), listen)
		}}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:0", "`ADDRESS`, on loopback")
	cmd.Flags().StringVar(&next, "next", "", "`ADDRESS` of the next hop")
	return cmd
}

func (b *bare) run(ctx context.Context, listen string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, func() { l.Close() })()
	for {
		c, err := l.Accept()
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			_ = b.serve(&bareConn{c, bufio.NewReaderSize(c, 32<<10)}) // the client sees it
		}()
	}
}

// serve is one client's connection.
func (b *bare) serve(c *bareConn) error {
	if _, err := io.WriteString(c, "220 bare.loadtest.example ESMTP\r\n"); err != nil {
		return err
	}
	var mail []byte
	var up *bareConn
	for {
		line, err := c.br.ReadSlice('\n')
		if err != nil || len(line) < 4 {
			return err
		}
		reply := []byte("250 ok\r\n")
		switch string(line[:4]) {
		case "MAIL":
			mail = append(mail[:0], line...)
		case "RCPT":
			if up, err = b.take(); err == nil {
				reply, err = up.ask(append(mail, line...), 2)
			}
		case "DATA":
			if up == nil {
				return fmt.Errorf("DATA without RCPT")
			}
			reply, err = up.ask(line, 1)
		case "QUIT":
			_, err := io.WriteString(c, "221 bye\r\n")
			return err
		}
		if err != nil {
			return err
		}
		data := bytes.HasPrefix(reply, []byte("354"))
		if _, err := c.Write(reply); err != nil {
			return err
		}
		if !data {
			continue
		}
		if err := b.content(c, up); err != nil {
			return err
		}
		up = nil
	}
}

// content passes a mail's content on in one packet, as it came.
func (b *bare) content(c, up *bareConn) error {
	var content []byte
	for !bytes.HasSuffix(content, []byte("\r\n.\r\n")) {
		if _, err := c.br.Peek(1); err != nil {
			return err
		}
		part, _ := c.br.Peek(c.br.Buffered())
		content = append(content, part...)
		_, _ = c.br.Discard(len(part)) // it is buffered
	}
	reply, err := up.ask(content, 1)
	if err != nil {
		return err
	}
	b.mu.Lock()
	b.idle = append(b.idle, up)
	b.mu.Unlock()
	_, err = c.Write(reply)
	return err
}

// take is a connection to the next hop that greets and knows who we are.
func (b *bare) take() (*bareConn, error) {
	b.mu.Lock()
	if n := len(b.idle); n > 0 {
		c := b.idle[n-1]
		b.idle = b.idle[:n-1]
		b.mu.Unlock()
		return c, nil
	}
	b.mu.Unlock()
	nc, err := net.DialTimeout("tcp", b.next, 5*time.Second)
	if err != nil {
		return nil, err
	}
	c := &bareConn{nc, bufio.NewReader(nc)}
	if _, err = c.ask(nil, 1); err == nil {
		_, err = c.ask([]byte("EHLO bare.loadtest.example\r\n"), 1)
	}
	return c, err
}

// ask writes and reads n replies; it returns the last line of the last.
func (c *bareConn) ask(text []byte, n int) (line []byte, err error) {
	if len(text) > 0 {
		if _, err := c.Write(text); err != nil {
			return nil, err
		}
	}
	for n > 0 {
		if line, err = c.br.ReadSlice('\n'); err != nil {
			return nil, err
		}
		if len(line) > 3 && line[3] == ' ' {
			n--
		}
	}
	return line, nil
}
