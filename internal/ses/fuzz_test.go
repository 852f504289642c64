package ses

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"sesrelay/internal/relay"
)

// FuzzAnswer reads any answer of SES, or of whatever stands in front of it. What
// is no 200 never becomes an acceptance; a 5xx of theirs is always unknown; a
// 5xx of ours needs a refusal of this very mail; and no word of theirs is in
// the reply.
func FuzzAnswer(f *testing.F) {
	for _, row := range table {
		body, err := json.Marshal(map[string]string{"__type": "com.amazonaws.ses#" + row.code, "message": row.message})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(row.status, row.code, body)
		f.Add(row.status, "", body)
	}
	f.Add(200, "", []byte(`{"MessageId":"0106"}`))
	f.Add(200, "a#b:c", []byte("{\"MessageId\":\"0106019afe28eae7-fe28eae7-0000\"}\n"))
	f.Add(200, "", []byte(`{"MessageId":""}`))
	f.Add(200, "", []byte(`{"MessageId":"a","message":"b"}`))
	f.Add(200, "", []byte(`{"MessageId":"\u0041"}`))
	f.Add(200, "", []byte(`{"MessageId":"a`))
	f.Add(200, "", []byte(`{"MessageId":"}`))
	f.Add(502, "", []byte("<html>"))
	f.Add(429, "a#b:c", []byte(`{"MessageId":1,"message":null,"code":["x"]}`))
	f.Fuzz(func(t *testing.T, status int, header string, body []byte) {
		a := readAnswer(&response{status: status, header: http.Header{"X-Amzn-Errortype": {header}}, body: body})
		var full struct {
			MessageID string `json:"MessageId"`
			Type      string `json:"__type"`
			Code      string `json:"code"`
			Message   string `json:"message"`
		}
		if json.Unmarshal(body, &full) != nil {
			full.MessageID = ""
		}
		if a.messageID != full.MessageID {
			t.Fatalf("%q: message id %q, want %q", body, a.messageID, full.MessageID)
		}
		if strings.Contains(a.code, ":") {
			t.Fatalf("code %q", a.code)
		}
		e := classify(a)
		if e.Outcome == relay.Accepted || status >= 500 && e.Outcome != relay.Unknown {
			t.Fatalf("HTTP %d %q %q: outcome %v", status, a.code, a.message, e.Outcome)
		}
		r := relay.ReplyTo(e)
		if !r.Temporary() && !r.Permanent() || r.Permanent() && (e.Outcome != relay.NotAccepted || e.Kind != relay.Rejected || status < 400 || status > 499) {
			t.Fatalf("HTTP %d %q %q: reply %v", status, a.code, a.message, r)
		}
		if len(a.message) > 20 && strings.Contains(r.Text, a.message) || e.Class == "" {
			t.Fatalf("HTTP %d %q %q: reply %v, class %q", status, a.code, a.message, r, e.Class)
		}
	})
}
