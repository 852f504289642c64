package simulator

import (
	"net/url"
	"strconv"
	"strings"
)

// tokenPrefix makes page tokens opaque enough that nobody takes them for numbers.
const tokenPrefix = "page-"

func pageToken(first int) string { return tokenPrefix + strconv.Itoa(first) }

// pageOf reads NextToken and PageSize of a list call over n items. ok is false for a token that is not ours.
func pageOf(query url.Values, n int) (first, size int, ok bool) {
	size, err := strconv.Atoi(query.Get("PageSize"))
	if err != nil || size < 1 || size > identityPage {
		size = identityPage
	}
	token := query.Get("NextToken")
	if token == "" {
		return 0, size, true
	}
	digits, ours := strings.CutPrefix(token, tokenPrefix)
	first, err = strconv.Atoi(digits)
	return first, size, ours && err == nil && first >= 0 && first <= n
}
