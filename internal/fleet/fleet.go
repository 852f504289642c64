package fleet

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"sesrelay/internal/split"
)

// Instance is one running relay, as it says itself.
type Instance struct {
	ID      string        `json:"id"`
	Run     string        `json:"run"`     // of this process; tells two of one name apart
	Version int64         `json:"version"` // of the split that it applies
	Applied split.Percent `json:"applied"` // requested, under the brake
	Ceiling split.Percent `json:"ceiling"`
	Admin   string        `json:"admin,omitempty"` // base URL of its API for the others; "": none
	Started time.Time     `json:"started"`
	Build   string        `json:"build"`
}

const maxInstances = 1000

// check refuses what no relay says: whoever can write to Redis can write anything.
func (i *Instance) check() error {
	for _, s := range []string{i.ID, i.Run, i.Build} {
		if s == "" || len(s) > 200 || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return errors.New("a name that is none")
		}
	}
	u, err := url.Parse(i.Admin)
	if i.Admin != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil) {
		return errors.New("an address that is none")
	}
	if i.Version < 0 || !i.Applied.Valid() || !i.Ceiling.Valid() {
		return errors.New("out of range")
	}
	return nil
}

// Config describes this instance.
type Config struct {
	ID     string // a name for people, such as the hostname
	Admin  string // base URL under which the others reach its API; "": they cannot
	Build  string // the version of the relay
	Live   *split.Live
	Key    []byte // the fleet's secret, which signs what the instances tell each other; empty: one that the instances share in Redis
	Log    *slog.Logger
	Client *http.Client // nil: one without proxy and redirects
}

// Fleet is this instance's view of all instances.
type Fleet struct {
	Config
	registry *registry
	secrets  keyring
	self     Instance

	mu    sync.Mutex // guards what follows
	known []Instance // the last list, this one in it
	peers map[string]peer
	down  error
}

// peer is another instance that may be there still.
type peer struct {
	Instance
	seen time.Time
}

// forgetAfter is how long an instance that has left is told of a brake: a Redis
// that was emptied has forgotten everybody for a moment.
const forgetAfter = 10 * time.Minute

func newFleet(r *registry, cfg Config) *Fleet {
	f := &Fleet{Config: cfg, registry: r, secrets: keyring{fixed: cfg.Key}, peers: map[string]peer{}, down: errors.New("nothing asked yet")}
	if f.Client == nil {
		f.Client = plainClient()
	}
	f.self = Instance{ID: cfg.ID, Run: rand.Text(), Admin: strings.TrimSuffix(cfg.Admin, "/"), Build: cmp.Or(cfg.Build, "unknown"),
		Started: time.Now().UTC().Truncate(time.Millisecond)}
	f.known = []Instance{f.now(cfg.Live.Current())}
	return f
}

// now is what this instance says of itself.
func (f *Fleet) now(s *split.Snapshot) Instance {
	i := f.self
	i.Version, i.Applied, i.Ceiling = s.Version, s.Applied(), s.Ceiling
	return i
}

// Run says every second, and at every change of the split, that this instance
// lives, until ctx ends; then it leaves.
func (f *Fleet) Run(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		s := f.Live.Current()
		f.beat(ctx, s)
		select {
		case <-ctx.Done():
			f.registry.say(context.WithoutCancel(ctx), f.self.Run, "")
			return
		case <-tick.C:
		case <-s.Changed():
		}
	}
}

func (f *Fleet) beat(ctx context.Context, s *split.Snapshot) error {
	says, err := json.Marshal(f.now(s))
	if err != nil {
		return err
	}
	all, err := f.registry.say(ctx, f.self.Run, string(says))
	if err == nil {
		err = f.registry.share(ctx, &f.secrets)
	}
	return f.learn(all, err)
}

// learn takes a list from Redis. Without one the last stays.
func (f *Fleet) learn(all []Instance, err error) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.down = err
	if err != nil {
		return err
	}
	f.known = all
	now := time.Now()
	for _, i := range all {
		if i.Run != f.self.Run {
			f.peers[i.Run] = peer{i, now}
		}
	}
	for run, p := range f.peers {
		// Whoever can write to Redis can list others every second.
		if now.Sub(p.seen) > forgetAfter || len(f.peers) > maxInstances && p.seen != now {
			delete(f.peers, run)
		}
	}
	return nil
}

// Instances returns all that live or, while Redis is away, those that lived
// last, in order of their names; this one always is among them, as it is now.
func (f *Fleet) Instances() []Instance {
	self := f.now(f.Live.Current())
	f.mu.Lock()
	out := slices.Clone(f.known)
	f.mu.Unlock()
	out = append(slices.DeleteFunc(out, func(i Instance) bool { return i.Run == self.Run }), self)
	return named(out)
}

// Look is Instances after Redis has been asked for the list, which takes 250 ms
// at most when Redis does not answer.
func (f *Fleet) Look(ctx context.Context) []Instance {
	all, err := f.registry.say(ctx, "", "")
	f.learn(all, err)
	return f.Instances()
}

// named sorts instances, and tells those of one name apart.
func named(all []Instance) []Instance {
	slices.SortFunc(all, func(a, b Instance) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), a.Started.Compare(b.Started), cmp.Compare(a.Run, b.Run))
	})
	count := map[string]int{}
	for _, i := range all {
		count[i.ID]++
	}
	for n := range all {
		if i := &all[n]; count[i.ID] > 1 {
			i.ID += "#" + i.Run[:min(4, len(i.Run))]
		}
	}
	return all
}

// Up reports whether the last heartbeat reached Redis, and the error if not.
func (f *Fleet) Up() (bool, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.down == nil, f.down
}

// askEvery is how often Applied looks.
const askEvery = 25 * time.Millisecond

// Applied waits until every instance that lives applies at least a version. It
// returns those that do not when ctx ends; its error says that Redis could not
// be asked, and the list is the one known last.
func (f *Fleet) Applied(ctx context.Context, version int64) (behind []Instance, err error) {
	tick := time.NewTicker(askEvery)
	defer tick.Stop()
	for {
		all, asked := f.registry.say(ctx, "", "")
		if ctx.Err() == nil {
			err = f.learn(all, asked)
			behind = f.behind(version)
		}
		if len(behind) == 0 && err == nil && ctx.Err() == nil {
			return nil, nil
		}
		select {
		case <-ctx.Done():
			return f.behind(version), err
		case <-tick.C:
		}
	}
}

func (f *Fleet) behind(version int64) []Instance {
	return slices.DeleteFunc(f.Instances(), func(i Instance) bool { return i.Version >= version })
}
