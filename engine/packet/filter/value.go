package filter

import (
	"context"
	"encoding/binary"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// value is one address, network, port or protocol number after its qualifiers.
func (p *parser) value(q qualifiers) cond {
	switch t := p.peek(); q.typ {
	case "port", "portrange":
		return p.ports(q)
	case "proto":
		return p.proto(q)
	case "net":
		return p.network(q)
	default:
		if t.kind == mac || q.proto == "ether" {
			return p.station(q)
		}
		return p.host(q)
	}
}

// fits checks that the protocol has addresses.
func (p *parser) fits(q qualifiers, t token) {
	if !slices.Contains([]string{"", "ip", "ip6", "arp", "rarp"}, q.proto) {
		p.fail(t, "%s has no addresses: write \"%s and host %s\"", q.proto, q.proto, t.text)
	}
}

func (p *parser) host(q qualifiers) cond {
	t := p.next()
	p.fits(q, t)
	a, err := netip.ParseAddr(t.text)
	if err != nil || t.kind == literal {
		p.fail(t, "want an IP address; names are not looked up")
	}
	if s := p.peek(); s.text == "/" && s.kind == symbol {
		p.fail(s, "a host has no mask: write net %s/...", t.text)
	}
	return p.addresses(q, t, netip.PrefixFrom(a, a.BitLen()))
}

// network = address "/" bits | address "mask" address | the first numbers of an IPv4 address.
func (p *parser) network(q qualifiers) cond {
	t := p.next()
	p.fits(q, t)
	text, bits := t.text, -1
	if t.kind == number || t.kind == word {
		n := strings.Count(text, ".") + 1
		bits = 8 * n
		text += strings.Repeat(".0", max(0, 4-n))
	}
	a, err := netip.ParseAddr(text)
	if err != nil || t.kind == literal {
		p.fail(t, "want a network such as 10.0.0.0/8, 192.168 or 2001:db8::/32; names are not looked up")
	}
	if bits < 0 {
		bits = a.BitLen()
	}
	switch m := p.peek(); {
	case p.accept("/"):
		n := p.next()
		if n.kind != number || int64(n.n) > int64(a.BitLen()) {
			p.fail(n, "want the length of the network's prefix, 0 to %d", a.BitLen())
		}
		bits = int(n.n)
	case m.kind == word && m.text == "mask":
		p.next()
		n := p.next()
		mask, err := netip.ParseAddr(n.text)
		if err != nil || !mask.Is4() || !a.Is4() {
			p.fail(n, "want an IPv4 mask such as 255.255.0.0; of IPv6 networks /bits")
		}
		m4, a4 := mask.As4(), a.As4()
		v, w := binary.BigEndian.Uint32(a4[:]), binary.BigEndian.Uint32(m4[:])
		if v&^w != 0 {
			p.fail(t, "the address has bits outside of its mask: write %s", address4(v&w))
		}
		return p.addresses4(q, t, v, w)
	}
	prefix := netip.PrefixFrom(a, bits)
	if prefix.Masked() != prefix {
		p.fail(t, "the address has bits outside of its network: write %s", prefix.Masked())
	}
	return p.addresses(q, t, prefix)
}

func address4(v uint32) netip.Addr {
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, v)))
}

// direct joins the conditions on source and destination as the direction says.
func direct(dir string, src, dst cond) cond {
	switch dir {
	case "src":
		return src
	case "dst":
		return dst
	case "and":
		return and(src, dst)
	}
	return or(src, dst)
}

// addresses is the condition that addresses are in a network.
func (p *parser) addresses(q qualifiers, t token, n netip.Prefix) cond {
	if a := n.Addr(); a.Is4() {
		b := a.As4()
		return p.addresses4(q, t, binary.BigEndian.Uint32(b[:]), ^uint32(0)<<(32-n.Bits()))
	}
	if q.proto != "" && q.proto != "ip6" {
		p.fail(t, "%s has no IPv6 addresses", q.proto)
	}
	b := n.Addr().As16()
	at := func(offset uint32) cond {
		c := cond(constant(true))
		for i := range uint32(4) {
			if bits := n.Bits() - int(i)*32; bits > 0 {
				mask := ^uint32(0) << max(0, 32-bits)
				c = and(c, field(p.layout.net+offset+4*i, ldW, binary.BigEndian.Uint32(b[4*i:]), mask))
			}
		}
		return c
	}
	return and(p.layout.carries(typeIP6), direct(q.dir, at(8), at(24)))
}

func (p *parser) addresses4(q qualifiers, t token, v, mask uint32) cond {
	in := func(ethertype, src, dst uint32) cond {
		return and(p.layout.carries(ethertype), direct(q.dir, field(p.layout.net+src, ldW, v, mask), field(p.layout.net+dst, ldW, v, mask)))
	}
	switch q.proto {
	case "ip":
		return in(typeIP, 12, 16)
	case "arp":
		return in(typeARP, 14, 24)
	case "rarp":
		return in(typeRARP, 14, 24)
	case "ip6":
		p.fail(t, "ip6 has no IPv4 addresses")
	}
	return or(or(in(typeIP, 12, 16), in(typeARP, 14, 24)), in(typeRARP, 14, 24))
}

