package mask

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
)

// Event masks one SES event: a JSON object as SES publishes it through an event
// destination, the older notification, or the normalised form with eventType,
// destination and sourceIp at the top level. Members keep their order, known
// numbers their digits; unknown fields are masked.
//
// It fails, and returns nothing, when data is no JSON object, when it is nested
// too deeply, and in mode Full. The error quotes nothing of data.
func (m *Masker) Event(data []byte) ([]byte, error) {
	if m.mode == Full {
		return nil, errors.New("mask: event: mode full masks nothing: use masked or hashed")
	}
	n, err := parse(data)
	if err != nil {
		return nil, fmt.Errorf("mask: event: %w", err)
	}
	if n.kind != '{' {
		return nil, errors.New("mask: event: not a JSON object")
	}
	e := &event{Masker: m}
	e.rememberAddresses(n)
	e.object(n, eventRule)
	return n.appendTo(make([]byte, 0, len(data)+64)), nil
}

// event is the work on one event: what is known about it before its texts are
// masked.
type event struct {
	*Masker
	known   []string // the addresses found anywhere in it
	tooMany bool     // to look for all of them: texts are masked whole
}

// maxKnown bounds the addresses looked for in the texts of one event: SES takes
// 50 recipients, who stand in it twice, and the headers name some more.
const maxKnown = 120

// rememberAddresses collects the addresses that fields hold as such.
func (e *event) rememberAddresses(n *node) {
	seen := map[string]bool{}
	n.strings(func(s string) {
		for _, addr := range addresses(s) {
			if seen[addr] {
				continue
			}
			seen[addr] = true
			if e.tooMany = len(e.known) == maxKnown; e.tooMany {
				return
			}
			e.known = append(e.known, addr)
		}
	})
}

// addresses returns the addresses in a text, as they stand there; without its
// domain one whose domain holds the local part of another.
func addresses(s string) []string {
	t := passages.Get().(*passage)
	defer passages.Put(t)
	t.reset(s)
	if !t.find() {
		return nil
	}
	var found []string
	for _, s := range t.spans {
		switch {
		case s.kind != address || len(s.domain) == 0:
		case slices.ContainsFunc(t.locals, func(l []byte) bool {
			return indexFold(s.domain, l) >= 0 && !bytes.EqualFold(s.local, l)
		}):
			found = append(found, string(s.local))
		default:
			found = append(found, string(s.local)+"@"+string(s.domain))
		}
	}
	return found
}

// value masks n by rule r: scalars by its functions, objects member by member,
// lists element by element.
func (e *event) value(n *node, r rule) {
	switch n.kind {
	case '{':
		if r.object != nil {
			r.object(e, n)
		} else {
			e.object(n, r)
		}
	case '[':
		for _, item := range n.items {
			e.value(item, r)
		}
	case '"':
		if r.text == nil {
			n.text = gone(n.text)
		} else {
			n.text = r.text(e, n.text)
		}
	case '0':
		if !r.number { // it may be a telephone number
			*n = node{kind: '"', text: gone(n.text)}
		}
	}
}

// object masks the members of n. Names that r does not know are replaced: they
// may be personal as well, and are when a list is keyed by address.
func (e *event) object(n *node, r rule) {
	for i := range n.members {
		f := &n.members[i]
		known, ok := r.fields[f.name]
		if !ok {
			f.name = e.name(f.name)
		}
		e.value(f.value, known)
	}
}

// name returns the pseudonym of an unknown field.
func (e *event) name(s string) string {
	k := e.pool.Get().(*keyed)
	defer e.pool.Put(k)
	k.digest([]byte(s))
	return string(k.appendPseudonym([]byte("field"), shortDigits))
}

// headers masks one element of mail.headers, {"name": "From", "value": "..."}:
// the name decides about the value.
func (e *event) header(n *node) {
	var value rule
	if name := n.member("name"); name != nil && name.kind == '"' {
		known, ok := headerRules[lowerString(name.text)]
		if value = known; !ok {
			name.text = e.name(name.text)
		}
	}
	for i := range n.members {
		switch f := &n.members[i]; {
		case f.name == "name" && f.value == n.member("name") && f.value.kind == '"':
		case f.name == "value":
			e.value(f.value, value)
		default:
			if f.name != "name" {
				f.name = e.name(f.name)
			}
			e.value(f.value, rule{})
		}
	}
}

func lowerString(s string) string {
	var buf [64]byte
	return string(appendLower(buf[:0], s))
}
