package simulator

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"slices"
	"strings"
)

const (
	maxRecipients = 50       // a call
	maxMessage    = 40 << 20 // bytes after base64
	maxLine       = 998      // characters before CRLF (RFC 5322 section 2.1.1)
)

// checkRequest judges everything but the message itself.
func checkRequest(m *sendRequest, to []string) (apiError, bool) {
	refuse := func(text string) (apiError, bool) { return badRequest(text), false }
	switch {
	case m.Content == nil:
		return refuse("Content is required.")
	case m.Content.Raw == nil || m.Content.Simple != nil || m.Content.Template != nil:
		return refuse("The simulator takes raw content only.")
	case len(m.Content.Raw.Data) == 0:
		return refuse("Raw message data is empty.")
	case len(to) == 0:
		return refuse("Destination must have at least one recipient.")
	case len(to) > maxRecipients:
		return refuse("Recipient count exceeds 50.")
	}
	if n := base64.StdEncoding.EncodedLen(len(m.Content.Raw.Data)); n > maxMessage {
		return refuse(fmt.Sprintf("Message length is more than %d bytes long: '%d'.", maxMessage, n))
	}
	for _, address := range to {
		if problem := addressProblem(address); problem != "" {
			return refuse(problem)
		}
	}
	for _, tag := range m.EmailTags {
		if !isTag(tag.Name) || !isTag(tag.Value) {
			return refuse("Message tags may hold letters, digits, '_', '-', '.' and '@' only, up to 256: <" + tag.Name + "=" + tag.Value + ">.")
		}
	}
	return apiError{}, true
}

// isTag tells whether s may be the name or the value of a message tag.
func isTag(s string) bool {
	return s != "" && len(s) <= 256 && strings.IndexFunc(s, func(c rune) bool {
		return c > 127 || !strings.ContainsRune("_-.@", c) && !isLetterDigit(byte(c))
	}) < 0
}

