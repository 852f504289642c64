package relay

import "testing"

// A reservation that is refused is in nobody's way, not even for a moment.
func TestRefusedReservationTakesNothing(t *testing.T) {
	t.Parallel()
	b := NewBudget(64 << 20)
	if !b.Reserve(59 << 20) {
		t.Fatal("no room at all")
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		for {
			select {
			case <-stop:
				return
			default:
				if b.Reserve(40 << 20) {
					t.Error("there is no room for that")
					return
				}
			}
		}
	}()
	for range 200_000 {
		if !b.Reserve(12 << 10) {
			t.Error("a small mail was refused beside a large one that takes nothing")
			break
		}
		b.Free(12 << 10)
	}
	close(stop)
	<-done
}
