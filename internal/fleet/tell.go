package fleet

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"sesrelay/internal/split"
)

// Path is where Handler is to be found on every instance's API. It needs no
// token: the signature says who may.
const Path = "/v1/fleet/brake"

// signature is the header with the HMAC-SHA256 of a body. The secret itself is
// never sent: the addresses come from Redis, and whoever can write there could
// have it sent to himself.
const signature = "Relay-Signature"

// message tells of a brake.
type message struct {
	From    string     `json:"from"`
	Nonce   string     `json:"nonce"`   // the answer is signed with it
	Version int64      `json:"version"` // in force where the brake was pulled
	Brake   split.Pull `json:"brake"`
}

// braked is the answer: who it is, and what it applies from now on.
type braked struct {
	Run     string        `json:"run"`
	Version int64         `json:"version"`
	Applied split.Percent `json:"applied"`
	Ceiling split.Percent `json:"ceiling"`
}

// Times of telling.
const (
	tellTimeout = 700 * time.Millisecond // of one try
	tellTries   = 3
	maxMessage  = 8 << 10
)

// Tell passes a brake to every instance known last, all at once, and returns
// when each has answered or could not be reached. Its error names those that
// lived last and were not reached. It is what split.RedisStore.Tell wants.
func (f *Fleet) Tell(ctx context.Context, p split.Pull, version int64) error {
	keys := f.secrets.all()
	if len(keys) == 0 {
		return errors.New("the other instances were not told: Redis has not answered since the start, and there is no state.secret_file")
	}
	m := message{From: f.ID, Nonce: rand.Text(), Version: version, Brake: p}
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var missed []string
	for _, to := range f.everybody() {
		wg.Go(func() {
			now, err := f.tellOne(ctx, to.Instance, keys[0], m.Nonce, body)
			if err == nil && now.Run != to.Run { // several say they are at 127.0.0.1, and it was this one
				err = errors.New("another instance answers at " + to.Admin)
			}
			if err == nil {
				f.hasBraked(to.Run, now)
			}
			if err != nil && to.lives {
				mu.Lock()
				defer mu.Unlock()
				missed = append(missed, fmt.Sprintf("%s (%v)", to.ID, err))
			}
		})
	}
	wg.Wait()
	if len(missed) > 0 {
		slices.Sort(missed)
		return errors.New("not reached: " + strings.Join(missed, ", "))
	}
	return nil
}

type addressee struct {
	Instance
	lives bool // in the last list
}

func (f *Fleet) everybody() []addressee {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make([]addressee, 0, len(f.peers))
	for run, p := range f.peers {
		out = append(out, addressee{p.Instance, slices.ContainsFunc(f.known, func(i Instance) bool { return i.Run == run })})
	}
	return out
}

// hasBraked notes what an instance has answered: without Redis it has no other
// way to say so.
func (f *Fleet) hasBraked(run string, now braked) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := range f.known {
		if i := &f.known[n]; i.Run == run {
			i.Version, i.Applied, i.Ceiling = now.Version, now.Applied, now.Ceiling
		}
	}
}

func (f *Fleet) tellOne(ctx context.Context, to Instance, key []byte, nonce string, body []byte) (now braked, err error) {
	if to.Admin == "" {
		return now, errors.New("it has no address for the others")
	}
	for range tellTries {
		if now, err = f.post(ctx, to.Admin+Path, key, nonce, body); err == nil || ctx.Err() != nil {
			return now, err
		}
	}
	return now, err
}

// post sends one message, and believes only a signed answer.
func (f *Fleet) post(ctx context.Context, url string, key []byte, nonce string, body []byte) (now braked, err error) {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return now, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(signature, seal(key, "brake", body))
	resp, err := f.Client.Do(r)
	if err != nil {
		return now, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage))
	if resp.StatusCode != http.StatusOK || err != nil ||
		!hmac.Equal([]byte(resp.Header.Get(signature)), []byte(seal(key, "braked "+nonce, answer))) {
		return now, fmt.Errorf("answered %s", resp.Status)
	}
	return now, json.Unmarshal(answer, &now)
}

// plainClient goes where it is told and nowhere else.
func plainClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
