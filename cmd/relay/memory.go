package main

import (
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"time"

	"sesrelay/cmd/relay/internal/config"
)

// memoryBeside is what the process takes beside the messages: connections,
// ledger, traces, and garbage that is not collected yet.
const memoryBeside = 96 << 20

// boundMemory makes the garbage collector keep the process near limits.memory.
// Without it large messages that are over stay until the heap has doubled.
// GOMEMLIMIT in the environment is the operator's own word.
func boundMemory(cfg *config.Config) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(cfg.Limits.Memory + memoryBeside)
	}
}

// How memory goes back to the system behind a peak. Go collects while it
// allocates: what a crowd of large mails left stays with a process that then has
// little to do, and the pools of buffers keep theirs for two collections more.
const (
	memoryLook  = 10 * time.Second
	memoryQuiet = 5 << 20  // bytes that a process without work to speak of allocates between two looks
	memorySlack = 24 << 20 // bytes held above the floor that are not worth a collection
	memoryYield = 8 << 20  // bytes of a collection that make another one worth it
	memoryAgain = 30       // looks until a floor is doubted that is not the lowest
)

// memoryUse is what the runtime says of itself, in bytes.
type memoryUse struct {
	allocated uint64 // ever
	held      uint64 // from the system, and not given back
}

// idleMemory decides when memory is given back. The zero value gives back at the
// first quiet look.
type idleMemory struct {
	allocated uint64 // at the last look
	floor     uint64 // what was still held when memory was last given back
	lowest    uint64 // of all floors
	looks     int    // since then
	more      bool   // it was so much that what was in use then may be free now
}

// due reports whether the process is at rest and holds more than it did when it
// last gave memory back. Under load the answer is always no: collecting is work
// that the mail would pay for, and the memory is about to be used again.
func (m *idleMemory) due(now memoryUse) bool {
	quiet := now.allocated-m.allocated < memoryQuiet
	m.allocated = now.allocated
	m.looks++
	switch {
	case !quiet:
		return false
	case m.more, now.held > m.floor+memorySlack:
		return true
	}
	return m.looks >= memoryAgain && now.held > m.lowest+memorySlack
}

// gave notes what giving back has brought.
func (m *idleMemory) gave(before, after memoryUse) {
	if m.lowest == 0 || after.held < m.lowest {
		m.lowest = after.held
	}
	m.allocated, m.floor, m.looks = after.allocated, after.held, 0
	m.more = before.held > after.held+memoryYield
}

// giveBack is one look.
func (m *idleMemory) giveBack() {
	before := readMemoryUse()
	if !m.due(before) {
		return
	}
	runtime.GC() // the pools let go of what was not used since the collection before
	debug.FreeOSMemory()
	m.gave(before, readMemoryUse())
}

// readMemoryUse takes microseconds, and stops nothing.
func readMemoryUse() memoryUse {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}, {Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(s)
	return memoryUse{allocated: s[0].Value.Uint64(), held: s[1].Value.Uint64() - s[2].Value.Uint64()}
}
