// Package apiclient speaks the HTTP API of a running relay, for the commands.
// It has no side doors: what it can do, everybody with a token can.
package apiclient
