// Package split decides which upstream takes a mail: the rules of the
// configuration, what SES cannot take, and the live percentage.
//
// [Router] is the decision; everything it stands on is pure: [Percent],
// [Bucket], [Compile] and the built-in rules of fit.go. [Live] is the
// percentage in force, changed by compare-and-swap while mail flows, and kept
// by a [Store].
package split
