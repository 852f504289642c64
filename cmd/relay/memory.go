package main

import (
	"os"
	"runtime/debug"

	"sesrelay/cmd/relay/internal/config"
)

// memoryBeside is what the process takes beside the messages: connections,
// ledger, traces, and garbage that is not collected yet.
const memoryBeside = 96 << 20

// garbagePercent lets the heap grow to three times what lives before garbage is
// collected, where Go's own default is twice: collecting is then about half the
// work. The memory limit below has the last word.
const garbagePercent = 200

// boundMemory makes the garbage collector keep the process near limits.memory.
// Without it large messages that are over stay until the heap has doubled.
// GOMEMLIMIT and GOGC in the environment are the operator's own word.
func boundMemory(cfg *config.Config) {
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(cfg.Limits.Memory + memoryBeside)
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbagePercent)
	}
}
