package app

import (
	"bytes"

	"golang.org/x/net/http2/hpack"
)

// hpackTable is the dynamic table of one direction of HTTP/2 (RFC 7541), kept as Suricata keeps it: what comes after an error is
// read on with what there is.
type hpackTable struct {
	entries []hpackField // the oldest first
	size    int
	limit   int
	block   int // counts the blocks read
	buf     bytes.Buffer
}

// hpackField is a header. Fields whose names come from the same entry share the pointer.
type hpackField struct {
	name  *hpackName
	value []byte
}

// hpackName is a name, with the last block that a header of it was reported of.
type hpackName struct {
	text  []byte
	block int
}

func (f hpackField) size() int { return 32 + len(f.name.text) + len(f.value) }

// hpackMax is how large a table gets whatever the peers agree on.
const hpackMax = 64 << 10

// hpackNote is what a block of headers has besides headers.
type hpackNote uint8

const (
	hpackHeader hpackNote = iota
	hpackResize           // of the table
	hpackBadIndex
	hpackZeroIndex
	hpackOverflow
)

// read decodes a block of headers and calls emit for each. It is false if the block ends too early.
func (t *hpackTable) read(b []byte, emit func(f hpackField, n hpackNote, size uint64)) bool {
	resize, sized := uint64(0), false
	t.block++
	for len(b) > 0 {
		first := b[0]
		bits := uint(4)
		switch {
		case first&0x80 != 0:
			bits = 7
		case first&0x40 != 0:
			bits = 6
		case first&0x20 != 0:
			bits = 5
		}
		n, rest, ok := hpackInt(b, bits)
		if !ok {
			return false
		}
		b = rest
		switch bits {
		case 7:
			f, note := t.field(n)
			emit(f, note, 0)
		case 5:
			if n < uint64(t.limit) {
				t.evict(int(n))
			}
			resize, sized = max(resize, n), true
			emit(hpackField{}, hpackResize, n)
		default:
			f, note := hpackField{}, hpackHeader
			if n == 0 {
				var name []byte
				if name, b, ok = t.text(b); !ok {
					return false
				}
				f.name = &hpackName{text: name}
			} else if f, note = t.field(n); note != hpackHeader {
				note, f.name = hpackHeader, &hpackName{}
			}
			if f.value, b, ok = t.text(b); !ok {
				return false
			}
			emit(f, note, 0)
			if bits == 6 {
				t.add(f)
			}
		}
	}
	if sized {
		t.limit = int(min(resize, hpackMax))
	}
	return true
}

// field looks an index up.
func (t *hpackTable) field(n uint64) (hpackField, hpackNote) {
	switch {
	case n == 0:
		return hpackField{}, hpackZeroIndex
	case n <= uint64(len(hpackStatic)):
		s := hpackStatic[n-1]
		return hpackField{&hpackName{text: []byte(s[0])}, []byte(s[1])}, hpackHeader
	case n-uint64(len(hpackStatic)) > uint64(len(t.entries)):
		return hpackField{}, hpackBadIndex
	}
	return t.entries[len(t.entries)-int(n-uint64(len(hpackStatic)))], hpackHeader
}

func (t *hpackTable) add(f hpackField) {
	t.entries = append(t.entries, f)
	t.size += f.size()
	t.evict(t.limit)
}

func (t *hpackTable) evict(limit int) {
	n := 0
	for ; t.size > limit && n < len(t.entries); n++ {
		t.size -= t.entries[n].size()
	}
	t.entries = append(t.entries[:0], t.entries[n:]...)
}

// text reads a string, which may be compressed.
func (t *hpackTable) text(b []byte) (s, rest []byte, ok bool) {
	if len(b) == 0 {
		return nil, nil, false
	}
	packed := b[0]&0x80 != 0
	n, b, ok := hpackInt(b, 7)
	if !ok || n > uint64(len(b)) {
		return nil, nil, false
	}
	s, b = b[:n], b[n:]
	if !packed {
		return bytes.Clone(s), b, true
	}
	t.buf.Reset()
	if _, err := hpack.HuffmanDecode(&t.buf, s); err != nil {
		return []byte{}, b, true
	}
	return bytes.Clone(t.buf.Bytes()), b, true
}

// hpackInt reads an integer that begins in the lower bits of b.
func hpackInt(b []byte, bits uint) (n uint64, rest []byte, ok bool) {
	mask := uint64(1)<<bits - 1
	n = uint64(b[0]) & mask
	b = b[1:]
	if n < mask {
		return n, b, true
	}
	for i := 0; i < len(b); i++ {
		if i < 9 {
			n += uint64(b[i]&0x7f) << (7 * i)
		}
		if b[i]&0x80 == 0 {
			if i >= 9 {
				n = 0
			}
			return n, b[i+1:], true
		}
	}
	return 0, nil, false
}

// hpackStatic is the table of RFC 7541, appendix A.
var hpackStatic = [...][2]string{{":authority", ""}, {":method", "GET"}, {":method", "POST"}, {":path", "/"}, {":path", "/index.html"},
	{":scheme", "http"}, {":scheme", "https"}, {":status", "200"}, {":status", "204"}, {":status", "206"}, {":status", "304"},
	{":status", "400"}, {":status", "404"}, {":status", "500"}, {"accept-charset", ""}, {"accept-encoding", "gzip, deflate"},
	{"accept-language", ""}, {"accept-ranges", ""}, {"accept", ""}, {"access-control-allow-origin", ""}, {"age", ""}, {"allow", ""},
	{"authorization", ""}, {"cache-control", ""}, {"content-disposition", ""}, {"content-encoding", ""}, {"content-language", ""},
	{"content-length", ""}, {"content-location", ""}, {"content-range", ""}, {"content-type", ""}, {"cookie", ""}, {"date", ""},
	{"etag", ""}, {"expect", ""}, {"expires", ""}, {"from", ""}, {"host", ""}, {"if-match", ""}, {"if-modified-since", ""},
	{"if-none-match", ""}, {"if-range", ""}, {"if-unmodified-since", ""}, {"last-modified", ""}, {"link", ""}, {"location", ""},
	{"max-forwards", ""}, {"proxy-authenticate", ""}, {"proxy-authorization", ""}, {"range", ""}, {"referer", ""}, {"refresh", ""},
	{"retry-after", ""}, {"server", ""}, {"set-cookie", ""}, {"strict-transport-security", ""}, {"transfer-encoding", ""},
	{"user-agent", ""}, {"vary", ""}, {"via", ""}, {"www-authenticate", ""}}
