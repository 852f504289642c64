package relay

import (
	"net/netip"
	"time"
)

// Envelope is what a mail transaction says before DATA (RFC 5321 section 2.3.1),
// together with the client that said it. It is filled at MAIL and does not
// change afterwards; the recipients belong to the transaction.
type Envelope struct {
	ID          string    // relay id: in the trace header, the reply, the log and the trace
	ReversePath Address   // MAIL FROM; zero is the null reverse-path
	SMTPUTF8    bool      // MAIL parameter of RFC 6531
	EightBit    bool      // BODY=8BITMIME, RFC 6152
	Size        int64     // SIZE parameter of RFC 1870 in bytes; 0 when not given
	Client      Client    //
	LMTP        bool      // RFC 2033: one reply per recipient after the content
	Begun       time.Time // when MAIL was read
}

// Client is the SMTP client of a session.
type Client struct {
	Addr     netip.Addr // after the PROXY header, when one is believed
	HELO     string     // argument of EHLO, HELO or LHLO, as sent
	User     string     // authenticated user; "" without AUTH
	TLS      bool       //
	Extended bool       // greeted with EHLO or LHLO rather than HELO
}

// Protocol returns the "with" keyword of RFC 3848 for the trace header.
func (e *Envelope) Protocol() string {
	if !e.LMTP && !e.Client.Extended {
		return "SMTP"
	}
	p := "ESMTP"
	if e.LMTP {
		p = "LMTP"
	}
	if e.SMTPUTF8 {
		p = "UTF8SMTP" // RFC 6531 section 4.3
		if e.LMTP {
			p = "UTF8LMTP"
		}
	}
	if e.Client.TLS {
		p += "S"
	}
	if e.Client.User != "" {
		p += "A"
	}
	return p
}
