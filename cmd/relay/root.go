package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"sesrelay/cmd/relay/internal/config"
)

// Exit codes of every command.
const (
	exitDone   = 0
	exitFailed = 1 // refused or failed
	exitUsage  = 2
)

// cli is where the commands read and write. Tests have their own.
type cli struct {
	in     io.Reader
	out    io.Writer
	err    io.Writer
	getenv func(string) string
}

func newCLI() *cli { return &cli{in: os.Stdin, out: os.Stdout, err: os.Stderr, getenv: os.Getenv} }

// usageError is a mistake in how a command was typed; example shows how to type it.
type usageError struct{ text, example string }

func (e *usageError) Error() string { return e.text }

// errSilent ends a command with exit code 1 after it has said why.
var errSilent = errors.New("failed")

// execute runs the command line and returns the exit code.
func execute(ctx context.Context, c *cli, args []string) int {
	root := newRoot(c)
	root.SetArgs(args)
	root.SetIn(c.in)
	root.SetOut(c.out)
	root.SetErr(c.err)
	started := false // errors before are about how the command was typed
	root.PersistentPreRun = func(*cobra.Command, []string) { started = true }
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitDone
	}
	usage, isUsage := errors.AsType[*usageError](err)
	if !started && !isUsage {
		usage, isUsage = &usageError{text: err.Error()}, true
	}
	if isUsage {
		printUsage(c, cmd, usage)
		return exitUsage
	}
	printError(c, err)
	return exitFailed
}

// printError says why a command failed; a configuration's mistakes one a line.
func printError(c *cli, err error) {
	if errors.Is(err, errSilent) {
		return
	}
	if mistakes, ok := errors.AsType[*config.Error](err); ok {
		fmt.Fprintf(c.err, "relay: the configuration has mistakes (%d), nothing was done\n", len(mistakes.Mistakes))
		fmt.Fprintln(c.err, mistakes)
		return
	}
	fmt.Fprintf(c.err, "relay: %v\n", err)
}

func printUsage(c *cli, cmd *cobra.Command, e *usageError) {
	fmt.Fprintf(c.err, "relay: %s\n", e.text)
	if e.example != "" {
		fmt.Fprintf(c.err, "Example: %s\n", e.example)
	}
	fmt.Fprintf(c.err, "See: %s --help\n", cmd.CommandPath())
}

func newRoot(c *cli) *cobra.Command {
	root := &cobra.Command{
		Use:   "relay",
		Short: "SMTP relay in front of Amazon SES",
		Long: `relay stands between your mail servers and two next hops. It sends a share of the
mail to Amazon SES and the rest to Cuenote; the share changes while mail flows.

  relay demo                              try it: everything on this machine, nothing to install
  relay serve --config relay.yaml         run it
  relay split set 25 --reason "week 1"    move the split
  relay brake                             SES share to 0 now, everywhere`,
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.ArbitraryArgs,
	}
	// Not cobra's own flag: its template would keep text/template, and with it
	// every exported method of every package, in the binary.
	asked := root.Flags().BoolP("version", "v", false, "version for relay")
	root.RunE = func(cmd *cobra.Command, args []string) error {
		if *asked {
			_, err := fmt.Fprintln(c.out, versionLine())
			return err
		}
		return group(cmd, args)
	}
	root.AddGroup(&cobra.Group{ID: "run", Title: "Run it:"}, &cobra.Group{ID: "live", Title: "A running relay:"},
		&cobra.Group{ID: "set", Title: "Set it up:"})
	add := func(id string, cmds ...*cobra.Command) {
		for _, cmd := range cmds {
			cmd.GroupID = id
			root.AddCommand(cmd)
		}
	}
	add("run", newServe(c), newDemo(c))
	add("live", newSplit(c), newBrake(c), newRolloutCommand(c), newStatus(c), newTop(c), newTrace(c), newRoute(c))
	add("set", newCheck(c), newPostfix(c), newSuppression(c), newToken(c))
	root.AddCommand(newVersion(c), newConfigCommand(c))
	root.SetOut(c.out) // which the completion command keeps from here
	root.InitDefaultCompletionCmd()
	complete(root)
	return root
}

// group is the RunE of a command that only has subcommands.
func group(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		if cmd.HasParent() {
			return &usageError{text: "say which: " + subcommands(cmd)}
		}
		return cmd.Help()
	}
	text := fmt.Sprintf("%q is no command of %s", args[0], cmd.CommandPath())
	cmd.SuggestionsMinimumDistance = 2
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		text += fmt.Sprintf("; did you mean %s?", strings.Join(near, " or "))
	} else {
		text += "; there are: " + subcommands(cmd)
	}
	return &usageError{text: text}
}

func subcommands(cmd *cobra.Command) string {
	var names []string
	for _, sub := range cmd.Commands() {
		if sub.IsAvailableCommand() {
			names = append(names, sub.Name())
		}
	}
	return strings.Join(names, ", ")
}

// exactly demands one argument for each name, in words.
func exactly(example string, names ...string) cobra.PositionalArgs {
	return func(_ *cobra.Command, args []string) error {
		switch {
		case len(args) < len(names):
			return &usageError{text: names[len(args)] + " is missing", example: example}
		case len(args) > len(names):
			return &usageError{text: fmt.Sprintf("%q is too much", args[len(names)]), example: example}
		}
		return nil
	}
}
