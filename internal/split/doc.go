// Package split decides which upstream takes a mail: the rules of the
// configuration, what SES cannot take, and the live percentage.
//
// [Router] is the decision; everything it stands on is pure: [Percent],
// [Bucket], [Compile] and the built-in rules of fit.go. [Live] is the
// percentage in force, changed by compare-and-swap while mail flows, and kept
// by a [Store].
//
// # The brake
//
// Applied is the lower of what was requested and what the brake leaves. Pulling
// it needs nobody: no version, no disk, no Redis. Releasing it is a versioned
// change that has to be saved. Between the two stand names:
//
//   - Every [Pull] has a name of its own: the process that pulled (drawn at
//     random when it starts) and a number that this process gives once. Pulling
//     again while the brake is on is another pull, with the next number.
//   - A release names the pulls that its author knew to be on ([Lift]). It takes
//     off those, and earlier ones of the same process, and nothing else. A pull
//     that was made meanwhile, anywhere, survives it, even if nobody but the
//     instance that pulled has heard of it: the brake stays on, and whoever
//     released is told ErrStale when it is known to him.
//   - What two sides hold is joined (merge): all pulls of both, less all that a
//     release of either has named. The order, repetition and delay of messages
//     do not matter, nor do clocks or versions, so that nothing has to be agreed
//     on first.
//   - The brake is on while a pull stands.
//
// Both lists are bounded. Of more than 64 pulls that stand at once one is made,
// under a name made of theirs: no release under way names it. Of releases the
// last 512 processes are remembered; an instance that comes back with a brake
// whose release everybody has forgotten puts it on again, which costs one more
// release and no mail.
//
// The percentage itself is not joined: the higher version wins, and under one
// version (two masters) the lower percentage.
package split
