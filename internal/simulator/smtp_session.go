package simulator

import (
	"bytes"
	"errors"
	"io"
	"net"
	"strconv"
	"time"
)

// Sizes of a session's buffers, in bytes.
const (
	inputBuffer  = 64 << 10
	outputFlush  = 4 << 10   // replies go out when so many bytes wait, or before the session waits for input
	maxCommand   = 2048      // RFC 5321 section 4.5.3.1.4 asks for 512 and more
	maxAuthLine  = 12288     // RFC 4954 section 4
	sessionLimit = time.Hour // without a byte from the client
)

// session is one SMTP connection. Its fields belong to its goroutine.
type session struct {
	srv    *SMTP
	conn   net.Conn
	number int64

	in   []byte // input buffer; in[r:w] is not used yet
	r, w int
	out  []byte // replies not written yet
	wire []byte // the message being received, reused

	info     SMTPInfo
	gone     bool // not counted as open any more
	greeted  bool // HELO or EHLO was accepted
	messages int
	counts   map[string]int64 // commands, handed to the server when the session pauses

	from     string
	mail     bool     // a transaction is open
	to       []string // accepted recipients
	tried    bool     // RCPT was tried in this transaction
	refused  bool     // the last MAIL was refused: what was pipelined behind it is no anomaly
	declared int      // SIZE= of MAIL, 0 = none
}

// errHangUp ends a session after its replies were written.
var errHangUp = errors.New("simulator: hang up")

func newSession(srv *SMTP, conn net.Conn, number int64) *session {
	return &session{srv: srv, conn: conn, number: number, in: make([]byte, inputBuffer), counts: map[string]int64{},
		info: SMTPInfo{Connection: number}}
}

// serve runs the session until either side ends it.
func (s *session) serve() {
	defer s.closed()
	defer s.report()
	defer func() { s.conn.Close() }() // STARTTLS replaces conn
	if s.srv.cfg.ImplicitTLS && s.handshake() != nil {
		return
	}
	if err := s.greet(); err != nil {
		if errors.Is(err, errHangUp) {
			s.leave()
		}
		return
	}
	for {
		line, err := s.readLine(maxCommand)
		if err == nil {
			err = s.command(line)
		}
		if err != nil {
			if errors.Is(err, errHangUp) {
				s.leave()
			}
			return
		}
	}
}

// leave writes the last replies and waits, for a second at most, for the client to go: were the connection closed with
// input unread, a reset could overtake the reply.
func (s *session) leave() {
	s.closed()
	if s.flush() != nil {
		return
	}
	if half, ok := s.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		s.conn.SetReadDeadline(time.Now().Add(time.Second))
		io.Copy(io.Discard, s.conn)
	}
}

// closed takes the session off the count of open ones, once.
func (s *session) closed() {
	if !s.gone {
		s.gone = true
		s.srv.open.Add(-1)
	}
}

// greet sends the greeting, or the refusal of the connection.
func (s *session) greet() error {
	limits := s.srv.limits.Load()
	switch {
	case s.srv.outage.Load():
		return s.hangUp(421, "4.3.2 Service not available, closing transmission channel")
	case limits.MaxConnections > 0 && s.srv.open.Load() > int64(limits.MaxConnections):
		return s.hangUp(421, "4.7.0 Too many connections, closing transmission channel")
	}
	return s.perform(AtGreeting, nil, func() error {
		return s.reply(220, s.srv.cfg.Hostname+" ESMTP")
	})
}

// perform does what a command does, unless a fault strikes at this stage; then it does what the fault says.
func (s *session) perform(at string, addresses []string, usual func() error) error {
	fault, struck := s.srv.faults.strike(at, anyFault, addresses...)
	if !struck {
		return usual()
	}
	return s.suffer(fault, usual)
}

