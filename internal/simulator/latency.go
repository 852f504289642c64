package simulator

import (
	"math"
	"math/rand/v2"
	"time"
)

// Latency is how long a hop takes to answer for a mail. The zero value answers at once. With P50 the times are
// lognormal, as those of a real service are; else with Max uniform between Min and Max; else always Fixed.
type Latency struct {
	Fixed time.Duration
	Min   time.Duration
	Max   time.Duration
	P50   time.Duration
	P99   time.Duration // below P50 it counts as P50: no spread
}

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

func (l Latency) draw(rng *rand.Rand) time.Duration {
	switch {
	case l.P50 > 0:
		sigma := math.Log(float64(max(l.P99, l.P50))/float64(l.P50)) / z99
		return time.Duration(float64(l.P50) * math.Exp(sigma*rng.NormFloat64()))
	case l.Max > 0:
		return l.Min + time.Duration(rng.Int64N(int64(max(l.Max-l.Min, 0))+1))
	default:
		return l.Fixed
	}
}
