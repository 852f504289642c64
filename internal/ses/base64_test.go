package ses

import (
	"encoding/base64"
	"math/rand/v2"
	"testing"
)

// Every length, and every pair of digits, is as the standard library has it.
func TestAppendBase64(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	src := make([]byte, 70_000)
	for i := range src {
		src[i] = byte(r.Uint32())
	}
	for n := range 300 {
		b := append([]byte("before"), make([]byte, 3)...)
		if got, want := string(appendBase64(b[:6], src[n:2*n])), "before"+base64.StdEncoding.EncodeToString(src[n:2*n]); got != want {
			t.Fatalf("%d bytes: %q, want %q", n, got, want)
		}
	}
	if got := appendBase64(nil, src); string(got) != base64.StdEncoding.EncodeToString(src) {
		t.Error("70,000 random bytes differ")
	}
}
