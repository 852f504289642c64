package main

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"sesrelay/internal/rollout"
)

// leaseLife is how long an instance leads without a word: another takes over
// within it.
const leaseLife = 5 * time.Second

// rolloutKind names what is kept in Redis for the rollout.
const rolloutKind = "rollout"

// fleetWords is what the rollout needs of fleet.Fleet.
type fleetWords interface {
	Hold(ctx context.Context, name string, life time.Duration) (bool, error)
	Publish(ctx context.Context, kind string, b []byte) error
	Published(ctx context.Context, kind string) (map[string][]byte, error)
}

// fleetLease lets one instance of the fleet move the steps.
type fleetLease struct {
	words fleetWords
	self  string
	held  atomic.Bool
}

var _ rollout.Lease = (*fleetLease)(nil)

// Hold implements rollout.Lease. While Redis is away nobody leads.
func (l *fleetLease) Hold(ctx context.Context) bool {
	mine, err := l.words.Hold(ctx, rolloutKind, leaseLife)
	l.held.Store(mine && err == nil)
	return l.held.Load()
}

// Holder implements rollout.Lease: only the instance that leads is known by name.
func (l *fleetLease) Holder() string {
	if l.held.Load() {
		return l.self
	}
	return ""
}

// fleetCounts brings the counts of the other instances.
type fleetCounts struct{ words fleetWords }

var _ rollout.Exchange = (*fleetCounts)(nil)

// Trade implements rollout.Exchange. What cannot be read is an instance of
// another version: it is left out.
func (f *fleetCounts) Trade(ctx context.Context, mine map[string]*rollout.Counts) (map[string]map[string]*rollout.Counts, error) {
	b, err := json.Marshal(mine)
	if err != nil {
		return nil, err
	}
	if err := f.words.Publish(ctx, rolloutKind, b); err != nil {
		return nil, err
	}
	said, err := f.words.Published(ctx, rolloutKind)
	if err != nil {
		return nil, err
	}
	all := make(map[string]map[string]*rollout.Counts, len(said))
	for run, b := range said {
		var counts map[string]*rollout.Counts
		if json.Unmarshal(b, &counts) == nil {
			all[run] = withoutNil(counts)
		}
	}
	return all, nil
}

func withoutNil(counts map[string]*rollout.Counts) map[string]*rollout.Counts {
	for step, c := range counts {
		if c == nil {
			delete(counts, step)
		}
	}
	return counts
}
