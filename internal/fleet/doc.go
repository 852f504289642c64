// Package fleet knows which instances run: each says every second what it
// applies, in Redis, and remembers the others when Redis is gone, so that a
// brake reaches them all the same.
//
// The split itself is shared by package split. [Fleet.Tell] is the way past
// Redis, [Fleet.Handler] its other end.
package fleet
