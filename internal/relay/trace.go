package relay

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

// idAlphabet sorts like the numbers it encodes.
var idAlphabet = base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)

// NewID returns a relay id: 20 characters, unique in the fleet, sorting by time.
func NewID(now time.Time) string {
	var b [12]byte
	var ms [8]byte
	binary.BigEndian.PutUint64(ms[:], uint64(now.UnixMilli()))
	copy(b[:6], ms[2:])
	rand.Read(b[6:]) // never fails (crypto/rand)
	return idAlphabet.EncodeToString(b[:])
}

// traceHeader returns the Received line of RFC 5321 section 4.4 that the relay
// adds at the top.
func traceHeader(env *Envelope, hostname string, now time.Time) []byte {
	b := make([]byte, 0, 256)
	b = append(b, "Received: from "...)
	b = appendHELO(b, env.Client.HELO)
	b = append(b, " ("...)
	b = append(b, addressLiteral(env)...)
	b = append(b, ")\r\n\tby "...)
	b = append(b, hostname...)
	b = append(b, " (sesrelay) with "...)
	b = append(b, env.Protocol()...)
	b = append(b, " id "...)
	b = append(b, env.ID...)
	b = append(b, ";\r\n\t"...)
	b = now.AppendFormat(b, "Mon, 02 Jan 2006 15:04:05 -0700")
	return append(b, "\r\n"...)
}

// addressLiteral is the TCP-info of RFC 5321 section 4.4.
func addressLiteral(env *Envelope) string {
	a := env.Client.Addr.Unmap()
	if !a.IsValid() {
		return "unknown"
	}
	if a.Is6() {
		return "[IPv6:" + a.WithZone("").String() + "]"
	}
	return "[" + a.String() + "]"
}

// appendHELO writes the client's name with everything replaced that could end
// the line or the clause: it is the client's own word.
func appendHELO(b []byte, helo string) []byte {
	if helo == "" {
		return append(b, "unknown"...)
	}
	if len(helo) > 255 {
		helo = helo[:255]
	}
	for i := range len(helo) {
		if c := helo[i]; isAlnum(c) || strings.IndexByte(".-_:[]", c) >= 0 {
			b = append(b, c)
		} else {
			b = append(b, '?')
		}
	}
	return b
}
