package split

import (
	"crypto/sha256"
	"encoding/binary"
	"math/bits"
)

// Bucket returns the unit, 0 to 9999, that a key belongs to for good: the
// first 8 bytes of SHA-256 over salt and key, scaled. SHA-256 and not a quick
// hash, because the high bits of FNV-1a are badly uneven on similar short keys
// (five-digit numbers, bounce-campaign-N), and those are what relays see.
func Bucket(salt, key string) Percent {
	b := make([]byte, 0, 128)
	b = binary.BigEndian.AppendUint32(b, uint32(len(salt))) // no salt and key run together
	b = append(b, salt...)
	b = append(b, key...)
	sum := sha256.Sum256(b)
	return scale(binary.BigEndian.Uint64(sum[:8]))
}

// scale maps 64 even bits to 0..9999 by multiplication: no unit is favoured by
// more than one part in 10^15, where a remainder of fewer bits would favour
// the low ones.
func scale(x uint64) Percent {
	hi, _ := bits.Mul64(x, uint64(Full))
	return Percent(hi)
}

// toSES is the threshold rule. The bucket is at most 9999, so 0 % is never and
// 100 % is always; and a key on SES at p is on SES at every q above p.
func toSES(bucket, share Percent) bool { return bucket < share }
