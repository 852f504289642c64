package smtp

import (
	"errors"
	"math"
	"strconv"

	"bytes"
	"strings"

	"sesrelay/internal/relay"
)

// verb is a command of SMTP or LMTP in upper case.
type verb string

const (
	verbEhlo     verb = "EHLO"
	verbHelo     verb = "HELO"
	verbLhlo     verb = "LHLO"
	verbMail     verb = "MAIL"
	verbRcpt     verb = "RCPT"
	verbData     verb = "DATA"
	verbRset     verb = "RSET"
	verbNoop     verb = "NOOP"
	verbVrfy     verb = "VRFY"
	verbExpn     verb = "EXPN"
	verbHelp     verb = "HELP"
	verbQuit     verb = "QUIT"
	verbAuth     verb = "AUTH"
	verbBdat     verb = "BDAT"
	verbStartTLS verb = "STARTTLS"
	verbForeign  verb = "-" // of another protocol
)

func (v verb) isHello() bool { return v == verbEhlo || v == verbHelo || v == verbLhlo }

// verbs are the words that a line may begin with. The foreign ones are what a
// browser can be made to send to any port.
var verbs = map[string]verb{
	"EHLO": verbEhlo, "HELO": verbHelo, "LHLO": verbLhlo, "MAIL": verbMail, "RCPT": verbRcpt, "DATA": verbData,
	"RSET": verbRset, "NOOP": verbNoop, "VRFY": verbVrfy, "EXPN": verbExpn, "HELP": verbHelp, "QUIT": verbQuit,
	"AUTH": verbAuth, "BDAT": verbBdat, "STARTTLS": verbStartTLS,
	"GET": verbForeign, "POST": verbForeign, "HEAD": verbForeign, "PUT": verbForeign, "DELETE": verbForeign,
	"OPTIONS": verbForeign, "CONNECT": verbForeign, "PATCH": verbForeign, "TRACE": verbForeign, "PRI": verbForeign,
}

// pass is the judgement that the library is to have the command.
var pass = relay.Reply{}

// command judges one line. It returns the line for the library, or nil when
// the guard has answered.
func (g *guard) command(line []byte) []byte {
	if g.sasl {
		g.sasl = false
		return line
	}
	text := bytes.TrimRight(line[:len(line)-2], " \t") // RFC 5321 section 4.1.1: trailing blanks are tolerated
	v, arg := cutVerb(text)
	r := g.judge(v, arg)
	if r.Code != pass.Code {
		g.out.say(r)
		if g.leave {
			g.out.hang()
		}
		if r.Code >= 500 && r.Code <= 503 {
			g.countBad()
		}
		return nil
	}
	if v == verbStartTLS {
		g.startTLS()
		return nil
	}
	g.verb = v
	return append(text, '\r', '\n') // there is room: the CRLF was cut off
}

// cutVerb splits a line into its command and the rest. An unknown command is "".
func cutVerb(text []byte) (verb, []byte) {
	word, arg, _ := bytes.Cut(text, []byte(" "))
	if len(word) > len(verbStartTLS) {
		return "", nil
	}
	return verbs[strings.ToUpper(string(word))], bytes.TrimLeft(arg, " ")
}

// judge returns the guard's reply to a command, or pass.
func (g *guard) judge(v verb, arg []byte) relay.Reply {
	if r := g.judgeState(v); r.Code != pass.Code {
		return r
	}
	switch v {
	case "":
		return replyUnknown
	case verbForeign:
		return replyProtocol
	case verbEhlo, verbHelo, verbLhlo:
		return g.judgeHello(arg)
	case verbMail:
		return g.judgeMail(arg)
	case verbRcpt:
		return g.judgeRcpt(arg)
	case verbData:
		return g.judgeData()
	case verbBdat: // its chunk follows without being asked for, so the connection must end
		g.leave = true
		return replyNoChunking
	case verbAuth:
		return g.judgeAuth()
	case verbStartTLS:
		return g.judgeStartTLS(arg)
	}
	return pass
}

