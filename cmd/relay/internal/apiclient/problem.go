package apiclient

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
)

// Problem is a refusal of the API: application/problem+json of RFC 9457.
type Problem struct {
	Status int    `json:"status"`
	Title  string `json:"title"`
	Detail string `json:"detail"`
	Plan   *Plan  `json:"plan"` // of 409: why SES cannot carry an increase
}

// Error returns what the API said, and what to do where that is known here.
func (p *Problem) Error() string {
	text := p.Detail
	if text == "" {
		text = p.Title
	}
	if text == "" {
		text = http.StatusText(p.Status)
	}
	text = fmt.Sprintf("the relay refused: %s (%d)", strings.TrimSuffix(text, "."), p.Status)
	switch p.Status {
	case http.StatusUnauthorized:
		return text + "\nGive a token: --token-file FILE, or RELAY_TOKEN. relay token new makes one."
	case http.StatusForbidden:
		return text + "\nThis needs a token of another role, or a call from one of admin.networks; see --token-file and RELAY_TOKEN."
	case http.StatusNotFound:
		return text + "\nIs --api the relay's admin.address, and is the relay of this version?"
	}
	return text
}

// problemOf reads a refusal. Anything else than a problem becomes one.
func problemOf(res *http.Response, body []byte) *Problem {
	p := &Problem{}
	if !isJSON(res.Header) || json.Unmarshal(body, p) != nil {
		*p = Problem{}
	}
	p.Status = res.StatusCode
	return p
}

// Unreachable says that no API answered.
type Unreachable struct {
	Base string
	Err  error
}

// Error says what to look at next.
func (e *Unreachable) Error() string {
	switch {
	case errors.Is(e.Err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing listens at %s\nIs the relay running? Is that its admin.address? Another one is given by --api or RELAY_API.", e.Base)
	case isTimeout(e.Err):
		return fmt.Sprintf("no answer from %s in time\nIs that the relay's admin.address (--api, RELAY_API), and does a firewall stand between?", e.Base)
	}
	return fmt.Sprintf("cannot talk to %s: %v\nThe address is given by --api or RELAY_API.", e.Base, e.Err)
}

func (e *Unreachable) Unwrap() error { return e.Err }

func isTimeout(err error) bool {
	n, ok := errors.AsType[net.Error](err)
	return ok && n.Timeout()
}
