package fleet

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"sync"
)

// keyring signs what the instances tell each other past Redis. It is the
// configuration's (state.secret_file), or one that the first instance has drawn
// and put into Redis: whoever can read it there could move the split there,
// too. An instance keeps the last two, so that nobody is deaf while an emptied
// Redis is given the secret back.
type keyring struct {
	mu     sync.Mutex // guards what follows
	fixed  []byte     // the configuration's; empty: none
	now    []byte     // nil: none was heard of yet
	before []byte
}

// all returns the secrets that count, the one to sign with first.
func (s *keyring) all() [][]byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.fixed) > 0 {
		return [][]byte{s.fixed}
	}
	var out [][]byte
	for _, k := range [][]byte{s.now, s.before} {
		if len(k) > 0 {
			out = append(out, k)
		}
	}
	return out
}

// given reports whether the configuration names the secret.
func (s *keyring) given() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fixed) > 0
}

// took keeps what Redis holds.
func (s *keyring) took(k string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if k != "" && k != string(s.now) {
		s.now, s.before = []byte(k), s.now
	}
}

// offer is what Redis gets when it has none: ours, or a new one.
func (s *keyring) offer() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.now) > 0 {
		return string(s.now)
	}
	return rand.Text()
}

// seal returns the HMAC-SHA256 of a body for a purpose, in hex.
func seal(key []byte, purpose string, body []byte) string {
	m := hmac.New(sha256.New, key)
	m.Write([]byte(purpose + "\n"))
	m.Write(body)
	return hex.EncodeToString(m.Sum(nil))
}

// sealedWith returns the secret that a body was sealed with; nil: none of ours.
func (s *keyring) sealedWith(purpose string, body []byte, given string) []byte {
	for _, k := range s.all() {
		if hmac.Equal([]byte(seal(k, purpose, body)), []byte(given)) {
			return k
		}
	}
	return nil
}
