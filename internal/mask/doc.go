// Package mask takes personal data out of what is logged and stored. The
// relay's log and the SES event pipeline (infra/lambda/mask-events) use the
// same implementation, so that one person has one pseudonym in both.
//
// # What goes, what is kept
//
//	input                                     masked (the default)
//	taro.yamada@docomo.ne.jp                  t***#5b0d9c41e7@docomo.ne.jp
//	ab@goo.ne.jp, "a b"@goo.ne.jp             ***#91c2f0aa3d@goo.ne.jp
//	yamada@yamada.co.jp                       y***#0c77e1b2f4@***.co.jp
//	user@[192.0.2.7]                          u***#6f3be8d210@[192.0.2.0/24]
//	<>                                        <>
//	192.0.2.7, 2001:db8:1:2::7                192.0.2.0/24, 2001:db8:1::/48
//	a subject, a display name, a user agent   [masked 24] (bytes; the text is gone)
//	https://goo.ne.jp/reset?user=taro         https://goo.ne.jp/[masked]
//
// The first letter is kept only of an ASCII local part of three characters or
// more: two thirds of "ab" or the first kanji of a name tell too much. The ten
// hexadecimal digits are the beginning of an HMAC-SHA-256 of the whole address,
// with the domain and ASCII letters in lower case and quoting removed. They are
// stable as long as the key is, so lines about one mailbox can be found and
// counted; without the key they cannot be computed from a list of addresses.
// Forty bits: among ten million mailboxes one in a hundred thousand shares its
// pseudonym with another. Domains stay readable, because delivery is judged by
// receiving domain.
//
// Mode [Hashed] keeps nothing readable, the domain included: "#5b0d9c41e7c2a816",
// whose beginning is the pseudonym of [Masked]. Mode [Full] masks nothing, and
// [Masker.Event] refuses to work with it.
//
// # Text
//
// [Masker.Text] is for what other servers say: diagnostic codes, SMTP replies,
// errors. It finds addresses in plain text, angle brackets, quotes and comments,
// URLs, encoded words, and behind percent, quoted-printable, JSON, HTML and
// full-width forms, also several levels deep and also cut off in the middle.
// It rather masks too much than too little: the whole content of <...> goes,
// every encoded word goes, the rest of a line behind "Subject:" goes, and a local
// part found once (or given by the caller) goes wherever the text repeats it.
// Reply codes, enhanced status codes, host names and the words of the message
// stay, and so do IP addresses of private networks: they name the operator's own
// hosts. Not found are addresses encrypted, compressed or in base64 outside an
// encoded word, and names, unless quoted, not ASCII or behind "From:" before an
// address. Function names such as "postmaster" and the words of SMTP itself
// ("user", "mail") are masked as part of an address but not where they stand
// alone.
//
// # Events
//
// [Masker.Event] denies by default: the fields that may pass are a closed list,
// and each value must have the shape its field promises (a date, one of the
// known bounce types, a host name). Everything else becomes "[masked N]", and an
// unknown field's name becomes "field#" with its pseudonym. What cannot be parsed
// is an error, and nothing is returned: the caller must not store the input.
//
// # What an operator can still do
//
// Count and compare by domain, network, bounce type, status, configuration set
// and step; follow one mailbox or one message id through relay log, SES event and
// bounce; see the receiver's diagnostic. To find a known address in masked data,
// compute its pseudonym with the key, which is Admin's:
//
//	printf %s taro@goo.ne.jp | openssl dgst -sha256 -hmac "$KEY" -r | cut -c 1-10
package mask
