package smtp

import (
	"bytes"

	"sesrelay/internal/relay"
)

// exchange is what is under way between the guard and the library.
type exchange struct {
	verb    verb          // the command that the library is working on
	arg     string        // argument of MAIL or RCPT, as sent
	hello   string        // argument of EHLO, HELO or LHLO
	sasl    bool          // the library wrote 334: the next line is a SASL response
	dot     bool          // the library is to read an empty body
	rest    []byte        // what the library has not read yet of its line
	partial []byte        // what the library has written of a line so far
	answers []relay.Reply // replace the library's next replies, in order
	leave   bool          // hang up behind the last answer
	resume  bool          // a new library is to hear the EHLO that is in force
}

var emptyBody = []byte(".\r\n")

// left copies what the library has still to read.
func (g *guard) left(p []byte) int {
	switch {
	case g.dot:
		g.dot, g.rest = false, emptyBody
	case g.resume && g.verb == "":
		g.verb = g.helloVerb()
		g.rest = []byte(string(g.verb) + " " + g.hello + "\r\n")
	}
	n := copy(p, g.rest)
	g.rest = g.rest[n:]
	return n
}

// answer gives the reply to the library's current command. The library writes
// one of its own, in whose place it goes out.
func (g *guard) answer(r relay.Reply) { g.answers = append(g.answers, r) }

// Write takes the library's replies, some bytes at a time.
func (g *guard) Write(p []byte) (int, error) {
	n := len(p)
	for {
		i := bytes.IndexByte(p, '\n')
		if i < 0 {
			g.partial = append(g.partial, p...)
			break
		}
		line := p[:i+1]
		if len(g.partial) > 0 {
			line = append(g.partial, line...)
			g.partial = g.partial[:0]
		}
		g.fromLibrary(line)
		p = p[i+1:]
	}
	if g.out.size() > outputSize {
		return n, g.flush()
	}
	return n, nil
}

// fromLibrary handles one line of a reply of the library.
func (g *guard) fromLibrary(line []byte) {
	if len(line) < 4 {
		return
	}
	code, last := string(line[:3]), line[3] == ' '
	switch {
	case code == "220": // the guard has greeted
	case g.resume:
		g.resume = !last
	case len(g.answers) > 0:
		if last {
			g.giveAnswer()
		}
	case code == "250" && g.verb.isHello():
		g.helloLine(line, last)
	case code == "354": // the session says its own, when the transaction wants the body
	case code == "334":
		g.sasl = true
		g.out.line(line)
	case code[0] == '5' || code == "454":
		if last {
			g.refuse(code, line)
		}
	default:
		g.out.line(line)
	}
}

func (g *guard) giveAnswer() {
	r := g.answers[0]
	g.answers = g.answers[1:]
	if len(g.answers) == 0 {
		g.answers = nil
	}
	if !valid(r) {
		g.log.Error("transaction gave no valid reply", "reply", r.String())
		r = relay.ReplyLocalError
	}
	g.out.say(r)
	if g.leave && len(g.answers) == 0 {
		g.out.hang()
	}
}

// refuse passes on a refusal of the library's own, all of which are about the
// syntax or the sequence of commands, with the codes that the RFCs have.
func (g *guard) refuse(code string, line []byte) {
	switch {
	case code == "454" && g.verb == verbAuth: // base64, or the shape of the response
		g.out.say(replyBase64)
	case code == "502" && g.verb == verbAuth: // no mechanism
		g.out.say(replyArgument)
	case code == "500" && (g.verb == verbMail || g.verb == verbRcpt):
		g.out.say(replyParameter)
	default:
		g.out.line(line)
	}
	if code[:2] == "50" {
		g.countBad()
	}
}

// countBad ends a session that only makes errors.
func (g *guard) countBad() {
	if g.bad++; g.bad >= g.srv.limits.BadCommands {
		g.hangUp(replyBadCommands)
	}
}

// helloLine passes on one line of the reply to EHLO, HELO or LHLO. The library
// offers CHUNKING always and STARTTLS never: the one gives way to the other.
func (g *guard) helloLine(line []byte, last bool) {
	text := string(bytes.TrimRight(line[4:], "\r\n"))
	switch {
	case last && g.verb == verbHelo || text == "Hello "+g.hello:
		line = append(append([]byte(nil), line[:4]...), g.srv.cfg.Hostname+"\r\n"...) // RFC 5321 section 4.1.1.1: our name
	case text == "CHUNKING" && g.offersTLS():
		line = []byte("250-STARTTLS\r\n")
	case text == "CHUNKING":
		line = nil
	}
	g.out.line(line)
	if last {
		g.greeted, g.helo, g.extended = true, g.hello, g.verb != verbHelo
	}
}

// helloVerb is a greeting that the library takes on this listener.
func (g *guard) helloVerb() verb {
	if g.lst.Protocol == LMTP {
		return verbLhlo
	}
	return verbEhlo
}

func (g *guard) offersTLS() bool {
	return !g.tls && (g.lst.TLS == TLSOptional || g.lst.TLS == TLSRequired)
}
