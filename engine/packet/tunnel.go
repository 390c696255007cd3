package packet

import "encoding/binary"

// The UDP ports of tunnels.
const (
	portTeredo     = 3544
	portVXLAN      = 4789
	portVXLANGPE   = 4790
	portGeneve     = 6081
	portVXLANLinux = 8472 // of Linux before the port was assigned
)

// tunnelPort reports whether a tunnel may be in the UDP packets between two ports.
func tunnelPort(src, dst uint16) bool {
	switch dst {
	case portTeredo, portVXLAN, portVXLANGPE, portGeneve, portVXLANLinux:
		return true
	}
	return src == portTeredo || src == portVXLAN || src == portGeneve
}

// udpTunnel decodes the tunnel that may be in the payload of a UDP packet: b, and missing bytes that were not captured. The
// payload of another protocol on the same port is nothing special.
func (d *Decoder) udpTunnel(l *layer, src, dst uint16, b []byte, missing int) {
	switch {
	case (src == portTeredo || dst == portTeredo) && d.teredo(l, b, missing):
	case (src == portGeneve || dst == portGeneve) && d.geneve(l, b, missing):
	case src == portVXLAN || dst == portVXLAN || dst == portVXLANLinux:
		d.vxlan(l, b, missing)
	case dst == portVXLANGPE:
		d.vxlanGPE(l, b, missing)
	}
}

// vxlan decodes RFC 7348. As in Suricata the Ethernet header inside does not count.
func (d *Decoder) vxlan(l *layer, b []byte, missing int) {
	if len(b) < 8+14 || b[0]&0x08 == 0 || b[7] != 0 {
		return
	}
	if !d.enter(l) {
		return
	}
	kind := binary.BigEndian.Uint16(b[20:])
	in, ok := d.inside(l, TunnelVXLAN, b[22:], missing)
	switch kind {
	case 0x0800, 0x86dd, 0x8100, 0x88a8, 0x9100:
		if ok {
			d.network(&in, kind, in.whole)
		}
	case 0x0806:
		d.other(etherARP)
	default:
		d.malformed(vxlanUnknown)
	}
}

// vxlanGPE decodes the extension of VXLAN by a protocol (draft-ietf-nvo3-vxlan-gpe).
func (d *Decoder) vxlanGPE(l *layer, b []byte, missing int) {
	if len(b) < 8 || b[0]&0x0c != 0x0c {
		return
	}
	in, ok := d.inside(l, TunnelVXLAN, b[8:], missing)
	if !ok {
		return
	}
	switch b[3] {
	case 1:
		d.ipv4(&in, in.whole)
	case 2:
		d.ipv6(&in, in.whole)
	case 3:
		d.ethernet(&in, in.whole)
	case 4:
		d.nsh(&in, in.whole)
	}
}

// geneve decodes RFC 8926. It reports false for what is no Geneve.
func (d *Decoder) geneve(l *layer, b []byte, missing int) bool {
	if len(b) < 8 {
		return false
	}
	n := 8 + int(b[0]&0x3f)*4
	if len(b) < n || b[0]>>6 != 0 || b[1]&0x3f != 0 || b[7] != 0 {
		return false
	}
	for i := 8; i < n; { // the options fill the header exactly
		i += 4 + int(b[i+3]&0x1f)*4
		if i > n {
			return false
		}
	}
	kind := binary.BigEndian.Uint16(b[2:])
	in, ok := d.inside(l, TunnelGeneve, b[n:], missing)
	switch kind {
	case 0x0800, 0x86dd:
		if ok {
			d.network(&in, kind, in.whole)
		}
	case 0x6558:
		if ok {
			d.ethernet(&in, in.whole)
		}
	case 0x0806:
		d.other(etherARP)
	default:
		d.malformed(geneveUnknown)
	}
	return true
}

// teredo decodes RFC 4380: an IPv6 packet, perhaps behind an indication of the origin. There is nothing else to know it by,
// so the IPv6 packet must be whole and valid. It reports false if it is not.
func (d *Decoder) teredo(l *layer, b []byte, missing int) bool {
	if missing > 0 {
		return false
	}
	if len(b) >= 8 && b[0] == 0 && b[1] == 0 {
		b = b[8:]
	}
	if len(b) < 40 || b[0]>>4 != 6 || b[7] == 0 { // a hop limit of 0 is not sent
		return false
	}
	if n := int(binary.BigEndian.Uint16(b[4:])); len(b) != 40+n || b[6] == extHopByHop && n < 8 {
		return false
	}
	in, ok := d.inside(l, TunnelTeredo, b, 0)
	if !ok {
		return false
	}
	outer, bad := len(d.out), d.counts[lastMalformed]
	d.ipv6(&in, b)
	if d.counts[lastMalformed] != bad {
		d.out = d.out[:outer]
		return false
	}
	return true
}

// ipInIP decodes IP that is the payload of IP. As in Suricata the outer packet of 6in4 is a packet of its own.
func (d *Decoder) ipInIP(l *layer, h *header, b []byte) {
	if h.proto == IPv6IP && !h.v6 {
		p := d.add(l, h, 0)
		p.Payload, p.PayloadLen = b, uint32(len(b)+h.missing)
	}
	small, version, header := ipv4InIPv6TooSmall, ipv4InIPv6Version, 20
	if h.proto == IPv6IP {
		small, version, header = ipv6InIPv6TooSmall, ipv6InIPv6Version, 40
	}
	if h.v6 && len(b) < header {
		d.malformed(small)
		return
	}
	if h.v6 && (b[0]>>4 == 6) != (h.proto == IPv6IP) {
		d.malformed(version)
		return
	}
	in, ok := d.inside(l, TunnelIPIP, b, h.missing)
	switch {
	case !ok:
	case h.proto == IPIP:
		d.ipv4(&in, b)
	default:
		d.ipv6(&in, b)
	}
}
