package rollout

import (
	"math"
	"testing"
)

// The intervals come from the sum of the binomial distribution, solved in Python.
func TestShareInterval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k, n      int64
		low, high float64
	}{
		{0, 0, 0, 1},
		{0, 20, 0, 0.2327},
		{1, 20, 0.00025, 0.31706},
		{19, 20, 0.68294, 0.99975},
		{10, 200, 0.01884, 0.10396},
		{200, 200, 0.97386, 1},
	} {
		low, high := shareInterval(c.k, c.n)
		if math.Abs(low-c.low) > 5e-4 || math.Abs(high-c.high) > 5e-4 {
			t.Errorf("%d of %d: %.5f to %.5f, want %.5f to %.5f", c.k, c.n, low, high, c.low, c.high)
		}
	}
}

// atLeast against the sum of the binomial distribution itself.
func TestAtLeast(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		k, n int64
		p    float64
	}{{1, 20, 0.005}, {3, 20, 0.1}, {10, 200, 0.005}, {10, 200, 0.05}, {190, 200, 0.95}, {5, 5, 0.5}, {60, 1000, 0.05}} {
		sum := 0.0
		for i := c.k; i <= c.n; i++ {
			sum += binomial(i, c.n, c.p)
		}
		if got := atLeast(c.k, c.n, c.p); math.Abs(got-sum) > 1e-9 {
			t.Errorf("P(X >= %d | %d, %g) is %g, not %g", c.k, c.n, c.p, got, sum)
		}
	}
	for _, v := range []float64{atLeast(0, 10, 0.1) - 1, atLeast(11, 10, 0.1), atLeast(1, 10, 0), atLeast(10, 10, 1) - 1} {
		if v != 0 {
			t.Errorf("an end is wrong by %g", v)
		}
	}
	if p := atLeast(27_000, 5_300_000, 0.005); p < 0 || p > 1.2e-3 {
		t.Errorf("a whole day: %g", p)
	}
}

func binomial(k, n int64, p float64) float64 {
	a, _ := math.Lgamma(float64(n + 1))
	b, _ := math.Lgamma(float64(k + 1))
	c, _ := math.Lgamma(float64(n - k + 1))
	return math.Exp(a - b - c + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
}

func TestRankInterval(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ n, low, high int64 }{{1, 1, 1}, {20, 16, 20}, {200, 182, 199}, {10_000, 9443, 9558}} {
		if low, high := rankInterval(c.n, 0.95); low != c.low || high != c.high {
			t.Errorf("%d: %d to %d, want %d to %d", c.n, low, high, c.low, c.high)
		}
	}
}
