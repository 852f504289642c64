package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Exit codes: every threshold held; one did not, or the test failed; the
// command line is wrong.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

func main() { os.Exit(run(os.Args[1:])) }

// run is the program; SIGINT and SIGTERM end the load, and the report is still
// written.
func run(args []string) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, errNotPassed):
		return exitFailed // the summary has said what
	}
	fmt.Fprintln(os.Stderr, "loadtest:", err)
	if errors.Is(err, errUsage) {
		return exitUsage
	}
	return exitFailed
}

var (
	errUsage     = errors.New("see --help")
	errNotPassed = errors.New("a threshold does not hold")
)

// usageError marks a mistake on the command line.
func usageError(err error) error { return fmt.Errorf("%w (%w)", err, errUsage) }
