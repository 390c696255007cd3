package packet

import "encoding/binary"

// The bounds of what is kept of fragmented datagrams: Suricata's defaults, and one for a single datagram, whose fragments may
// overlap.
const (
	maxDatagrams     = 65535
	maxFragmentBytes = 32 << 20
	maxDatagramBytes = 256 << 10
	fragmentTimeout  = 60         // seconds since the last fragment of a datagram, by the time of the packets
	second           = int64(1e9) // in the unit of Frame.Time
	maxPacket        = 65535      // bytes of an IPv4 packet; of an IPv6 packet's payload
)

// fragment is one fragment of a datagram.
type fragment struct {
	key    fragmentKey
	head   []byte // the headers in front of what is fragmented, without the fragment header
	next   int    // IPv6: where in head is written what the data is
	proto  uint8  // IPv6: what the data is
	data   []byte
	offset int
	more   bool // others follow
	before int  // bytes of the link layer in front of head
}

// fragmentKey is what the fragments of a datagram share (RFC 791, RFC 8200), and where they travel.
type fragmentKey struct {
	src, dst Addr
	id       uint32
	vlan     [MaxVLANs]uint16
	proto    uint8 // IPv4 only
	depth    uint8
	v6       bool
}

// fragment4 takes the fragment b, an IPv4 packet.
func (d *Decoder) fragment4(l *layer, h *header, b []byte, offset int, more bool) {
	d.counts[ipv4Fragments]++
	if 20+offset+h.total-h.length > maxPacket { // the ping of death
		d.malformed(ipv4FragmentTooLarge)
		d.counts[fragmentsDropped]++
		return
	}
	d.reassemble(l, h, &fragment{
		key: fragmentKey{src: h.src, dst: h.dst, id: uint32(binary.BigEndian.Uint16(b[4:])), vlan: l.vlan, proto: h.proto,
			depth: l.depth},
		head: b[:h.length], data: b[h.length:], offset: offset, more: more, before: len(l.whole) - len(b) + l.before,
	})
}

// fragment6 takes the fragment b, an IPv6 packet whose fragment header is at h.length; the byte at next says so.
func (d *Decoder) fragment6(l *layer, h *header, b []byte, next, offset int, more bool) {
	d.counts[ipv6Fragments]++
	start := h.length + 8
	if offset+h.total-start > maxPacket {
		d.malformed(ipv6FragmentTooLarge)
		d.counts[fragmentsDropped]++
		return
	}
	d.reassemble(l, h, &fragment{
		key:  fragmentKey{src: h.src, dst: h.dst, id: binary.BigEndian.Uint32(b[h.length+4:]), vlan: l.vlan, depth: l.depth, v6: true},
		head: b[:h.length], next: next, proto: b[h.length], data: b[start:], offset: offset, more: more,
		before: len(l.whole) - len(b) + l.before,
	})
}

// reassemble keeps f, and decodes its datagram if that is complete now.
func (d *Decoder) reassemble(l *layer, h *header, f *fragment) {
	if d.outcome == noOutcome {
		d.outcome = framesFragment
	}
	if h.missing > 0 {
		d.counts[fragmentsCut]++
		d.counts[fragmentsDropped]++
		return
	}
	d.expire(d.frame.Time)
	g := d.frags.table[f.key]
	if g != nil && g.deadline <= d.frame.Time {
		d.lose(g, fragmentsTimeout)
		g = nil
	}
	if g == nil {
		g = d.track(f.key)
	}
	g.deadline = (d.frame.Time/second + fragmentTimeout) * second
	d.frags.touch(g)
	kept, overlap := g.insert(f)
	if overlap {
		if f.key.v6 {
			d.counts[ipv6Overlap]++
		} else {
			d.counts[ipv4Overlap]++
		}
	}
	if !kept {
		d.counts[fragmentsDropped]++
		if len(g.pieces) == 0 {
			d.frags.remove(g)
		}
		return
	}
	d.counts[fragmentsHeld]++
	d.frags.account(g)
	n, complete := g.complete()
	limit := maxPacket
	if f.key.v6 {
		limit += 40
	}
	switch {
	case complete && len(g.head)+n > limit, len(g.data) > maxDatagramBytes:
		d.lose(g, datagramsTooLarge)
	case complete:
		d.whole(l, g, n)
	default:
		d.evict(g)
	}
}

// whole decodes the datagram g, whose data is n bytes long.
func (d *Decoder) whole(l *layer, g *datagram, n int) {
	if d.nested >= len(d.frags.rebuilt) {
		d.malformed(tooManyLayers)
		d.lose(g, datagramsTooLarge)
		return
	}
	buf := g.build(d.frags.rebuilt[d.nested], n)
	d.frags.rebuilt[d.nested] = buf
	d.nested++
	d.counts[fragmentsHeld] -= uint64(g.count)
	d.counts[fragmentsUsed] += uint64(g.count)
	in := *l
	in.whole, in.cut, in.before, in.fragments = buf, 0, g.before, uint16(min(g.count, 0xffff))
	v6 := g.key.v6
	d.frags.remove(g)
	if v6 {
		d.counts[ipv6Reassembled]++
		d.ipv6(&in, buf)
	} else {
		d.counts[ipv4Reassembled]++
		d.ipv4(&in, buf)
	}
}

// lose gives g up, for the reason that the counter why says.
func (d *Decoder) lose(g *datagram, why counter) {
	d.counts[why]++
	d.counts[fragmentsHeld] -= uint64(g.count)
	d.counts[fragmentsLost] += uint64(g.count)
	d.frags.remove(g)
}

// expire gives up the datagrams that had no fragment for long.
func (d *Decoder) expire(now int64) {
	for g := d.frags.oldest; g != nil && g.deadline <= now; g = d.frags.oldest {
		d.lose(g, fragmentsTimeout)
	}
}

// evict gives up the oldest datagrams, but not g, until the bounds are kept.
func (d *Decoder) evict(g *datagram) {
	f := &d.frags
	for (f.bytes > maxFragmentBytes || len(f.table) > maxDatagrams) && f.oldest != g {
		d.lose(f.oldest, datagramsEvicted)
	}
}

// track begins a datagram.
func (d *Decoder) track(key fragmentKey) *datagram {
	f := &d.frags
	if f.table == nil {
		f.table = make(map[fragmentKey]*datagram)
	}
	var g *datagram
	if n := len(f.spare); n > 0 {
		g, f.spare = f.spare[n-1], f.spare[:n-1]
	} else {
		g = new(datagram)
	}
	g.key = key
	f.table[key] = g
	f.push(g)
	f.account(g)
	return g
}
