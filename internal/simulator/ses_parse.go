package simulator

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
)

// parseSend reads the JSON body of SendEmail.
func parseSend(body []byte, m *sendRequest) (apiError, bool) {
	data, rest := cutData(body)
	if err := json.Unmarshal(rest, m); err != nil {
		return apiError{http.StatusBadRequest, "SerializationException", "The request body is not valid: " + err.Error()}, false
	}
	if data != nil && m.Content != nil && m.Content.Raw != nil {
		m.Content.Raw.Data = data
	}
	return apiError{}, true
}

var dataStart = []byte(`"Data":"`)

// cutData takes the base64 text of the message out of the body and decodes it, since encoding/json needs more time for
// that one long string than everything else here together. rest is the body with an empty string in its place; data is
// nil, and rest the body itself, when the text is not found or not plain: encoding/json then does the whole. Inside a
// JSON string the quotes of the searched text would be escaped, so it is always a key.
func cutData(body []byte) (data, rest []byte) {
	key := bytes.Index(body, dataStart)
	if key < 0 {
		return nil, body
	}
	start := key + len(dataStart)
	n := bytes.IndexByte(body[start:], '"')
	if n < 0 {
		return nil, body
	}
	text := body[start : start+n]
	again := bytes.Contains(body[start+n:], dataStart) // of simple content, or a repeated key
	if again || bytes.IndexByte(text, '\\') >= 0 {
		return nil, body
	}
	data = make([]byte, base64.StdEncoding.DecodedLen(n))
	decoded, err := base64.StdEncoding.Decode(data, text)
	if err != nil {
		return nil, body
	}
	rest = append(make([]byte, 0, len(body)-len(text)), body[:start]...)
	return data[:decoded], append(rest, body[start+n:]...)
}
