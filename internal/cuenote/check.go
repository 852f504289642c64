package cuenote

import (
	"context"
	"strings"
)

// Report is what a live check saw.
type Report struct {
	Greeting   string   // text of the 220
	Extensions []string // lines of the last EHLO reply
	TLS        string   // version, cipher suite and whether the certificate was verified; "none"
	Auth       bool     // AUTH succeeded
}

// String returns one line.
func (r Report) String() string {
	auth := "no AUTH"
	if r.Auth {
		auth = "AUTH ok"
	}
	return "greeting " + r.Greeting + "; TLS " + r.TLS + "; " + auth + "; offers " + strings.Join(r.Extensions, ", ")
}

// Check connects, goes through EHLO, TLS and AUTH as for a mail, and takes
// leave. Its connection is none of the pool's. The error is a *relay.Error
// whose text says at which step it happened.
func (c *Client) Check(ctx context.Context) (Report, error) {
	k, failed := c.connect(ctx)
	if failed != nil {
		return Report{}, failed
	}
	defer k.quit(quitTime)
	return Report{
		Greeting:   k.greeting,
		Extensions: k.ext.lines,
		TLS:        k.transport(),
		Auth:       c.cfg.Username != "",
	}, nil
}
