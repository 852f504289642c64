//go:build chaos

package split

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
)

// How much TestFleetChaos and TestFleetInDisorder try in "make chaos": some
// minutes each.
const (
	chaosRounds = 60
	worlds      = 2000
)

// With the instance that pulled the first brake there are too many orders to
// try all: five thousand at random.
func TestReleaseTakesOffWhatItsAuthorSawOfThree(t *testing.T) {
	t.Parallel()
	for seed := range uint64(5000) {
		r := rand.New(rand.NewPCG(seed, 3))
		synctest.Test(t, func(t *testing.T) { releaseAgainstBrake(t, r.IntN, true) })
		if t.Failed() {
			t.Fatalf("in order %d", seed)
		}
	}
}
