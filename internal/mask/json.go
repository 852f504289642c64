package mask

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
)

// maxDepth bounds how deep an event may be nested; those of SES reach six.
const maxDepth = 24

// node is a JSON value. Objects keep the order of their members, numbers their
// digits.
type node struct {
	kind    byte // '{', '[', '"', '0', 'b' (true, false) or 'n' (null)
	text    string
	members []member
	items   []*node
}

type member struct {
	name  string
	value *node
}

// parse reads exactly one JSON value.
func parse(data []byte) (*node, error) {
	if !json.Valid(data) {
		return nil, errors.New("not one valid JSON value")
	}
	d := json.NewDecoder(bytes.NewReader(data))
	d.UseNumber()
	return parseValue(d, 0)
}

func parseValue(d *json.Decoder, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d levels", maxDepth)
	}
	token, err := d.Token()
	if err != nil {
		return nil, errors.New("JSON cannot be read") // the decoder's text quotes the input
	}
	switch t := token.(type) {
	case json.Delim:
		return parseComposite(d, t, depth)
	case string:
		return &node{kind: '"', text: t}, nil
	case json.Number:
		return &node{kind: '0', text: t.String()}, nil
	case bool:
		return &node{kind: 'b', text: fmt.Sprint(t)}, nil
	}
	return &node{kind: 'n', text: "null"}, nil
}

func parseComposite(d *json.Decoder, open json.Delim, depth int) (*node, error) {
	n := &node{kind: byte(open)}
	for d.More() {
		var name string
		if open == '{' {
			token, err := d.Token()
			if err != nil {
				return nil, errors.New("JSON object cannot be read")
			}
			name, _ = token.(string)
		}
		value, err := parseValue(d, depth+1)
		if err != nil {
			return nil, err
		}
		if open == '{' {
			n.members = append(n.members, member{name, value})
		} else {
			n.items = append(n.items, value)
		}
	}
	_, err := d.Token()
	return n, err
}

// strings calls f with every string in n, names of members excepted.
func (n *node) strings(f func(string)) {
	if n.kind == '"' {
		f(n.text)
	}
	for _, m := range n.members {
		m.value.strings(f)
	}
	for _, item := range n.items {
		item.strings(f)
	}
}

// member returns the value of the last member with this name, or nil.
func (n *node) member(name string) *node {
	for i := len(n.members) - 1; i >= 0; i-- {
		if n.members[i].name == name {
			return n.members[i].value
		}
	}
	return nil
}

// appendTo appends n without blanks.
func (n *node) appendTo(dst []byte) []byte {
	switch n.kind {
	case '{':
		dst = append(dst, '{')
		for i, m := range n.members {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = append(appendQuoted(dst, m.name), ':')
			dst = m.value.appendTo(dst)
		}
		return append(dst, '}')
	case '[':
		dst = append(dst, '[')
		for i, item := range n.items {
			if i > 0 {
				dst = append(dst, ',')
			}
			dst = item.appendTo(dst)
		}
		return append(dst, ']')
	case '"':
		return appendQuoted(dst, n.text)
	}
	return append(dst, n.text...)
}

// appendQuoted appends s as a JSON string. HTML characters stay as they are: a
// diagnostic full of \u003c cannot be read.
func appendQuoted(dst []byte, s string) []byte {
	b := bytes.NewBuffer(dst)
	e := json.NewEncoder(b)
	e.SetEscapeHTML(false)
	e.Encode(s) // a string in a buffer: cannot fail
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}
