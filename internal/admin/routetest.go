package admin

import (
	"fmt"
	"net/http"
	"net/netip"
	"strings"

	"sesrelay/internal/relay"
	"sesrelay/internal/split"
)

// question is a mail that is only thought of.
type question struct {
	From   string `json:"from"` // "" or "<>" is the null reverse-path
	To     string `json:"to"`
	Client string `json:"client"`
	HELO   string `json:"helo"`
	User   string `json:"user"`
	Size   int64  `json:"size"` // bytes
}

// answer says which way it would go. SESPercent is null when the route is fixed.
type answer struct {
	Route      relay.Route    `json:"route"`
	Reason     relay.Reason   `json:"reason"`
	Rule       string         `json:"rule"`
	Version    int64          `json:"version"`
	SESPercent *split.Percent `json:"ses_percent"`
	Text       string         `json:"text"`
}

// testRoute decides as the relay would, and sends nothing.
func (a *API) testRoute(w http.ResponseWriter, r *http.Request) error {
	var q question
	if err := readBody(r, &q); err != nil {
		return err
	}
	env, to, err := q.parse()
	if err != nil {
		return refuse(http.StatusUnprocessableEntity, err.Error())
	}
	e := a.Router.Explain(env, to)
	out := answer{Route: e.Route, Reason: e.Reason, Rule: e.Rule, Version: e.Version, Text: explain(e, a.Router.By()) + threshold(e)}
	if e.Reason == relay.ReasonSplit || e.Share > 0 && e.Share < split.Full {
		out.SESPercent = &e.Share
	}
	out.Text += a.standingInTheWay(e.Route)
	writeJSON(w, http.StatusOK, out)
	return nil
}

func (q *question) parse() (*relay.Envelope, relay.Address, error) {
	env := &relay.Envelope{Size: q.Size, Client: relay.Client{HELO: q.HELO, User: q.User, Extended: true}}
	to, err := relay.ParseAddress(unwrap(q.To), true)
	if err != nil {
		return nil, to, fmt.Errorf("to: %w: write an address such as user@example.jp", err)
	}
	if from := unwrap(q.From); from != "" {
		if env.ReversePath, err = relay.ParseAddress(from, true); err != nil {
			return nil, to, fmt.Errorf("from: %w: write an address, or <> for the null sender", err)
		}
	}
	if q.Client != "" {
		if env.Client.Addr, err = netip.ParseAddr(q.Client); err != nil {
			return nil, to, fmt.Errorf("client: %q is not an address", cut(q.Client))
		}
	}
	if q.Size < 0 {
		return nil, to, fmt.Errorf("size: %d is below 0", q.Size)
	}
	env.SMTPUTF8 = !env.ReversePath.IsASCII() || !to.IsASCII() // RFC 6531: no other way to say it
	return env, to, nil
}

// unwrap takes the angle brackets of a path off.
func unwrap(s string) string {
	s = strings.TrimSpace(s)
	if strings.HasPrefix(s, "<") && strings.HasSuffix(s, ">") {
		return s[1 : len(s)-1]
	}
	return s
}

// because puts the reasons of the built-in rules into words.
var because = map[relay.Reason]string{
	relay.ReasonNullSender: "SES has no null sender",
	relay.ReasonSMTPUTF8:   "SES does not offer SMTPUTF8",
	relay.ReasonLocalPart:  "a local part is not a Dot-string, and SES refuses it",
	relay.ReasonDomain:     "SES cannot address a domain of this form",
	relay.ReasonIdentity:   "the sender's domain is not a verified identity (ses.identities)",
	relay.ReasonSize:       "it is larger than ses.message_size",
}

func explain(e split.Explanation, by split.By) string {
	if text, ok := because[e.Reason]; ok {
		return "always to cuenote: " + text
	}
	text := fmt.Sprintf("rule %q", e.Rule)
	if e.Rule == "" {
		text = "the split"
	}
	switch {
	case e.Drawn:
		return fmt.Sprintf("%s sends %s %% of such mail to ses, drawn for each transaction; more of it goes to %s", text, e.Share, e.Route)
	case e.Share > 0 && e.Share < split.Full:
		return fmt.Sprintf("%s sends %s %% of the keys to ses, by %s; this one goes to %s", text, e.Share, by, e.Route)
	}
	return fmt.Sprintf("%s sends all such mail to %s", text, e.Route)
}

// threshold says at which share of the split this mail would take SES: with
// split.by client it picks the server that goes first.
func threshold(e split.Explanation) string {
	if e.From == 0 {
		return ""
	}
	return fmt.Sprintf(" (on ses from %s %%)", e.From)
}

// standingInTheWay says what would make the mail take another way just now.
func (a *API) standingInTheWay(route relay.Route) string {
	for _, u := range a.Upstreams() {
		if u.Name == route && u.Open {
			return fmt.Sprintf("; but the breaker of %s is open now (%s)", route, u.Because)
		}
	}
	if route == relay.SES && a.Quota().Spent {
		return "; but the sending quota is spent now"
	}
	return ""
}
