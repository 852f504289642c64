package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// mask names recipients of a mail: bit i is the i-th.
type mask uint64

func all(n int) mask          { return mask(1)<<n - 1 }
func (m mask) has(i int) bool { return m&(1<<i) != 0 }

// outcome is how an attempt at a mail ended, by recipient.
type outcome struct {
	Accepted mask   // 2xx after the content: the other side has taken responsibility
	Rejected mask   // 5xx
	Unknown  bool   // the connection ended after the final dot: it may or may not have been taken
	Route    string // "ses" or "cuenote", from the relay's accepting reply; "" = it does not say
	Err      error  // first thing that went wrong
}

// note keeps the first error.
func (o *outcome) note(err error) {
	if o.Err == nil {
		o.Err = err
	}
}

// refuse notes a reply other than 2xx for the recipients.
func (o *outcome) refuse(to mask, after string, r reply) {
	if r.Code/100 == 5 {
		o.Rejected |= to
	}
	o.note(&replyError{after, r})
}

// transact delivers to the recipients of the mask in one mail transaction. As
// Postfix does, MAIL, all RCPT and DATA go in one packet, and the content goes
// when 354 has come. usable says whether the session may be used again.
func (s *session) transact(m *mail, to mask) (o outcome, usable bool) {
	s.conn.SetDeadline(time.Now().Add(s.t.Timeout))
	s.used++
	if _, err := s.conn.Write(s.group(m, to)); err != nil {
		o.note(fmt.Errorf("MAIL: %w", err))
		return o, false
	}
	taken, data, err := s.replies(m, to, &o)
	switch {
	case err != nil:
		o.note(err)
		return o, false
	case data.Code != 354 && taken == 0:
		return o, o.Err != nil && data.Code != 421 // the group as a whole was refused
	case data.Code != 354:
		o.refuse(taken, "DATA", data)
		return o, data.Code != 421
	case taken == 0: // RFC 2920 section 3.1: 354 without recipients is answered by a lone dot
		return o, s.loneDot()
	}
	content := m.wire()
	if _, err := content.WriteTo(s.conn); err != nil {
		o.note(fmt.Errorf("content: %w", err))
		return o, false
	}
	return o, s.dot(&o, taken)
}

// loneDot ends a transaction without recipients; its refusal is no news.
func (s *session) loneDot() (usable bool) {
	if _, err := s.conn.Write([]byte(".\r\n")); err != nil {
		return false
	}
	_, err := s.read()
	return err == nil
}

// group is MAIL, RCPT and DATA in one write (RFC 2920).
func (s *session) group(m *mail, to mask) []byte {
	b := append(s.out[:0], "MAIL FROM:<"...)
	b = append(append(b, m.From...), "> SIZE="...)
	b = append(strconv.AppendInt(b, int64(m.Size), 10), "\r\n"...)
	for i, address := range m.To {
		if to.has(i) {
			b = append(append(append(b, "RCPT TO:<"...), address...), ">\r\n"...)
		}
	}
	s.out = append(b, "DATA\r\n"...)
	return s.out
}

// replies reads the answers to a group: who was taken, and the one to DATA.
func (s *session) replies(m *mail, to mask, o *outcome) (taken mask, data reply, err error) {
	sender, err := s.read()
	if err != nil {
		return 0, reply{}, fmt.Errorf("MAIL: %w", err)
	}
	if !sender.ok() {
		o.refuse(to, "MAIL", sender)
		if sender.Code == 421 {
			return 0, sender, nil
		}
	}
	for i := range m.To {
		if !to.has(i) {
			continue
		}
		r, err := s.read()
		if err != nil {
			return 0, reply{}, fmt.Errorf("RCPT: %w", err)
		}
		switch {
		case r.ok():
			taken |= 1 << i
		case sender.ok():
			o.refuse(1<<i, "RCPT", r)
		}
	}
	if data, err = s.read(); err != nil {
		return 0, reply{}, fmt.Errorf("DATA: %w", err)
	}
	return taken, data, nil
}

// dot reads what follows the content: one reply, or over LMTP one for each
// recipient (RFC 2033 section 4.2).
func (s *session) dot(o *outcome, taken mask) (usable bool) {
	each := []mask{taken}
	if s.t.LMTP {
		each = each[:0]
		for i := range maxRecipients {
			if taken.has(i) {
				each = append(each, 1<<i)
			}
		}
	}
	usable = true
	for _, to := range each {
		r, err := s.read()
		if err != nil {
			o.Unknown = true
			o.note(fmt.Errorf("after the final dot: %w", err))
			return false
		}
		if r.ok() {
			o.Accepted |= to
			o.Route = routeOf(r.Text)
			continue
		}
		o.refuse(to, "final dot", r)
		usable = usable && r.Code != 421
	}
	return usable
}

// routeOf reads the upstream from "2.0.0 <id> accepted by ses <id>".
func routeOf(text string) string {
	_, rest, ok := strings.Cut(text, " accepted by ")
	if !ok {
		return ""
	}
	return rest[:len(rest)-len(strings.TrimLeft(rest, "abcdefghijklmnopqrstuvwxyz"))]
}
