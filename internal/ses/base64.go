package ses

import (
	"encoding/base64"
	"encoding/binary"
	"slices"
)

// appendBase64 appends src in base64 (RFC 4648 section 4) with its padding, as
// base64.StdEncoding does, in little more than half of its time: it is the
// longest loop over the content that is not in assembly.
func appendBase64(b, src []byte) []byte {
	n := base64.StdEncoding.EncodedLen(len(src))
	b = slices.Grow(b, n)
	dst := b[len(b) : len(b)+n]
	for len(src) >= 8 && len(dst) >= 8 {
		v := binary.BigEndian.Uint64(src) // of which 48 bits are taken
		binary.LittleEndian.PutUint64(dst, uint64(digitPairs[v>>52])|uint64(digitPairs[v>>40&0xFFF])<<16|
			uint64(digitPairs[v>>28&0xFFF])<<32|uint64(digitPairs[v>>16&0xFFF])<<48)
		src, dst = src[6:], dst[8:]
	}
	base64.StdEncoding.Encode(dst, src)
	return b[:len(b)+n]
}

// digitPairs are the two digits of every 12 bits, the first one in the low byte.
var digitPairs = func() (t [1 << 12]uint16) {
	const digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range t {
		t[i] = uint16(digits[i>>6]) | uint16(digits[i&63])<<8
	}
	return t
}()
