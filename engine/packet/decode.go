package packet

import "encoding/binary"

// Decoder turns frames into packets. It belongs to one goroutine.
type Decoder struct {
	malformed uint64
}

// NewDecoder returns a decoder.
func NewDecoder() *Decoder { return &Decoder{} }

// Decode appends the packets that f carries to out, outer before inner. Frames without IP, and what cannot be decoded, are
// counted and give none.
func (d *Decoder) Decode(f *Frame, out []Packet) []Packet {
	b := f.Data
	if f.LinkType != 1 || len(b) < 14 {
		d.malformed++
		return out
	}
	p := Packet{Time: f.Time, Number: f.Number, Bytes: uint32(len(b))}
	kind := binary.BigEndian.Uint16(b[12:])
	b = b[14:]
	for (kind == 0x8100 || kind == 0x88a8) && len(b) >= 4 {
		if p.VLANs < MaxVLANs {
			p.VLAN[p.VLANs] = binary.BigEndian.Uint16(b) & 0xfff
			p.VLANs++
		}
		kind, b = binary.BigEndian.Uint16(b[2:]), b[4:]
	}
	switch {
	case kind == 0x0800 && len(b) >= 20 && b[0]>>4 == 4:
		n, total := int(b[0]&15)*4, int(binary.BigEndian.Uint16(b[2:]))
		if n < 20 || total < n || len(b) < total {
			d.malformed++
			return out
		}
		p.Proto, p.Src, p.Dst, p.IPBytes, p.HeaderLen = b[9], IPv4(b[12:]), IPv4(b[16:]), uint32(total), uint16(n)
		b = b[n:total]
	case kind == 0x86dd && len(b) >= 40 && b[0]>>4 == 6:
		n := int(binary.BigEndian.Uint16(b[4:]))
		if len(b) < 40+n {
			d.malformed++
			return out
		}
		p.V6, p.Proto, p.Src, p.Dst, p.IPBytes, p.HeaderLen = true, b[6], IPv6(b[8:]), IPv6(b[24:]), uint32(40+n), 40
		b = b[40 : 40+n]
	default:
		return out
	}
	switch p.Proto {
	case TCP:
		if len(b) < 20 || int(b[12]>>4)*4 < 20 || len(b) < int(b[12]>>4)*4 {
			d.malformed++
			return out
		}
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		p.Seq, p.Ack, p.TCPFlags, p.Window = binary.BigEndian.Uint32(b[4:]), binary.BigEndian.Uint32(b[8:]), b[13], binary.BigEndian.Uint16(b[14:])
		p.TCPOptions = b[20 : int(b[12]>>4)*4]
		p.HeaderLen += uint16(b[12]>>4) * 4
		b = b[int(b[12]>>4)*4:]
	case UDP:
		if len(b) < 8 {
			d.malformed++
			return out
		}
		p.SrcPort, p.DstPort = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
		p.HeaderLen += 8
		b = b[8:]
	case ICMP, ICMPv6:
		if len(b) < 4 {
			d.malformed++
			return out
		}
		p.ICMPType, p.ICMPCode = b[0], b[1]
		p.HeaderLen += 8
		b = b[min(8, len(b)):]
	}
	p.Payload, p.PayloadLen = b, uint32(len(b))
	return append(out, p)
}
