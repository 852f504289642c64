package simulator

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// verbs maps what is read to one string each, without an allocation; what is not in it is unknown.
var verbs = map[string]string{"HELO": "HELO", "EHLO": "EHLO", "STARTTLS": "STARTTLS", "AUTH": "AUTH", "MAIL": "MAIL",
	"RCPT": "RCPT", "DATA": "DATA", "RSET": "RSET", "NOOP": "NOOP", "QUIT": "QUIT", "VRFY": "VRFY", "BDAT": "BDAT",
	"EXPN": "EXPN", "HELP": "HELP", "LHLO": "LHLO"}

// command does one command.
func (s *session) command(line []byte) error {
	line = s.trimLine(line)
	verb, arg, _ := bytes.Cut(line, []byte{' '})
	name, known := verbs[string(verb)]
	if !known {
		if name, known = verbs[string(bytes.ToUpper(verb))]; !known {
			name = "?"
		}
	}
	s.counts[name]++
	switch name {
	case "EHLO", "HELO":
		return s.helo(name, string(arg))
	case "STARTTLS":
		return s.startTLS()
	case "AUTH":
		return s.auth(string(arg))
	case "MAIL":
		return s.mailFrom(string(arg))
	case "RCPT":
		return s.rcptTo(string(arg))
	case "DATA":
		return s.data(len(arg) > 0)
	case "RSET":
		return s.perform(AtRSET, nil, func() error { s.resetTransaction(); return s.reply(250, "2.0.0 Ok") })
	case "NOOP":
		return s.perform(AtNOOP, nil, func() error { return s.reply(250, "2.0.0 Ok") })
	case "QUIT":
		return s.hangUp(221, "2.0.0 Bye")
	case "VRFY":
		return s.reply(252, "2.0.0 Cannot VRFY, but will take the message")
	case "BDAT", "EXPN", "HELP", "LHLO":
		s.anomaly(AnomalyNotOffered, name)
		return s.reply(502, "5.5.1 Command not implemented")
	default:
		s.anomaly(AnomalySyntax, fmt.Sprintf("unknown command %.80q", line))
		return s.reply(500, "5.5.2 Command not recognized")
	}
}

// trimLine removes the line end and notes what is wrong with it; the command is done all the same.
func (s *session) trimLine(line []byte) []byte {
	line = line[:len(line)-1]
	if n := len(line) - 1; n >= 0 && line[n] == '\r' {
		line = line[:n]
	} else {
		s.anomaly(AnomalyBareLF, fmt.Sprintf("in the command %.80q", line))
	}
	if bytes.IndexByte(line, '\r') >= 0 {
		s.anomaly(AnomalyBareCR, fmt.Sprintf("in the command %.80q", line))
	}
	if bytes.IndexByte(line, 0) >= 0 {
		s.anomaly(AnomalyNUL, fmt.Sprintf("in the command %.80q", line))
	}
	return line
}

// alone notes input behind a command that must be the last of its group (RFC 2920 section 3.1).
func (s *session) alone(command string) {
	if s.ahead() {
		s.anomaly(AnomalyPipelining, "input behind "+command)
	}
}

// together notes input behind a command where PIPELINING is not offered.
func (s *session) together(command string) {
	if s.srv.cfg.NoPIPELINING || !s.info.ESMTP {
		s.alone(command + ", and PIPELINING was not offered")
	}
}

// outOfSequence answers 503.
func (s *session) outOfSequence(detail string) error {
	s.anomaly(AnomalySequence, detail)
	return s.reply(503, "5.5.1 Bad sequence of commands")
}

func (s *session) resetTransaction() {
	s.from, s.mail, s.to, s.tried, s.refused, s.declared = "", false, nil, false, false, 0
	s.info.Parameters = ""
}

// helo is HELO and EHLO.
func (s *session) helo(verb, name string) error {
	s.alone(verb)
	if name == "" || strings.ContainsAny(name, " \t") {
		s.anomaly(AnomalySyntax, fmt.Sprintf("%s %.80q", verb, name))
		return s.reply(501, "5.5.4 Syntax: "+verb+" hostname")
	}
	return s.perform(AtHELO, nil, func() error {
		if verb == "EHLO" && s.srv.cfg.NoEHLO {
			return s.reply(502, "5.5.1 Command not implemented")
		}
		s.resetTransaction() // RFC 5321 section 4.1.4
		s.greeted, s.info.HELO, s.info.ESMTP = true, name, verb == "EHLO"
		if verb == "HELO" {
			return s.reply(250, s.srv.cfg.Hostname)
		}
		return s.offer()
	})
}

// offer is the reply to EHLO.
func (s *session) offer() error {
	lines := []string{s.srv.cfg.Hostname, "ENHANCEDSTATUSCODES"}
	add := func(offered bool, line string) {
		if offered {
			lines = append(lines, line)
		}
	}
	cfg := &s.srv.cfg
	add(!cfg.NoPIPELINING, "PIPELINING")
	add(!cfg.No8BITMIME, "8BITMIME")
	add(!cfg.NoSIZE, "SIZE "+strconv.Itoa(cfg.MaxSize))
	add(cfg.SMTPUTF8, "SMTPUTF8")
	add(cfg.STARTTLS && !s.info.TLS, "STARTTLS")
	add(cfg.Username != "", "AUTH PLAIN LOGIN")
	for i, line := range lines {
		separator := "-"
		if i == len(lines)-1 {
			separator = " "
		}
		s.out = append(s.out, "250"+separator+line+"\r\n"...)
	}
	return nil
}