// judgeState refuses what the state of the connection does not allow,
// whatever the command's argument.
func (g *guard) judgeState(v verb) relay.Reply {
	switch v {
	case verbEhlo, verbHelo, verbLhlo, verbNoop, verbRset, verbVrfy, verbExpn, verbHelp:
		if g.idling++; g.idling > g.srv.limits.IdleCommands {
			return replyIdleTooLong
		}
	case verbMail: // refused ones count, see session.Mail
		if g.idling > g.srv.limits.IdleCommands {
			return replyIdleTooLong
		}
	}
	switch v {
	case verbNoop, verbRset: // where a client with a cached connection asks whether it still lives
		if g.srv.phase.Load() >= draining {
			return replyDraining
		}
	case verbMail:
		if g.srv.phase.Load() >= drained {
			return replyDraining
		}
	}
	if g.lst.TLS == TLSRequired && !g.tls {
		switch v {
		case verbMail, verbRcpt, verbData, verbAuth, verbVrfy, verbExpn: // RFC 3207 section 4
			return replyTLSFirst
		}
	}
	return pass
}

// judgeHello wants printable ASCII: the name goes into the trace header.
func (g *guard) judgeHello(arg []byte) relay.Reply {
	name, _, _ := bytes.Cut(arg, []byte(" "))
	if len(name) == 0 || len(name) > 255 {
		return replyArgument
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return replyArgument
		}
	}
	g.hello = string(name)
	return pass
}

func (g *guard) judgeMail(arg []byte) relay.Reply {
	switch {
	case !g.greeted:
		return replyHelloFirst
	case g.tx != nil: // the library would mix the recipients of both
		return replyNested
	case hugeSize(arg):
		return relay.ReplyTooLarge
	}
	g.arg = string(arg)
	return pass
}

// hugeSize reports a SIZE parameter that the library cannot read, because it
// has no room for more than 32 bits. RFC 1870 section 4 allows 20 digits.
func hugeSize(arg []byte) bool {
	params := arg[bytes.LastIndexByte(arg, '>')+1:]
	for _, param := range bytes.Fields(params) {
		if len(param) < len("SIZE=") || !bytes.EqualFold(param[:len("SIZE=")], []byte("SIZE=")) {
			continue
		}
		n, err := strconv.ParseUint(string(param[len("SIZE="):]), 10, 64)
		return errors.Is(err, strconv.ErrRange) || n > math.MaxUint32
	}
	return false
}

func (g *guard) judgeRcpt(arg []byte) relay.Reply {
	switch {
	case g.tx == nil:
		return replyMailFirst
	case g.tried >= g.srv.limits.Recipients:
		return relay.ReplyTooManyRcpts
	}
	g.tried++
	g.arg = string(arg)
	return pass
}

func (g *guard) judgeData() relay.Reply {
	switch {
	case g.tx == nil:
		return replyMailFirst
	case g.accepted > 0:
		return pass
	case g.tried > 0: // RFC 2920 section 3.1: DATA behind recipients that were all refused
		return replyNoRcpt
	}
	return replyRcptFirst
}

// sound reports whether a line ends in CRLF and holds no other CR and no NUL.
func sound(line []byte) bool {
	n := len(line)
	return n >= 2 && bytes.IndexByte(line, '\r') == n-2 && bytes.IndexByte(line, 0) < 0
}

// garbage reports that p, the start of a line, cannot become a command: every
// command begins with a letter. A TLS ClientHello need not hold a line end.
func garbage(p []byte) bool {
	if len(p) == 0 || p[0] == '\r' {
		return false
	}
	c := p[0] | 0x20
	return c < 'a' || c > 'z'
}

// lineLimit is the longest line that may come now.
func (g *guard) lineLimit() int {
	if g.sasl {
		return maxSASLLine
	}
	if p := g.in.pending(); len(p) > 4 && p[4] == ' ' && bytes.EqualFold(p[:4], []byte(verbAuth)) {
		return maxSASLLine
	}
	return maxLine
}
