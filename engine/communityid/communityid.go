// Package communityid computes the Community ID of flows, version 1 (github.com/corelight/community-id-spec).
package communityid

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
)

// Protocols that have ports, or types that take their place.
const (
	icmp, tcp, udp, icmp6, sctp = 1, 6, 17, 58, 132
)

// HasPorts reports whether the IDs of a protocol are made of ports too: those of TCP, UDP and SCTP, type and code of ICMP.
func HasPorts(proto uint8) bool {
	switch proto {
	case icmp, tcp, udp, icmp6, sctp:
		return true
	}
	return false
}

// Answer returns the type that answers typ of ICMP (1) or ICMPv6 (58); request and answer share an ID. It is false for types
// that go one way, as errors do, and for other protocols.
func Answer(proto, typ uint8) (answer uint8, ok bool) {
	switch {
	case proto == icmp:
		switch typ {
		case 8, 0: // echo
			return 8 - typ, true
		case 9, 10: // router advertisement, solicitation
			return 19 - typ, true
		case 13, 15, 17: // timestamp, information, address mask
			return typ + 1, true
		case 14, 16, 18:
			return typ - 1, true
		}
	case proto == icmp6:
		switch typ {
		case 128, 130, 139: // echo, multicast listener, node information
			return typ + 1, true
		case 129, 131, 140:
			return typ - 1, true
		case 133, 135, 144: // router, neighbour, home agent
			return typ + 1, true
		case 134, 136, 145:
			return typ - 1, true
		}
	}
	return 0, false
}

// Append appends the ID of a flow, "1:" and 28 characters. The addresses are both of 4 or both of 16 bytes; ports are type and
// code of the sender's packet for ICMP and ICMPv6, and not looked at for protocols without.
func Append(out []byte, seed uint16, proto uint8, src, dst []byte, sport, dport uint16) []byte {
	oneWay := false
	if proto == icmp || proto == icmp6 {
		if answer, ok := Answer(proto, uint8(sport)); ok && sport < 256 {
			dport = uint16(answer)
		} else {
			oneWay = true
		}
	}
	if !HasPorts(proto) {
		sport, dport = 0, 0
	}
	if c := bytes.Compare(src, dst); !oneWay && (c > 0 || c == 0 && sport > dport) {
		src, dst, sport, dport = dst, src, dport, sport
	}
	var store [2 + 2*16 + 2 + 4]byte
	buf := binary.BigEndian.AppendUint16(store[:0], seed)
	buf = append(append(append(buf, src...), dst...), proto, 0)
	if HasPorts(proto) {
		buf = binary.BigEndian.AppendUint16(buf, sport)
		buf = binary.BigEndian.AppendUint16(buf, dport)
	}
	sum := sha1.Sum(buf)
	return base64.StdEncoding.AppendEncode(append(out, "1:"...), sum[:])
}
