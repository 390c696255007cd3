package filter

import "slices"

// protocols are the words that stand for a protocol.
var protocols = map[string]struct {
	ethertype uint32 // 0: it is above IP
	number    uint32 // in IP
	over      string // "ip" or "ip6" if only there
}{
	"ether": {}, "link": {},
	"ip": {ethertype: typeIP}, "ip6": {ethertype: typeIP6}, "arp": {ethertype: typeARP}, "rarp": {ethertype: typeRARP},
	"tcp": {number: 6}, "udp": {number: 17}, "sctp": {number: 132},
	"icmp": {number: 1, over: "ip"}, "igmp": {number: 2, over: "ip"}, "igrp": {number: 9, over: "ip"}, "icmp6": {number: 58, over: "ip6"},
	"pim": {number: 103}, "vrrp": {number: 112, over: "ip"}, "carp": {number: 112, over: "ip"}, "ah": {number: 51}, "esp": {number: 50},
}

// keyword reports whether a word means something else than an address or a name.
func keyword(s string) bool {
	_, ok := protocols[s]
	return ok || slices.Contains([]string{"and", "or", "not", "src", "dst", "host", "net", "mask", "port", "portrange", "proto", "protochain", "gateway",
		"broadcast", "multicast", "vlan", "mpls", "pppoed", "pppoes", "less", "greater", "inbound", "outbound", "len"}, s)
}

// above is the condition that a packet of IPv4, IPv6 or ("") either carries a protocol. Of IPv6 packets with a fragment
// header the one after it counts.
func (p *parser) above(over string, n uint32) cond {
	l := &p.layout
	switch over {
	case "ip":
		return and(l.carries(typeIP), equal(l.net+9, ldB, n))
	case "ip6":
		fragment := and(equal(l.net+6, ldB, 44), equal(l.net+40, ldB, n))
		return and(l.carries(typeIP6), or(fragment, equal(l.net+6, ldB, n)))
	}
	return or(p.above("ip", n), p.above("ip6", n))
}

// protocol is a protocol's word alone.
func (p *parser) protocol(name string, t token) cond {
	switch known := protocols[name]; {
	case known.ethertype != 0:
		return p.layout.carries(known.ethertype)
	case known.number != 0:
		return p.above(known.over, known.number)
	}
	p.fail(t, "%s alone says nothing: want ether host, ether proto, ether broadcast or ether[...]", name)
	return nil
}

// special is a primitive that is a word, some with a number; nil: t is none.
func (p *parser) special(t token) cond {
	switch t.text {
	case "less", "greater":
		p.next()
		n := p.next()
		if n.kind != number {
			p.fail(n, "want a length in bytes after %s", t.text)
		}
		load := []Instruction{{Code: ldLen}}
		if t.text == "less" {
			return not(&test{load: load, op: jgt, k: n.n})
		}
		return &test{load: load, op: jge, k: n.n}
	case "broadcast", "multicast":
		return p.cast("ether", p.next())
	case "inbound", "outbound":
		p.next()
		if p.view != Kernel {
			p.fail(t, "a file does not say which frames came in: leave %s out", t.text)
		}
		out := cond(&test{load: []Instruction{{Code: ldW | modeAbs, K: adPacketType}}, op: jeq, k: 4})
		if t.text == "inbound" {
			return not(out)
		}
		return out
	case "vlan":
		return p.vlan(p.next())
	case "mpls":
		return p.mpls(p.next())
	case "pppoed":
		p.next()
		return p.layout.carries(typePPPoD)
	case "pppoes":
		return p.pppoes(p.next())
	}
	return nil
}

// number returns the number that may follow t, checked.
func (p *parser) number(t token, most uint32) (n uint32, ok bool) {
	v := p.peek()
	if v.kind != number {
		return 0, false
	}
	p.next()
	if v.n > most {
		p.fail(v, "the number after %s is at most %d", t.text, most)
	}
	return v.n, true
}

func (p *parser) cast(proto string, t token) cond {
	l := &p.layout
	switch proto + " " + t.text {
	case "ip multicast":
		return and(l.carries(typeIP), &test{load: []Instruction{{Code: ldB | modeAbs, K: l.net + 16}}, op: jge, k: 224})
	case "ip6 multicast":
		return and(l.carries(typeIP6), equal(l.net+24, ldB, 0xff))
	case "ip broadcast":
		p.fail(t, "the network's mask is not known: write dst host and the broadcast address")
	case "ip6 broadcast":
		p.fail(t, "IPv6 has no broadcast")
	}
	if p.at0.link != Ethernet {
		p.fail(t, "frames of link type %d have no MAC addresses", p.at0.link)
	}
	if t.text == "multicast" {
		return &test{load: []Instruction{{Code: ldB | modeAbs, K: 0}}, op: jset, k: 1}
	}
	return and(equal(2, ldW, 0xffffffff), equal(0, ldH, 0xffff))
}

// vlan is a tag, and moves what follows behind it.
func (p *parser) vlan(t token) cond {
	l := &p.layout
	if l.link != Ethernet || l.labels > 0 || l.session {
		p.fail(t, "there are tags on Ethernet only, and none behind mpls or pppoes")
	}
	p.moved = true
	id, only := p.number(t, 4095)
	l.vlans++
	if p.tagged && l.vlans == 1 { // the kernel has it: nothing moves
		if !only {
			return constant(true)
		}
		return &test{load: []Instruction{{Code: ldW | modeAbs, K: adVLAN}, {Code: alu | opAnd, K: 0xfff}}, op: jeq, k: id}
	}
	c := or(or(equal(l.typeAt, ldH, 0x8100), equal(l.typeAt, ldH, 0x88a8)), equal(l.typeAt, ldH, 0x9100))
	if only {
		c = and(c, field(l.net, ldH, id, 0xfff))
	}
	l.typeAt, l.net = l.typeAt+4, l.net+4
	return c
}

// mpls is a label, and moves what follows behind it.
func (p *parser) mpls(t token) cond {
	l := &p.layout
	var c cond
	switch {
	case l.session:
		p.fail(t, "mpls behind pppoes is not supported")
	case l.labels > 0:
		c = field(l.net-2, ldB, 0, 1) // the one before is not the last
	case l.link == Ethernet || l.link == chdlc:
		c = equal(l.typeAt, ldH, typeMPLS)
	case l.link == ppp:
		c = equal(l.typeAt, ldH, 0x281)
	default:
		p.fail(t, "frames of link type %d have no labels", l.link)
	}
	if label, only := p.number(t, 1<<20-1); only {
		c = and(c, field(l.net, ldW, label<<12, 0xfffff000))
	}
	l.labels++
	l.net += 4
	return c
}

// pppoes is a session of PPPoE, and moves what follows behind its header.
func (p *parser) pppoes(t token) cond {
	l := &p.layout
	if l.link != Ethernet && l.link != sll && l.link != sll2 && l.link != chdlc || l.labels > 0 || l.session {
		p.fail(t, "pppoes is possible where frames have an ethertype, and not behind mpls or pppoes")
	}
	c := l.carries(typePPPoS)
	if id, only := p.number(t, 65535); only {
		c = and(c, field(l.net, ldW, id, 0xffff))
	}
	l.session = true
	l.typeAt, l.net = l.net+6, l.net+8
	return c
}
