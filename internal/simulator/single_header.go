package simulator

// singleHeaders are the fields that may stand once only in a message, in lower case: "Amazon SES header fields" in the
// SES Developer Guide.
var singleHeaders = func() map[string]bool {
	set := map[string]bool{}
	for _, name := range []string{
		"accept-language", "acceptlanguage", "archived-at", "auto-submitted", "bounces-to", "comments",
		"content-alternative", "content-base", "content-class", "content-description", "content-disposition",
		"content-duration", "content-id", "content-language", "content-length", "content-location", "content-md5",
		"content-transfer-encoding", "content-type", "date", "delivered-to", "disposition-notification-options",
		"disposition-notification-to", "dkim-signature", "domainkey-signature", "errors-to", "from", "importance",
		"in-reply-to", "keywords", "list-archive", "list-help", "list-id", "list-owner", "list-post", "list-subscribe",
		"list-unsubscribe", "list-unsubscribe-post", "message-context", "message-id", "mime-version", "organization",
		"original-from", "original-message-id", "original-recipient", "original-subject", "precedence", "priority",
		"references", "reply-to", "return-path", "return-receipt-to", "sender", "solicitation", "sensitivity", "subject",
		"thread-index", "thread-topic", "user-agent", "vbr-info",
	} {
		set[name] = true
	}
	return set
}()
