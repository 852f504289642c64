package split

import "testing"

// FuzzShared reads any value of Redis: whoever can write there can write
// anything. What is taken is in range, fit for a log line, and reads the same
// after it was written again.
func FuzzShared(f *testing.F) {
	f.Add(`{"format":1,"version":7,"ses_percent":25,"ceiling":100,"reason":"week 1","changed_by":"ops","changed_at":"2026-11-28T00:00:00Z"}`)
	f.Add(`{"format":1,"version":7,"ses_percent":25,"ceiling":0,"brake":{"by":"guard","reason":"bounces","at":"2026-11-28T00:00:00Z"}}`)
	f.Add(`{"format":1,"version":7,"ses_percent":25,"ceiling":10,"brake":{"by":"guard","reason":"bounces","at":"2026-11-28T00:00:00Z","ceiling":10},` +
		`"pulls":[{"origin":"a","number":2,"by":"guard","reason":"bounces","at":"2026-11-28T00:00:00Z","ceiling":10}],"lifted":[{"origin":"b","number":1,"version":7},{"origin":"b","number":2,"version":3}]}`)
	f.Add(`{"format":2}`)
	f.Add(`{"format":1,"version":-1,"ses_percent":1e99}`)
	f.Add(`null`)
	f.Add(`{"format":1,"ses_percent":"100","ceiling":100,"version":9223372036854775807,"reason":"a\r\nb"}`)
	f.Fuzz(func(t *testing.T, raw string) {
		s, err := decodeShared(raw)
		if err != nil {
			if s.Version != 0 || s.SESPercent != 0 || s.Brake != nil {
				t.Fatalf("%q: an error and a value: %+v", raw, s)
			}
			return
		}
		if !s.SESPercent.Valid() || !s.Ceiling.Valid() || s.Version < 0 || (s.Ceiling < Full) != (s.Brake != nil) {
			t.Fatalf("%q: taken as %+v", raw, s)
		}
		again, err := encodeShared(s)
		if err != nil {
			t.Fatalf("%q: %v", raw, err)
		}
		twice, err := decodeShared(again)
		if err != nil {
			t.Fatalf("%q became %q: %v", raw, again, err)
		}
		if third, _ := encodeShared(twice); third != again {
			t.Fatalf("%q became %q, then %q", raw, again, third)
		}
	})
}
