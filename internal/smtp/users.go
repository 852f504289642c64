package smtp

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/crypto/bcrypt"
)

// Users are the names and password hashes for AUTH. They do not change after
// they were read: a reload makes new ones.
type Users struct {
	hashes map[string][]byte
	dummy  []byte // of the highest cost here: what an unknown name is compared with
}

const (
	maxUserName = 255
	maxCost     = 15 // bcrypt doubles its time with each step; 15 is about two seconds
)

// ReadUsers reads a users file: "name:bcrypt" per line, as "htpasswd -B" writes
// it; empty lines and lines that begin with # are skipped. The error names
// every bad line.
func ReadUsers(path string) (*Users, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("users file: %w", err)
	}
	defer f.Close()
	return ParseUsers(f, path)
}

// ParseUsers is ReadUsers on r; name stands in its errors.
func ParseUsers(r io.Reader, name string) (*Users, error) {
	u := &Users{hashes: map[string][]byte{}}
	var errs []error
	cost, lines := bcrypt.MinCost, bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		c, err := u.add(line)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s:%d: %w", name, n, err))
		}
		cost = max(cost, c)
	}
	if err := lines.Err(); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", name, err))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	dummy, err := bcrypt.GenerateFromPassword([]byte("nobody"), cost)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	u.dummy = dummy
	return u, nil
}

// add adds one line and returns the cost of its hash. Its errors do not
// repeat the line: it holds a secret.
func (u *Users) add(line string) (int, error) {
	name, hash, ok := strings.Cut(line, ":")
	switch {
	case !ok:
		return 0, errors.New("no colon: write name:bcrypt")
	case name == "" || len(name) > maxUserName || strings.ContainsFunc(name, isControl):
		return 0, fmt.Errorf("bad user name %q", name)
	case u.hashes[name] != nil:
		return 0, fmt.Errorf("user %q stands twice", name)
	}
	cost, err := bcrypt.Cost([]byte(hash))
	switch {
	case err != nil:
		return 0, fmt.Errorf("user %q: not a bcrypt hash: make one with htpasswd -nB", name)
	case len(hash) != 60:
		return 0, fmt.Errorf("user %q: a bcrypt hash has 60 characters, this has %d", name, len(hash))
	case cost > maxCost:
		return 0, fmt.Errorf("user %q: bcrypt cost %d takes too long: at most %d", name, cost, maxCost)
	}
	u.hashes[name] = []byte(hash)
	return cost, nil
}

func isControl(r rune) bool { return r < 0x20 || r == 0x7f }

func (u *Users) has(name string) bool { return u.hashes[name] != nil }

// hash returns the user's hash, or one that costs the same to compare.
func (u *Users) hash(name string) (hash []byte, known bool) {
	if h := u.hashes[name]; h != nil {
		return h, true
	}
	return u.dummy, false
}
