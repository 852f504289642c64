package mask

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"sync"
)

// Mode says how much of an address stays readable. The zero value is Masked.
type Mode uint8

const (
	Masked Mode = iota // first letter, pseudonym, domain
	Hashed             // pseudonym only
	Full               // nothing is masked
)

// ParseMode reads the configuration value log.addresses.
func ParseMode(s string) (Mode, error) {
	switch s {
	case "masked":
		return Masked, nil
	case "hashed":
		return Hashed, nil
	case "full":
		return Full, nil
	}
	return Masked, fmt.Errorf("mask: %q is not a mode: use masked, hashed or full", s)
}

// String is the inverse of ParseMode.
func (m Mode) String() string {
	switch m {
	case Hashed:
		return "hashed"
	case Full:
		return "full"
	}
	return "masked"
}

// minKey is the shortest key accepted, in bytes: below it the pseudonyms of
// known addresses could be found by trying keys.
const minKey = 16

// Pseudonyms are cut to these many hexadecimal digits. The long one begins with
// the short one, so that both modes can be compared.
const (
	shortDigits = 10
	longDigits  = 16
)

// Masker masks with one mode and one key. It is safe for concurrent use.
type Masker struct {
	mode Mode
	pool sync.Pool // of *keyed
}

// keyed is an HMAC whose padded key is already hashed, with the buffers that
// would otherwise be allocated for each address.
type keyed struct {
	hash.Hash
	canonical []byte
	sum       [sha256.Size]byte
}

// New returns a Masker. Instances and pipelines whose pseudonyms shall agree
// need the same key, of 16 bytes or more. With an empty key one is drawn at
// random: pseudonyms then agree only within this process.
func New(mode Mode, key []byte) (*Masker, error) {
	if mode > Full {
		return nil, fmt.Errorf("mask: unknown mode %d", mode)
	}
	if len(key) == 0 {
		key = make([]byte, sha256.Size)
		rand.Read(key) // never fails: crypto/rand ends the process instead
	}
	if len(key) < minKey {
		return nil, fmt.Errorf("mask: key has %d bytes, at least %d are needed: make one with `openssl rand -hex 32`", len(key), minKey)
	}
	m := &Masker{mode: mode}
	key = append([]byte(nil), key...)
	m.pool.New = func() any { return &keyed{Hash: hmac.New(sha256.New, key)} }
	return m, nil
}

// Mode returns the mode given to New.
func (m *Masker) Mode() Mode { return m.mode }

// digest hashes canonical, which may be k's own buffer.
func (k *keyed) digest(canonical []byte) {
	k.Reset()
	k.Write(canonical)
	k.Sum(k.sum[:0])
}

// appendPseudonym appends '#' and the first digits of the digest.
func (k *keyed) appendPseudonym(dst []byte, digits int) []byte {
	return hex.AppendEncode(append(dst, '#'), k.sum[:digits/2])
}
