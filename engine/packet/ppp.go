package packet

import "encoding/binary"

// Protocols of PPP that carry IP (https://www.iana.org/assignments/ppp-numbers).
const (
	pppIPv4   = 0x0021
	pppIPv6   = 0x0057
	pppMPLS   = 0x0281
	pppMPLSmc = 0x0283
)

// ppp decodes RFC 1662 framing without flags: address and control (ff 03) may be left out, the protocol be one byte.
func (d *Decoder) ppp(l *layer, b []byte) {
	if len(b) >= 1 && b[0] == 0xff {
		b = b[min(2, len(b)):]
	}
	kind, b, ok := pppProtocol(b)
	if !ok {
		d.malformed(pppTooSmall)
		return
	}
	if d.enter(l) {
		d.pppPayload(l, kind, b)
	}
}

// pppProtocol splits b behind a protocol field of one byte, which is odd, or two.
func pppProtocol(b []byte) (kind uint16, rest []byte, ok bool) {
	switch {
	case len(b) >= 1 && b[0]&1 != 0:
		return uint16(b[0]), b[1:], true
	case len(b) >= 2:
		return binary.BigEndian.Uint16(b), b[2:], true
	}
	return 0, nil, false
}

func (d *Decoder) pppPayload(l *layer, kind uint16, b []byte) {
	switch kind {
	case pppIPv4:
		d.ipv4(l, b)
	case pppIPv6:
		d.ipv6(l, b)
	case pppMPLS, pppMPLSmc:
		d.mpls(l, b)
	default: // Van Jacobson's, control protocols, other networks
		d.other(pppOther)
	}
}

// pppoeSession decodes RFC 2516: version, code, session, length, then a PPP protocol without address and control.
func (d *Decoder) pppoeSession(l *layer, b []byte) {
	if len(b) < 7 {
		d.malformed(pppoeTooSmall)
		return
	}
	if binary.BigEndian.Uint16(b[4:]) == 0 {
		d.other(pppOther)
		return
	}
	kind, b, ok := pppProtocol(b[6:])
	if !ok {
		d.malformed(pppoeTooSmall)
		return
	}
	if d.enter(l) {
		d.pppPayload(l, kind, b)
	}
}

func (d *Decoder) pppoeDiscovery(b []byte) {
	switch {
	case len(b) < 6:
		d.malformed(pppoeTooSmall)
	case b[1] != 0x09 && b[1] != 0x07 && b[1] != 0x19 && b[1] != 0x65 && b[1] != 0xa7: // PADI, PADO, PADR, PADS, PADT
		d.malformed(pppoeWrongCode)
	default:
		d.other(etherPPPoEDiscovery)
	}
}
