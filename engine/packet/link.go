package packet

import "encoding/binary"

// The link types that Decode knows.
const (
	linkNull      LinkType = 0
	linkEthernet  LinkType = 1
	linkPPP       LinkType = 9
	linkRawBSD    LinkType = 12
	linkRawOpen   LinkType = 14
	linkPPPHDLC   LinkType = 50
	linkPPPoE     LinkType = 51
	linkRaw       LinkType = 101
	linkCHDLC     LinkType = 104
	linkWiFi      LinkType = 105
	linkLoop      LinkType = 108
	linkSLL       LinkType = 113
	linkRadiotap  LinkType = 127
	linkIPv4      LinkType = 228
	linkIPv6      LinkType = 229
	linkSLL2      LinkType = 276
	arphrdNetlink          = 824 // ARPHRD_NETLINK: what follows is no ethertype
)

// link decodes a frame from its first byte.
func (d *Decoder) link(f *Frame) {
	b := f.Data
	l := layer{whole: b, cut: max(0, f.Len-len(b))}
	switch f.LinkType {
	case linkEthernet:
		d.ethernet(&l, b)
	case linkRaw, linkRawBSD, linkRawOpen, linkIPv4, linkIPv6:
		d.raw(&l, b)
	case linkNull, linkLoop:
		d.null(&l, b)
	case linkSLL:
		d.sll(&l, b)
	case linkSLL2:
		d.sll2(&l, b)
	case linkPPP:
		d.ppp(&l, b)
	case linkPPPHDLC:
		if len(b) >= 4 && (b[0] == 0x0f || b[0] == 0x8f) { // Cisco's framing in it
			d.chdlc(&l, b)
			return
		}
		d.ppp(&l, b)
	case linkPPPoE:
		d.pppoeSession(&l, b)
	case linkCHDLC:
		d.chdlc(&l, b)
	case linkWiFi:
		d.wifi(&l, b)
	case linkRadiotap:
		if len(b) < 8 || int(binary.LittleEndian.Uint16(b[2:])) > len(b) {
			d.malformed(wifiTooSmall)
			return
		}
		d.wifi(&l, b[binary.LittleEndian.Uint16(b[2:]):])
	default:
		d.other(linkUnknown)
	}
}

func (d *Decoder) ethernet(l *layer, b []byte) {
	if len(b) < 14 {
		d.malformed(ethernetTooSmall)
		return
	}
	if !d.enter(l) {
		return
	}
	d.network(l, binary.BigEndian.Uint16(b[12:]), b[14:])
}

// network decodes what follows an ethertype.
func (d *Decoder) network(l *layer, kind uint16, b []byte) {
	switch kind {
	case 0x0800:
		d.ipv4(l, b)
	case 0x86dd:
		d.ipv6(l, b)
	case 0x8100, 0x88a8, 0x9100, 0x9200:
		d.vlan(l, b)
	case 0x8847, 0x8848:
		d.mpls(l, b)
	case 0x8864:
		d.pppoeSession(l, b)
	case 0x8863:
		d.pppoeDiscovery(b)
	case 0x8926: // VN-Tag
		d.tag(l, b, 6, vntagTooSmall)
	case 0x893f: // E-Tag, IEEE 802.1BR
		d.tag(l, b, 8, etagTooSmall)
	case 0x88e7: // IEEE 802.1ah: the service tag and both addresses of the customer
		d.tag(l, b, 18, dot1ahTooSmall)
	case 0x8903: // FabricPath: two bytes, then the frame
		if len(b) < 2 {
			d.malformed(fabricPathTooSmall)
			return
		}
		d.ethernet(l, b[2:])
	case 0x894f:
		d.nsh(l, b)
	default:
		if kind < 0x0600 {
			d.llc(l, b)
			return
		}
		d.other(ethertypeClass(kind))
	}
}

// ethertypeClass is the counter of an ethertype that carries no IP.
func ethertypeClass(kind uint16) counter {
	switch kind {
	case 0x0806, 0x8035:
		return etherARP
	case 0x88cc:
		return etherLLDP
	case 0x888e:
		return etherEAPOL
	case 0x88e5:
		return etherMACsec
	case 0x88f7:
		return etherPTP
	case 0x9000:
		return etherLoop
	case 0x8137, 0x8138:
		return etherIPX
	}
	return etherOther
}

// vlan decodes a tag of 4 bytes. As for Suricata, a frame with more than MaxVLANs of them is malformed.
func (d *Decoder) vlan(l *layer, b []byte) {
	if len(b) < 4 {
		d.malformed(vlanTooSmall)
		return
	}
	if l.vlans >= MaxVLANs {
		d.malformed(vlanTooMany)
		return
	}
	if !d.enter(l) {
		return
	}
	l.vlan[l.vlans] = binary.BigEndian.Uint16(b) & 0xfff
	l.vlans++
	d.network(l, binary.BigEndian.Uint16(b[2:]), b[4:])
}

