// Package suppression brings a list of addresses that bounced elsewhere into
// the account-level suppression list of SES, before the first mail takes SES.
//
// Read understands what such lists look like: one address a line, CSV with a
// column of addresses, JSON lines; UTF-8 with or without a byte order mark, or
// Shift_JIS; any line end. An Import sends what was read in parts of at most
// PartSize addresses, one import job of SES (CreateImportJob) for each, and
// keeps a state file, so that an import that was interrupted goes on where it
// stopped. Everything may be repeated: SES overwrites an address that it has.
//
// No address is in an error, in the state file or in a refusal: a line is named
// by its number.
package suppression
