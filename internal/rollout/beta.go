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
	return incompleteBeta(float64(k), float64(n-k+1), p)
}

// shareInterval is the Clopper-Pearson interval of a share, at 99 %: where the
// true share lies when k of n were counted. With n 0 it says nothing.
func shareInterval(k, n int64) (low, high float64) {
	low, high = 0, 1
	if n <= 0 {
		return low, high
	}
	if k > 0 {
		low = solve(func(p float64) bool { return atLeast(k, n, p) >= tail })
	}
	if k < n {
		high = solve(func(p float64) bool { return 1-atLeast(k+1, n, p) <= tail })
	}
	return low, high
}

// solve returns the least p in 0..1 for which reached is true.
func solve(reached func(float64) bool) float64 {
	low, high := 0.0, 1.0
	for range 32 { // to 2e-10
		if p := (low + high) / 2; reached(p) {
			high = p
		} else {
			low = p
		}
	}
	return (low + high) / 2
}

// incompleteBeta is I_x(a, b) by its continued fraction (Abramowitz and Stegun
// 26.5.8, evaluated by Lentz's method).
func incompleteBeta(a, b, x float64) float64 {
	if x > (a+1)/(a+b+2) { // there the fraction converges slowly
		return 1 - incompleteBeta(b, a, 1-x)
	}
	la, _ := math.Lgamma(a)
	lb, _ := math.Lgamma(b)
	lab, _ := math.Lgamma(a + b)
	front := math.Exp(lab-la-lb+a*math.Log(x)+b*math.Log1p(-x)) / a
	return front * betaFraction(a, b, x)
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
