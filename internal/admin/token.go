package admin

import (
	"bufio"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
)

// TokenPrefix lets secret scanners find a token that was committed somewhere.
const TokenPrefix = "relay_"

// NewToken makes a token of 256 random bits and the line for tokens_file, which
// holds its SHA-256 only: a hash without salt is enough for what cannot be
// guessed.
func NewToken(role Role, name string) (token, line string, err error) {
	if role < Monitoring || role > Admin {
		return "", "", fmt.Errorf("role %d is none of a token", role)
	}
	if err := checkName(name); err != nil {
		return "", "", err
	}
	var b [32]byte
	rand.Read(b[:]) // never fails (crypto/rand)
	token = TokenPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	sum := sha256.Sum256([]byte(token))
	return token, role.String() + ":" + name + ":" + hex.EncodeToString(sum[:]), nil
}

// checkName: it stands in the history and the audit log.
func checkName(name string) error {
	ok := name != "" && len(name) <= 64 && strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-@") == ""
	if !ok {
		return fmt.Errorf("name %q: write up to 64 letters, digits and . _ - @", name)
	}
	return nil
}

// Tokens is a tokens_file. A nil *Tokens means that there is none.
type Tokens struct{ list []token }

type token struct {
	role Role
	name string
	hash [sha256.Size]byte
}

// ParseTokens reads a tokens_file: "role:name:hash" lines, blank lines and
// lines that begin with "#". The error joins every mistake with its line.
func ParseTokens(r io.Reader) (*Tokens, error) {
	var out Tokens
	var mistakes []error
	seen := map[string]int{}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		text := strings.TrimSpace(lines.Text())
		if text == "" || text[0] == '#' {
			continue
		}
		t, err := parseToken(text)
		if first, twice := seen[t.name]; err == nil && twice {
			err = fmt.Errorf("name %q stands in line %d too: every token needs its own, it is what the history shows", t.name, first)
		}
		if err != nil {
			mistakes = append(mistakes, fmt.Errorf("line %d: %w", n, err))
			continue
		}
		seen[t.name] = n
		out.list = append(out.list, t)
	}
	mistakes = append(mistakes, lines.Err())
	if err := errors.Join(mistakes...); err != nil {
		return nil, err
	}
	return &out, nil
}

// parseToken reads one line. Its errors never hold the third part: somebody
// may have written the token itself there.
func parseToken(text string) (t token, err error) {
	part := strings.Split(text, ":")
	if len(part) != 3 {
		return t, errors.New("write role:name:hash, as \"relay token new\" prints it")
	}
	if t.role, err = ParseRole(part[0]); err != nil {
		return t, err
	}
	if err = checkName(part[1]); err != nil {
		return t, err
	}
	t.name = part[1]
	sum, err := hex.DecodeString(part[2])
	if err != nil || len(sum) != len(t.hash) {
		return t, errors.New("the third part is not a SHA-256 in hexadecimal digits: make the line with \"relay token new\"")
	}
	copy(t.hash[:], sum)
	return t, nil
}

// find returns the entry of a token. It looks at all of them, in constant time.
func (t *Tokens) find(secret string) (found token, ok bool) {
	sum := sha256.Sum256([]byte(secret))
	for _, e := range t.list {
		if subtle.ConstantTimeCompare(sum[:], e.hash[:]) == 1 {
			found, ok = e, true
		}
	}
	return found, ok
}
