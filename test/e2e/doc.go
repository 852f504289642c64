// Package e2e tests the relay as its users run it: the real binary as a
// process of its own, a real Postfix in front of it, and behind it moto_server
// (an SES that is not ours) or the project's simulator. Everything listens on
// loopback, on ports of its own; nothing of the machine's services is touched.
package e2e
