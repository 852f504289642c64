// Package cuenote is the SMTP upstream: a client that keeps a bounded pool of
// connections to the smarthost, pipelines, and hands the smarthost's own reply
// to the client, recipient by recipient.
//
// What a failure means depends on one byte. Until the final dot has been
// written whole, nothing was accepted, whatever happens to the connection;
// afterwards only a reply says what became of the mail, and without one the
// outcome is unknown (RFC 5321 section 4.2.5). A connection that is found dead
// on reuse is replaced, and what the client was already told is replayed, as
// long as no content was asked for.
package cuenote
