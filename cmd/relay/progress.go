package main

import (
	"fmt"
	"io"
	"strings"
)

// progressBar draws on standard error, and only where that is a terminal.
type progressBar struct {
	out   io.Writer // nil = nothing is drawn
	drawn bool
}

const progressWidth = 40

func newProgressBar(c *cli) *progressBar {
	if !isTerminal(c.err) {
		return &progressBar{}
	}
	return &progressBar{out: c.err}
}

func (b *progressBar) show(done, all int) {
	if b.out == nil || all == 0 {
		return
	}
	b.drawn = true
	full := progressWidth * done / all
	fmt.Fprintf(b.out, "\r[%s%s] %3d %%  %s of %s", strings.Repeat("#", full), strings.Repeat("-", progressWidth-full),
		100*done/all, count(float64(done)), count(float64(all)))
}

// end leaves the bar's line.
func (b *progressBar) end() {
	if b.drawn {
		fmt.Fprintln(b.out)
	}
}
