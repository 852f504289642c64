package main

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync/atomic"
	"time"
)

// target is where mail goes, and how the client speaks to it.
type target struct {
	Addresses []string // one for each instance; connections take turns
	LMTP      bool
	TLS       string // none, starttls, implicit
	TLSOwn    *tls.Config
	User      string // "" = no AUTH
	Password  string
	Hello     string        // EHLO argument
	Probe     bool          // RSET before a connection is used again, as Postfix does
	Timeout   time.Duration // of a whole transaction

	turn atomic.Uint32
}

// session is one SMTP or LMTP connection.
type session struct {
	conn    net.Conn
	r       *bufio.Reader
	t       *target
	out     []byte // commands of a group
	opened  time.Time
	used    int       // transactions
	lastUse time.Time // when it became idle
}

// reply is an SMTP reply.
type reply struct {
	Code int
	Text string // of its last line
}

func (r reply) ok() bool { return r.Code/100 == 2 }

// replyError is an answer other than the wanted one.
type replyError struct {
	After string // command
	reply
}

func (e *replyError) Error() string { return fmt.Sprintf("%s: %d %s", e.After, e.Code, e.Text) }

// dial connects to the next address in turn, and to the ones after it when it
// refuses, as Postfix does with several hosts in relayhost.
func (t *target) dial() (conn net.Conn, err error) {
	turn := t.turn.Add(1)
	for i := range t.Addresses {
		address := t.Addresses[(int(turn)+i)%len(t.Addresses)]
		if conn, err = net.DialTimeout("tcp", address, t.Timeout); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

// open connects, greets, and secures and authenticates as the target wants.
func (t *target) open() (*session, error) {
	conn, err := t.dial()
	if err != nil {
		return nil, err
	}
	s := &session{t: t, opened: time.Now()}
	s.use(conn)
	if err := s.begin(); err != nil {
		s.conn.Close()
		return nil, err
	}
	return s, nil
}

func (s *session) use(conn net.Conn) {
	s.conn = conn
	s.conn.SetDeadline(time.Now().Add(s.t.Timeout))
	s.r = bufio.NewReaderSize(conn, 4096)
}

func (s *session) begin() error {
	if s.t.TLS == "implicit" {
		s.use(tls.Client(s.conn, s.t.TLSOwn))
	}
	if err := s.want("greeting", 2); err != nil {
		return err
	}
	if err := s.hello(); err != nil {
		return err
	}
	if s.t.TLS == "starttls" {
		if err := s.do("STARTTLS", 2); err != nil {
			return err
		}
		s.use(tls.Client(s.conn, s.t.TLSOwn))
		if err := s.hello(); err != nil {
			return err
		}
	}
	if s.t.User == "" {
		return nil
	}
	plain := base64.StdEncoding.EncodeToString([]byte("\x00" + s.t.User + "\x00" + s.t.Password))
	return s.do("AUTH PLAIN "+plain, 2)
}

func (s *session) hello() error {
	verb := "EHLO "
	if s.t.LMTP {
		verb = "LHLO "
	}
	return s.do(verb+s.t.Hello, 2)
}

// do sends one command and wants a reply of the class.
func (s *session) do(command string, class int) error {
	if _, err := s.conn.Write(append(append(s.out[:0], command...), '\r', '\n')); err != nil {
		return err
	}
	verb, _, _ := bytes.Cut([]byte(command), []byte(" "))
	return s.want(string(verb), class)
}

func (s *session) want(after string, class int) error {
	r, err := s.read()
	if err != nil {
		return fmt.Errorf("%s: %w", after, err)
	}
	if r.Code/100 != class {
		return &replyError{after, r}
	}
	return nil
}

var errNoReply = errors.New("what came is no SMTP reply")

// read reads one reply of one or more lines (RFC 5321 section 4.2.1).
func (s *session) read() (reply, error) {
	for {
		line, err := s.r.ReadSlice('\n')
		if err != nil {
			return reply{}, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) < 3 {
			return reply{}, errNoReply
		}
		code, err := strconv.Atoi(string(line[:3]))
		if err != nil {
			return reply{}, errNoReply
		}
		if len(line) == 3 {
			return reply{Code: code}, nil
		}
		if line[3] != '-' {
			return reply{code, string(line[4:])}, nil
		}
	}
}

// quit ends the session without waiting for the answer.
func (s *session) quit() {
	s.conn.SetDeadline(time.Now().Add(time.Second))
	s.conn.Write([]byte("QUIT\r\n"))
	s.conn.Close()
}
