package simulator

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
)

// data is DATA and the message.
func (s *session) data(argument bool) error {
	s.alone("DATA")
	switch {
	case argument:
		s.anomaly(AnomalySyntax, "DATA with an argument")
		return s.reply(501, "5.5.4 Syntax: DATA")
	case len(s.to) == 0 && (s.tried || s.refused): // pipelined behind recipients that were all refused
		return s.reply(554, "5.5.1 No valid recipients")
	case len(s.to) == 0:
		return s.outOfSequence("DATA without a recipient")
	}
	return s.perform(AtDATA, s.to, func() error {
		s.reply(354, "End data with <CR><LF>.<CR><LF>")
		message, size, err := s.readMessage()
		if err != nil {
			if !errors.Is(err, errHangUp) {
				s.anomaly(AnomalyTruncated, strconv.Itoa(size)+" bytes of a message, then: "+err.Error())
			}
			return err
		}
		s.counts["DOT"]++
		return s.dot(message)
	})
}

// Room kept before the message in wire for the CRLF that a final dot at once needs before it.
var crlf = []byte("\r\n")

var finalDot = []byte("\r\n.\r\n")

// keepWire is how large a message buffer a session keeps for its next message.
const keepWire = 1 << 20

// readMessage reads to the first CRLF.CRLF and returns the message unstuffed, valid until the next one, and its size
// on the wire. A message over the limit is read and dropped: message is nil then, and size tells.
func (s *session) readMessage() (message []byte, size int, err error) {
	if cap(s.wire) > keepWire {
		s.wire = nil
	}
	s.wire = append(s.wire[:0], crlf...)
	for dropped := 0; ; {
		from := max(len(s.wire)-len(finalDot)+1, 0) // the end may stand across two reads
		s.wire = append(s.wire, s.in[s.r:s.w]...)
		if n := bytes.Index(s.wire[from:], finalDot); n >= 0 {
			end := from + n + len(finalDot)
			s.r = s.w - (len(s.wire) - end) // what follows the dot is the next command
			size = dropped + end - len(finalDot)
			if dropped > 0 || size > s.srv.cfg.MaxSize {
				return nil, size, nil
			}
			return s.unstuff(s.wire[len(crlf) : from+n+len(crlf)]), size, nil
		}
		s.r = s.w
		if dropped > 0 || len(s.wire) > s.srv.cfg.MaxSize+len(finalDot) {
			keep := len(finalDot) - 1
			dropped += len(s.wire) - keep
			s.wire = append(s.wire[:0], s.wire[len(s.wire)-keep:]...)
		}
		if err := s.fill(); err != nil {
			return nil, dropped + len(s.wire) - len(crlf), err
		}
	}
}

// unstuff notes what is wrong with the message and removes the doubled dots in place (RFC 5321 section 4.5.2).
func (s *session) unstuff(wire []byte) []byte {
	lineEndAnomalies(wire, s.anomaly)
	if s.srv.cfg.No8BITMIME && slices.ContainsFunc(wire, func(c byte) bool { return c >= 0x80 }) {
		s.anomaly(AnomalyNotOffered, "8-bit content without 8BITMIME")
	}
	if len(wire) > 0 && wire[0] == '.' {
		wire = wire[1:]
	}
	n := bytes.Index(wire, []byte("\r\n."))
	if n < 0 {
		return wire
	}
	kept := n + len(crlf)
	for rest := wire[kept+1:]; ; {
		n := bytes.Index(rest, []byte("\r\n."))
		if n < 0 {
			kept += copy(wire[kept:], rest)
			return wire[:kept]
		}
		kept += copy(wire[kept:], rest[:n+len(crlf)])
		rest = rest[n+len(crlf)+1:]
	}
}

// dot answers for a message and records it.
func (s *session) dot(message []byte) error {
	if message == nil { // over the limit
		s.resetTransaction()
		return s.reply(552, "5.3.4 Message size exceeds fixed limit")
	}
	if s.declared > 0 && len(message) > s.declared {
		s.anomaly(AnomalySyntax, fmt.Sprintf("SIZE=%d for %d bytes", s.declared, len(message)))
	}
	if d := s.srv.drawLatency(); d > 0 && (s.flush() != nil || !pause(s.srv.ctx, d)) {
		return errHangUp
	}
	usual := func() error { return s.reply(250, "2.0.0 Ok: queued as "+s.record(message)) }
	var err error
	switch fault, struck := s.srv.faults.strike(AtDot, anyFault, s.to...); {
	case !struck:
		err = usual()
	case recordsFirst(fault.Name):
		err = s.recordThen(fault, message)
	default:
		err = s.suffer(fault, usual)
	}
	s.resetTransaction()
	if err != nil {
		return err
	}
	return s.perform(AtBetween, nil, func() error { return nil })
}

func recordsFirst(name string) bool {
	return name == FaultRecordThenCut || name == FaultRecordThenReply || name == FaultRecordThenHang
}

// recordThen records the message and loses the reply in the fault's way.
func (s *session) recordThen(fault Fault, message []byte) error {
	if !pause(s.srv.ctx, fault.Delay) {
		return errHangUp
	}
	id := s.record(message)
	switch fault.Name {
	case FaultRecordThenReply:
		code, text := fault.reply()
		if code == 421 {
			return s.hangUp(code, text)
		}
		return s.reply(code, text)
	case FaultRecordThenHang:
		s.flush()
		if s.srv.faults.hang(s.srv.ctx) {
			return s.reply(250, "2.0.0 Ok: queued as "+id)
		}
	}
	s.flush()
	closeConn(s.conn, false)
	return errHangUp
}

// record stores an accepted mail and returns its queue id.
func (s *session) record(message []byte) string {
	s.messages++
	id := s.srv.idPrefix + strconv.FormatUint(s.srv.lastID.Add(1), 36)
	info := s.info
	s.srv.store.add(Record{ID: id, Time: s.srv.cfg.Clock(), Upstream: UpstreamCuenote, From: s.from, To: s.to, SMTP: &info}, message, false)
	return id
}
