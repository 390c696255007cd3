package app

import "sync"

// stream is one direction of a TCP session: where it stands, and the bytes that wait. Offsets count from the first byte after
// the SYN.
type stream struct {
	isn, next, ack uint32 // of the SYN; after the highest byte seen; the highest acknowledgement by the other side

	off  int64     // how far the application layer has read
	hole int       // bytes from off on that need not be kept
	buf  []byte    // bytes from off+hole on
	mem  *[]byte   // buf lies in it; nil: there is none
	segs []segment // beyond buf, in order, without overlaps, never adjoining it
	kept int       // bytes of segs

	seen     bool // data came
	detected bool // the protocol of this direction is settled
	full     bool // bytes beyond Config.Depth came, and were dropped
	told     bool // the parser knows of full
	gap      bool // bytes of it were acknowledged that never came
	lost     bool // the gap before segs[0] is never filled: too much waits behind it
}

// segment is data that came too early.
type segment struct {
	off  int64
	data []byte
}

func (s *segment) end() int64 { return s.off + int64(len(s.data)) }

// position returns the offset of seq, which is taken to be within 2 GiB of what has been read.
func (s *stream) position(seq uint32) int64 {
	return s.off + int64(int32(seq-(s.isn+1+uint32(s.off))))
}

// edge is the offset after the bytes that are there without a gap.
func (s *stream) edge() int64 { return s.off + int64(s.hole) + int64(len(s.buf)) }

// waiting is how many bytes are kept.
func (s *stream) waiting() int { return len(s.buf) + s.kept }

// insert keeps the bytes of b, at off, that are not there yet; limit is how many bytes may wait, but one segment always may; skip is how many from s.off on need not be kept. The first copy
// wins. It reports whether they found room.
func (s *stream) insert(off int64, b []byte, limit int, skip int64) bool {
	edge := s.edge()
	if off+int64(len(b)) <= edge {
		return true
	}
	if off > edge {
		return s.early(segment{off, b}, limit)
	}
	b = b[edge-off:]
	if len(s.buf) == 0 && len(s.segs) == 0 && int64(s.hole)+int64(len(b)) <= skip {
		s.hole += len(b)
		return true
	}
	if w := s.waiting(); w > 0 && w+len(b) > limit {
		return false
	}
	s.append(b)
	s.join()
	return true
}

// early keeps a segment that came before the bytes in front of it.
func (s *stream) early(n segment, limit int) bool {
	if w := s.waiting(); w > 0 && w+len(n.data) > limit || len(s.segs) >= maxSegments {
		return false
	}
	i := len(s.segs)
	for i > 0 && s.segs[i-1].off > n.off {
		i--
	}
	if i > 0 {
		if over := s.segs[i-1].end() - n.off; over >= int64(len(n.data)) {
			return true
		} else if over > 0 {
			n.off, n.data = n.off+over, n.data[over:]
		}
	}
	for i < len(s.segs) && s.segs[i].end() < n.end() { // one that begins earlier and ends later replaces
		s.kept -= len(s.segs[i].data)
		s.segs = append(s.segs[:i], s.segs[i+1:]...)
	}
	if i < len(s.segs) {
		if over := n.end() - s.segs[i].off; over >= int64(len(n.data)) {
			return true
		} else if over > 0 {
			n.data = n.data[:int64(len(n.data))-over]
		}
	}
	n.data = append([]byte(nil), n.data...)
	s.kept += len(n.data)
	s.segs = append(s.segs, segment{})
	copy(s.segs[i+1:], s.segs[i:])
	s.segs[i] = n
	return true
}

// maxSegments bounds how many pieces of a stream may wait for what is before them: each costs more than its bytes.
const maxSegments = 256

// join moves the segments to buf that have become continuous.
func (s *stream) join() {
	for len(s.segs) > 0 && s.segs[0].off <= s.edge() {
		n := s.segs[0]
		s.segs = s.segs[1:]
		s.kept -= len(n.data)
		if over := s.edge() - n.off; over < int64(len(n.data)) {
			s.append(n.data[over:])
		}
	}
	if len(s.segs) == 0 {
		s.segs = nil
	}
}

// drop counts n bytes of what is there without a gap as read.
func (s *stream) drop(n int) {
	s.off += int64(n)
	if k := min(n, s.hole); k > 0 {
		s.hole -= k
		n -= k
	}
	s.buf = s.buf[n:]
	if len(s.buf) == 0 {
		s.release()
	}
}

// pass counts n bytes that never came as read.
func (s *stream) pass(n int64) {
	s.off += n
	s.lost = false
	s.join()
}

// append adds b to buf, which lies in memory of a pool.
func (s *stream) append(b []byte) {
	if s.mem == nil {
		s.mem = take(len(b))
		s.buf = (*s.mem)[:0]
	}
	if len(s.buf)+len(b) > cap(s.buf) {
		old := s.mem
		if len(s.buf)+len(b) > cap(*old) || len(s.buf) > cap(*old)/2 {
			s.mem = take(len(s.buf) + len(b))
		}
		n := copy((*s.mem)[:cap(*s.mem)], s.buf)
		s.buf = (*s.mem)[:n]
		if old != s.mem {
			give(old)
		}
	}
	s.buf = append(s.buf, b...)
}

func (s *stream) release() {
	if s.mem != nil {
		give(s.mem)
	}
	s.mem, s.buf = nil, nil
}

// forget gives up all that waits.
func (s *stream) forget() {
	s.release()
	s.segs, s.kept, s.hole = nil, 0, 0
}

// The sizes of buffers, and one pool for each. Above the largest there is none.
var (
	sizes = [...]int{4 << 10, 32 << 10, 128 << 10}
	pools [len(sizes)]sync.Pool
)

// take returns a buffer of at least n bytes.
func take(n int) *[]byte {
	for i, size := range sizes {
		if n <= size {
			if b, ok := pools[i].Get().(*[]byte); ok {
				return b
			}
			n = size
			break
		}
	}
	b := make([]byte, 0, n)
	return &b
}

// give returns a buffer that nobody uses any longer.
func give(b *[]byte) {
	for i, size := range sizes {
		if cap(*b) == size {
			pools[i].Put(b)
		}
	}
}
