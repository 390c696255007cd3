package packet

import "encoding/binary"

// The limits of what a frame may nest. Deeper ones are counted as too_many_layers.
const (
	maxLayers = 16 // headers from the link layer to IP, over all tunnels; Suricata's default
	maxDepth  = 8  // tunnels in tunnels
)

// Decoder turns frames into packets. It keeps the fragments of datagrams that are not complete yet. It belongs to one
// goroutine.
type Decoder struct {
	counts [lastCounter]uint64
	frags  fragments

	// The state of one call of Decode.
	frame   *Frame
	out     []Packet
	outcome counter // of the frame, while it has no packet
	nested  int     // reassembled datagrams that hold the frame's packets
}

// NewDecoder returns a decoder.
func NewDecoder() *Decoder { return &Decoder{} }

// Decode appends the packets that f carries to out, outer before inner. Frames without IP, fragments of datagrams that are
// not complete, and what cannot be decoded give none: Counters tells them apart.
func (d *Decoder) Decode(f *Frame, out []Packet) []Packet {
	d.counts[frames]++
	n := len(out)
	if n < cap(out) {
		out = out[:n+1]
	} else {
		out = append(out, Packet{})
	}
	if f.LinkType == linkEthernet && fast(f, &out[n]) {
		d.counts[framesDecoded]++
		d.counts[packets]++
		return out
	}
	return d.slow(f, out[:n])
}

// slow decodes any frame.
func (d *Decoder) slow(f *Frame, out []Packet) []Packet {
	n := len(out)
	d.frame, d.out, d.outcome, d.nested = f, out, noOutcome, 0
	d.link(f)
	out, d.out, d.frame = d.out, nil, nil
	if len(out) > n {
		d.counts[framesDecoded]++
		d.counts[packets] += uint64(len(out) - n)
	} else {
		d.counts[d.outcome]++
	}
	return out
}

// fast decodes what most frames are: TCP or UDP, not in a tunnel, in IPv4 or IPv6 without options and extensions, whole,
// in Ethernet with at most one tag. It leaves all others, and all that is odd, to slow. What it fills of p it assigns after
// p was cleared: a literal is built elsewhere and copied (BenchmarkDecode/gen: 28 -> 19 ns).
func fast(f *Frame, p *Packet) bool {
	b := f.Data
	if len(b) < 54 { // Ethernet, IPv4, TCP; smaller ones are rare, frames have at least 60 bytes
		return false
	}
	start := 14
	kind := binary.BigEndian.Uint16(b[12:14])
	tagged := kind == 0x8100
	if tagged {
		kind, start = binary.BigEndian.Uint16(b[16:18]), 18
	}
	ip := b[start:]
	var proto uint8
	var total, header int
	switch kind {
	case 0x0800:
		if ip[0] != 0x45 || binary.BigEndian.Uint16(ip[6:8])&0x3fff != 0 {
			return false
		}
		proto, total, header = ip[9], int(binary.BigEndian.Uint16(ip[2:4])), 20
	case 0x86dd:
		if len(ip) < 40 || ip[0]>>4 != 6 {
			return false
		}
		proto, total, header = ip[6], int(binary.BigEndian.Uint16(ip[4:6]))+40, 40
	default:
		return false
	}
	if total > len(ip) || total < header+8 {
		return false
	}
	t := ip[header:total]
	switch proto {
	case TCP:
		if len(t) < 20 {
			return false
		}
		n := int(t[12]>>4) * 4
		if n < 20 || n > len(t) {
			return false
		}
		*p = Packet{}
		p.TCPFlags, p.Seq, p.Ack = t[13], binary.BigEndian.Uint32(t[4:8]), binary.BigEndian.Uint32(t[8:12])
		p.Window, p.HeaderLen, p.Payload, p.TCPOptions = binary.BigEndian.Uint16(t[14:16]), uint16(header+n), t[n:], t[20:n]
	case UDP:
		n := int(binary.BigEndian.Uint16(t[4:6]))
		if n < 8 || n > len(t) || tunnelPort(binary.BigEndian.Uint16(t[:2]), binary.BigEndian.Uint16(t[2:4])) {
			return false
		}
		*p = Packet{}
		p.HeaderLen, p.Payload = uint16(header+8), t[8:n]
	default:
		return false
	}
	p.Time, p.Number, p.Proto, p.Bytes, p.IPBytes = f.Time, f.Number, proto, uint32(len(b)), uint32(total)
	p.SrcPort, p.DstPort, p.PayloadLen = binary.BigEndian.Uint16(t[:2]), binary.BigEndian.Uint16(t[2:4]), uint32(len(p.Payload))
	if header == 20 {
		p.Src[10], p.Src[11], p.Dst[10], p.Dst[11] = 0xff, 0xff, 0xff, 0xff
		copy(p.Src[12:], ip[12:16])
		copy(p.Dst[12:], ip[16:20])
	} else {
		p.V6 = true
		copy(p.Src[:], ip[8:24])
		copy(p.Dst[:], ip[24:40])
	}
	if tagged {
		p.VLANs, p.VLAN[0] = 1, binary.BigEndian.Uint16(b[14:16])&0xfff
	}
	return true
}

// layer is how far a packet of a frame is decoded: what is around it, and what Suricata counts for it.
type layer struct {
	whole     []byte // from where the packet begins: the frame, or what a tunnel carries
	cut       int    // bytes behind whole that were on the wire, but not captured
	before    int    // of a reassembled datagram: bytes of the link layer that its first fragment had before IP
	vlan      [MaxVLANs]uint16
	vlans     uint8
	layers    uint8
	depth     uint8
	tunnel    Tunnel
	fragments uint16
}

// enter counts a header on the way to IP. It reports false where there are too many.
func (d *Decoder) enter(l *layer) bool {
	l.layers++
	if l.layers >= maxLayers {
		d.malformed(tooManyLayers)
		return false
	}
	return true
}

// inside is the layer of what a tunnel carries in l: b, of which missing bytes were not captured.
func (d *Decoder) inside(l *layer, t Tunnel, b []byte, missing int) (in layer, ok bool) {
	if l.depth+1 > maxDepth || l.layers+1 >= maxLayers {
		d.malformed(tooManyLayers)
		return in, false
	}
	return layer{whole: b, cut: missing, layers: l.layers + 1, depth: l.depth + 1, tunnel: t}, true
}

// header is an IP header, read.
type header struct {
	src, dst Addr
	v6       bool
	proto    uint8
	length   int // of it, with options and extensions
	total    int // of the packet
	missing  int // bytes of the packet that were not captured
}

// add appends the packet of h, whose transport header is t bytes long.
func (d *Decoder) add(l *layer, h *header, t int) *Packet {
	n := len(d.out)
	if n < cap(d.out) {
		d.out = d.out[:n+1]
		d.out[n] = Packet{}
	} else {
		d.out = append(d.out, Packet{})
	}
	p := &d.out[n]
	p.Time, p.Number, p.Src, p.Dst, p.V6, p.Proto = d.frame.Time, d.frame.Number, h.src, h.dst, h.v6, h.proto
	p.VLAN, p.VLANs, p.Depth, p.Tunnel, p.Fragments = l.vlan, l.vlans, l.depth, l.tunnel, l.fragments
	p.Bytes, p.IPBytes, p.HeaderLen = uint32(len(l.whole)+l.before), uint32(h.total), uint16(min(h.length+t, 0xffff))
	if h.missing > 0 {
		p.Bytes += uint32(l.cut)
	}
	return p
}
