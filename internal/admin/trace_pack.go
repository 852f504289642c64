package admin

import (
	"encoding/binary"
	"errors"
	"math"
	"net/netip"
	"time"

	"sesrelay/internal/relay"
)

// A record that is kept is packed into one piece of memory without pointers:
// twenty thousand records as they are would be 400,000 objects, which every
// garbage collection has to visit. Only what show needs is kept, and of an
// error its text. The bytes never leave the process.

// traceIDs is what a packed record begins with.
type traceIDs struct {
	fingerprint         relay.Fingerprint
	id, upstream, first string
}

// appendTrace appends a packed record.
func appendTrace(b []byte, r *relay.Record) []byte {
	p := packer(append(b, r.Fingerprint[:]...))
	p.texts(r.Envelope.ID, r.Receipt.ID, r.Receipt.RelayID)
	p.address(r.Envelope.ReversePath)
	p.addr(r.Envelope.Client.Addr)
	p.texts(r.Envelope.Client.HELO, r.QueueID, string(r.Route), string(r.Reason), string(r.Result), r.Decision.Rule)
	p.time(r.Ended)
	p.numbers(r.Size, r.Decision.Version, int64(r.Duration), int64(r.Delay))
	p.reply(r.Reply)
	p.fault(r.Err)
	p.numbers(int64(len(r.Recipients)), int64(len(r.Attempts)), int64(len(r.Refused)))
	for _, to := range r.Recipients {
		p.address(to)
	}
	for _, a := range r.Attempts {
		p.texts(string(a.Route), a.Class)
		p.numbers(int64(a.Outcome), int64(a.Took))
		p.fault(a.Err)
	}
	for _, f := range r.Refused {
		p.address(f.To)
		p.reply(f.Reply)
	}
	return p
}

// unpackIDs reads the start of a packed record.
func unpackIDs(b []byte) traceIDs {
	u := unpacker(b)
	return u.ids()
}

// unpackTrace is the reverse of appendTrace, for the fields that it keeps.
func unpackTrace(b []byte) *relay.Record {
	u := unpacker(b)
	ids := u.ids()
	r := &relay.Record{Fingerprint: ids.fingerprint, Receipt: relay.Receipt{ID: ids.upstream, RelayID: ids.first}}
	r.Envelope.ID = ids.id
	r.Envelope.ReversePath = u.address()
	r.Envelope.Client.Addr = u.addr()
	r.Envelope.Client.HELO, r.QueueID = u.text(), u.text()
	r.Route, r.Reason, r.Result = relay.Route(u.text()), relay.Reason(u.text()), relay.Result(u.text())
	r.Decision.Rule = u.text()
	r.Ended = u.time()
	r.Size, r.Decision.Version = u.number(), u.number()
	r.Duration, r.Delay = time.Duration(u.number()), time.Duration(u.number())
	r.Reply = u.reply()
	r.Err = u.fault()
	recipients, attempts, refused := u.number(), u.number(), u.number()
	for range recipients {
		r.Recipients = append(r.Recipients, u.address())
	}
	for range attempts {
		a := relay.Attempt{Route: relay.Route(u.text()), Class: u.text()}
		a.Outcome, a.Took, a.Err = relay.Outcome(u.number()), time.Duration(u.number()), u.fault()
		r.Attempts = append(r.Attempts, a)
	}
	for range refused {
		r.Refused = append(r.Refused, relay.Refusal{To: u.address(), Reply: u.reply()})
	}
	return r
}

// packer appends values: numbers as varints, texts behind their length.
type packer []byte

func (p *packer) numbers(n ...int64) {
	for _, n := range n {
		*p = binary.AppendVarint(*p, n)
	}
}

func (p *packer) texts(s ...string) {
	for _, s := range s {
		*p = append(binary.AppendUvarint(*p, uint64(len(s))), s...)
	}
}

// addr appends the length of an address, its bytes, and the zone of one of IPv6.
func (p *packer) addr(a netip.Addr) {
	switch {
	case !a.IsValid():
		*p = append(*p, 0)
	case a.Is4():
		v4 := a.As4()
		*p = append(append(*p, 4), v4[:]...)
	default:
		v6 := a.As16()
		*p = append(append(*p, 16), v6[:]...)
		p.texts(a.Zone())
	}
}

// noTime is the zero time, which has no number of nanoseconds.
const noTime = math.MinInt64

func (p *packer) time(t time.Time) {
	if t.IsZero() {
		p.numbers(noTime)
		return
	}
	p.numbers(t.UnixNano())
}

func (p *packer) address(a relay.Address) { p.texts(a.Local, a.Domain) }

func (p *packer) reply(r relay.Reply) {
	p.numbers(int64(r.Code), int64(r.Enhanced[0]), int64(r.Enhanced[1]), int64(r.Enhanced[2]))
	p.texts(r.Text)
}

// fault appends the text of an error; an error without a text is not told from none.
func (p *packer) fault(err error) {
	text := ""
	if err != nil {
		text = err.Error()
	}
	p.texts(text)
}

// unpacker takes the values off again, in the same order.
type unpacker []byte

func (u *unpacker) ids() (ids traceIDs) {
	*u = (*u)[copy(ids.fingerprint[:], *u):]
	ids.id, ids.upstream, ids.first = u.text(), u.text(), u.text()
	return ids
}

func (u *unpacker) number() int64 {
	n, size := binary.Varint(*u)
	*u = (*u)[size:]
	return n
}

func (u *unpacker) part() []byte {
	n, size := binary.Uvarint(*u)
	b := (*u)[size : size+int(n)]
	*u = (*u)[size+int(n):]
	return b
}

func (u *unpacker) text() string { return string(u.part()) }

func (u *unpacker) address() relay.Address { return relay.Address{Local: u.text(), Domain: u.text()} }

func (u *unpacker) addr() netip.Addr {
	b := u.part()
	a, _ := netip.AddrFromSlice(b) // none: the zero Addr, which it was
	if len(b) == 16 {
		a = a.WithZone(u.text())
	}
	return a
}

func (u *unpacker) time() time.Time {
	if n := u.number(); n != noTime {
		return time.Unix(0, n)
	}
	return time.Time{}
}

func (u *unpacker) reply() relay.Reply {
	r := relay.Reply{Code: int(u.number())}
	for i := range r.Enhanced {
		r.Enhanced[i] = int(u.number())
	}
	r.Text = u.text()
	return r
}

func (u *unpacker) fault() error {
	if text := u.text(); text != "" {
		return errors.New(text)
	}
	return nil
}
