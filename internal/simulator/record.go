package simulator

import (
	"encoding/hex"
	"time"
)

// The two upstreams, as they stand in Record.Upstream.
const (
	UpstreamSES     = "ses"
	UpstreamCuenote = "cuenote"
)

// Record is one mail that a hop has taken responsibility for. A mail that was refused, or whose connection was cut
// before it was recorded, leaves none.
type Record struct {
	ID       string    // what the hop answered: SES message id, or queue id
	Time     time.Time // by the hop's Clock
	Upstream string    // UpstreamSES or UpstreamCuenote
	From     string    // reverse-path without <>; always "" for SES, which has no envelope sender
	To       []string  // envelope recipients in their order; for SES To, Cc and Bcc of the Destination
	Raw      []byte    // the message to the byte (SMTP: dots unstuffed); nil when bodies are discarded
	Size     int       // of the message in bytes, known even when Raw is not kept
	SHA256   [32]byte  // of the message
	TestID   string    // value of the store's IDHeader
	SES      *SESInfo  // nil for mail that came by SMTP
	SMTP     *SMTPInfo // nil for mail that came by the SES API
}

// SESInfo is what only the SES API carries.
type SESInfo struct {
	FromEmailAddress       string            // must be unset for raw mail: it would replace the From: header
	ReplyToAddresses       []string          // must be unset for raw mail: it would replace Reply-To:
	ConfigurationSet       string            // the parameter ConfigurationSetName
	ConfigurationSetHeader string            // the header X-SES-CONFIGURATION-SET; "" when bodies are discarded and it was absent
	FeedbackAddress        string            // FeedbackForwardingEmailAddress
	Tags                   map[string]string // EmailTags
	ToAddresses            []string
	CcAddresses            []string
	BccAddresses           []string
	RequestID              string // x-amzn-RequestId of the answer
	UserAgent              string
}

// SMTPInfo is what only the SMTP session carries.
type SMTPInfo struct {
	Connection int64  // number of the connection, from 1: two mails with one number shared it
	HELO       string // argument of the last HELO or EHLO
	ESMTP      bool   // EHLO, not HELO
	TLS        bool
	User       string // who was authenticated, or ""
	Parameters string // of MAIL FROM, as sent: "SIZE=1234 BODY=8BITMIME"
}

// Header returns the first value of the named header field, unfolded, or "".
func (r Record) Header(name string) string { return headerValue(r.Raw, name) }

// Headers returns every value of the named header field, in order, unfolded.
func (r Record) Headers(name string) []string { return headerValues(r.Raw, name) }

// Summary is a Record as the demo lists it, in JSON.
type Summary struct {
	ID               string            `json:"id"`
	Time             time.Time         `json:"time"`
	Upstream         string            `json:"upstream"`
	From             string            `json:"from"` // reverse-path; for SES the From: header
	To               []string          `json:"to"`
	Subject          string            `json:"subject"` // RFC 2047 words decoded
	Size             int               `json:"size"`
	SHA256           string            `json:"sha256"`
	ConfigurationSet string            `json:"configuration_set,omitempty"`
	FeedbackAddress  string            `json:"feedback_address,omitempty"`
	Tags             map[string]string `json:"tags,omitempty"`
	Headers          []Header          `json:"headers"` // in their order; empty when bodies are discarded
}

// Summary returns the record as the demo lists it.
func (r Record) Summary() Summary {
	s := Summary{
		ID: r.ID, Time: r.Time, Upstream: r.Upstream, From: r.From, To: r.To, Size: r.Size,
		SHA256: hex.EncodeToString(r.SHA256[:]), Subject: decodeHeader(r.Header("Subject")),
		Headers: append([]Header{}, headers(r.Raw)...),
	}
	if r.SES != nil {
		s.From = r.Header("From")
		s.ConfigurationSet = r.SES.ConfigurationSet
		s.FeedbackAddress = r.SES.FeedbackAddress
		s.Tags = r.SES.Tags
	}
	return s
}
