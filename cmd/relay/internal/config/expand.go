package config

import "strings"

// valueError is what is wrong with one value.
type valueError struct {
	what  string
	fix   string
	quote bool // the message begins with the value itself
}

func (e *valueError) Error() string { return e.what }

// badValue returns a valueError whose message begins with the value.
func badValue(what, fix string) *valueError { return &valueError{what, fix, true} }

// expand replaces ${NAME} by the environment's value and $$ by a dollar sign.
// The result is not expanded again. A missing variable is an error: an empty
// password or address would be found out much later.
func expand(s string, lookup func(string) (string, bool)) (string, *valueError) {
	var b strings.Builder
	for {
		before, rest, found := strings.Cut(s, "$")
		b.WriteString(before)
		if !found {
			return b.String(), nil
		}
		switch {
		case strings.HasPrefix(rest, "$"):
			b.WriteByte('$')
			s = rest[1:]
		case strings.HasPrefix(rest, "{"):
			name, after, closed := strings.Cut(rest[1:], "}")
			if !closed || !isVariable(name) {
				return "", &valueError{what: "\"${\" does not begin a variable", fix: "write ${NAME} with letters, digits and _, or $$ for a dollar sign"}
			}
			value, ok := lookup(name)
			if !ok {
				return "", &valueError{what: "the environment has no variable " + name, fix: "set " + name + ", or write the value"}
			}
			b.WriteString(value)
			s = after
		default:
			b.WriteByte('$')
			s = rest
		}
	}
}

// isVariable reports whether s is a name of POSIX's form: letters, digits and
// underscores, no digit first.
func isVariable(s string) bool {
	for i, c := range []byte(s) {
		letter := c == '_' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !letter && (i == 0 || c < '0' || c > '9') {
			return false
		}
	}
	return s != ""
}
