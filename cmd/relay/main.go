// Command relay is an SMTP relay in front of Amazon SES: the server, and the
// commands that talk to it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

// Set by the linker, see Makefile.
var (
	version = "unknown"
	commit  = "unknown"
)

func main() {
	// The first SIGINT or SIGTERM ends the context: a server drains, a client
	// stops. The second one ends the process.
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	go func() { <-ctx.Done(); stop() }()
	os.Exit(execute(ctx, newCLI(), os.Args[1:]))
}
