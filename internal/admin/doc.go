// Package admin is the HTTP side of the relay: the API that moves the split,
// the status, traces and metrics, and the console, an embedded page that uses
// the same API as everybody else.
//
// A request passes, in this order: the route (one table, see [routes]), who
// asks (a token and an address, or loopback alone), the role against the
// route's, the origin of anything that is not a plain read, and then the
// handler. What changes something, and what is refused, leaves an audit line.
package admin
