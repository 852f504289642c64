package relay

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"slices"
)

// Fingerprint identifies one mail of one client: SHA-256 over the envelope and
// the content as received. Postfix retries with the same bytes, its own
// Received line with the queue id among them.
type Fingerprint [sha256.Size]byte

// ClaimState is the ledger's answer to a claim.
type ClaimState uint8

const (
	Claimed   ClaimState = iota // the caller may send, and must Accept, Release or MarkUnknown afterwards
	Duplicate                   // accepted earlier: Claim.Receipt is the evidence
	Busy                        // another attempt holds it, or its outcome is unknown and has not expired
)

// Claim is the answer to Ledger.Claim.
type Claim struct {
	State    ClaimState
	Receipt  Receipt // of State Duplicate
	Unknowns int     // earlier attempts that SES left unanswered
}

// Ledger is the duplicate ledger. It narrows what a retry can double: a retry
// of a message that was accepted is answered with the first receipt, and a
// retry waits while the first attempt still runs. It is best effort: an error
// lets the mail through.
type Ledger interface {
	// Claim takes the fingerprint for owner (a relay id). It waits, bounded by
	// ctx and by the ledger's own limit, while another owner holds it.
	Claim(ctx context.Context, fp Fingerprint, owner string) (Claim, error)
	// Accept records the receipt for the ledger's time to live.
	Accept(fp Fingerprint, owner string, r Receipt)
	// Release ends the claim of mail that was surely not accepted.
	Release(fp Fingerprint, owner string)
	// MarkUnknown leaves the claim to expire, and counts it when route is SES.
	MarkUnknown(fp Fingerprint, owner string, route Route)
	// Remember keeps a key for an hour: the mail behind it takes Cuenote.
	Remember(key Fingerprint)
	// Remembered reports whether the key was remembered within the hour.
	Remembered(key Fingerprint) bool
}

// fingerprint combines an envelope with the SHA-256 of the content as received.
// Recipients are sorted: a retry may bring them in another order.
func fingerprint(env *Envelope, to []Address, content [sha256.Size]byte) Fingerprint {
	var room [512]byte
	b := appendField(room[:0], env.ReversePath.String())
	if len(to) == 1 {
		b = appendField(b, to[0].String())
	} else {
		names := make([]string, len(to))
		for i, a := range to {
			names[i] = a.String()
		}
		slices.Sort(names)
		for _, n := range names {
			b = appendField(b, n)
		}
	}
	return sha256.Sum256(append(b, content[:]...))
}

// memoryKey is the key of failover memory: what is known at the first RCPT.
func memoryKey(env *Envelope, first Address) Fingerprint {
	var room [512]byte
	return sha256.Sum256(appendField(appendField(room[:0], env.ReversePath.String()), first.String()))
}

// appendField writes a length-prefixed string, so that no two envelopes look alike.
func appendField(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(s))), s...)
}
