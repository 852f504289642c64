package split

import (
	"io"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"time"

	"sesrelay/internal/relay"
)

// Limits of the content.
const (
	maxLine        = 998      // RFC 5322 section 2.1.1; SES refuses longer ones
	maxAddressList = 16 << 10 // bytes of one From, Sender or Return-Path field that are parsed
)

// fitContent says why SES cannot take this content; "" when it can.
func (c *settings) fitContent(content *relay.Content, known *identities) relay.Reason {
	switch {
	case c.MessageSize > 0 && content.Size > c.MessageSize:
		return relay.ReasonSize
	case content.Repeated, content.LongestLine > maxLine, len(content.From) == 0:
		return relay.ReasonContent
	case !known.allVerified(content, c.Now()):
		return relay.ReasonIdentity
	}
	return ""
}

// allVerified reports whether every address in From, Sender and Return-Path
// may send through SES: SES takes the sender from the message's own From. A
// field that cannot be read, or that names nobody, is not verified.
func (id *identities) allVerified(c *relay.Content, now time.Time) bool {
	for _, field := range slices.Concat(c.From, c.Sender, c.ReturnPath) {
		list, ok := mailboxes(field)
		if !ok || len(list) == 0 {
			return false
		}
		for _, m := range list {
			at := strings.LastIndexByte(m.Address, '@')
			if at < 0 || !id.verified(m.Address[:at], m.Address[at+1:], now) {
				return false
			}
		}
	}
	return true
}

// anyCharset lets encoded words of every charset through undecoded. Display
// names do not matter here, and the default decoder fails on ISO-2022-JP,
// which is what most Japanese mail has.
var anyCharset = &mime.WordDecoder{CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil }}

// mailboxes reads the addresses of a field body, groups included (RFC 5322
// section 3.4).
func mailboxes(body string) ([]*mail.Address, bool) {
	if len(body) > maxAddressList {
		return nil, false
	}
	p := mail.AddressParser{WordDecoder: anyCharset}
	list, err := p.ParseList(body)
	return list, err == nil
}
