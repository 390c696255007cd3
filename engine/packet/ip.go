package packet

import "encoding/binary"

// Protocols that are headers of IPv6 (RFC 8200, RFC 6275, RFC 7401, RFC 5533).
const (
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extAH          = 51
	extNone        = 59
	extDestination = 60
	extMobility    = 135
	extHIP         = 139
	extShim6       = 140
)

func (d *Decoder) ipv4(l *layer, b []byte) {
	if !d.enter(l) {
		return
	}
	if len(b) < 20 {
		d.malformed(ipv4TooSmall)
		return
	}
	if b[0]>>4 != 4 {
		d.malformed(ipv4Version)
		return
	}
	h := header{length: int(b[0]&15) * 4, total: int(binary.BigEndian.Uint16(b[2:])), proto: b[9]}
	if h.length < 20 {
		d.malformed(ipv4HeaderTooSmall)
		return
	}
	if h.total == 0 { // the network card was to split it (TSO), and to set the lengths
		h.total = len(b) + l.cut
	}
	if h.total < h.length {
		d.malformed(ipv4LengthBelowHeader)
		return
	}
	if h.total > len(b) {
		h.missing = h.total - len(b)
		if h.missing > l.cut || h.length > len(b) {
			d.malformed(ipv4Truncated)
			return
		}
	} else {
		b = b[:h.total]
	}
	if h.length > 20 && !optionsFit(b[20:h.length]) {
		d.malformed(ipv4BadOption)
		return
	}
	h.src, h.dst = IPv4(b[12:]), IPv4(b[16:])
	if part := binary.BigEndian.Uint16(b[6:]); part&0x3fff != 0 {
		d.fragment4(l, &h, b, int(part&0x1fff)*8, part&0x2000 != 0)
		return
	}
	d.transport(l, &h, b[h.length:])
}

// optionsFit reports whether the lengths of the options of an IPv4 header are right.
func optionsFit(b []byte) bool {
	for len(b) >= 2 && b[0] != 0 {
		n := 1
		if b[0] != 1 {
			if n = int(b[1]); n < 2 || n > len(b) {
				return false
			}
		}
		b = b[n:]
	}
	return true
}

func (d *Decoder) ipv6(l *layer, b []byte) {
	if !d.enter(l) {
		return
	}
	if len(b) < 40 {
		d.malformed(ipv6TooSmall)
		return
	}
	if b[0]>>4 != 6 {
		d.malformed(ipv6Version)
		return
	}
	h := header{v6: true, length: 40, total: 40 + int(binary.BigEndian.Uint16(b[4:])), proto: b[6]}
	if h.total > len(b) {
		h.missing = h.total - len(b)
		if h.missing > l.cut {
			d.malformed(ipv6Truncated)
			return
		}
	} else {
		b = b[:h.total]
	}
	h.src, h.dst = IPv6(b[8:]), IPv6(b[24:])
	d.extensions(l, &h, b)
}

// extensions walks over the extension headers of the IPv6 packet b. Each is 8 bytes long at least, so the walk ends.
func (d *Decoder) extensions(l *layer, h *header, b []byte) {
	next := 6 // where the number of the header at h.length stands
	fragmented := false
	for {
		rest := b[h.length:]
		if len(rest)+h.missing < 2 && h.length > 40 && h.proto != extNone {
			d.malformed(ipv6TruncatedExtension)
			return
		}
		n := 0
		switch h.proto {
		case extHopByHop, extRouting, extDestination, extMobility, extHIP, extShim6:
			if len(rest) >= 2 {
				n = 8 + int(rest[1])*8
			}
		case extAH:
			if len(rest) >= 2 {
				n = 12 + 4*max(0, int(rest[1])-1)
			}
		case extFragment:
			n = 8
		case extNone:
			p := d.add(l, h, 0)
			p.Payload, p.PayloadLen = rest, uint32(len(rest)+h.missing)
			return
		default:
			d.transport(l, h, rest)
			return
		}
		if n == 0 || n > len(rest) {
			d.malformed(ipv6TruncatedExtension)
			return
		}
		switch {
		case h.proto != extFragment:
		case fragmented: // it is skipped, as Suricata does
			d.counts[ipv6RepeatedFragment]++
		default:
			fragmented = true
			if part := binary.BigEndian.Uint16(rest[2:]); part&0xfff9 != 0 {
				d.fragment6(l, h, b, next, int(part&0xfff8), part&1 != 0)
				return
			}
			d.counts[ipv6Atomic]++ // RFC 6946
		}
		next = h.length
		h.proto = rest[0]
		h.length += n
	}
}
