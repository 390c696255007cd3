package packet

import "encoding/binary"

// mpls decodes a stack of labels (RFC 3032). What is behind them is told by an explicit null label, or guessed from the first
// nibble: IP, or Ethernet behind a control word (RFC 4385).
func (d *Decoder) mpls(l *layer, b []byte) {
	if !d.enter(l) {
		return
	}
	for {
		if len(b) < 4 {
			d.malformed(mplsTooSmall)
			return
		}
		shim := binary.BigEndian.Uint32(b)
		b = b[4:]
		if shim&0x100 == 0 {
			continue
		}
		switch label := shim >> 12; {
		case label == 0:
			d.ipv4(l, b)
		case label == 2:
			d.ipv6(l, b)
		case label < 15: // router alert, implicit null, reserved: none stands at the bottom
			d.malformed(mplsBadLabel)
		case len(b) < 4:
			d.malformed(mplsPacketTooSmall)
		case b[0]>>4 == 4:
			d.ipv4(l, b)
		case b[0]>>4 == 6:
			d.ipv6(l, b)
		case b[0]>>4 == 0:
			d.ethernet(l, b[4:])
		default:
			d.malformed(mplsUnknown)
		}
		return
	}
}

// nsh decodes a network service header (RFC 8300).
func (d *Decoder) nsh(l *layer, b []byte) {
	if len(b) < 8 {
		d.malformed(nshTooSmall)
		return
	}
	if !d.enter(l) {
		return
	}
	n := int(b[1]&0x3f) * 4
	switch {
	case b[0]>>6 != 0:
		d.malformed(nshVersion)
	case n < 8 || n >= len(b) || b[2]&0x0f == 1 && n != 24:
		d.malformed(nshBadLength)
	case b[2]&0x0f != 1 && b[2]&0x0f != 2: // metadata of another kind
		d.malformed(nshType)
	case b[3] == 1:
		d.ipv4(l, b[n:])
	case b[3] == 2:
		d.ipv6(l, b[n:])
	case b[3] == 3:
		d.ethernet(l, b[n:])
	case b[3] == 5:
		d.mpls(l, b[n:])
	default:
		d.malformed(nshUnknown)
	}
}
