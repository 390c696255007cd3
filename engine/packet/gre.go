package packet

import "encoding/binary"

// Bits of the first two bytes of a GRE header (RFC 2784, RFC 2890, RFC 1701, RFC 2637).
const (
	greChecksum = 0x8000
	greRouting  = 0x4000
	greKey      = 0x2000
	greSequence = 0x1000
	greStrict   = 0x0800
	greRecur    = 0x0700
	greAck      = 0x0080 // version 1
	greFlags    = 0x0078 // of both versions
	greVersion  = 0x0007
)

// Protocols of GRE that are not ethertypes of IP.
const (
	greEthernet  = 0x6558
	grePPP       = 0x880b
	greERSPAN    = 0x88be // types I and II
	greERSPAN3   = 0x22eb
	erspan2Size  = 8
	erspan3Size  = 12
	erspan3Extra = 8 // the platform specific part
)

// gre decodes the packet in a GRE tunnel. The outer one is none of its own.
func (d *Decoder) gre(l *layer, h *header, b []byte) {
	if len(b) < 4 {
		d.malformed(greTooSmall)
		return
	}
	if !d.enter(l) {
		return
	}
	flags, kind := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	var n int
	var bad counter
	switch flags & greVersion {
	case 0:
		n, bad = greHeader0(flags, b)
	case 1:
		if n, bad = greHeader1(flags, kind, b); bad == 0 && binary.BigEndian.Uint16(b[4:]) == 0 {
			d.other(greOther) // an acknowledgement without a payload
			return
		}
	default:
		bad = greWrongVersion
	}
	if bad != 0 {
		d.malformed(bad)
		return
	}
	d.grePayload(l, h, flags, kind, b[n:])
}

// greHeader0 returns the length of a header of version 0, or what is wrong with it.
func greHeader0(flags uint16, b []byte) (int, counter) {
	if flags&greRecur != 0 {
		return 0, greRecursion0
	}
	if flags&(greFlags|greAck) != 0 {
		return 0, greFlags0
	}
	n := 4
	if flags&(greChecksum|greRouting) != 0 {
		n += 4
	}
	if flags&greKey != 0 {
		n += 4
	}
	if flags&greSequence != 0 {
		n += 4
	}
	if n > len(b) {
		return 0, greHeaderTooBig0
	}
	for flags&greRouting != 0 { // routes: family, offset, length; the last is empty
		if n+4 > len(b) {
			return 0, greBadRoute
		}
		family, size := binary.BigEndian.Uint16(b[n:]), int(b[n+3])
		n += 4
		if family == 0 && size == 0 {
			break
		}
		if n += size; n > len(b) {
			return 0, greBadRoute
		}
	}
	return n, 0
}

// greHeader1 does so for version 1, which only PPTP uses.
func greHeader1(flags, kind uint16, b []byte) (int, counter) {
	switch {
	case flags&greChecksum != 0:
		return 0, greChecksum1
	case flags&greRouting != 0:
		return 0, greRoute1
	case flags&greStrict != 0:
		return 0, greStrict1
	case flags&greRecur != 0:
		return 0, greRecursion1
	case flags&greFlags != 0:
		return 0, greFlags1
	case kind != grePPP:
		return 0, greWrongProtocol1
	case flags&greKey == 0:
		return 0, greNoKey1
	}
	n := 8
	if flags&greSequence != 0 {
		n += 4
	}
	if flags&greAck != 0 {
		n += 4
	}
	if n > len(b) {
		return 0, greHeaderTooBig1
	}
	return n, 0
}

func (d *Decoder) grePayload(l *layer, h *header, flags, kind uint16, b []byte) {
	t := TunnelGRE
	if kind == greERSPAN || kind == greERSPAN3 {
		t = TunnelERSPAN
	}
	in, ok := d.inside(l, t, b, h.missing)
	if !ok {
		return
	}
	switch kind {
	case 0x0800, 0x86dd, 0x8100, 0x88a8, 0x8847, 0x8848:
		d.network(&in, kind, b)
	case greEthernet:
		d.ethernet(&in, b)
	case grePPP:
		d.ppp(&in, b)
	case greERSPAN:
		d.erspan(&in, flags, b)
	case greERSPAN3:
		d.erspan3(&in, b)
	default:
		d.other(greOther)
	}
}

// erspan decodes types I, which has no header, and II, which GRE's sequence number tells
// (draft-foschiano-erspan-03).
func (d *Decoder) erspan(l *layer, flags uint16, b []byte) {
	if flags&greSequence == 0 {
		d.ethernet(l, b)
		return
	}
	if len(b) < erspan2Size {
		d.malformed(erspanTooSmall)
		return
	}
	if b[0]>>4 != 1 {
		d.malformed(erspanVersion)
		return
	}
	d.mirrored(l, b, b[erspan2Size:])
}

func (d *Decoder) erspan3(l *layer, b []byte) {
	if len(b) < erspan3Size {
		d.malformed(erspanTooSmall)
		return
	}
	n := erspan3Size
	if b[erspan3Size-1]&1 != 0 {
		n += erspan3Extra
	}
	if len(b) < n {
		d.malformed(erspanTooSmall)
		return
	}
	switch {
	case b[0]>>4 != 2:
		d.malformed(erspanVersion)
	case b[erspan3Size-2]>>2&0x1f == 2: // IP without Ethernet
		if d.enter(l) {
			d.raw(l, b[n:])
		}
	default:
		d.mirrored(l, b, b[n:])
	}
}

// mirrored decodes the frame behind the ERSPAN header b, whose VLAN, that the frame was taken from, counts as a tag.
func (d *Decoder) mirrored(l *layer, b, frame []byte) {
	if !d.enter(l) {
		return
	}
	if id := binary.BigEndian.Uint16(b) & 0xfff; id > 0 {
		l.vlan[0], l.vlans = id, 1
	}
	d.ethernet(l, frame)
}
