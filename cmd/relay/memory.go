package main

import (
	"os"
	"runtime/debug"

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
