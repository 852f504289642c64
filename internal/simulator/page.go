package simulator

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
)

// tokenPrefix makes page tokens opaque enough that nobody takes them for numbers.
const tokenPrefix = "page-"

func pageToken(first int) string { return tokenPrefix + strconv.Itoa(first) }

// pageRequest is the body of a list call.
type pageRequest struct {
	NextToken string
	PageSize  int
	Filter    map[string]string
}

// pageOf reads which of n items a list call wants, from its body or its query.
func pageOf(r *http.Request, n int) (first, size int, e apiError, ok bool) {
	query := r.URL.Query()
	want := pageRequest{NextToken: query.Get("NextToken")}
	want.PageSize, _ = strconv.Atoi(query.Get("PageSize"))
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&want); err != nil {
			return 0, 0, apiError{http.StatusBadRequest, "SerializationException", "The request body is not valid: " + err.Error()}, false
		}
	}
	if len(want.Filter) > 0 {
		return 0, 0, badRequest("The simulator does not know Filter."), false
	}
	if want.PageSize < 1 || want.PageSize > identityPage {
		want.PageSize = identityPage
	}
	if want.NextToken == "" {
		return 0, want.PageSize, apiError{}, true
	}
	digits, ours := strings.CutPrefix(want.NextToken, tokenPrefix)
	first, err := strconv.Atoi(digits)
	if !ours || err != nil || first < 0 || first > n {
		return 0, 0, apiError{http.StatusBadRequest, "InvalidNextTokenException", "The specified token is not valid."}, false
	}
	return first, want.PageSize, apiError{}, true
}
