package packet

import "encoding/binary"

const (
	maxSpare     = 16  // datagrams whose memory is kept for later ones
	pieceSize    = 24  // bytes of a piece, about
	datagramSize = 512 // bytes of a datagram and its place in the table without its data, about
)

// fragments holds the datagrams that are not complete.
type fragments struct {
	table          map[fragmentKey]*datagram
	oldest, newest *datagram // by their last fragment
	bytes          int       // of all in table
	spare          []*datagram
	rebuilt        [maxLayers][]byte // what the packets of one frame point into
}

// datagram is a packet of which some fragments have come.
type datagram struct {
	key          fragmentKey
	older, newer *datagram
	deadline     int64   // nanoseconds since 1970
	pieces       []piece // by offset; of equal ones by age
	data         []byte  // of all pieces, in the order they came
	head         []byte  // as in fragment, of the first fragment
	before       int     // as in fragment, of the first fragment
	size         int     // what is accounted for in fragments.bytes
	count        int     // fragments kept
	last         bool    // the last fragment has come
}

// piece is a fragment, or what the policy left of it.
type piece struct {
	offset, size int32 // in the datagram
	trim         int32 // bytes of its beginning that later fragments replace
	at           int32 // in datagram.data
	more         bool
}

func (f *fragments) push(g *datagram) {
	g.older, g.newer = f.newest, nil
	if f.newest != nil {
		f.newest.newer = g
	} else {
		f.oldest = g
	}
	f.newest = g
}

func (f *fragments) unlink(g *datagram) {
	if g.older != nil {
		g.older.newer = g.newer
	} else {
		f.oldest = g.newer
	}
	if g.newer != nil {
		g.newer.older = g.older
	} else {
		f.newest = g.older
	}
}

// touch makes g the newest.
func (f *fragments) touch(g *datagram) {
	if f.newest != g {
		f.unlink(g)
		f.push(g)
	}
}

// account brings bytes up to date after a change of g.
func (f *fragments) account(g *datagram) {
	n := datagramSize + cap(g.data) + cap(g.head) + cap(g.pieces)*pieceSize
	f.bytes += n - g.size
	g.size = n
}

// remove forgets g, and keeps its memory if that is not much.
func (f *fragments) remove(g *datagram) {
	f.unlink(g)
	delete(f.table, g.key)
	f.bytes -= g.size
	if len(f.spare) < maxSpare && g.size < 2*maxPacket {
		*g = datagram{pieces: g.pieces[:0], data: g.data[:0], head: g.head[:0]}
		f.spare = append(f.spare, g)
	}
}

// insert adds f where the policy wants some of it: of Windows for IPv4, of BSD for IPv6, as Suricata does by default. It
// reports whether something was kept, and whether f overlaps what was there.
func (g *datagram) insert(f *fragment) (kept, overlap bool) {
	offset, end, trim := int32(f.offset), int32(f.offset+len(f.data)), int32(0)
	for i := g.first(offset); i < len(g.pieces); i++ {
		p := &g.pieces[i]
		if offset < p.offset+p.size && p.offset < end {
			overlap = true
		}
		var done, found bool
		if f.key.v6 {
			trim, done, found = g.bsd(i, offset, end)
		} else {
			trim, done, found = g.windows(i, offset, end)
		}
		if done {
			return false, overlap
		}
		if found {
			if p.trim >= p.size {
				g.pieces = append(g.pieces[:i], g.pieces[i+1:]...)
			}
			break
		}
	}
	if trim >= end-offset {
		return false, overlap
	}
	n := piece{offset: offset + trim, size: end - offset - trim, at: int32(len(g.data)), more: f.more}
	g.data = append(g.data, f.data[trim:]...)
	i := len(g.pieces)
	for i > 0 && g.pieces[i-1].offset > n.offset {
		i--
	}
	g.pieces = append(g.pieces, piece{})
	copy(g.pieces[i+1:], g.pieces[i:])
	g.pieces[i] = n
	if n.offset == 0 {
		g.head, g.before = append(g.head[:0], f.head...), f.before
		if f.key.v6 {
			g.head[f.next] = f.proto
		}
	}
	g.count++
	g.last = g.last || !f.more
	return true, overlap
}

// first is the piece to compare a fragment at offset with first: the one before the first at or behind it.
func (g *datagram) first(offset int32) int {
	if offset == 0 {
		return 0
	}
	for i := range g.pieces {
		if g.pieces[i].offset >= offset {
			return max(0, i-1)
		}
	}
	return 0
}

// windows compares a fragment with piece i. done: nothing of the fragment is wanted. found: this piece decides, and the
// fragment loses its first trim bytes. What came first is kept, but a piece goes where the fragment reaches beyond both ends.
func (g *datagram) windows(i int, offset, end int32) (trim int32, done, found bool) {
	p := &g.pieces[i]
	stop := p.offset + p.size
	switch {
	case offset >= p.offset && end <= stop:
		return 0, true, false
	case offset < p.offset && end > stop:
		p.trim = p.size
		return 0, false, true
	case offset > p.offset+p.trim && offset < stop, offset == p.offset && end > stop:
		return stop - offset, false, true
	}
	return 0, false, false
}

// bsd does so for BSD: what came first is kept, unless the fragment begins before it.
func (g *datagram) bsd(i int, offset, end int32) (trim int32, done, found bool) {
	p := &g.pieces[i]
	stop := p.offset + p.size
	if offset >= stop {
		return 0, false, false
	}
	if p.offset <= offset {
		if stop > end {
			return 0, true, false
		}
		trim = stop - offset
	} else if end > p.offset+p.trim {
		p.trim = max(p.trim, end-p.offset)
	}
	if i+1 < len(g.pieces) {
		if next := &g.pieces[i+1]; end > next.offset {
			next.trim = end - next.offset
		}
	}
	return trim, false, true
}

// complete reports whether g has no hole, and the length of its data.
func (g *datagram) complete() (n int, ok bool) {
	if !g.last || len(g.pieces) == 0 || g.pieces[0].offset != 0 {
		return 0, false
	}
	var end int32
	for i := range g.pieces {
		if g.pieces[i].offset > end {
			return 0, false
		}
		end = max(end, g.pieces[i].offset+g.pieces[i].size)
	}
	return int(end), true
}

// build writes the packet into buf, or into a larger one: the headers, then at most n bytes of data. What comes behind the
// piece that says that it is the last is left out.
func (g *datagram) build(buf []byte, n int) []byte {
	head := len(g.head)
	if cap(buf) < head+n {
		buf = make([]byte, head+n, head+n+1024)
	}
	buf = buf[:head+n]
	copy(buf, g.head)
	data := buf[head:]
	clear(data)
	var end, last int32
	more := true
	for i := range g.pieces {
		p := &g.pieces[i]
		if !more && p.offset > last {
			break
		}
		if p.trim >= p.size {
			continue
		}
		trim := p.trim
		if p.offset == 0 {
			trim = 0
		}
		copy(data[p.offset+trim:], g.data[p.at+trim:p.at+p.size])
		if p.offset == 0 {
			end = p.size
		} else {
			end = max(end, p.offset+p.size)
		}
		more, last = p.more, p.offset
	}
	buf = buf[:head+int(end)]
	if g.key.v6 {
		binary.BigEndian.PutUint16(buf[4:], uint16(len(buf)-40))
	} else {
		binary.BigEndian.PutUint16(buf[2:], uint16(len(buf)))
		buf[6], buf[7] = 0, 0
	}
	return buf
}
