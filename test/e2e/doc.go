// Package e2e tests the relay as its users run it: the real binary as a
// process of its own, a real Postfix in front of it, and behind it moto_server
// (an SES that is not ours) or the project's simulator. Everything listens on
// loopback, on ports of its own; nothing of the machine's services is touched.
//
// What happened is judged from what the clients were told, from Postfix's log
// and queue, and from what arrived at the hops, never from the relay's own
// counters. TestEveryKeyDoesSomething has a row for every key of the
// configuration; when the whole package has run, every metric of the contract
// must have moved. E2E_LONG=1 runs TestMemoryLong at its full size, which takes
// minutes and is best run alone, without the race detector.
package e2e
