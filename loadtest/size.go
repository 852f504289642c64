package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

// weighted is one value of a distribution.
type weighted struct {
	Value  int
	Weight float64
}

// distribution draws from a few values by weight, as "4KiB:50,8KiB:40,100KiB:10".
type distribution []weighted

// parseDistribution reads values with optional weights. unit reads one value.
func parseDistribution(text string, unit func(string) (int, error)) (distribution, error) {
	var d distribution
	for part := range strings.SplitSeq(text, ",") {
		value, weight, weighs := strings.Cut(strings.TrimSpace(part), ":")
		w := weighted{Weight: 1}
		var err error
		if w.Value, err = unit(value); err != nil {
			return nil, err
		}
		if weighs {
			if w.Weight, err = strconv.ParseFloat(weight, 64); err != nil || w.Weight <= 0 {
				return nil, fmt.Errorf("%q: the weight after the colon is a number above 0", part)
			}
		}
		d = append(d, w)
	}
	return d, nil
}

// draw returns a value.
func (d distribution) draw(r *rand.Rand) int {
	if len(d) == 1 {
		return d[0].Value
	}
	var sum float64
	for _, w := range d {
		sum += w.Weight
	}
	at := r.Float64() * sum
	for _, w := range d {
		if at -= w.Weight; at < 0 {
			return w.Value
		}
	}
	return d[len(d)-1].Value
}

// largest is the largest value.
func (d distribution) largest() int {
	return slices.MaxFunc(d, func(a, b weighted) int { return a.Value - b.Value }).Value
}

// smallestMail leaves room for the header that every mail has.
const smallestMail = 1 << 10

// parseSize reads bytes, "8KiB" or "1MiB".
func parseSize(text string) (int, error) {
	factor, digits := 1, text
	for suffix, f := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20} {
		if d, ok := strings.CutSuffix(text, suffix); ok {
			factor, digits = f, d
		}
	}
	n, err := strconv.Atoi(digits)
	if err != nil || n <= 0 || n > 100<<20/factor {
		return 0, fmt.Errorf("%q is no size: write 8KiB, 1MiB or bytes", text)
	}
	if n *= factor; n < smallestMail {
		return 0, fmt.Errorf("%q: the smallest mail is 1KiB, since its header must fit", text)
	}
	return n, nil
}

// maxRecipients is how many recipients fit a mask.
const maxRecipients = 64

// parseRecipients reads a number of recipients.
func parseRecipients(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > maxRecipients {
		return 0, fmt.Errorf("%q: a mail has 1 to %d recipients here", text, maxRecipients)
	}
	return n, nil
}
