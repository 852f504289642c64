package mask

import (
	"net/netip"
	"strconv"
)

// IP masks a client's address, with or without port: IPv4 keeps its /24, IPv6
// its /48, what is neither becomes "[masked N]".
func (m *Masker) IP(s string) string {
	if m.mode == Full {
		return s
	}
	var buf [64]byte
	return string(appendIP(buf[:0], s))
}

func appendIP(dst []byte, s string) []byte {
	ip, err := netip.ParseAddr(s)
	if err != nil {
		with, err := netip.ParseAddrPort(s)
		if err != nil {
			return appendGone(dst, len(s))
		}
		ip = with.Addr()
	}
	return appendNetwork(dst, ip)
}

// appendNetwork appends the /24 or /48 of ip. A mapped IPv4 address is an IPv4
// address: its /48 would be ::/48, which tells nothing, and its end everything.
func appendNetwork(dst []byte, ip netip.Addr) []byte {
	ip = ip.Unmap().WithZone("")
	bits := 24
	if ip.Is6() {
		bits = 48
	}
	network, _ := ip.Prefix(bits) // fails only for bits out of range
	return network.AppendTo(dst)
}

// Subject masks a subject, or any other text of which nothing may stay:
// "[masked 24]" tells its length in bytes.
func (m *Masker) Subject(s string) string {
	if m.mode == Full {
		return s
	}
	return gone(s)
}

func gone(s string) string {
	var buf [32]byte
	return string(appendGone(buf[:0], len(s)))
}

func appendGone(dst []byte, length int) []byte {
	dst = append(dst, "[masked "...)
	dst = strconv.AppendInt(dst, int64(length), 10)
	return append(dst, ']')
}
