package smtp

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"net/netip"
	"runtime"
	"sync"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// verdict is the answer to a password.
type verdict uint8

const (
	denied  verdict = iota
	granted         //
	later           // not looked at: too many failures before, or too busy
)

const (
	verdictLife = 10 * time.Minute // of a remembered verdict
	maxVerdicts = 10_000
	checkWait   = 5 * time.Second // for one of the places at bcrypt
)

// authenticator checks passwords. bcrypt is slow by design: only as many run
// at once as leave half of the processors to mail, and a verdict is
// remembered, keyed by an HMAC under a key that never leaves the process.
type authenticator struct {
	key     [32]byte
	places  chan struct{}
	clients *limiter // failures per client
	names   *limiter // failures per user name

	mu       sync.Mutex // guards what follows
	verdicts map[[32]byte]remembered
}

type remembered struct {
	verdict verdict
	until   time.Time
}

func newAuthenticator() *authenticator {
	a := &authenticator{
		places:   make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)),
		clients:  newLimiter(20, 6*time.Second),
		names:    newLimiter(50, 3*time.Second),
		verdicts: map[[32]byte]remembered{},
	}
	rand.Read(a.key[:]) // never fails: crypto/rand ends the process instead
	return a
}

// check checks one password. An unknown name costs the same as a known one.
func (a *authenticator) check(ctx context.Context, users *Users, client netip.Addr, user, password string) verdict {
	hash, known := users.hash(user)
	id := a.id(user, password, hash)
	now := time.Now()
	v, seen := a.recall(id, now)
	if seen && v == granted {
		return granted
	}
	if !a.clients.allow(client.String(), now) || !a.names.allow(user, now) {
		return later
	}
	if !seen {
		var ok bool
		if v, ok = a.look(ctx, id, hash, known, password); !ok {
			return later
		}
	}
	if v == denied {
		a.clients.fail(client.String(), now)
		a.names.fail(user, now)
	}
	return v
}

// look compares and remembers, when it is its turn; ok is false when that takes
// too long. All connections of a Postfix come with one password, and behind a
// restart all at once: the first one's verdict is that of those who waited.
func (a *authenticator) look(ctx context.Context, id [32]byte, hash []byte, known bool, password string) (v verdict, ok bool) {
	ctx, cancel := context.WithTimeout(ctx, checkWait)
	defer cancel()
	select {
	case a.places <- struct{}{}:
	case <-ctx.Done():
		return denied, false
	}
	defer func() { <-a.places }()
	if v, seen := a.recall(id, time.Now()); seen {
		return v, true
	}
	if bcrypt.CompareHashAndPassword(hash, []byte(password)) == nil && known {
		v = granted
	}
	a.remember(id, v, time.Now())
	return v, true
}

// id names a password of a user. The hash is part of it: a changed password
// makes old verdicts void.
func (a *authenticator) id(user, password string, hash []byte) (id [32]byte) {
	h := hmac.New(sha256.New, a.key[:])
	for _, s := range []string{user, password, string(hash)} { // none of them holds a NUL
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	h.Sum(id[:0])
	return id
}

func (a *authenticator) recall(id [32]byte, now time.Time) (verdict, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r, ok := a.verdicts[id]
	return r.verdict, ok && now.Before(r.until)
}

func (a *authenticator) remember(id [32]byte, v verdict, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.verdicts) >= maxVerdicts {
		clear(a.verdicts)
	}
	a.verdicts[id] = remembered{v, now.Add(verdictLife)}
}
