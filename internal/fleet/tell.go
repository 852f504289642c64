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
	From    string      `json:"from"`
	Nonce   string      `json:"nonce"`
	Sent    time.Time   `json:"sent"`
	Version int64       `json:"version"` // in force where the brake was pulled
	Brake   split.Brake `json:"brake"`
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
func (f *Fleet) Tell(ctx context.Context, b split.Brake, version int64) error {
	keys := f.secrets.all()
	if len(keys) == 0 {
		return errors.New("the other instances were not told: Redis has not answered since the start, and there is no state.secret_file")
	}
	m := message{From: f.ID, Nonce: rand.Text(), Sent: time.Now().UTC(), Version: version, Brake: b}
	body, err := json.Marshal(m)
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var missed []string
	for _, p := range f.everybody() {
		wg.Go(func() {
			err := f.tellOne(ctx, p.Instance, keys[0], m.Nonce, body)
			if err == nil {
				f.hasBraked(p.Run)
			}
			if err != nil && p.lives {
				mu.Lock()
				defer mu.Unlock()
				missed = append(missed, fmt.Sprintf("%s (%v)", p.ID, err))
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
func (f *Fleet) hasBraked(run string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := range f.known {
		if i := &f.known[n]; i.Run == run {
			i.Applied, i.Ceiling = 0, 0
		}
	}
}

func (f *Fleet) tellOne(ctx context.Context, to Instance, key []byte, nonce string, body []byte) (err error) {
	if to.Admin == "" {
		return errors.New("it has no address for the others")
	}
	for range tellTries {
		if err = f.post(ctx, to.Admin+Path, key, nonce, body); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

// post sends one message, and believes only a signed answer.
func (f *Fleet) post(ctx context.Context, url string, key []byte, nonce string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, tellTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set(signature, seal(key, "brake", body))
	answer, err := f.Client.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	io.Copy(io.Discard, io.LimitReader(answer.Body, maxMessage))
	if answer.StatusCode != http.StatusOK || !hmac.Equal([]byte(answer.Header.Get(signature)), []byte(seal(key, "braked", []byte(nonce)))) {
		return fmt.Errorf("answered %s", answer.Status)
	}
	return nil
}

// plainClient goes where it is told and nowhere else.
func plainClient() *http.Client {
	return &http.Client{
		Transport:     &http.Transport{MaxIdleConnsPerHost: 1, IdleConnTimeout: time.Minute},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}
