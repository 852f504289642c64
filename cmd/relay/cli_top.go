package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"sesrelay/cmd/relay/internal/apiclient"
)

func newTop(c *cli) *cobra.Command {
	interval := time.Second
	cmd := &cobra.Command{
		Use:   "top",
		Short: "The status, live; q quits",
		Long:  "top shows the status again every second until q or Ctrl-C. Without a terminal it prints it once.",
		Args:  exactly("relay top"),
	}
	f := addAPIFlags(c, cmd)
	cmd.Flags().DurationVarP(&interval, "interval", "i", time.Second, "`time` between two looks")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if interval < 100*time.Millisecond {
			return &usageError{text: fmt.Sprintf("--interval %s is too short", interval), example: "relay top --interval 2s"}
		}
		client, err := f.client()
		if err != nil {
			return err
		}
		if f.json || !isTerminal(c.out) {
			return topOnce(cmd.Context(), f, client)
		}
		return top(cmd.Context(), c, client, interval)
	}
	return cmd
}

func topOnce(ctx context.Context, f *apiFlags, client *apiclient.Client) error {
	s, answer, err := client.Status(ctx)
	if err != nil || f.json {
		return f.jsonOr(answer, err)
	}
	writeStatus(f.c.out, f.c.paint(), s, 24)
	return nil
}

// Escape sequences of every terminal since the VT100.
const (
	screenEnter = "\x1b[?1049h\x1b[?25l"
	screenLeave = "\x1b[?25h\x1b[?1049l"
	screenHome  = "\x1b[H"
	lineClear   = "\x1b[K"
	screenClear = "\x1b[J"
)

// lookTime is how long one look may take before the picture is called old.
const lookTime = 2 * time.Second

// look is one answer of the API, or why there is none.
type look struct {
	status *apiclient.Status
	err    error
}

// looks asks for a status at each tick until ctx ends, beside the keyboard: a
// relay that does not answer must not keep q waiting.
func looks(ctx context.Context, client *apiclient.Client, interval time.Duration) <-chan look {
	out := make(chan look)
	go func() {
		tick := time.NewTicker(interval)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			one, cancel := context.WithTimeout(ctx, max(lookTime, interval))
			s, _, err := client.Status(one)
			cancel()
			select {
			case out <- look{s, err}:
			case <-ctx.Done():
				return
			}
		}
	}()
	return out
}

// top redraws until q, Ctrl-C or the end of ctx. The first look is taken before
// the screen changes, so that its error stays readable.
func top(ctx context.Context, c *cli, client *apiclient.Client, interval time.Duration) error {
	s, _, err := client.Status(ctx)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	keys, restore := readKeys(c)
	defer restore()
	fmt.Fprint(c.out, screenEnter)
	defer fmt.Fprint(c.out, screenLeave)
	next := looks(ctx, client, interval)
	for {
		draw(c, s, err, interval)
		select {
		case <-ctx.Done():
			return nil
		case key, ok := <-keys:
			if ok && (key == 'q' || key == 'Q' || key == 3) { // 3 is Ctrl-C in raw mode
				return nil
			}
			if !ok {
				keys = nil
			}
		case l := <-next:
			if err = l.err; err == nil {
				s = l.status
			} // else the last picture stays, and says that it is old
		}
	}
}

// draw writes one picture in one go, over the last one.
func draw(c *cli, s *apiclient.Status, err error, interval time.Duration) {
	var b bytes.Buffer
	p := c.paint()
	wide, high := screenSize(c)
	writeStatus(&b, p, s, high-1)
	foot := fmt.Sprintf("%s, every %s; q quits", time.Now().Format("15:04:05"), interval)
	if err != nil {
		const old = "NO ANSWER, this picture is old: "
		why := printable(strings.SplitN(err.Error(), "\n", 2)[0])
		foot = p.red(old) + cut(why, wide-len(old)) // a line that wraps pushes the first one away
	} else {
		foot = p.dim(foot)
	}
	picture := strings.ReplaceAll(b.String(), "\n", lineClear+"\r\n")
	fmt.Fprint(c.out, screenHome+picture+foot+lineClear+screenClear)
}

// screenSize returns columns and lines, those of a VT100 where nobody knows.
func screenSize(c *cli) (wide, high int) {
	if f, ok := c.out.(*os.File); ok {
		if w, h, err := term.GetSize(int(f.Fd())); err == nil && w > 40 && h > 4 {
			return w, h
		}
	}
	return 80, 24
}

// readKeys puts the keyboard into raw mode and sends its keys. Without a
// keyboard the channel stays silent and only signals end the picture.
func readKeys(c *cli) (keys chan byte, restore func()) {
	f, ok := c.in.(*os.File)
	if !ok || !isTerminal(c.in) {
		return nil, func() {}
	}
	old, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, func() {}
	}
	keys = make(chan byte)
	go func() {
		defer close(keys)
		var b [1]byte
		for {
			if n, err := f.Read(b[:]); n == 0 || err != nil {
				return
			}
			keys <- b[0]
		}
	}()
	return keys, func() { _ = term.Restore(int(f.Fd()), old) } // nothing more can be done at the end
}
