package pcap

import (
	"encoding/binary"
	"math"
	"math/bits"

	"dragonfly/engine/packet"
)

// Block types (https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-02.html).
const (
	blockInterface  = 1
	blockPacket     = 2 // obsolete
	blockSimple     = 3
	blockStatistics = 5
	blockEnhanced   = 6
	blockSection    = 0x0a0d0d0a
)

const (
	orderMark     = 0x1a2b3c4d
	maxInterfaces = 1 << 16 // of a section
	blockFrame    = 12      // bytes around the body of a block: type, length, length again
	largeBlock    = MaxFrame + 4096
)

// sections is what is known of a pcapng file.
type sections struct {
	open       bool // a section has begun
	interfaces []iface
	last       int64  // time of the last frame
	lost       uint64 // by the interfaces of earlier sections
}

// iface is an interface of the current section.
type iface struct {
	link   packet.LinkType
	snap   uint32 // 0 is no limit
	clock  clock
	lost   uint64 // as the statistics say
	counts uint64 // as obsolete packet blocks count
}

func (s *sections) dropped() uint64 {
	n := s.lost
	for i := range s.interfaces {
		n += max(s.interfaces[i].lost, s.interfaces[i].counts)
	}
	return n
}

// nextBlock reads blocks until one is a frame.
func (r *Reader) nextBlock(f *packet.Frame) error {
	for {
		b, err := r.need(blockFrame)
		if err != nil {
			return r.ended(err)
		}
		kind := r.uint32(b)
		if kind == blockSection || !r.ng.open {
			if err := r.section(b); err != nil {
				return err
			}
		}
		length := r.uint32(b[4:])
		if length < blockFrame || length%4 != 0 {
			return r.damaged("stands in a block that claims to be %d bytes long", length)
		}
		whole := min(int(length), largeBlock)
		if b, err = r.need(whole); err != nil {
			return r.ended(err)
		}
		body := b[8:whole]
		if int(length) == whole {
			if body = b[8 : whole-4]; r.uint32(b[whole-4:]) != length {
				return r.damaged("stands in a block of %d bytes whose end claims %d", length, r.uint32(b[whole-4:]))
			}
		}
		done, err := r.block(kind, body, f)
		if err != nil {
			return err
		}
		if int(length) == whole {
			r.pos += whole
		} else if err := r.discardLarge(int64(length), f, done); err != nil {
			return r.ended(err)
		}
		if done {
			r.number++
			f.Number = r.number
			return nil
		}
	}
}

// discardLarge passes over a block that the buffer does not hold. The frame in it would be overwritten: it is copied.
func (r *Reader) discardLarge(length int64, f *packet.Frame, isFrame bool) error {
	if isFrame {
		f.Data = append([]byte(nil), f.Data...)
	}
	return r.discard(length)
}

// section reads the first bytes of a section header, for the byte order of what follows.
func (r *Reader) section(b []byte) error {
	if binary.LittleEndian.Uint32(b) != blockSection {
		return r.damaged("stands in a block of type %#x before the first section", r.uint32(b))
	}
	switch {
	case binary.LittleEndian.Uint32(b[8:]) == orderMark:
		r.big = false
	case binary.BigEndian.Uint32(b[8:]) == orderMark:
		r.big = true
	default:
		return r.damaged("stands behind a section that begins with % x, want %x", b[8:12], orderMark)
	}
	r.ng.lost = r.ng.dropped()
	r.ng.interfaces, r.ng.open = r.ng.interfaces[:0], true
	return nil
}

// block takes the body of a block and reports whether it is a frame, which is in f then. Blocks of unknown types, names,
// secrets and comments are passed over.
func (r *Reader) block(kind uint32, body []byte, f *packet.Frame) (isFrame bool, err error) {
	short := func(want int) error {
		return r.damaged("stands behind a block of type %#x with %d bytes, want %d", kind, len(body), want)
	}
	switch kind {
	case blockSection:
		if len(body) < 16 {
			return false, short(16)
		}
		if major := r.uint16(body[4:]); major != 1 {
			return false, r.damaged("stands in a section of pcapng version %d.%d, want 1.0", major, r.uint16(body[6:]))
		}
	case blockInterface:
		if len(body) < 8 {
			return false, short(8)
		}
		if len(r.ng.interfaces) == maxInterfaces {
			return false, r.damaged("stands behind more than %d interfaces", maxInterfaces)
		}
		r.addInterface(body)
	case blockStatistics:
		if len(body) < 12 {
			return false, short(12)
		}
		r.statistics(body)
	case blockEnhanced:
		if len(body) < 20 {
			return false, short(20)
		}
		id := r.uint32(body)
		return true, r.frameOf(f, id, body[4:], body[20:])
	case blockPacket:
		if len(body) < 20 {
			return false, short(20)
		}
		id, drops := r.uint16(body), r.uint16(body[2:])
		if err = r.frameOf(f, uint32(id), body[4:], body[20:]); err == nil && drops != math.MaxUint16 {
			r.ng.interfaces[id].counts += uint64(drops)
		}
		return true, err
	case blockSimple:
		if len(body) < 4 {
			return false, short(4)
		}
		return true, r.simple(f, body)
	}
	return false, nil
}

