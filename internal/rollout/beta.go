package rollout

import "math"

// tail is what chance is left on either side of an interval, 0.5 %: a rollout
// is looked at every second, and chance must not decide in a month of looks.
const tail = 0.005

// atLeast is the probability of k or more in n when each has probability p: the
// regularised incomplete beta function I_p(k, n-k+1).
func atLeast(k, n int64, p float64) float64 {
	switch {
	case k <= 0:
		return 1
	case k > n || p <= 0:
		return 0
	case p >= 1:
		return 1
	}
	return newBeta(float64(k), float64(n-k+1)).at(p)
}

// shareInterval is the Clopper-Pearson interval of a share, at 99 %: where the
// true share lies when k of n were counted. With n 0 it says nothing.
func shareInterval(k, n int64) (low, high float64) {
	low, high = 0, 1
	if n <= 0 {
		return low, high
	}
	share := float64(k) / float64(n)
	near := 5*math.Sqrt(share*(1-share)/float64(n)) + 12/float64(n) // further away than either end, as a rule
	if k > 0 {
		same := newBeta(float64(k), float64(n-k+1))
		low = solve(share-near, share, func(p float64) bool { return same.at(p) >= tail })
	}
	if k < n {
		more := newBeta(float64(k+1), float64(n-k))
		high = solve(share, share+near, func(p float64) bool { return 1-more.at(p) <= tail })
	}
	return low, high
}

// solve returns the least p in 0..1 for which reached is true, to a 100,000th
// of from..to, where it looks first.
func solve(from, to float64, reached func(float64) bool) float64 {
	low, high := max(0, from), min(1, to)
	if low > 0 && reached(low) {
		low = 0
	}
	if high < 1 && !reached(high) {
		high = 1
	}
	for exact := (to - from) * 1e-5; high-low > exact; {
		if p := (low + high) / 2; reached(p) {
			high = p
		} else {
			low = p
		}
	}
	return (low + high) / 2
}

// beta is the regularised incomplete beta function of a and b.
type beta struct{ a, b, log float64 } // log of 1/B(a, b)

func newBeta(a, b float64) beta {
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	return beta{a, b, lab - la - lb}
}

// at is I_x(a, b) by its continued fraction (Abramowitz and Stegun 26.5.8,
// evaluated by Lentz's method).
func (t beta) at(x float64) float64 {
	switch {
	case x <= 0:
		return 0
	case x >= 1:
		return 1
	case x > (t.a+1)/(t.a+t.b+2): // there the fraction converges slowly
		return 1 - beta{t.b, t.a, t.log}.at(1-x)
	}
	front := math.Exp(t.log+t.a*math.Log(x)+t.b*math.Log1p(-x)) / t.a
	return front * betaFraction(t.a, t.b, x)
}

func betaFraction(a, b, x float64) float64 {
	const tiny, exact = 1e-300, 1e-14
	nonzero := func(v float64) float64 {
		if math.Abs(v) < tiny {
			return tiny
		}
		return v
	}
	c, d := 1.0, 1/nonzero(1-(a+b)*x/(a+1))
	f := d
	for m := 1.0; m < 10_000; m++ {
		even := m * (b - m) * x / ((a + 2*m - 1) * (a + 2*m))
		d, c = 1/nonzero(1+even*d), nonzero(1+even/c)
		f *= d * c
		odd := -(a + m) * (a + b + m) * x / ((a + 2*m) * (a + 2*m + 1))
		d, c = 1/nonzero(1+odd*d), nonzero(1+odd/c)
		f *= d * c
		if math.Abs(d*c-1) < exact {
			break
		}
	}
	return f
}

// rankInterval is where the q-quantile of n values lies at 99 %, as ranks from 1
// to n: the number of values below it is binomial. Without distribution, and
// with the normal approximation, which is close for the samples that are judged.
func rankInterval(n int64, q float64) (low, high int64) {
	const z = 2.5758
	mean, spread := float64(n)*q, z*math.Sqrt(float64(n)*q*(1-q))
	low, high = int64(math.Floor(mean-spread)), int64(math.Ceil(mean+spread))+1
	return max(1, low), min(n, high)
}
