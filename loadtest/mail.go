package main

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"time"
)

// mail is one message with its envelope. The same sequence number gives the
// same bytes every time, so that a retry is a retry.
type mail struct {
	ID     string // value of X-Test-Id
	From   string
	To     []string
	Size   int    // of the content, bytes
	header []byte // with the empty line
	body   []byte // shared between mails: read only
}

// mailbag makes mails.
type mailbag struct {
	run          string // prefix of every id: two runs never share one
	seed         uint64
	sizes        distribution
	recipients   distribution
	senders      int // how many reverse-paths
	senderDomain string
	padding      []byte
}

// bodyLine is a line of base64, as most of mail is.
const bodyLine = 76

// newMailbag prepares the text that all bodies are cut from.
func newMailbag(b mailbag) *mailbag {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	r := rand.New(rand.NewPCG(b.seed, 1))
	b.padding = make([]byte, b.sizes.largest()+bodyLine)
	for i := range b.padding {
		switch i % (bodyLine + 2) {
		case bodyLine:
			b.padding[i] = '\r'
		case bodyLine + 1:
			b.padding[i] = '\n'
		default:
			b.padding[i] = alphabet[r.IntN(len(alphabet))]
		}
	}
	return &b
}

// id is the test id of a mail.
func (b *mailbag) id(seq int) string { return b.run + "-" + strconv.Itoa(seq) }

// recipientDomains are what the mail goes to, as a mobile-heavy list does.
var recipientDomains = []string{"docomo.example.jp", "ezweb.example.jp", "softbank.example.jp", "goo.example.jp", "mail.example.com"}

// envelope returns what the sequence number stands for, without the content.
func (b *mailbag) envelope(seq int) (from string, to []string, size int) {
	pcg := rand.NewPCG(b.seed, uint64(seq)+2)
	r := rand.New(pcg)
	size = b.sizes.draw(r)
	to = make([]string, b.recipients.draw(r))
	first := r.IntN(1_000_000)
	for i := range to {
		to[i] = "user" + strconv.Itoa(first+i) + "@" + recipientDomains[(first+i)%len(recipientDomains)]
	}
	return "sender" + strconv.Itoa(r.IntN(b.senders)) + "@" + b.senderDomain, to, size
}

// mail makes the mail of a sequence number. at is its scheduled start: when the
// first hop received it.
func (b *mailbag) mail(seq int, at time.Time) *mail {
	m := &mail{ID: b.id(seq)}
	m.From, m.To, m.Size = b.envelope(seq)
	date := at.Format(time.RFC1123Z)
	h := make([]byte, 0, 640)
	h = fmt.Appendf(h, "Received: from app1.%s (app1.%[1]s [192.0.2.10])\r\n\tby mta1.%[1]s (Postfix) with ESMTP id %s;\r\n\t%s\r\n", b.senderDomain, m.ID, date)
	h = fmt.Appendf(h, "From: <%s>\r\nTo: <%s>\r\nSubject: Load test %s\r\nDate: %s\r\nMessage-ID: <%[3]s@%[5]s>\r\n", m.From, m.To[0], m.ID, date, b.senderDomain)
	h = fmt.Appendf(h, "X-Test-Id: %s\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=us-ascii\r\nContent-Transfer-Encoding: base64\r\n\r\n", m.ID)
	m.header, m.body = h, b.body(m.Size-len(h))
	m.Size = len(h) + len(m.body) + len("\r\n")
	return m
}

// body cuts about n bytes, never between CR and LF.
func (b *mailbag) body(n int) []byte {
	n = max(n-len("\r\n"), 1)
	if n%(bodyLine+2) > bodyLine {
		n -= 2
	}
	return b.padding[:n]
}

// wire is the content as it goes after 354. No line of it begins with a dot.
func (m *mail) wire() net.Buffers {
	return net.Buffers{m.header, m.body, []byte("\r\n.\r\n")}
}
