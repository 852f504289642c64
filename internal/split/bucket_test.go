package split

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"testing/quick"

	"sesrelay/internal/relay"
)

func TestMonotone(t *testing.T) {
	t.Parallel()
	holds := func(salt, key string, a, b uint16) bool {
		p, q := Percent(a)%(Full+1), Percent(b)%(Full+1)
		if p > q {
			p, q = q, p
		}
		n := Bucket(salt, key)
		return n >= 0 && n < Full && (!toSES(n, p) || toSES(n, q)) && !toSES(n, 0) && toSES(n, Full)
	}
	if err := quick.Check(holds, &quick.Config{MaxCount: 20000}); err != nil {
		t.Fatal(err)
	}
}

// Every p < q, and not only some: a key's share is one threshold.
func TestMonotoneEveryStep(t *testing.T) {
	t.Parallel()
	for i := range 200 {
		n, on := Bucket("", fmt.Sprint(i)), false
		for p := Percent(0); p <= Full; p++ {
			now := toSES(n, p)
			if on && !now {
				t.Fatalf("key %d leaves SES when the share rises to %s", i, p)
			}
			on = now
		}
		if !on {
			t.Fatalf("key %d is not on SES at 100 %%", i)
		}
	}
}

func TestScaleEnds(t *testing.T) {
	t.Parallel()
	if scale(0) != 0 || scale(math.MaxUint64) != Full-1 {
		t.Fatalf("scale(0) = %d, scale(max) = %d", scale(0), scale(math.MaxUint64))
	}
}

func TestSaltAndKeyDoNotRunTogether(t *testing.T) {
	t.Parallel()
	same := 0
	for i := range 100 {
		if Bucket("a", fmt.Sprintf("b%d", i)) == Bucket("ab", fmt.Sprint(i)) {
			same++
		}
	}
	if same > 2 {
		t.Fatalf("%d of 100 buckets are the same", same)
	}
}

func within(t *testing.T, name string, got, draws int, share, tolerance float64) {
	t.Helper()
	if p := 100 * float64(got) / float64(draws); math.Abs(p-share) > tolerance {
		t.Errorf("%s at %g %%: %.2f %% of %d", name, share, p, draws)
	}
}

func TestShareOfDraws(t *testing.T) {
	t.Parallel()
	const draws = 100_000
	for _, share := range []float64{1, 10, 50, 90, 99} {
		rng := rand.New(rand.NewPCG(1, uint64(share)))
		router := testRouter(t, Percent(share*100), Config{Draw: rng.Uint64})
		var drawn, keyed int
		for i := range draws {
			if router.Route(testEnvelope(), testRecipient).Route == relay.SES {
				drawn++
			}
			if toSES(Bucket("salt", fmt.Sprintf("user%d@example.jp", i)), Percent(share*100)) {
				keyed++
			}
		}
		within(t, "message", drawn, draws, share, 0.3)
		within(t, "recipient", keyed, draws, share, 0.3)
	}
}

// The keys that FNV-1a splits badly. The tolerance is four standard deviations.
func TestShareOfSimilarKeys(t *testing.T) {
	t.Parallel()
	for _, salt := range []string{"", "relay:", "other"} {
		for _, share := range []float64{10, 50, 90} {
			var campaign, five int
			for i := range 1000 {
				if toSES(Bucket(salt, fmt.Sprintf("bounce-campaign-%d", i)), Percent(share*100)) {
					campaign++
				}
			}
			for i := 10_000; i < 100_000; i++ {
				if toSES(Bucket(salt, fmt.Sprint(i)), Percent(share*100)) {
					five++
				}
			}
			deviation := math.Sqrt(share * (100 - share))
			within(t, "bounce-campaign-N", campaign, 1000, share, 4*deviation/math.Sqrt(1000))
			within(t, "five digits", five, 90_000, share, 4*deviation/math.Sqrt(90_000))
		}
	}
}

func BenchmarkBucket(b *testing.B) {
	for b.Loop() {
		Bucket("relay:", "somebody@example.jp")
	}
}
