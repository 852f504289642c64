package simulator

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Fault is one way in which a hop misbehaves, and when. Its JSON form is what a command line or an HTTP API sets.
type Fault struct {
	Name        string        `json:"name"`                  // one of SESFaults() or SMTPFaults()
	At          string        `json:"at,omitempty"`          // one of SESStages() or SMTPStages(); "" = AtSend, AtDot
	Address     string        `json:"address,omitempty"`     // "user@example.jp", "user@", "@example.jp"; "" = any mail
	Probability float64       `json:"probability,omitempty"` // 0 to 1; 0 = always (to switch it off, leave it out of Set)
	Times       int           `json:"times,omitempty"`       // strikes so many times, then no more; 0 = no end
	Delay       time.Duration `json:"delay,omitempty"`       // before it strikes; for FaultDelay and FaultSlowRead its whole length
	Code        int           `json:"code,omitempty"`        // SMTP reply code of FaultReply, 400 to 599; 0 = 451
	Text        string        `json:"text,omitempty"`        // SMTP reply text, or message of the SES error; "" = the real one's

	// Match decides by address instead of Address. It is called from many goroutines.
	Match func(address string) bool `json:"-"`
}

// Faults is what is wrong with a hop at the moment. All methods may be called at any time from any goroutine; a
// change reaches the next request, command or connection.
type Faults struct {
	names, stages []string
	usual         string              // stage of a fault that names none
	suits         func(f Fault) error // what else this hop asks of a fault

	list atomic.Pointer[[]*armed] // replaced as a whole; nil or empty = all is well

	mu       sync.Mutex // guards all below
	rng      *rand.Rand
	released chan struct{} // closed and replaced by Release
	struck   map[string]int64
}

// armed is a Fault in force.
type armed struct {
	Fault
	left atomic.Int64 // strikes left when Times > 0
}

func newFaults(names, stages []string, usual string, suits func(Fault) error, seed uint64) *Faults {
	return &Faults{names: names, stages: stages, usual: usual, suits: suits, rng: newRand(seed),
		released: make(chan struct{}), struck: map[string]int64{}}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 0x5e5)) }

// Set replaces every fault in force by these; without arguments it clears them. A fault with an unknown name or stage,
// or a value out of range, changes nothing. Of several faults that apply, the first in the list strikes.
func (f *Faults) Set(faults ...Fault) error {
	list := make([]*armed, 0, len(faults))
	for i, fault := range faults {
		if fault.At == "" {
			fault.At = f.usual
		}
		if err := f.check(fault); err != nil {
			return fmt.Errorf("simulator: fault %d: %w", i+1, err)
		}
		a := &armed{Fault: fault}
		a.left.Store(int64(fault.Times))
		list = append(list, a)
	}
	f.list.Store(&list)
	return nil
}

// Clear ends every fault, and releases what hangs.
func (f *Faults) Clear() {
	f.list.Store(nil)
	f.Release()
}

// Active returns the faults in force, as they were set.
func (f *Faults) Active() []Fault {
	active := []Fault{}
	if list := f.list.Load(); list != nil {
		for _, a := range *list {
			active = append(active, a.Fault)
		}
	}
	return active
}

// Struck returns how often each fault struck since the start, by name.
func (f *Faults) Struck() map[string]int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	counts := make(map[string]int64, len(f.struck))
	for name, n := range f.struck {
		counts[name] = n
	}
	return counts
}

// Release lets everything go on that FaultHang or FaultHangAfterRecord holds.
func (f *Faults) Release() {
	f.mu.Lock()
	defer f.mu.Unlock()
	close(f.released)
	f.released = make(chan struct{})
}

func (f *Faults) check(fault Fault) error {
	switch {
	case !slices.Contains(f.names, fault.Name):
		return fmt.Errorf("%q is unknown; known are %s", fault.Name, strings.Join(f.names, ", "))
	case !slices.Contains(f.stages, fault.At):
		return fmt.Errorf("%s: stage %q is unknown; known are %s", fault.Name, fault.At, strings.Join(f.stages, ", "))
	case fault.Probability < 0 || fault.Probability > 1:
		return fmt.Errorf("%s: probability %v is not between 0 and 1", fault.Name, fault.Probability)
	case fault.Times < 0 || fault.Delay < 0:
		return fmt.Errorf("%s: times and delay cannot be negative", fault.Name)
	case fault.Code != 0 && (fault.Code < 400 || fault.Code > 599):
		return fmt.Errorf("%s: reply code %d is not between 400 and 599", fault.Name, fault.Code)
	case strings.ContainsAny(fault.Text, "\r\n"):
		return fmt.Errorf("%s: the text must be one line", fault.Name)
	}
	return f.suits(fault)
}

// choosy tells whether the fault is chosen by address.
func (f Fault) choosy() bool { return f.Address != "" || f.Match != nil }

var errNoAddress = errors.New("strikes where no address is known; leave the address out")

// strike returns the first fault at this stage that applies and is among the wanted ones, and counts it.
func (f *Faults) strike(at string, wanted func(name string) bool, addresses ...string) (Fault, bool) {
	list := f.list.Load()
	if list == nil {
		return Fault{}, false
	}
	for _, a := range *list {
		if a.At == at && wanted(a.Name) && a.concerns(addresses) && f.draw(a.Probability) && a.take() {
			f.mu.Lock()
			f.struck[a.Name]++
			f.mu.Unlock()
			return a.Fault, true
		}
	}
	return Fault{}, false
}

func (f *Faults) draw(probability float64) bool {
	if probability == 0 || probability == 1 {
		return true
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.rng.Float64() < probability
}

func (a *armed) take() bool { return a.Times == 0 || a.left.Add(-1) >= 0 }

func (a *armed) concerns(addresses []string) bool {
	match := a.Match
	if match == nil {
		if a.Address == "" {
			return true
		}
		match = func(address string) bool { return addressMatches(a.Address, address) }
	}
	return slices.ContainsFunc(addresses, match)
}

// addressMatches compares without regard to case: "user@" is any domain, "@domain" any local part.
func addressMatches(pattern, address string) bool {
	pattern, address = strings.ToLower(pattern), strings.ToLower(address)
	switch {
	case strings.HasPrefix(pattern, "@"):
		return strings.HasSuffix(address, pattern)
	case strings.HasSuffix(pattern, "@"):
		return strings.HasPrefix(address, pattern)
	default:
		return pattern == address
	}
}

// hang waits for Release, and returns false when ctx ended first: the peer has gone, or the hop closes.
func (f *Faults) hang(ctx context.Context) bool {
	f.mu.Lock()
	released := f.released
	f.mu.Unlock()
	select {
	case <-released:
		return true
	case <-ctx.Done():
		return false
	}
}

// pause waits for d, and returns false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
