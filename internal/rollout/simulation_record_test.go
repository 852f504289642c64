package rollout

import (
	"slices"
	"sync"
	"testing"
	"time"

	"sesrelay/internal/split"
)

// answers are what the histories of a simulation came to.
type answers struct {
	mu        sync.Mutex
	times     map[string][]time.Duration // by trouble: from its beginning until the split was back
	at        map[string]map[split.Percent]bool
	rises     int
	completed int
	played    int
}

func newAnswers() *answers {
	return &answers{times: map[string][]time.Duration{}, at: map[string]map[split.Percent]bool{}}
}

func (a *answers) answer(name string, share split.Percent, took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.times[name] = append(a.times[name], took)
	if a.at[name] == nil {
		a.at[name] = map[split.Percent]bool{}
	}
	a.at[name][share] = true
}

func (a *answers) rose() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rises++
}

func (a *answers) history(completed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.played++
	if completed {
		a.completed++
	}
}

// check reports figures, and what a simulation would prove nothing without.
func (a *answers) check(t *testing.T, histories int) {
	t.Logf("%d months, %d completed, %d steps by themselves", a.played, a.completed, a.rises)
	if a.played != histories || a.completed == 0 || a.rises == 0 {
		t.Errorf("%d of %d histories were played to the end", a.played, histories)
	}
	for i := range troubles {
		k := &troubles[i]
		d := a.times[k.name]
		if len(d) == 0 {
			if histories >= 2 {
				t.Errorf("%s never happened", k.name)
			}
			continue
		}
		slices.Sort(d)
		if histories >= len(troubles) && len(a.at[k.name]) < 3 {
			t.Errorf("%s happened at %d steps", k.name, len(a.at[k.name]))
		}
		t.Logf("%-36s %5d times at %d steps; put back after %6s (half), %6s (99 %%), %6s (longest)",
			k.name, len(d), len(a.at[k.name]), d[len(d)/2], d[len(d)*99/100], d[len(d)-1])
	}
}
