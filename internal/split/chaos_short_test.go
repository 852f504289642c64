//go:build !chaos

package split

// How much TestFleetChaos and TestFleetInDisorder try in "make test".
const (
	chaosRounds = 1
	worlds      = 30
)
