package simulator

import (
	"fmt"
	"strconv"
	"strings"
)

// mailFrom is MAIL FROM.
func (s *session) mailFrom(arg string) error {
	s.together("MAIL")
	if !s.greeted || s.mail {
		return s.outOfSequence("MAIL before HELO, or inside a transaction")
	}
	s.resetTransaction()
	s.refused = true // until it is accepted
	path, parameters, ok := parsePath(arg, "FROM:")
	if !ok {
		s.anomaly(AnomalySyntax, fmt.Sprintf("MAIL %.200q", arg))
		return s.reply(501, "5.1.7 Bad sender address syntax")
	}
	if code, text := s.mayMail(); code != 0 {
		if code == 421 {
			return s.hangUp(code, text)
		}
		return s.reply(code, text)
	}
	if code, text := s.checkParameters(path, parameters); code != 0 {
		return s.reply(code, text)
	}
	return s.perform(AtMAIL, []string{path}, func() error {
		s.from, s.mail, s.refused, s.info.Parameters = path, true, false, parameters
		return s.reply(250, "2.1.0 Ok")
	})
}

// mayMail asks authentication and the limits; code 0 is yes.
func (s *session) mayMail() (code int, text string) {
	limits := s.srv.limits.Load()
	switch {
	case s.srv.cfg.AuthRequired && s.info.User == "":
		return 530, "5.7.0 Authentication required"
	case limits.MaxMessages > 0 && s.messages >= limits.MaxMessages:
		return 421, "4.7.0 Too many messages on this connection"
	case limits.Rate > 0 && !s.srv.admit(limits.Rate):
		return 451, "4.7.1 Too many messages, slow down"
	}
	return 0, ""
}

// checkParameters judges the parameters of MAIL; code 0 is fine.
func (s *session) checkParameters(path, parameters string) (code int, text string) {
	if parameters == "" && isASCII(path) {
		return 0, ""
	}
	cfg, utf8 := &s.srv.cfg, false
	for p := range strings.FieldsSeq(parameters) {
		name, value, _ := strings.Cut(p, "=")
		offered := false
		switch strings.ToUpper(name) {
		case "SIZE":
			offered = !cfg.NoSIZE
			s.declared, _ = strconv.Atoi(value)
		case "BODY":
			offered = !cfg.No8BITMIME && (strings.EqualFold(value, "7BIT") || strings.EqualFold(value, "8BITMIME"))
		case "SMTPUTF8":
			offered, utf8 = cfg.SMTPUTF8 && value == "", true
		case "AUTH":
			offered = cfg.Username != ""
		}
		if !offered || !s.info.ESMTP {
			s.anomaly(AnomalyNotOffered, fmt.Sprintf("MAIL parameter %.80q", p))
			return 555, "5.5.4 Unsupported option: " + strings.ToUpper(name)
		}
	}
	switch {
	case s.declared > cfg.MaxSize:
		return 552, "5.3.4 Message size exceeds fixed limit"
	case !isASCII(path) && !utf8:
		s.anomaly(AnomalyNotOffered, fmt.Sprintf("address %.80q without SMTPUTF8", path))
		return 553, "5.6.7 Non-ASCII addresses need SMTPUTF8"
	}
	return 0, ""
}

// rcptTo is RCPT TO.
func (s *session) rcptTo(arg string) error {
	s.together("RCPT")
	if !s.mail {
		if s.refused { // pipelined behind a MAIL that was refused
			return s.reply(503, "5.5.1 Need MAIL command")
		}
		return s.outOfSequence("RCPT outside a transaction")
	}
	s.tried = true
	path, parameters, ok := parsePath(arg, "TO:")
	switch {
	case !ok || path == "":
		s.anomaly(AnomalySyntax, fmt.Sprintf("RCPT %.200q", arg))
		return s.reply(501, "5.1.3 Bad recipient address syntax")
	case parameters != "":
		s.anomaly(AnomalyNotOffered, fmt.Sprintf("RCPT parameters %.80q", parameters))
		return s.reply(555, "5.5.4 Unsupported option")
	case !isASCII(path) && !strings.Contains(strings.ToUpper(s.info.Parameters), "SMTPUTF8"):
		s.anomaly(AnomalyNotOffered, fmt.Sprintf("address %.80q without SMTPUTF8", path))
		return s.reply(553, "5.6.7 Non-ASCII addresses need SMTPUTF8")
	}
	if limit := s.srv.limits.Load().MaxRecipients; limit > 0 && len(s.to) >= limit {
		return s.reply(452, "4.5.3 Too many recipients")
	}
	return s.perform(AtRCPT, []string{path}, func() error {
		s.to = append(s.to, path)
		return s.reply(250, "2.1.5 Ok")
	})
}

// parsePath reads "FROM:<path> parameters", or the same with TO:. A quoted local part may hold ">" (RFC 5321 section
// 4.1.2). The path is returned without its angle brackets, its quoting kept.
func parsePath(arg, keyword string) (path, parameters string, ok bool) {
	if len(arg) < len(keyword)+2 || !strings.EqualFold(arg[:len(keyword)], keyword) || arg[len(keyword)] != '<' {
		return "", "", false
	}
	arg = arg[len(keyword)+1:]
	quoted := false
	for i := 0; i < len(arg); i++ {
		switch c := arg[i]; {
		case c == '\\' && quoted:
			i++
		case c == '"':
			quoted = !quoted
		case c == '>' && !quoted:
			rest := arg[i+1:]
			if rest != "" && rest[0] != ' ' {
				return "", "", false
			}
			return arg[:i], strings.TrimSpace(rest), true
		case c == ' ' && !quoted || c < ' ':
			return "", "", false
		}
	}
	return "", "", false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
