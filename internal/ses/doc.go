// Package ses is the Amazon SES upstream: one SendEmail call of the v2 API for
// one mail transaction, and what the answer means.
//
// A call is made once. There is no retry here and none underneath: SendEmail
// has no idempotency token, so a second request could be a second mail. Every
// answer falls into one of three outcomes (see [relay.Outcome]) by the table in
// table.go. A failure without an answer is "not accepted" only when it is
// certain that the request cannot have reached SES as a whole (see attempt);
// else it is "unknown".
//
// Two senders make the call, the same request to the byte: "direct" signs and
// posts on connections of its own with the SDK's credentials, at about a quarter
// of the SDK's cost; "sdk" is [sesv2.Client.SendEmail], the reference.
//
// Beside sending, the package reads the account (quota, state), the verified
// identities, and checks both for the operator. Those calls share the one
// request a second that AWS gives an account for everything but sending.
package ses