// tag skips a tag of n bytes, which ends with an ethertype.
func (d *Decoder) tag(l *layer, b []byte, n int, small counter) {
	if len(b) < n {
		d.malformed(small)
		return
	}
	if !d.enter(l) {
		return
	}
	d.network(l, binary.BigEndian.Uint16(b[n-2:]), b[n:])
}

// llc decodes IEEE 802.2: IP itself (06), or an ethertype behind SNAP (aa).
func (d *Decoder) llc(l *layer, b []byte) {
	switch {
	case len(b) < 3:
		d.malformed(llcTooSmall)
	case b[0] == 0xaa && b[1] == 0xaa && b[2] == 3:
		if len(b) < 8 {
			d.malformed(llcTooSmall)
			return
		}
		kind := binary.BigEndian.Uint16(b[6:])
		if b[3]|b[4]|b[5] != 0 && (b[3]|b[4] != 0 || b[5] != 0xf8) || kind < 0x0600 { // RFC 1042, 802.1H
			d.other(etherLLC)
			return
		}
		if d.enter(l) {
			d.network(l, kind, b[8:])
		}
	case b[0] == 6 && b[1] == 6 && b[2] == 3:
		d.ipv4(l, b[3:])
	default:
		d.other(etherLLC)
	}
}

// raw decodes IP without a link layer.
func (d *Decoder) raw(l *layer, b []byte) {
	switch {
	case len(b) < 20:
		d.malformed(ipv4TooSmall)
	case b[0]>>4 == 4:
		d.ipv4(l, b)
	case b[0]>>4 == 6:
		d.ipv6(l, b)
	default:
		d.malformed(rawVersion)
	}
}

// null decodes the loopback of the BSDs: an address family of 4 bytes, in either byte order.
func (d *Decoder) null(l *layer, b []byte) {
	if len(b) < 4 {
		d.malformed(nullTooSmall)
		return
	}
	family := binary.LittleEndian.Uint32(b)
	if family > 0xffff {
		family = binary.BigEndian.Uint32(b)
	}
	switch family {
	case 2:
		d.ipv4(l, b[4:])
	case 10, 23, 24, 26, 28, 30: // AF_INET6 of Linux, Windows, NetBSD, Solaris, FreeBSD, Darwin
		d.ipv6(l, b[4:])
	default:
		d.other(nullFamily)
	}
}

// sll decodes a frame of the Linux "any" device.
func (d *Decoder) sll(l *layer, b []byte) {
	if len(b) < 16 {
		d.malformed(sllTooSmall)
		return
	}
	d.cooked(l, binary.BigEndian.Uint16(b[2:]), binary.BigEndian.Uint16(b[14:]), b[16:])
}

// sll2 decodes its second version.
func (d *Decoder) sll2(l *layer, b []byte) {
	if len(b) < 20 {
		d.malformed(sll2TooSmall)
		return
	}
	d.cooked(l, binary.BigEndian.Uint16(b[8:]), binary.BigEndian.Uint16(b), b[20:])
}

func (d *Decoder) cooked(l *layer, device, kind uint16, b []byte) {
	switch {
	case !d.enter(l):
	case device == arphrdNetlink:
		d.other(etherOther)
	case kind == 4: // LINUX_SLL_P_802_2
		d.llc(l, b)
	case kind < 0x0600: // 1 is Novell's 802.3 without LLC, others are no ethertypes either
		d.other(etherOther)
	default:
		d.network(l, kind, b)
	}
}

// chdlc decodes Cisco's HDLC: address, control, ethertype.
func (d *Decoder) chdlc(l *layer, b []byte) {
	if len(b) < 4 {
		d.malformed(chdlcTooSmall)
		return
	}
	if !d.enter(l) {
		return
	}
	d.network(l, binary.BigEndian.Uint16(b[2:]), b[4:])
}

// wifi decodes IEEE 802.11 data frames that are not encrypted. All others, and aggregated ones, carry no IP for us.
func (d *Decoder) wifi(l *layer, b []byte) {
	if len(b) < 2 {
		d.malformed(wifiTooSmall)
		return
	}
	kind, flags := b[0], b[1]
	if kind&0x0f != 0x08 || kind&0x40 != 0 || flags&0x40 != 0 { // not version 0 data, without a body, encrypted
		d.other(wifiOther)
		return
	}
	n := 24
	if flags&3 == 3 { // from an access point to another: a fourth address
		n += 6
	}
	if kind&0x80 != 0 { // QoS
		if len(b) >= n+2 && b[n]&0x80 != 0 { // several frames in one
			d.other(wifiOther)
			return
		}
		n += 2
		if flags&0x80 != 0 { // HT control
			n += 4
		}
	}
	if len(b) < n {
		d.malformed(wifiTooSmall)
		return
	}
	if d.enter(l) {
		d.llc(l, b[n:])
	}
}
