package split

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// stores returns every implementation, empty. One table for all of them.
func stores(t *testing.T) map[string]Store {
	t.Helper()
	file, err := OpenFile(filepath.Join(t.TempDir(), "state"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { file.Close() })
	return map[string]Store{"memory": NewMemoryStore(), "file": file}
}

func newLive(t *testing.T, store Store, p Percent) *Live {
	t.Helper()
	l, err := NewLive(t.Context(), store, LiveConfig{Initial: p})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func wantState(t *testing.T, l *Live, version int64, requested, applied Percent) {
	t.Helper()
	if s := l.Current(); s.Version != version || s.SESPercent != requested || s.Applied() != applied {
		t.Fatalf("version %d, requested %s, applied %s; want %d, %s, %s", s.Version, s.SESPercent, s.Applied(), version, requested, applied)
	}
}

func TestSetUndoHistory(t *testing.T) {
	t.Parallel()
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			l := newLive(t, store, 500)
			wantState(t, l, 0, 500, 500)
			if _, err := l.Undo(t.Context(), 0, "x", "ops"); !errors.Is(err, ErrNoUndo) {
				t.Fatalf("undo of nothing: %v", err)
			}
			must(t)(l.Set(t.Context(), 0, 1000, "week 1", "ops"))
			must(t)(l.Set(t.Context(), 1, 5000, "week 2", "ops"))
			wantState(t, l, 2, 5000, 5000)
			must(t)(l.Undo(t.Context(), 2, "bounces", "night"))
			wantState(t, l, 3, 1000, 1000)
			must(t)(l.Undo(t.Context(), 3, "false alarm", "night"))
			wantState(t, l, 4, 5000, 5000)
			h, err := l.History(t.Context())
			if err != nil || len(h) != 4 {
				t.Fatalf("%d changes, %v", len(h), err)
			}
			if c := h[1]; c.Action != ActionUndo || c.Who != "night" || c.Reason != "bounces" || c.Before != 5000 || c.After != 1000 || c.Version != 3 || c.At.IsZero() {
				t.Errorf("%+v", c)
			}
			if c := h[3]; c.Before != 500 || c.After != 1000 || c.Version != 1 {
				t.Errorf("oldest last: %+v", c)
			}
		})
	}
}

func TestSetRefuses(t *testing.T) {
	t.Parallel()
	l := testLive(t, 100)
	must(t)(l.Set(t.Context(), 0, 200, "first", "ops"))
	for _, c := range []struct {
		version     int64
		percent     Percent
		reason, who string
		want        error
	}{
		{0, 300, "r", "w", ErrStale},
		{2, 300, "r", "w", ErrStale},
		{1, -1, "r", "w", ErrRange},
		{1, Full + 1, "r", "w", ErrRange},
		{1, 300, "", "w", ErrReason},
		{1, 300, " \t", "w", ErrReason},
		{1, 300, "two\nlines", "w", ErrReason},
		{1, 300, "\xff", "w", ErrReason},
		{1, 300, strings.Repeat("x", maxText+1), "w", ErrReason},
		{1, 300, "r", "", ErrWho},
	} {
		if s, err := l.Set(t.Context(), c.version, c.percent, c.reason, c.who); !errors.Is(err, c.want) || s != nil {
			t.Errorf("%+v: %v", c, err)
		}
		wantState(t, l, 1, 200, 200)
	}
	if _, err := l.Release(t.Context(), 1, "r", "w"); !errors.Is(err, ErrNoBrake) {
		t.Errorf("release without brake: %v", err)
	}
	if _, err := NewLive(t.Context(), NewMemoryStore(), LiveConfig{Initial: Full + 1}); !errors.Is(err, ErrRange) {
		t.Errorf("initial: %v", err)
	}
}

func TestBrake(t *testing.T) {
	t.Parallel()
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			l := newLive(t, store, 2500)
			must(t)(l.Brake("ops\n", ""))
			wantState(t, l, 0, 2500, 0)
			must(t)(l.Set(t.Context(), 0, 5000, "set under the brake", "ops"))
			wantState(t, l, 1, 5000, 0)
			must(t)(l.Undo(t.Context(), 1, "undo does not release", "ops"))
			wantState(t, l, 2, 2500, 0)
			if _, err := l.Release(t.Context(), 1, "r", "ops"); !errors.Is(err, ErrStale) {
				t.Fatalf("stale release: %v", err)
			}
			if _, err := l.Release(t.Context(), 2, "", "ops"); !errors.Is(err, ErrReason) {
				t.Fatalf("release without reason: %v", err)
			}
			wantState(t, l, 2, 2500, 0)
			again := newLive(t, store, 9900)
			wantState(t, again, 2, 2500, 0) // a restart does not release
			if b := again.Current().Brake; b == nil || b.By != "ops" || b.Reason != "no reason given" {
				t.Fatalf("%+v", b)
			}
			must(t)(l.Release(t.Context(), 2, "fixed", "ops"))
			wantState(t, l, 3, 2500, 2500)
			h, _ := l.History(t.Context())
			if h[0].Action != ActionRelease || h[0].Before != 0 || h[0].After != 2500 || h[3].Action != ActionBrake || h[3].Before != 2500 || h[3].After != 0 {
				t.Errorf("%+v", h)
			}
		})
	}
}

