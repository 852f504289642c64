package main

import "math"

// changePoint finds where a series of yes-or-no draws changed from probability
// p to probability q: the index of the first draw that more likely than not
// belongs to q, by maximum likelihood over the whole series. It returns
// len(draws) when nothing speaks for a change.
//
// A share cannot be read from single deliveries, and a window over them would
// add its own length to the answer; the likelihood uses every delivery and is
// exact to a few mails when p and q are far apart.
func changePoint(draws []bool, p, q float64) int {
	// Mail in flight and mail that failed over take the other way even at 0
	// and 1, so no draw is impossible.
	const never = 0.002
	p, q = min(max(p, never), 1-never), min(max(q, never), 1-never)
	yes, no := math.Log(q/p), math.Log((1-q)/(1-p))
	best, bestAt, sum := 0.0, len(draws), 0.0
	for i := len(draws) - 1; i >= 0; i-- {
		if draws[i] {
			sum += yes
		} else {
			sum += no
		}
		if sum > best {
			best, bestAt = sum, i
		}
	}
	return bestAt
}
