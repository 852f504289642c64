// Package relay is the domain of the SES relay: a mail transaction, the two
// upstreams that can take responsibility for it, and what the client is told.
//
// The relay owns no mail. There is no queue: the client keeps a message until
// the relay answers 250, and the relay answers 250 only after an upstream has
// accepted it. Everything else in this package follows from that sentence and
// from the three outcomes of an upstream's answer (see [Outcome]).
//
// The package imports no sibling. What it needs from them (the routing
// decision, the sending quota) it names as small interfaces of its own.
package relay