func (s *session) suffer(fault Fault, usual func() error) error {
	if fault.Delay > 0 && (s.flush() != nil || !pause(s.srv.ctx, fault.Delay)) {
		return io.EOF
	}
	switch fault.Name {
	case FaultReply:
		code, text := fault.reply()
		if code == 421 || fault.At == AtGreeting || fault.At == AtBetween {
			return s.hangUp(code, text)
		}
		return s.reply(code, text)
	case FaultCut, FaultReset:
		s.flush() // what was answered before is not part of the fault
		closeConn(s.conn, fault.Name == FaultReset)
		return io.EOF
	case FaultCutAfterReply:
		if err := usual(); err != nil {
			return err
		}
		return errHangUp
	case FaultGarbledReply:
		s.out = append(s.out, "?? not a reply ??\r\n"...)
		return nil
	case FaultHang:
		s.flush()
		if !s.srv.faults.hang(s.srv.ctx) {
			return io.EOF
		}
	}
	return usual()
}

// readLine returns the next line with its line end. It is valid until the next read.
func (s *session) readLine(limit int) ([]byte, error) {
	for scanned := 0; ; {
		if n := bytes.IndexByte(s.in[s.r+scanned:s.w], '\n'); n >= 0 {
			line := s.in[s.r : s.r+scanned+n+1]
			s.r += len(line)
			if len(line) > limit {
				s.anomaly(AnomalyLongLine, strconv.Itoa(len(line))+" bytes")
				return nil, s.hangUp(500, "5.5.2 Line too long")
			}
			return line, nil
		}
		if scanned = s.w - s.r; scanned > limit {
			s.anomaly(AnomalyLongLine, "more than "+strconv.Itoa(limit)+" bytes")
			return nil, s.hangUp(500, "5.5.2 Line too long")
		}
		if err := s.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads more input behind in[r:w]; before it may wait it writes the replies, so that a pipelined group is
// answered in one packet.
func (s *session) fill() error {
	if s.r == s.w {
		s.r, s.w = 0, 0
	} else if s.w == len(s.in) {
		s.w = copy(s.in, s.in[s.r:s.w])
		s.r = 0
	}
	if err := s.flush(); err != nil {
		return err
	}
	idle := s.srv.limits.Load().IdleTimeout
	wait := sessionLimit
	if idle > 0 {
		wait = idle
	}
	s.conn.SetReadDeadline(time.Now().Add(wait))
	n, err := s.conn.Read(s.in[s.w:])
	s.w += n
	if n > 0 {
		return nil
	}
	if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
		return s.hangUp(421, "4.4.2 Idle too long, closing transmission channel")
	}
	return err
}

// ahead tells whether the client has sent more than the line in hand.
func (s *session) ahead() bool { return s.r < s.w }

// reply queues a reply of one line.
func (s *session) reply(code int, text string) error {
	s.out = strconv.AppendInt(s.out, int64(code), 10)
	s.out = append(s.out, ' ')
	s.out = append(s.out, text...)
	s.out = append(s.out, '\r', '\n')
	if len(s.out) > outputFlush {
		return s.flush()
	}
	return nil
}

// hangUp queues a last reply.
func (s *session) hangUp(code int, text string) error {
	s.reply(code, text)
	return errHangUp
}

// flush writes the queued replies; what they answer is counted before the client can know.
func (s *session) flush() error {
	s.report()
	if len(s.out) == 0 {
		return nil
	}
	s.conn.SetWriteDeadline(time.Now().Add(time.Minute))
	_, err := s.conn.Write(s.out)
	s.out = s.out[:0]
	return err
}

func (s *session) anomaly(kind, detail string) {
	s.srv.noteAnomaly(Anomaly{Kind: kind, Detail: detail, Connection: s.number})
}

// report hands the counts of commands to the server: once a packet, not once a command.
func (s *session) report() {
	if len(s.counts) == 0 {
		return
	}
	s.srv.mu.Lock()
	for verb, n := range s.counts {
		s.srv.commands[verb] += n
	}
	s.srv.mu.Unlock()
	clear(s.counts)
}
