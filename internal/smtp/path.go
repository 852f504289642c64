package smtp

import (
	"errors"
	"strings"

	"sesrelay/internal/relay"
)

var errPath = errors.New("bad syntax of the path")

// parsePath parses the path of a MAIL or RCPT argument, byte by byte as it was
// sent: quoting stays. keyword is "FROM:" or "TO:". lib is what the library
// understood, without quoting: where the two disagree about where the address
// ends, the parameters are not what they seem, and the address is refused.
func parsePath(arg, keyword, lib string, utf8 bool) (relay.Address, error) {
	s, ok := cutKeyword(arg, keyword)
	if !ok {
		return relay.Address{}, errPath
	}
	mailbox, err := cutPath(s)
	if err != nil {
		return relay.Address{}, err
	}
	if mailbox == "" && lib == "" && keyword == "FROM:" { // the null reverse-path
		return relay.Address{}, nil
	}
	a, err := relay.ParseAddress(mailbox, utf8)
	if err != nil {
		return relay.Address{}, err
	}
	if !agree(a, lib) {
		return relay.Address{}, errPath
	}
	return a, nil
}

func cutKeyword(arg, keyword string) (string, bool) {
	if len(arg) < len(keyword) || !strings.EqualFold(arg[:len(keyword)], keyword) {
		return "", false
	}
	return strings.TrimLeft(arg[len(keyword):], " \t"), true
}

// cutPath returns the mailbox of the path at the start of s. Angle brackets
// may be missing, as Postfix and the library allow.
func cutPath(s string) (string, error) {
	if !strings.HasPrefix(s, "<") {
		mailbox, _, _ := strings.Cut(s, " ")
		return mailbox, nil
	}
	s, err := cutSourceRoute(s[1:])
	if err != nil {
		return "", err
	}
	end := pathEnd(s)
	if end < 0 || end+1 < len(s) && s[end+1] != ' ' {
		return "", errPath
	}
	return s[:end], nil
}

// cutSourceRoute strips "@a,@b:" (RFC 5321 appendix C: must be accepted, should be ignored).
func cutSourceRoute(s string) (string, error) {
	if !strings.HasPrefix(s, "@") {
		return s, nil
	}
	route, rest, ok := strings.Cut(s, ":")
	if !ok || strings.Trim(route, routeBytes) != "" {
		return "", errPath
	}
	return rest, nil
}

const routeBytes = "@,.-_[]0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

// pathEnd returns the index of the bracket that ends the path, or -1.
func pathEnd(s string) int {
	quoted := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			quoted = !quoted
		case c == '\\' && quoted:
			i++
		case c == '>' && !quoted:
			return i
		}
	}
	return -1
}

// agree reports whether the library understood the same mailbox.
func agree(a relay.Address, lib string) bool {
	if !strings.HasPrefix(a.Local, `"`) {
		return a.String() == lib
	}
	return strings.HasSuffix(lib, "@"+a.Domain)
}

// addressReply tells the client what is wrong with an address.
func addressReply(err error, syntax relay.Reply) relay.Reply {
	if errors.Is(err, relay.ErrAddressUTF8) {
		return replyNeedsUTF8
	}
	return syntax
}
