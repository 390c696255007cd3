package filter

import "dragonfly/engine/packet"

// Link types (https://www.tcpdump.org/linktypes.html).
const (
	Null     packet.LinkType = 0
	Ethernet packet.LinkType = 1
	ppp      packet.LinkType = 9
	rawBSD   packet.LinkType = 12
	rawOther packet.LinkType = 14
	Raw      packet.LinkType = 101
	chdlc    packet.LinkType = 104
	loop     packet.LinkType = 108
	sll      packet.LinkType = 113
	onlyIP4  packet.LinkType = 228
	onlyIP6  packet.LinkType = 229
	sll2     packet.LinkType = 276
)

// Ethertypes.
const (
	typeIP    = 0x0800
	typeARP   = 0x0806
	typeRARP  = 0x8035
	typeIP6   = 0x86dd
	typeMPLS  = 0x8847
	typePPPoD = 0x8863
	typePPPoS = 0x8864
)

// layout says where a frame's parts are. Words such as vlan move it for what is right of them.
type layout struct {
	link    packet.LinkType
	typeAt  uint32 // of the ethertype, or of what stands for it
	net     uint32 // where the network header begins
	vlans   int    // how many times vlan was said
	labels  int    // how many times mpls was said
	session bool   // pppoes was said
}

var layouts = map[packet.LinkType]layout{
	Null: {link: Null, net: 4}, loop: {link: loop, net: 4},
	Ethernet: {link: Ethernet, typeAt: 12, net: 14},
	ppp:      {link: ppp, typeAt: 2, net: 4},
	chdlc:    {link: chdlc, typeAt: 2, net: 4},
	Raw:      {link: Raw}, rawBSD: {link: Raw}, rawOther: {link: Raw},
	onlyIP4: {link: onlyIP4}, onlyIP6: {link: onlyIP6},
	sll:  {link: sll, typeAt: 14, net: 16},
	sll2: {link: sll2, typeAt: 0, net: 20},
}

// field is the condition that size bytes at a place, masked, equal v.
func field(at uint32, size uint16, v, mask uint32) cond {
	load := []Instruction{{Code: size | modeAbs, K: at}}
	full := map[uint16]uint32{ldB: 0xff, ldH: 0xffff, ldW: 0xffffffff}[size]
	if mask&full != full {
		load = append(load, Instruction{Code: alu | opAnd, K: mask})
	}
	return &test{load: load, op: jeq, k: v & mask}
}

func equal(at uint32, size uint16, v uint32) cond { return field(at, size, v, 0xffffffff) }

// carries is the condition that the frame carries the network protocol of an ethertype.
func (l *layout) carries(ethertype uint32) cond {
	version := func(v uint32) cond { return field(l.net, ldB, v<<4, 0xf0) }
	switch {
	case l.labels > 0:
		bottom := field(l.net-2, ldB, 1, 1)
		switch ethertype {
		case typeIP:
			return and(bottom, version(4))
		case typeIP6:
			return and(bottom, version(6))
		}
		return constant(false)
	case l.session:
		switch ethertype {
		case typeIP:
			ethertype = 0x21
		case typeIP6:
			ethertype = 0x57
		}
		return equal(l.typeAt, ldH, ethertype)
	}
	switch l.link {
	case Raw:
		switch ethertype {
		case typeIP:
			return version(4)
		case typeIP6:
			return version(6)
		}
		return constant(false)
	case onlyIP4:
		return constant(ethertype == typeIP)
	case onlyIP6:
		return constant(ethertype == typeIP6)
	case Null, loop:
		return l.family(ethertype)
	case ppp:
		switch ethertype {
		case typeIP:
			return equal(l.typeAt, ldH, 0x21)
		case typeIP6:
			return equal(l.typeAt, ldH, 0x57)
		}
		return equal(l.typeAt, ldH, ethertype)
	}
	if ethertype <= 1500 { // a length: the protocol is in the LLC header
		if l.link != Ethernet || ethertype > 0xff {
			return equal(l.typeAt, ldH, ethertype)
		}
		long := &test{load: []Instruction{{Code: ldH | modeAbs, K: l.typeAt}}, op: jgt, k: 1500}
		return and(not(long), equal(l.net, ldB, ethertype))
	}
	return equal(l.typeAt, ldH, ethertype)
}

// family is carries for BSD's loopback, where an address family stands for the protocol: that of IPv6 differs between
// systems, and the byte order of link type 0 is the capturing machine's.
func (l *layout) family(ethertype uint32) cond {
	var c cond = constant(false)
	for _, f := range map[uint32][]uint32{typeIP: {2}, typeIP6: {24, 28, 30}}[ethertype] {
		c = or(c, equal(0, ldW, f))
		if l.link == Null {
			c = or(c, equal(0, ldW, f<<24))
		}
	}
	return c
}
