package main

import "testing"

// TestIdleMemory: memory goes back once behind a peak, never under load, and not
// again and again for what is in use.
func TestIdleMemory(t *testing.T) {
	const mib = 1 << 20
	m := &idleMemory{}
	for i, look := range []struct {
		what            string
		looks           int
		allocated, held uint64 // allocated since the look before
		after           uint64 // held afterwards; 0: memory is not given back
	}{
		{"started", 1, mib, 40 * mib, 30 * mib},
		{"perhaps more is free now", 1, mib, 30 * mib, 30 * mib},
		{"at rest", 99, mib, 40 * mib, 0},
		{"a crowd of large mails", 9, 900 * mib, 200 * mib, 0},
		{"the last of them", 1, memoryQuiet, 220 * mib, 0},
		{"most are gone", 1, mib, 220 * mib, 70 * mib},
		{"all are", 1, mib, 70 * mib, 34 * mib},
		{"and nothing is left", 1, mib, 34 * mib, 34 * mib},
		{"the ledger has grown", 1, mib, 56 * mib, 0},
		{"many connections", 1, mib, 90 * mib, 84 * mib},
		{"they go, and their garbage stays", memoryAgain - 1, mib, 84 * mib, 0},
		{"until it is doubted", 1, mib, 84 * mib, 35 * mib},
	} {
		for range look.looks {
			now := memoryUse{allocated: m.allocated + look.allocated, held: look.held}
			if got := m.due(now); got != (look.after > 0) {
				t.Errorf("%d, %s: %v", i, look.what, got)
			}
			if look.after > 0 {
				m.gave(now, memoryUse{allocated: now.allocated, held: look.after})
			}
		}
	}
}

// TestGiveBack has a real heap: what a peak left is given back at the first
// quiet look, and the second has nothing to do.
func TestGiveBack(t *testing.T) {
	var m idleMemory
	m.giveBack()
	peak := make([][]byte, 64)
	for i := range peak {
		peak[i] = make([]byte, 1<<20)
		peak[i][0] = 1
	}
	clear(peak)
	peak = nil
	held := readMemoryUse().held
	m.allocated = readMemoryUse().allocated // time has passed
	m.giveBack()
	after := readMemoryUse().held
	if after+32<<20 > held {
		t.Errorf("held %d MiB, afterwards %d MiB", held>>20, after>>20)
	}
	if m.giveBack(); m.more {
		t.Error("much was left for a second time")
	}
	if m.due(readMemoryUse()) {
		t.Error("it does not end")
	}
}
