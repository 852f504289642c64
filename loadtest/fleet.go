package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// fleet is the relays under test: one, or several with shared state.
type fleet struct {
	mu   sync.Mutex // guards what follows: a scenario kills while the sampler looks
	list []*relayProcess
	dead []bool      // by index in list: killed on purpose
	past usage       // of those that were killed
	logs []placedLog // of all that ever ran
}

// placedLog is the log of one process, and which place in the fleet it had.
type placedLog struct {
	place int
	path  string
}

// startFleet starts n relays, each in a folder of its own.
func startFleet(ctx context.Context, dir string, n int, o relayOptions) (*fleet, error) {
	f := new(fleet)
	for i := range n {
		if n > 1 {
			o.Name = fmt.Sprintf("relay-%d", i+1)
		}
		f.list, f.dead = append(f.list, nil), append(f.dead, true)
		if err := f.start(ctx, i, filepath.Join(dir, fmt.Sprintf("relay-%d", i+1)), o); err != nil {
			return nil, errors.Join(err, f.stop())
		}
	}
	return f, nil
}

// start starts a relay at a place.
func (f *fleet) start(ctx context.Context, place int, dir string, o relayOptions) error {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	r, err := startRelay(ctx, dir, o)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.list[place], f.dead[place] = r, false
	f.logs = append(f.logs, placedLog{place, r.logFile})
	return nil
}

// at is the relay at a place, alive or not.
func (f *fleet) at(place int) *relayProcess {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.list[place]
}

func (f *fleet) addresses() (list []string) {
	for _, r := range f.alive() {
		list = append(list, r.SMTP)
	}
	return list
}

// alive are the relays that were not killed.
func (f *fleet) alive() (list []*relayProcess) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i, r := range f.list {
		if !f.dead[i] {
			list = append(list, r)
		}
	}
	return list
}

// kill ends the relay at a place as a machine that fails does.
func (f *fleet) kill(place int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	u, _ := readUsage(f.list[place].pid())
	f.past.CPU += u.CPU
	f.dead[place] = true
	f.list[place].kill()
}

// restart starts a killed relay anew, at its addresses and without what it knew.
func (f *fleet) restart(ctx context.Context, place int) error {
	r := f.at(place)
	return f.start(ctx, place, filepath.Dir(r.logFile)+"-again", r.options)
}

// usage is what all of them have used, the killed ones included.
func (f *fleet) usage() usage {
	f.mu.Lock()
	defer f.mu.Unlock()
	sum := f.past
	for i, r := range f.list {
		if f.dead[i] {
			continue
		}
		if u, err := readUsage(r.pid()); err == nil {
			sum.CPU += u.CPU
			sum.RSS += u.RSS
			sum.PeakRSS += u.PeakRSS
		}
	}
	return sum
}

// ended says which of them is gone without having been killed.
func (f *fleet) ended() error {
	for _, r := range f.alive() {
		if err := r.process.ended(); err != nil {
			return fmt.Errorf("%w\n%s", err, lastLines(r.logFile))
		}
	}
	return nil
}

// stop ends all of them at the same time, as each waits for its own drain.
func (f *fleet) stop() (err error) {
	ends := make(chan error)
	alive := f.alive()
	for _, r := range alive {
		go func() { ends <- r.process.stop(35 * time.Second) }()
	}
	for range alive {
		err = errors.Join(err, <-ends)
	}
	return err
}

// addedTimes reads all logs: the times since from, and how many transactions
// each place has had in all.
func (f *fleet) addedTimes(from time.Time) (all *hdrhistogram.Histogram, each []int, err error) {
	all, each = newHistogram(), make([]int, len(f.list))
	for _, l := range f.logs {
		h, n, err := addedTimes(l.path, from)
		if err != nil {
			return nil, nil, err
		}
		all.Merge(h)
		each[l.place] += n
	}
	return all, each, nil
}
