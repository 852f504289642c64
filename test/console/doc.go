// Package console tries the console as an operator does: in a real Chromium,
// against the real program, through a gate that can cut any part of the way.
package console
