package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// fleet is the relays under test: one, or several with shared state.
type fleet struct {
	list []*relayProcess
	logs []string // of all that ever ran
	dead []bool   // by index in list: killed on purpose
	past usage    // of those that were killed
}

// startFleet starts n relays, each in a folder of its own.
func startFleet(ctx context.Context, dir string, n int, o relayOptions) (*fleet, error) {
	f := new(fleet)
	for i := range n {
		if n > 1 {
			o.Name = fmt.Sprintf("relay-%d", i+1)
		}
		r, err := f.start(ctx, filepath.Join(dir, fmt.Sprintf("relay-%d", i+1)), o)
		if err != nil {
			return nil, errors.Join(err, f.stop())
		}
		f.list, f.dead = append(f.list, r), append(f.dead, false)
	}
	return f, nil
}

func (f *fleet) start(ctx context.Context, dir string, o relayOptions) (*relayProcess, error) {
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	r, err := startRelay(ctx, dir, o)
	if err == nil {
		f.logs = append(f.logs, r.logFile)
	}
	return r, err
}

func (f *fleet) addresses() (list []string) {
	for _, r := range f.list {
		list = append(list, r.SMTP)
	}
	return list
}

// alive are the relays that were not killed.
func (f *fleet) alive() (list []*relayProcess) {
	for i, r := range f.list {
		if !f.dead[i] {
			list = append(list, r)
		}
	}
	return list
}

// kill ends the relay with index i as a machine that fails does.
func (f *fleet) kill(i int) {
	u, _ := readUsage(f.list[i].pid())
	f.past.CPU += u.CPU
	f.dead[i] = true
	f.list[i].kill()
}

// restart starts a killed relay anew, at its addresses and without what it knew.
func (f *fleet) restart(ctx context.Context, i int) error {
	o := f.list[i].options
	r, err := f.start(ctx, filepath.Dir(f.list[i].logFile)+"-again", o)
	if err != nil {
		return err
	}
	f.list[i], f.dead[i] = r, false
	return nil
}

// usage is what all of them have used, the killed ones included.
func (f *fleet) usage() (sum usage) {
	sum = f.past
	for _, r := range f.alive() {
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

// addedTimes reads all logs.
func (f *fleet) addedTimes(from time.Time) (*hdrhistogram.Histogram, error) {
	all := newHistogram()
	for _, path := range f.logs {
		h, err := addedTimes(path, from)
		if err != nil {
			return nil, err
		}
		all.Merge(h)
	}
	return all, nil
}

// perInstance counts the transactions of each place in the fleet, by the logs.
func (f *fleet) perInstance() (list []int, err error) {
	for i := range f.list {
		n := 0
		for _, path := range f.logs {
			if base := filepath.Base(filepath.Dir(path)); base != fmt.Sprintf("relay-%d", i+1) && base != fmt.Sprintf("relay-%d-again", i+1) {
				continue
			}
			h, err := addedTimes(path, time.Time{})
			if err != nil {
				return nil, err
			}
			n += int(h.TotalCount())
		}
		list = append(list, n)
	}
	return list, nil
}
