package packet

import "encoding/binary"

// icmp decodes RFC 792 and RFC 4443. One in the packets of the other's version is malformed.
func (d *Decoder) icmp(l *layer, h *header, b []byte) {
	small, version := icmpv4TooSmall, ipv6WithICMP
	if h.proto == ICMPv6 {
		small, version = icmpv6TooSmall, ipv4WithICMPv6
	}
	if h.v6 != (h.proto == ICMPv6) {
		d.malformed(version)
		return
	}
	if len(b)+h.missing < 8 || len(b) < 2 {
		d.malformed(small)
		return
	}
	p := d.add(l, h, 8)
	p.ICMPType, p.ICMPCode = b[0], b[1]
	p.Payload, p.PayloadLen = b[min(8, len(b)):], uint32(len(b)+h.missing-8)
	switch {
	case h.v6 && p.ICMPType >= 1 && p.ICMPType <= 4: // unreachable, too big, time exceeded, parameter problem
		p.Quoted = quoted6(p.Payload)
	case !h.v6 && (p.ICMPType == 3 && p.ICMPCode <= 15 || p.ICMPType == 4 || p.ICMPType == 5 || p.ICMPType == 11 || p.ICMPType == 12):
		p.Quoted = quoted4(p.Payload) // unreachable, source quench, redirect, time exceeded, parameter problem
	}
}

func quoted4(b []byte) (q Quoted) {
	if len(b) < 20 || b[0]>>4 != 4 || b[0]&15 < 5 {
		return q
	}
	q.Proto, q.Src, q.Dst = b[9], IPv4(b[12:]), IPv4(b[16:])
	n := int(b[0]&15) * 4
	if binary.BigEndian.Uint16(b[6:])&0x1fff != 0 { // a later fragment has no ports
		n = len(b)
	}
	q.ports(b[min(n, len(b)):])
	return q
}

func quoted6(b []byte) (q Quoted) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return q
	}
	q.Proto, q.Src, q.Dst = b[6], IPv6(b[8:]), IPv6(b[24:])
	for b = b[40:]; len(b) >= 8; {
		n := 8
		switch q.Proto {
		case extHopByHop, extRouting, extDestination:
			n += int(b[1]) * 8
		case extFragment:
			if binary.BigEndian.Uint16(b[2:])&0xfff8 != 0 {
				return q
			}
		default:
			n = 0
		}
		if n == 0 || n > len(b) {
			break
		}
		q.Proto, b = b[0], b[n:]
	}
	q.ports(b)
	return q
}

// ports reads the ports of the quoted packet, b being its transport header as far as it is there.
func (q *Quoted) ports(b []byte) {
	switch {
	case q.Proto != TCP && q.Proto != UDP && q.Proto != SCTP:
		q.Valid = true
	case len(b) >= 4:
		q.Valid, q.SrcPort, q.DstPort = true, binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	}
}
