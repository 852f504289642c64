package main

import (
	"strings"

	"github.com/spf13/cobra"
)

// argumentWords are what a shell may offer where a command takes a word of a
// closed set, or where some values are the usual ones. A tab separates the
// explanation.
var argumentWords = map[string][]string{
	"relay split set":  percentWords,
	"relay split plan": percentWords,
	"relay token new":  {"admin\tmay change the split", "readonly\tmay look at everything", "monitoring\tmetrics and health"},
}

var percentWords = []string{"0\tall to Cuenote", "10\tfirst step", "50\tsecond step", "100\tall to SES"}

// complete lets the shells' completion (relay completion bash, zsh, fish) offer
// arguments; where there is nothing to offer, no file names either, for no
// command takes one as its argument. Flags that take a file keep file names.
func complete(root *cobra.Command) {
	for _, cmd := range root.Commands() {
		complete(cmd)
	}
	if root.ValidArgsFunction != nil || root.Name() == "help" || strings.HasPrefix(root.CommandPath(), "relay completion") {
		return
	}
	words := argumentWords[root.CommandPath()]
	root.ValidArgsFunction = func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return words, cobra.ShellCompDirectiveNoFileComp
	}
}
