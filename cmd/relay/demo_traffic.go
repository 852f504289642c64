package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/smtp"
	"time"
)

// demoTraffic sends mails to the relay at a constant rate until ctx ends. It
// speaks SMTP like any other client.
func demoTraffic(ctx context.Context, addr string, perSecond float64, log *slog.Logger) {
	t := time.NewTicker(time.Duration(float64(time.Second) / perSecond))
	defer t.Stop()
	busy := make(chan struct{}, 100)
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		select {
		case busy <- struct{}{}:
		default:
			continue // the relay does not keep up: do not pile up
		}
		go func() {
			defer func() { <-busy }()
			if err := demoMail(addr, n); err != nil && ctx.Err() == nil {
				log.Warn("demo traffic", "error", err.Error())
			}
		}()
	}
}

// demoMail sends the n-th mail. One in 20 has the null reverse-path, so that
// requested and eligible differ as they do in real traffic.
func demoMail(addr string, n int) error {
	from := fmt.Sprintf("news-%d@goo.ne.jp", n%7)
	envelope := from
	if n%20 == 0 {
		envelope = ""
	}
	to := fmt.Sprintf("user%d@example.jp", n%1000)
	body := fmt.Sprintf("From: <%s>\r\nTo: <%s>\r\nSubject: Demo mail %d\r\nMessage-ID: <demo-%d-%d@goo.ne.jp>\r\n\r\nThis is mail %d.\r\n",
		from, to, n, n, time.Now().UnixNano(), n)
	return demoSend(addr, envelope, to, body)
}

// demoSend is one SMTP dialogue. net/smtp's own MAIL always asks for SMTPUTF8,
// which SES does not have: such mail would never be SES's.
func demoSend(addr, from, to, body string) error {
	c, err := smtp.Dial(addr)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.Hello("demo.goo.ne.jp"); err != nil {
		return err
	}
	for _, line := range []string{"MAIL FROM:<" + from + ">", "RCPT TO:<" + to + ">"} {
		if err := c.Text.PrintfLine("%s", line); err != nil {
			return err
		}
		if _, _, err := c.Text.ReadResponse(250); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	if _, err := w.Write([]byte(body)); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return c.Quit()
}