func isLetterDigit(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// addressProblem returns the text with which SES refuses a call for this recipient, or "". Display names are taken,
// as the real API does: "Name <user@example.jp>".
func addressProblem(address string) string {
	if open := strings.LastIndexByte(address, '<'); open >= 0 && strings.HasSuffix(address, ">") {
		address = address[open+1 : len(address)-1]
	}
	at := strings.LastIndexByte(address, '@')
	switch {
	case address == "":
		return "Invalid email address ."
	case at < 0:
		return "Missing final '@domain'"
	case at == 0:
		return "Missing local name"
	case at == len(address)-1:
		return "Missing domain"
	}
	if problem := localProblem(address[:at]); problem != "" {
		return problem
	}
	return domainProblem(address[at+1:])
}

func localProblem(local string) string {
	if len(local) > 1 && local[0] == '"' && local[len(local)-1] == '"' {
		if strings.ContainsFunc(local, func(c rune) bool { return c < ' ' || c > '~' }) {
			return "Local address contains illegal characters in quoted-string"
		}
		return ""
	}
	for _, c := range local {
		switch {
		case c <= ' ' || c == 127:
			return "Local address contains control or whitespace"
		case c > 127 || strings.ContainsRune(`()<>[]:;@\,"`, c):
			return "Local address contains illegal character"
		}
	}
	switch {
	case len(local) > 64:
		return "Local address is longer than 64 characters"
	case local[0] == '.':
		return "Local address starts with dot"
	case local[len(local)-1] == '.':
		return "Local address ends with dot"
	case strings.Contains(local, ".."):
		return "Local address contains dot-dot"
	}
	return ""
}

func domainProblem(domain string) string {
	for _, c := range domain {
		switch {
		case c <= ' ' || c == 127:
			return "Domain contains control or whitespace"
		case c > 127 || !isLetterDigit(byte(c)) && c != '-' && c != '.' && c != '_':
			return "Domain contains illegal character"
		}
	}
	switch {
	case domain[0] == '.':
		return "Domain starts with dot"
	case domain[len(domain)-1] == '.':
		return "Domain ends with dot"
	case strings.Contains(domain, ".."):
		return "Domain contains dot-dot"
	}
	return ""
}

// messageFacts is what the rules about identities and configuration sets need of a message.
type messageFacts struct {
	senders          []string // addresses of From:, Sender: and Return-Path:
	configurationSet string   // header X-SES-CONFIGURATION-SET
}

// checkMessage judges the message.
func checkMessage(raw []byte) (messageFacts, apiError, bool) {
	var facts messageFacts
	refuse := func(text string) (messageFacts, apiError, bool) { return facts, badRequest(text), false }
	if longLine(raw) {
		return refuse(fmt.Sprintf("Line too long: a line has more than %d characters.", maxLine))
	}
	var seen []string
	from := false
	for rest := raw; ; {
		field, after, ok := nextField(rest)
		if !ok {
			break
		}
		rest = after
		name, value := splitField(field)
		lower := strings.ToLower(string(name))
		if lower == "" {
			return refuse("Empty header names are illegal.")
		}
		if singleHeaders[lower] {
			if slices.Contains(seen, lower) {
				return refuse("Duplicate header '" + string(name) + "'.")
			}
			seen = append(seen, lower)
		}
		switch lower {
		case "x-ses-configuration-set":
			facts.configurationSet = unfold(value)
		case "from", "sender", "return-path":
			addresses, problem := headerAddresses(lower, unfold(value))
			if problem != "" {
				return refuse(problem)
			}
			from = from || lower == "from"
			facts.senders = append(facts.senders, addresses...)
		}
	}
	if !from {
		return refuse("Missing required header 'From'.")
	}
	return facts, apiError{}, true
}

// headerAddresses returns the addresses of a sender field. An empty Return-Path (<>) has none.
func headerAddresses(name, value string) (addresses []string, problem string) {
	if name == "return-path" && (value == "<>" || value == "") {
		return nil, ""
	}
	// Display names in ISO-2022-JP, or in raw 8-bit, are none of SES's business.
	parser := mail.AddressParser{WordDecoder: &mime.WordDecoder{
		CharsetReader: func(_ string, r io.Reader) (io.Reader, error) { return r, nil },
	}}
	list, err := parser.ParseList(strings.ToValidUTF8(value, "?"))
	if err != nil {
		return nil, "Invalid email address in header '" + name + "': <" + value + ">."
	}
	for _, a := range list {
		if p := addressProblem(a.Address); p != "" {
			return nil, p
		}
		addresses = append(addresses, a.Address)
	}
	return addresses, ""
}

// longLine tells whether a line has more than 998 characters before its line end. The last line feed within reach of
// one full line lets many short lines pass in one step.
func longLine(raw []byte) bool {
	for len(raw) > maxLine {
		last := bytes.LastIndexByte(raw[:maxLine+1], '\n')
		if last < 0 && bytes.HasPrefix(raw[maxLine:], []byte("\r\n")) {
			last = maxLine + 1
		}
		if last < 0 {
			return true
		}
		raw = raw[last+1:]
	}
	return false
}

// checkConfigurationSets judges the parameter and the header.
func (s *SES) checkConfigurationSets(state Account, names ...string) (apiError, bool) {
	for _, name := range names {
		switch {
		case name == "":
		case s.sets != nil && !s.sets[name]:
			return noConfigurationSet(name), false
		case slices.Contains(state.PausedConfigSets, name):
			return apiError{errPaused.status, errPaused.class, "Sending paused for configuration set <" + name + ">. For more information, please check the inbox of the email address associated with your AWS account."}, false
		}
	}
	return apiError{}, true
}

// checkIdentities judges who sends, where bounces go, and in the sandbox who receives.
func (s *SES) checkIdentities(state Account, m *sendRequest, senders, to []string) (apiError, bool) {
	if s.cfg.Identities == nil {
		return apiError{}, true
	}
	check := slices.Clone(senders)
	if m.FromEmailAddress != "" {
		check = []string{m.FromEmailAddress} // it replaces the From: header
	}
	if m.FeedbackForwardingEmailAddress != "" {
		check = append(check, m.FeedbackForwardingEmailAddress)
	}
	if state.Sandbox {
		check = append(check, to...)
	}
	var failed []string
	for _, address := range check {
		if !identities(s.cfg.Identities).verified(address) && !slices.Contains(failed, address) && !isMailboxSimulator(address) {
			failed = append(failed, address)
		}
	}
	if len(failed) > 0 {
		return notVerified(s.cfg.Region, failed), false
	}
	return apiError{}, true
}

// isMailboxSimulator tells the addresses that the sandbox may always send to.
func isMailboxSimulator(address string) bool {
	return strings.EqualFold(domainOf(address), "simulator.amazonses.com")
}