func TestStoredValueWins(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "state")
	first, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	must(t)(newLive(t, first, 5000).Set(t.Context(), 0, 0, "off", "ops"))
	if _, err := OpenFile(path); err == nil || !strings.Contains(err.Error(), "another relay") {
		t.Fatalf("two relays on one file: %v", err)
	}
	first.Close()
	second, err := OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	l := newLive(t, second, 5000)
	wantState(t, l, 1, 0, 0)
	if h, _ := l.History(t.Context()); len(h) != 1 || h[0].Reason != "off" {
		t.Fatalf("%+v", h)
	}
	must(t)(l.Undo(t.Context(), 1, "on", "ops")) // what undo returns to survives as well
	wantState(t, l, 2, 5000, 5000)
}

// A full disk refuses an increase and never a lowering.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	var full error
	var disk record
	store := &MemoryStore{persist: func(r record) error {
		if full == nil {
			disk = r
		}
		return full
	}}
	l := newLive(t, store, 1000)
	must(t)(l.Set(t.Context(), 0, 5000, "week 2", "ops"))
	full = syscall.ENOSPC
	if _, err := l.Set(t.Context(), 1, 10000, "week 3", "ops"); !errors.Is(err, ErrRefused) || !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("increase on a full disk: %v", err)
	}
	wantState(t, l, 1, 5000, 5000)
	s, err := l.Set(t.Context(), 1, 1000, "back", "ops")
	if !errors.Is(err, ErrNotSaved) || s == nil || !s.Unsaved {
		t.Fatalf("lowering on a full disk: %+v, %v", s, err)
	}
	wantState(t, l, 2, 1000, 1000)
	if _, err := l.Set(t.Context(), 2, 2000, "up again", "ops"); !errors.Is(err, ErrRefused) {
		t.Fatalf("increase after an unsaved lowering: %v", err)
	}
	if s, err = l.Brake("ops", "stop"); !errors.Is(err, ErrNotSaved) || !s.Unsaved {
		t.Fatalf("brake on a full disk: %v", err)
	}
	wantState(t, l, 2, 1000, 0)
	if err := l.Sync(t.Context()); !errors.Is(err, ErrNotSaved) {
		t.Fatalf("sync: %v", err)
	}
	if disk.State.SESPercent != 5000 {
		t.Fatalf("the disk holds %s", disk.State.SESPercent)
	}
	full = nil
	if err := l.Sync(t.Context()); err != nil || l.Current().Unsaved {
		t.Fatalf("sync: %v", err)
	}
	if disk.State.SESPercent != 1000 || disk.State.Ceiling != 0 || len(disk.History) != 3 {
		t.Fatalf("the disk holds %+v", disk)
	}
}

// An error after the new state has reached the disk must not bring a refused
// increase into force at the next start.
func TestRefusedIncreaseIsTakenBack(t *testing.T) {
	t.Parallel()
	var disk record
	failing := false
	store := &MemoryStore{persist: func(r record) error {
		disk = r
		if failing {
			failing = false
			return syscall.EIO
		}
		return nil
	}}
	l := newLive(t, store, 0)
	failing = true
	if _, err := l.Set(t.Context(), 0, 5000, "up", "ops"); !errors.Is(err, ErrRefused) {
		t.Fatal(err)
	}
	if disk.State.SESPercent != 0 || len(disk.History) != 0 {
		t.Fatalf("the disk holds %+v", disk)
	}
}

// History can be read while the disk hangs.
func TestHistoryDuringAHungWrite(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := make(chan struct{})
		l := newLive(t, &MemoryStore{persist: func(record) error { <-disk; return nil }}, 0)
		go l.Set(context.Background(), 0, 100, "hangs", "ops")
		synctest.Wait()
		if h, err := l.History(t.Context()); err != nil || len(h) != 0 {
			t.Errorf("%v, %v", h, err)
		}
		close(disk)
		synctest.Wait()
		if h, _ := l.History(t.Context()); len(h) != 1 {
			t.Errorf("%v", h)
		}
	})
}

// hung is a store whose disk does not answer.
type hung struct {
	*MemoryStore
	release chan struct{}
}

func (h hung) Lower(ctx context.Context, old State, p Pull, c Change) error {
	<-h.release
	return h.MemoryStore.Lower(ctx, old, p, c)
}

func TestBrakeDoesNotWaitForTheDisk(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := hung{NewMemoryStore(), make(chan struct{})}
		l := newLive(t, store, 5000)
		changed := l.Current().Changed()
		begun := time.Now()
		go func() {
			<-changed
			if d := time.Since(begun); d != 0 || l.Current().Applied() != 0 {
				t.Errorf("applied %s after %s", l.Current().Applied(), d)
			}
		}()
		s, err := l.Brake("ops", "stop")
		if !errors.Is(err, ErrNotSaved) || !s.Unsaved || time.Since(begun) != brakeSave {
			t.Errorf("%v after %s", err, time.Since(begun))
		}
		close(store.release)
		synctest.Wait()
	})
}