// station is a MAC address.
func (p *parser) station(q qualifiers) cond {
	t := p.next()
	if q.proto != "ether" && q.proto != "" || t.kind != mac {
		p.fail(t, "want a MAC address such as 00:11:22:33:44:55 after ether, and only there")
	}
	if q.proto == "" {
		p.fail(t, "want ether before the qualifiers of a MAC address")
	}
	if p.at0.link != Ethernet {
		p.fail(t, "frames of link type %d have no MAC addresses", p.at0.link)
	}
	var m [6]byte
	for i, g := range strings.Split(t.text, ":") {
		n, _ := strconv.ParseUint(g, 16, 8)
		m[i] = byte(n)
	}
	at := func(offset uint32) cond {
		return and(equal(offset+2, ldW, binary.BigEndian.Uint32(m[2:])), equal(offset, ldH, uint32(binary.BigEndian.Uint16(m[:]))))
	}
	return direct(q.dir, at(6), at(0))
}

// ports is a port or a range of ports, of TCP, UDP and SCTP or one of them. Fragments without a port do not match.
func (p *parser) ports(q qualifiers) cond {
	t := p.next()
	protos := []uint32{6, 17, 132}
	switch q.proto {
	case "":
	case "tcp", "udp", "sctp":
		protos = []uint32{protocols[q.proto].number}
	default:
		p.fail(t, "%s has no ports: write \"%s and port %s\"", q.proto, q.proto, t.text)
	}
	low, high := uint32(0), uint32(0)
	if q.typ == "portrange" {
		low, high = p.portRange(t)
	} else {
		low = p.port(t, t.text, &protos)
		high = low
	}
	in := func(load ...Instruction) cond {
		if low == high {
			return &test{load: load, op: jeq, k: low}
		}
		return and(&test{load: load, op: jge, k: low}, not(&test{load: load, op: jgt, k: high}))
	}
	l := &p.layout
	var c4, c6 cond = constant(false), constant(false)
	for _, proto := range protos {
		at4 := func(offset uint32) cond {
			return in(Instruction{Code: ldxMsh, K: l.net}, Instruction{Code: ldH | modeInd, K: l.net + offset})
		}
		at6 := func(offset uint32) cond { return in(Instruction{Code: ldH | modeAbs, K: l.net + 40 + offset}) }
		c4 = or(c4, and(and(equal(l.net+9, ldB, proto), l.whole()), direct(q.dir, at4(0), at4(2))))
		c6 = or(c6, and(equal(l.net+6, ldB, proto), direct(q.dir, at6(0), at6(2))))
	}
	return or(and(l.carries(typeIP), c4), and(l.carries(typeIP6), c6))
}

// whole is the condition that an IPv4 packet has a transport header: it is no later fragment.
func (l *layout) whole() cond {
	return not(&test{load: []Instruction{{Code: ldH | modeAbs, K: l.net + 6}}, op: jset, k: 0x1fff})
}

func (p *parser) portRange(t token) (low, high uint32) {
	from, to, ok := strings.Cut(t.text, "-")
	if t.kind == number { // "80 - 90"
		from, to, ok = t.text, t.text, true
		if p.accept("-") {
			to = p.next().text
		}
	}
	if !ok {
		p.fail(t, "want a range of ports such as 8000-8080")
	}
	low, high = p.port(t, from, nil), p.port(t, to, nil)
	return min(low, high), max(low, high)
}

// port is a port by number or name. A name that only one protocol has leaves just that in protos.
func (p *parser) port(t token, text string, protos *[]uint32) uint32 {
	if n, err := strconv.ParseUint(text, 0, 64); err == nil && t.kind != literal {
		if n > 65535 {
			p.fail(t, "a port is at most 65535")
		}
		return uint32(n)
	}
	found := map[uint32]uint32{}
	for number, name := range map[uint32]string{6: "tcp", 17: "udp"} {
		if n, err := (&net.Resolver{PreferGo: true}).LookupPort(context.Background(), name, text); err == nil && text != "" && !isDigit(text[0]) {
			found[number] = uint32(n)
		}
	}
	if protos == nil || len(found) == 2 && found[6] == found[17] {
		for _, number := range []uint32{6, 17} {
			if n, ok := found[number]; ok {
				return n
			}
		}
	}
	if protos != nil {
		for _, number := range []uint32{6, 17} {
			if n, ok := found[number]; ok && slices.Contains(*protos, number) {
				*protos = []uint32{number}
				return n
			}
		}
	}
	p.fail(t, "want a port, 0 to 65535; there is no service of this name")
	return 0
}

// proto is the number or name of a protocol: above IP, or an ethertype after ether.
func (p *parser) proto(q qualifiers) cond {
	t := p.next()
	n := t.n
	if t.kind != number {
		known, ok := protocols[t.text]
		if q.proto == "ether" {
			ok = ok && known.ethertype != 0
			n = known.ethertype
		} else {
			ok = ok && known.number != 0
			n = known.number
		}
		if !ok || t.kind == symbol {
			p.fail(t, "want the number or name of a protocol")
		}
	}
	switch q.proto {
	case "ether":
		if n > 0xffff {
			p.fail(t, "an ethertype is at most 0xffff")
		}
		return p.layout.carries(n)
	case "", "ip", "ip6":
		if n > 255 {
			p.fail(t, "a protocol is at most 255; of ethertypes write ether proto")
		}
		return p.above(q.proto, n)
	}
	p.fail(t, "want ip, ip6, ether or nothing before proto")
	return nil
}
