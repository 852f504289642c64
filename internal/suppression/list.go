package suppression

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"sesrelay/internal/relay"
)

// maxFile bounds what is read: ten million addresses are about 300 MB.
const maxFile = 512 << 20

// Options say how a file is read. The zero value finds out.
type Options struct {
	Format Format // "" = Auto
	Column string // name or number of the column (CSV), or the key (JSON lines); "" = find it
}

// Refusal is a line that holds nothing that SES could suppress.
type Refusal struct {
	Line int    `json:"line"`
	Why  string `json:"why"`
}

// List is what a file holds. Addresses are distinct, in the order of the file,
// with the domain in small letters and the local part as it stands: SES may
// tell its letters apart, and an entry too many harms nobody.
type List struct {
	Format     Format
	Encoding   string
	Addresses  []string
	Duplicates int
	Refused    []Refusal
}

// Read reads a whole file. The error says what is wrong with the file as a
// whole; a line that holds no address becomes a Refusal.
func Read(r io.Reader, o Options) (*List, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("the file is larger than %d MiB: split it", maxFile>>20)
	}
	text, encoding, err := decode(data)
	if err != nil {
		return nil, err
	}
	if o.Format == "" || o.Format == Auto {
		o.Format = detect(text)
	}
	l := &List{Format: o.Format, Encoding: encoding}
	seen := map[string]bool{}
	if err := rows(text, o.Format, o.Column, func(r row) { l.add(r, seen) }); err != nil {
		return nil, err
	}
	if len(l.Addresses) == 0 && len(l.Refused) == 0 {
		return nil, errors.New("the file holds no address")
	}
	return l, nil
}

func (l *List) add(r row, seen map[string]bool) {
	if r.why != "" {
		l.Refused = append(l.Refused, Refusal{r.line, r.why})
		return
	}
	address, why := normal(r.text)
	switch {
	case why != "":
		l.Refused = append(l.Refused, Refusal{r.line, why})
	case seen[address]:
		l.Duplicates++
	default:
		seen[address] = true
		l.Addresses = append(l.Addresses, address)
	}
}

// normal returns the address as it is sent, or why it is not. What SES cannot
// be asked to deliver to (not ASCII, no Dot-string: see docs/flow.md) needs no entry:
// the relay never sends it there.
func normal(s string) (address, why string) {
	a, err := relay.ParseAddress(s, false)
	switch {
	case errors.Is(err, relay.ErrAddressUTF8):
		return "", "not ASCII: never sent to SES, needs no entry"
	case err != nil:
		return "", "no address"
	case !a.IsDotString():
		return "", "no Dot-string before the @: never sent to SES, needs no entry"
	case !strings.Contains(a.Domain, ".") || strings.HasPrefix(a.Domain, "["):
		return "", "no domain of the Internet"
	case len(a.Local) > 64 || len(a.String()) > 254:
		return "", "longer than RFC 5321 allows"
	}
	return a.Local + "@" + strings.ToLower(a.Domain), ""
}

// digest names a list by its content, so that a state file cannot be used for
// another one.
func (l *List) digest() string {
	h := sha256.New()
	for _, a := range l.Addresses {
		io.WriteString(h, a+"\n")
	}
	return hex.EncodeToString(h.Sum(nil))
}
