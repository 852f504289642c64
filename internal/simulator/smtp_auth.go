package simulator

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"slices"
	"strings"
	"time"
)

// errTLS says that a handshake failed: nothing more can be said on this connection.
var errTLS = errors.New("simulator: TLS handshake failed")

// handshake puts TLS on the connection.
func (s *session) handshake() error {
	ctx, cancel := context.WithTimeout(s.srv.ctx, 30*time.Second)
	defer cancel()
	conn := tls.Server(s.conn, s.srv.tls)
	if conn.HandshakeContext(ctx) != nil {
		return errTLS
	}
	s.conn, s.info.TLS = conn, true
	return nil
}

// startTLS is STARTTLS (RFC 3207). What came in plain text behind the command is dropped, and noted.
func (s *session) startTLS() error {
	s.alone("STARTTLS")
	switch {
	case !s.srv.cfg.STARTTLS:
		s.anomaly(AnomalyNotOffered, "STARTTLS")
		return s.reply(502, "5.5.1 Command not implemented")
	case s.info.TLS || !s.info.ESMTP || s.mail:
		return s.outOfSequence("STARTTLS under TLS, before EHLO or in a transaction")
	}
	return s.perform(AtSTARTTLS, nil, func() error {
		s.reply(220, "2.0.0 Ready to start TLS")
		if err := s.flush(); err != nil {
			return err
		}
		s.r, s.w = 0, 0
		// Section 4.2: everything learnt before is forgotten; the client greets again.
		s.greeted, s.info = false, SMTPInfo{Connection: s.number}
		return s.handshake()
	})
}

// auth is AUTH PLAIN and AUTH LOGIN (RFC 4954).
func (s *session) auth(arg string) error {
	s.alone("AUTH")
	switch {
	case s.srv.cfg.Username == "":
		s.anomaly(AnomalyNotOffered, "AUTH")
		return s.reply(502, "5.5.1 Command not implemented")
	case !s.info.ESMTP || s.mail || s.info.User != "":
		return s.outOfSequence("AUTH before EHLO, in a transaction or a second time")
	}
	if s.srv.cfg.STARTTLS && !s.info.TLS {
		s.anomaly(AnomalyPlainPassword, "AUTH before STARTTLS")
	}
	mechanism, initial, _ := strings.Cut(arg, " ")
	var user, password string
	var err error
	switch strings.ToUpper(mechanism) {
	case "PLAIN":
		user, password, err = s.plain(initial)
	case "LOGIN":
		user, password, err = s.login(initial)
	default:
		return s.reply(504, "5.5.4 Unrecognized authentication type")
	}
	if err == errBadSASL {
		return s.reply(501, "5.5.2 Cannot decode the response")
	}
	if err != nil {
		return err
	}
	return s.perform(AtAUTH, nil, func() error {
		if user != s.srv.cfg.Username || !slices.Contains(*s.srv.passwords.Load(), password) {
			return s.reply(535, "5.7.8 Authentication credentials invalid")
		}
		s.info.User = user
		return s.reply(235, "2.7.0 Authentication successful")
	})
}

var errBadSASL = errors.New("simulator: bad SASL response")

// plain reads "authorization NUL user NUL password" (RFC 4616).
func (s *session) plain(initial string) (user, password string, err error) {
	response, err := s.respond(initial, "")
	if err != nil {
		return "", "", err
	}
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 {
		return "", "", errBadSASL
	}
	return string(parts[1]), string(parts[2]), nil
}

// login asks for the user and for the password.
func (s *session) login(initial string) (user, password string, err error) {
	u, err := s.respond(initial, "Username:")
	if err != nil {
		return "", "", err
	}
	user = string(u)
	p, err := s.respond("", "Password:")
	return user, string(p), err
}

// respond returns the client's decoded response: the initial one, or the one to this challenge. "=" is an empty
// initial response (RFC 4954 section 4).
func (s *session) respond(initial, challenge string) ([]byte, error) {
	if initial == "=" {
		return nil, nil
	}
	if initial == "" {
		s.reply(334, base64.StdEncoding.EncodeToString([]byte(challenge)))
		line, err := s.readLine(maxAuthLine)
		if err != nil {
			return nil, err
		}
		initial = string(s.trimLine(line))
	}
	decoded, err := base64.StdEncoding.DecodeString(initial)
	if err != nil {
		return nil, errBadSASL
	}
	return decoded, nil
}
