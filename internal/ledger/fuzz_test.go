package ledger

import (
	"strings"
	"testing"

	"sesrelay/internal/relay"
)

// FuzzReceipt reads any receipt of Redis. A damaged one is an empty receipt, and
// what was packed is unpacked the same.
func FuzzReceipt(f *testing.F) {
	f.Add(pack(relay.Receipt{Route: relay.SES, RelayID: "01", ID: "0106", Text: "x"}))
	f.Add("a")
	f.Add("ases\x0001\x00id")
	f.Add("acuenote\x00\x00\x00a\x00b\r\n250 ok")
	f.Fuzz(func(t *testing.T, raw string) {
		r := unpack(raw)
		if strings.Contains(string(r.Route)+r.RelayID+r.ID, separator) {
			t.Fatalf("%q: %+v", raw, r)
		}
		if again := unpack(pack(r)); again != r {
			t.Fatalf("%q: %+v, then %+v", raw, r, again)
		}
		if reply := r.Reply(); reply.Code != 250 {
			t.Fatalf("%q: a receipt is answered %v", raw, reply)
		}
	})
}
