package config

import (
	"strings"
	"testing"
)

// TestDelayThatIsNeverReached: above the last bucket a delay is not told apart.
func TestDelayThatIsNeverReached(t *testing.T) {
	t.Parallel()
	for text, refused := range map[string]bool{"2h": false, "2h1s": true, "24h": true} {
		_, _, err := Parse("f", []byte("rollout: {guard: {delay_max: "+text+"}}\n"))
		said := err != nil && strings.Contains(err.Error(), "rollout.guard.delay_max") && strings.Contains(err.Error(), "can never be reached")
		if said != refused {
			t.Errorf("%s: %v", text, err)
		}
	}
}