// frameOf makes a frame: head is its time, captured length and length.
func (r *Reader) frameOf(f *packet.Frame, id uint32, head, data []byte) error {
	if int64(id) >= int64(len(r.ng.interfaces)) {
		return r.damaged("belongs to interface %d, of which the capture has %d", id, len(r.ng.interfaces))
	}
	in := &r.ng.interfaces[id]
	captured := r.uint32(head[8:])
	if captured > MaxFrame {
		return r.damaged("claims to be %d bytes long, more than %d", captured, MaxFrame)
	}
	if int(captured) > len(data) {
		return r.damaged("claims to be %d bytes long, its block has %d", captured, len(data))
	}
	time := in.clock.time(uint64(r.uint32(head))<<32 | uint64(r.uint32(head[4:])))
	r.ng.last = time
	*f = packet.Frame{Time: time, Data: data[:captured:captured], Len: int(r.uint32(head[12:])), LinkType: in.link}
	return nil
}

// simple makes a frame of a simple packet block. It has no time: that of the frame before is taken.
func (r *Reader) simple(f *packet.Frame, body []byte) error {
	if len(r.ng.interfaces) == 0 {
		return r.damaged("belongs to interface 0, of which the capture has none")
	}
	in, length := &r.ng.interfaces[0], r.uint32(body)
	captured := length
	if in.snap > 0 {
		captured = min(captured, in.snap)
	}
	if captured > MaxFrame || int(captured) > len(body)-4 {
		return r.damaged("claims to be %d bytes long, its block has %d", captured, len(body)-4)
	}
	*f = packet.Frame{Time: r.ng.last, Data: body[4 : 4+captured : 4+captured], Len: int(length), LinkType: in.link}
	return nil
}

// addInterface reads an interface description.
func (r *Reader) addInterface(body []byte) {
	in := iface{link: packet.LinkType(r.uint16(body)), snap: r.uint32(body[4:])}
	resolution, offset := byte(6), int64(0)
	r.options(body[8:], func(code uint16, value []byte) {
		switch {
		case code == 9 && len(value) >= 1:
			resolution = value[0]
		case code == 14 && len(value) >= 8:
			offset = int64(r.uint64(value))
		}
	})
	in.clock = newClock(resolution, offset)
	r.ng.interfaces = append(r.ng.interfaces, in)
}

// statistics reads how many frames an interface has lost.
func (r *Reader) statistics(body []byte) {
	id := r.uint32(body)
	if int64(id) >= int64(len(r.ng.interfaces)) {
		return // says nothing about our frames
	}
	var lost uint64
	r.options(body[12:], func(code uint16, value []byte) {
		if (code == 5 || code == 7) && len(value) >= 8 { // by the interface; by the operating system
			lost += r.uint64(value)
		}
	})
	r.ng.interfaces[id].lost = lost
}

// options calls each for the options of a block. What is cut off at the end is none.
func (r *Reader) options(b []byte, each func(code uint16, value []byte)) {
	for len(b) >= 4 {
		code, n := r.uint16(b), int(r.uint16(b[2:]))
		if b = b[4:]; code == 0 || n > len(b) {
			return
		}
		each(code, b[:n])
		b = b[min(len(b), (n+3)&^3):]
	}
}

// clock turns the time stamps of an interface into nanoseconds since 1970.
type clock struct {
	binary bool
	shift  uint8  // binary: a unit is 2^-shift s
	times  uint64 // else: nanoseconds in a unit
	parts  uint64 // units in a nanosecond
	offset int64  // nanoseconds to add
}

// newClock takes the options if_tsresol and if_tsoffset (seconds).
func newClock(resolution byte, offset int64) clock {
	c := clock{binary: resolution&0x80 != 0, shift: min(resolution&0x7f, 63), times: 1, parts: 1}
	for n := c.shift; n < 9; n++ {
		c.times *= 10
	}
	for n := uint8(9); n < min(c.shift, 28); n++ {
		c.parts *= 10
	}
	if offset > -1<<33 && offset < 1<<33 { // else it is no date
		c.offset = offset * 1e9
	}
	return c
}

// time returns the time of a stamp. What does not fit in 292 years is the end of them.
func (c *clock) time(stamp uint64) int64 {
	var ns uint64
	switch {
	case c.binary:
		high, low := bits.Mul64(stamp, 1e9)
		if c.shift == 0 {
			ns = low
		} else if high>>c.shift == 0 {
			ns, high = high<<(64-c.shift)|low>>c.shift, 0
		}
		if high != 0 {
			ns = math.MaxInt64
		}
	case c.parts > 1:
		ns = stamp / c.parts
	default:
		high, low := bits.Mul64(stamp, c.times)
		if ns = low; high != 0 {
			ns = math.MaxInt64
		}
	}
	t := int64(min(ns, math.MaxInt64))
	if c.offset > 0 && t > math.MaxInt64-c.offset {
		return math.MaxInt64
	}
	return t + c.offset
}
