package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"sesrelay/internal/split"
)

// readBody decodes a JSON body into v, and nothing that v does not know. An
// empty body leaves v as it is. Errors are 400 (no JSON), 413, 415, and 422
// for a value that does not fit.
func readBody(r *http.Request, v any) error {
	b, err := io.ReadAll(r.Body)
	if err != nil {
		if _, tooLong := errors.AsType[*http.MaxBytesError](err); tooLong {
			return refuse(http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes", maxBody))
		}
		return refuse(http.StatusBadRequest, "the body could not be read")
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return nil
	}
	if !sentAsJSON(r.Header.Get("Content-Type")) {
		return refuse(http.StatusUnsupportedMediaType, "send JSON, with Content-Type: application/json")
	}
	if !json.Valid(b) {
		return refuse(http.StatusBadRequest, "the body is not one JSON value")
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return refuse(http.StatusUnprocessableEntity, strings.TrimPrefix(err.Error(), "json: "))
	}
	return nil
}

// etag writes a version as an ETag.
func etag(version int64) string { return strconv.Quote(strconv.FormatInt(version, 10)) }

// sentAsJSON accepts JSON, and what curl -d says when nothing else is asked of
// it. It is no defence against forms of other sites: API.foreign is.
func sentAsJSON(contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	return contentType == "" || err == nil && (t == "application/json" || t == "application/x-www-form-urlencoded")
}

// ifVersion reads If-Match (RFC 9110 section 13.1.1). A tag that is none of
// ours, or a weak one, is as stale as an old version; of a list the newest
// counts. "*" is refused: it would overwrite whatever somebody else has set
// meanwhile, which is what the header is there to prevent.
func ifVersion(r *http.Request) (int64, error) {
	s := strings.TrimSpace(strings.Join(r.Header.Values("If-Match"), ","))
	if s == "" || s == "*" {
		return 0, refuse(http.StatusPreconditionRequired, `read the split first and send its ETag, such as If-Match: "7"`)
	}
	newest := int64(-1)
	for tag := range strings.SplitSeq(s, ",") {
		v, err := strconv.ParseInt(strings.Trim(strings.TrimSpace(tag), `"`), 10, 64)
		if err == nil {
			newest = max(newest, v)
		}
	}
	if newest < 0 {
		return 0, fmt.Errorf(`If-Match is not the ETag of a split, such as "7": %w`, split.ErrStale)
	}
	return newest, nil
}
