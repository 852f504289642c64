package mask

import "slices"

// ownWords are the compound words in which the relay names what went wrong. They
// stand in its own errors, and a local part that happens to be one of their
// parts ("lost@goo.ne.jp") is not meant by them: without this, the log would say
// "connection_***". Words without a line between them are not here: those may
// well be somebody's name.
var ownWords = []string{
	"access_denied", "account_suspended", "bad_request", "client_gone", "connection_lost", "daily_quota",
	"identity_not_verified", "in_flight", "in_progress", "line_ends", "mail_from_not_verified",
	"message_rejected", "not_found", "not_sent", "one_route", "refused_elsewhere", "sending_paused",
	"server_error", "too_large",
}

// isOwnWord reports whether the match at v[from:to] lies inside one of ownWords,
// as a whole word.
func isOwnWord(v []byte, from, to int) bool {
	for from > 0 && joins(v[from-1]) {
		from--
	}
	for to < len(v) && joins(v[to]) {
		to++
	}
	_, found := slices.BinarySearch(ownWords, string(v[from:to]))
	return found
}

// joins reports what joins a match to a longer word: everything that could
// stand in a local part, so that "connection_lost.taro" is no class.
func joins(c byte) bool {
	switch c {
	case '_', '-', '.', '+', '=', '/', '@', '\'':
		return true
	}
	return isAlnum(c) || c >= 0x80
}
