//go:build chaos

package split

import "testing"

// How much TestFleetChaos and TestFleetInDisorder try in "make chaos": five
// minutes each, about.
const (
	chaosRounds = 60
	worlds      = 20_000
)

// With the instance that pulled the first brake there are some hundred times
// more orders.
func TestReleaseTakesOffWhatItsAuthorSawOfThree(t *testing.T) {
	t.Parallel()
	releaseAgainstBrakes(t, true)
}
