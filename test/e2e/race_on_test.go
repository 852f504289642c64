//go:build race

package e2e

// raceDetector: the simulated hops, which run in the test's own process, take
// about ten times as long per byte.
const raceDetector = true
