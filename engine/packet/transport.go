package packet

import "encoding/binary"

// transport decodes what IP carries: b, and h.missing bytes more that were not captured.
func (d *Decoder) transport(l *layer, h *header, b []byte) {
	switch h.proto {
	case TCP:
		d.tcp(l, h, b)
	case UDP:
		d.udp(l, h, b)
	case ICMP, ICMPv6:
		d.icmp(l, h, b)
	case SCTP:
		d.sctp(l, h, b)
	case ESP:
		d.esp(l, h, b)
	case GRE:
		d.gre(l, h, b)
	case IPIP, IPv6IP:
		d.ipInIP(l, h, b)
	default:
		p := d.add(l, h, 0)
		p.Payload, p.PayloadLen = b, uint32(len(b)+h.missing)
	}
}

// tcp decodes RFC 9293. Of a header that the capture cut off, the ports must be there.
func (d *Decoder) tcp(l *layer, h *header, b []byte) {
	if len(b) < 20 {
		if len(b) < 4 || len(b)+h.missing < 20 {
			d.malformed(tcpTooSmall)
			return
		}
		d.tcpCut(l, h, b)
		return
	}
	n := int(b[12]>>4) * 4
	if n > len(b)+h.missing {
		d.malformed(tcpHeaderTooSmall)
		return
	}
	if n < 20 {
		d.malformed(tcpBadOptionLength)
		return
	}
	p := d.add(l, h, n)
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	p.Seq, p.Ack = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:])
	p.TCPFlags, p.Window = b[13], binary.BigEndian.Uint16(b[14:])
	p.Payload, p.PayloadLen, p.TCPOptions = b[min(n, len(b)):], uint32(len(b)+h.missing-n), b[20:min(n, len(b))]
}

// tcpCut decodes what there is of a header that the capture cut off. The length of the options is then not known.
func (d *Decoder) tcpCut(l *layer, h *header, b []byte) {
	n := 20
	if len(b) > 12 {
		n = max(n, int(b[12]>>4)*4)
	}
	n = min(n, len(b)+h.missing)
	p := d.add(l, h, n)
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	if len(b) >= 8 {
		p.Seq = binary.BigEndian.Uint32(b[4:])
	}
	if len(b) >= 12 {
		p.Ack = binary.BigEndian.Uint32(b[8:])
	}
	if len(b) >= 14 {
		p.TCPFlags = b[13]
	}
	if len(b) >= 16 {
		p.Window = binary.BigEndian.Uint16(b[14:])
	}
	p.PayloadLen = uint32(len(b) + h.missing - n)
}

// udp decodes RFC 768, and the tunnels in it.
func (d *Decoder) udp(l *layer, h *header, b []byte) {
	if len(b)+h.missing < 8 || len(b) < 4 {
		d.malformed(udpHeaderTooSmall)
		return
	}
	size := len(b) + h.missing
	if len(b) >= 8 {
		size = int(binary.BigEndian.Uint16(b[4:]))
		if size > len(b)+h.missing {
			d.malformed(udpTooSmall)
			return
		}
		if size < 8 {
			d.malformed(udpBadLength)
			return
		}
	}
	src, dst := binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	p := d.add(l, h, 8)
	p.SrcPort, p.DstPort, p.PayloadLen = src, dst, uint32(size-8)
	if len(b) < 8 {
		return
	}
	b = b[8:min(size, len(b))]
	p.Payload = b
	if tunnelPort(src, dst) {
		d.udpTunnel(l, src, dst, b, size-8-len(b))
	}
}

func (d *Decoder) sctp(l *layer, h *header, b []byte) {
	if len(b)+h.missing < 12 || len(b) < 4 {
		d.malformed(sctpTooSmall)
		return
	}
	p := d.add(l, h, 12)
	p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	p.Payload, p.PayloadLen = b[min(12, len(b)):], uint32(len(b)+h.missing-12)
}

func (d *Decoder) esp(l *layer, h *header, b []byte) {
	if len(b)+h.missing < 8 || len(b) < 4 {
		d.malformed(espTooSmall)
		return
	}
	p := d.add(l, h, 8)
	p.SPI = binary.BigEndian.Uint32(b)
	p.Payload, p.PayloadLen = b[min(8, len(b)):], uint32(len(b)+h.missing-8)
}
