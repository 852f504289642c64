package main

import (
	"errors"
	"log/slog"
	"os"
	"strconv"
	"strings"
)

// fleetSizeFile keeps, beside state.file, how many instances there were last:
// an instance that starts while Redis is away takes its share of the quota and
// not all of it.
func fleetSizeFile(stateFile string) string { return stateFile + ".instances" }

const maxFleetSize = 10_000

// readFleetSize returns 0 when it is not known.
func readFleetSize(stateFile string) int {
	if stateFile == "" {
		return 0
	}
	b, err := os.ReadFile(fleetSizeFile(stateFile))
	if err != nil {
		return 0
	}
	n, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil || n < 1 || n > maxFleetSize {
		return 0
	}
	return n
}

func writeFleetSize(stateFile string, n int, log *slog.Logger) {
	if stateFile == "" {
		return
	}
	if err := writeFile(fleetSizeFile(stateFile), []byte(strconv.Itoa(n)+"\n")); err != nil && !errors.Is(err, os.ErrNotExist) {
		log.Warn("the size of the fleet could not be saved: an instance that starts while Redis is away takes the whole quota", "error", err.Error())
	}
}