func (h hung) CompareAndSwap(context.Context, State, State, Change) error {
	<-h.release
	return nil
}

// A change that waits behind a disk that hangs gives up with its context.
func TestChangeDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		store := hung{NewMemoryStore(), make(chan struct{})}
		l := newLive(t, store, 5000)
		go l.Set(context.Background(), 0, 100, "hangs", "ops")
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := l.Set(ctx, 0, 200, "waits", "ops"); !errors.Is(err, ErrRefused) || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		close(store.release)
		synctest.Wait()
	})
}

// racing pulls the brake while the store is busy with another change.
type racing struct {
	*MemoryStore
	before, after func()
}

func (r *racing) CompareAndSwap(ctx context.Context, old, next State, c Change) error {
	if f := r.before; f != nil {
		r.before = nil
		f()
	}
	err := r.MemoryStore.CompareAndSwap(ctx, old, next, c)
	if f := r.after; f != nil {
		r.after = nil
		f()
	}
	return err
}

func TestBrakeDuringAnotherChange(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before", "after"} {
		for _, action := range []string{"set", "release"} {
			t.Run(when+" the store's part of "+action, func(t *testing.T) {
				t.Parallel()
				store := &racing{MemoryStore: NewMemoryStore()}
				l := newLive(t, store, 1000)
				brake := func() { must(t)(l.Brake("guard", "bounces "+when)) }
				if action == "release" {
					must(t)(l.Brake("ops", "first"))
				}
				if when == "before" {
					store.before = brake
				} else {
					store.after = brake
				}
				if action == "set" {
					must(t)(l.Set(t.Context(), 0, 5000, "up", "ops"))
				} else if _, err := l.Release(t.Context(), 0, "fixed", "ops"); !errors.Is(err, ErrStale) {
					t.Fatalf("a release passed over a newer brake: %v", err)
				}
				if l.Current().Applied() != 0 || l.Current().Brake.By != "guard" {
					t.Fatalf("%+v", l.Current())
				}
				if s, _, _ := store.Load(t.Context()); s.Applied() != 0 {
					t.Fatalf("stored: %+v", s)
				}
			})
		}
	}
}

// Of many changes to one version one wins; none is lost or made twice.
func TestConcurrentChanges(t *testing.T) {
	t.Parallel()
	for name, store := range stores(t) {
		t.Run(name, func(t *testing.T) {
			l := newLive(t, store, 0)
			var wg sync.WaitGroup
			var mu sync.Mutex
			won := 0
			for i := range 8 {
				wg.Go(func() {
					for n := range 25 {
						v := l.Current().Version
						_, err := l.Set(context.Background(), v, Percent(i*100+n), "race", fmt.Sprint(i))
						if err == nil {
							mu.Lock()
							won++
							mu.Unlock()
						} else if !errors.Is(err, ErrStale) {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			h, _ := l.History(t.Context())
			if l.Current().Version != int64(won) || len(h) != won {
				t.Fatalf("version %d, %d changes, %d won", l.Current().Version, len(h), won)
			}
			for i := range len(h) - 1 {
				if h[i].Before != h[i+1].After || h[i].Version != h[i+1].Version+1 {
					t.Fatalf("%+v after %+v", h[i], h[i+1])
				}
			}
		})
	}
}

func TestHistoryIsBounded(t *testing.T) {
	t.Parallel()
	l := testLive(t, 0)
	for i := range MaxHistory + 20 {
		must(t)(l.Set(t.Context(), int64(i), Percent(i), "step", "ops"))
	}
	h, _ := l.History(t.Context())
	if len(h) != MaxHistory || h[0].Version != MaxHistory+20 || h[MaxHistory-1].Version != 21 {
		t.Fatalf("%d changes, %d to %d", len(h), h[len(h)-1].Version, h[0].Version)
	}
}

func TestChangedIsTold(t *testing.T) {
	t.Parallel()
	l := testLive(t, 100)
	first := l.Current()
	select {
	case <-first.Changed():
		t.Fatal("changed at once")
	default:
	}
	must(t)(l.Set(t.Context(), 0, 200, "r", "w"))
	<-first.Changed()
	second := l.Current()
	must(t)(l.Brake("w", "r"))
	<-second.Changed()
}

func TestLiveMetrics(t *testing.T) {
	t.Parallel()
	r := prometheus.NewRegistry()
	l, err := NewLive(t.Context(), NewMemoryStore(), LiveConfig{Initial: 1250, Registerer: r})
	if err != nil {
		t.Fatal(err)
	}
	must(t)(l.Brake("w", "r"))
	must(t)(l.Set(t.Context(), 0, 2501, "r", "w"))
	const want = `
# HELP relay_split_requested_percent Share of the mail that the operator wants at SES, in percent.
# TYPE relay_split_requested_percent gauge
relay_split_requested_percent 25.01
# HELP relay_split_version Version of the split that this instance applies.
# TYPE relay_split_version gauge
relay_split_version 1
`
	if err := testutil.GatherAndCompare(r, strings.NewReader(want)); err != nil {
		t.Fatal(err)
	}
}
