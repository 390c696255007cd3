package flow

import (
	"encoding/binary"
	"math/bits"

	"dragonfly/engine/app"
	"dragonfly/engine/packet"
)

// key is what the packets of one flow have in common, seen from the sender.
type key struct {
	src, dst     *packet.Addr
	sport, dport uint16
	vlan         [packet.MaxVLANs]uint16
	proto        uint8
	depth        uint8
	v6           bool
	anyVLAN      bool // vlan does not matter
}

// answers are the types of ICMP and ICMPv6 that answer each other, as Suricata pairs them: more than the Community ID knows.
var answers = func() (a struct {
	v4, v6 [256]struct {
		typ uint8
		ok  bool
	}
}) {
	for _, p := range [][2]uint8{{8, 0}, {13, 14}, {15, 16}, {10, 9}, {17, 18}} {
		a.v4[p[0]].typ, a.v4[p[0]].ok = p[1], true
		a.v4[p[1]].typ, a.v4[p[1]].ok = p[0], true
	}
	for _, p := range [][2]uint8{{128, 129}, {135, 136}, {133, 134}, {130, 131}, {139, 140}, {144, 145}, {146, 147}, {148, 149}, {151, 152}, {157, 158}} {
		a.v6[p[0]].typ, a.v6[p[0]].ok = p[1], true
		a.v6[p[1]].typ, a.v6[p[1]].ok = p[0], true
	}
	return a
}()

// meterable reports whether flows are made of a protocol.
func meterable(proto uint8) bool {
	switch proto {
	case packet.TCP, packet.UDP, packet.SCTP, packet.ICMP, packet.ICMPv6, packet.ESP:
		return true
	}
	return false
}

// icmpError reports whether an ICMP type complains about a packet of another flow.
func icmpError(typ uint8) bool {
	switch typ {
	case 3, 4, 5, 11, 12:
		return true
	}
	return false
}

// of sets k to the key of p.
func (k *key) of(p *packet.Packet, vlan bool) {
	k.src, k.dst, k.sport, k.dport = &p.Src, &p.Dst, p.SrcPort, p.DstPort
	k.proto, k.depth, k.v6 = p.Proto, p.Depth, p.V6
	k.vlan, k.anyVLAN = p.VLAN, !vlan
	switch p.Proto {
	case packet.ICMP:
		k.sport, k.dport = uint16(p.ICMPType), uint16(answers.v4[p.ICMPType].typ)
	case packet.ICMPv6:
		// Codes belong to the key here, and not for ICMP: so does Suricata.
		k.sport, k.dport = uint16(p.ICMPType)|uint16(p.ICMPCode)<<8, uint16(answers.v6[p.ICMPType].typ)
	case packet.ESP:
		k.sport, k.dport = uint16(p.SPI>>16), uint16(p.SPI)
	}
}

// ofQuoted sets k to the key of the packet that an ICMP error complains about; false if the error does not repeat enough of it.
func (k *key) ofQuoted(p *packet.Packet, vlan bool) bool {
	q := &p.Quoted
	if p.ICMPType != 3 || p.ICMPCode > 15 || !q.Valid || q.Proto != packet.TCP && q.Proto != packet.UDP {
		return false
	}
	if q.Proto == packet.TCP && p.PayloadLen < 40 {
		return false // Suricata wants the whole TCP header
	}
	k.of(p, vlan)
	k.src, k.dst, k.sport, k.dport, k.proto = &q.Src, &q.Dst, q.SrcPort, q.DstPort, q.Proto
	return true
}

func mum(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return hi ^ lo
}

func endpoint(a *packet.Addr, port uint16, s0, s1 uint64) uint64 {
	return mum(binary.LittleEndian.Uint64(a[:8])^s0, binary.LittleEndian.Uint64(a[8:])^s1^uint64(port)<<24)
}

// hash is the same for both directions of a flow.
func (k *key) hash(seed *[3]uint64) uint64 {
	h := endpoint(k.src, k.sport, seed[0], seed[1]) + endpoint(k.dst, k.dport, seed[0], seed[1])
	rest := uint64(k.proto)<<48 | uint64(k.depth)<<56
	if !k.anyVLAN {
		rest |= uint64(k.vlan[0]) | uint64(k.vlan[1])<<16 | uint64(k.vlan[2])<<32
	}
	return mum(h^seed[2], rest^seed[0])
}

// matches reports whether a packet with key k belongs to e, and in which direction it goes.
func (e *entry) matches(k *key) (dir app.Dir, ok bool) {
	if e.proto != k.proto || e.depth != k.depth || e.vlan != k.vlan && !k.anyVLAN || e.flags&isV6 != 0 != k.v6 {
		return 0, false
	}
	switch {
	case e.sport == k.sport && e.dport == k.dport && e.src == *k.src && e.dst == *k.dst:
		return app.ToServer, true
	case e.proto == packet.ESP || e.sport != k.dport || e.dport != k.sport || e.src != *k.dst || e.dst != *k.src:
		return 0, false
	case (e.proto == packet.ICMP || e.proto == packet.ICMPv6) && e.src == e.dst:
		return app.ToServer, true // so does Suricata: only addresses tell directions of ICMP
	}
	return app.ToClient, true
}
