package app

import (
	"encoding/binary"
	"strconv"
)

// Bounds of what is read and kept of a flow.
const (
	quicInitials = 256      // Initial packets that are opened
	quicCrypto   = 32 << 10 // bytes of a hello over several packets; real ones have 0.3 to 4 KiB
)

// quicType is the type of a packet.
type quicType uint8

const (
	quicInitial quicType = iota
	quicZeroRTT
	quicHandshake
	quicRetry
	quicNegotiation // of versions
	quicShort
)

// quicFlow reads what is not encrypted of QUIC, with keys or without: one event for each packet with a long header up to the
// hello of its side, as Suricata 7.0.10. Google QUIC up to Q046 shows its hello in the clear.
type quicFlow struct {
	cfg      *Config
	keys     *quicKeys
	side     [2]quicSide
	retried  bool
	initials int
}

// quicSide is one direction.
type quicSide struct {
	hello bool // it was seen: all that follows is encrypted
	// A hello that goes over several packets: the bytes from its beginning, and how many of them have come, as counted.
	crypto []byte
	filled uint32
}

func newQUIC(c *Config) parser { return &quicFlow{cfg: c} }

func (q *quicFlow) stream(Dir, []byte, at, func(*Event)) (int, bool) { return 0, false }

func (q *quicFlow) gap(Dir, int) bool { return false }

func (q *quicFlow) end(int64, func(*Event)) {}

func (q *quicFlow) datagram(dir Dir, b []byte, at at, found func(*Event)) (more bool) {
	for len(b) > 0 {
		n, ok := q.packet(dir, b, at, found)
		if !ok {
			break
		}
		b = b[n:]
	}
	return q.initials < quicInitials && !(q.side[ToServer].hello && q.side[ToClient].hello)
}

// packet reads the first of the packets in b, of n bytes; false ends the datagram.
func (q *quicFlow) packet(dir Dir, b []byte, at at, found func(*Event)) (n int, ok bool) {
	h, ok := readQUICHeader(b)
	s := &q.side[dir]
	if !ok || s.hello || h.kind == quicShort {
		return 0, false
	}
	switch {
	case q.keys == nil && h.kind == quicInitial:
		q.keys = newQUICKeys(h.version, h.dcid)
	case dir == ToClient && q.keys != nil && h.kind == quicRetry && !q.retried:
		// The client begins again, with new keys (RFC 9000 section 17.2.5.2).
		q.side[ToServer].hello, q.keys, q.retried = false, nil, true
	}
	n = h.head + h.length
	e := quicEvent{cfg: q.cfg, version: h.version, client: dir == ToServer}
	if h.kind != quicInitial {
		e.report(at, found)
		return n, true
	}
	if q.initials++; q.initials > quicInitials {
		return 0, false
	}
	payload := b[h.head:n]
	if q.keys != nil && len(payload) > 0 {
		if payload, ok = q.keys.side[dir].open(nil, b[:n], h.head); !ok {
			e.report(at, found)
			return 0, false
		}
	}
	f := quicFrames{event: e, crypto: s.crypto, filled: s.filled}
	s.crypto, s.filled = nil, 0
	if !f.read(payload) {
		e.report(at, found)
		return 0, false
	}
	s.crypto, s.filled = f.kept, f.keptFilled
	s.hello = f.hello
	f.event.report(at, found)
	return n, true
}

// quicHeader is what stands before the payload of a packet.
type quicHeader struct {
	kind    quicType
	version uint32
	dcid    []byte
	head    int // bytes of it, without the packet number
	length  int // of the rest of the packet: number and payload
}

// readQUICHeader reads the header of a packet, which may be followed by more packets.
func readQUICHeader(b []byte) (h quicHeader, ok bool) {
	switch {
	case len(b) == 0:
		return h, false
	case b[0]&0x80 != 0:
		return readQUICLong(b)
	case b[0]&0x40 != 0:
		return quicHeader{kind: quicShort, head: 1, length: len(b) - 1}, len(b)-1 <= 0xffff
	}
	return readQUICPublic(b)
}

// readQUICPublic reads the header that Google QUIC had up to Q043.
func readQUICPublic(b []byte) (h quicHeader, ok bool) {
	const hasVersion, hasNonce, hasConnection = 0x01, 0x04, 0x08
	flags, r := b[0], quicReader{b[1:]}
	h.kind = quicShort
	if flags&hasConnection != 0 {
		h.dcid = r.take(8)
	} else if flags&hasNonce != 0 {
		r.take(32)
	}
	if flags&hasVersion != 0 {
		h.kind = quicInitial
		if v := r.take(4); v != nil {
			h.version = binary.BigEndian.Uint32(v)
		}
	}
	r.take(1 + uint64(flags&0x30)>>4) // the packet number
	if flags&hasConnection != 0 {
		r.take(12) // the hash of the message
	}
	h.head, h.length = len(b)-len(r.b), len(r.b)
	return h, r.b != nil && h.length <= 0xffff
}

// readQUICLong reads a long header: RFC 9000 section 17.2, its drafts, and Google QUIC from Q044.
func readQUICLong(b []byte) (h quicHeader, ok bool) {
	first, r := b[0], quicReader{b[1:]}
	v := r.take(4)
	if v == nil {
		return h, false
	}
	h.version = binary.BigEndian.Uint32(v)
	google := h.version >= 'Q'<<24|'0'<<16|'4'<<8|'3' && h.version <= 'Q'<<24|'0'<<16|'4'<<8|'6'
	if h.kind, ok = quicLongType(h.version, first); !ok {
		return h, false
	}
	if google {
		lengths := r.take(1)
		if lengths == nil {
			return h, false
		}
		h.dcid = r.take(googleLength(lengths[0] >> 4))
		r.take(googleLength(lengths[0] & 15))
	} else {
		for i := range 2 {
			n := r.take(1)
			if n == nil {
				return h, false
			}
			if id := r.take(uint64(n[0])); i == 0 {
				h.dcid = id
			}
		}
	}
	if r.b == nil {
		return h, false
	}
	h.length = -1
	switch {
	case h.kind == quicRetry:
		r.take(uint64(len(r.b))) // token and tag
	case h.kind == quicInitial && google:
		r.take(4 + 12) // packet number, hash of the message
	case h.kind == quicInitial:
		r.take(r.number()) // the token
		n := r.number()
		if r.b == nil || n > uint64(len(r.b)) || n > 0xffff {
			return h, false
		}
		h.length = int(n)
	}
	if h.length < 0 {
		h.length = len(r.b)
	}
	h.head = len(b) - len(r.b)
	return h, r.b != nil && h.length <= 0xffff
}

// googleLength is the length of a connection identifier in Google QUIC, from its 4 bits.
func googleLength(bits byte) uint64 {
	if bits == 0 {
		return 0
	}
	return uint64(bits) + 3
}

// quicLongType returns the type in the first byte of a long header.
func quicLongType(version uint32, first byte) (quicType, bool) {
	switch {
	case version == 0:
		return quicNegotiation, true
	case version >= 'Q'<<24|'0'<<16|'4'<<8|'3' && version <= 'Q'<<24|'0'<<16|'4'<<8|'5':
		switch first & 0x7f {
		case 0x7f:
			return quicInitial, true
		case 0x7e:
			return quicRetry, true
		case 0x7d:
			return quicHandshake, true
		case 0x7c:
			return quicZeroRTT, true
		}
		return 0, false
	case version == quicV2:
		return [4]quicType{quicRetry, quicInitial, quicZeroRTT, quicHandshake}[first>>4&3], true
	}
	return [4]quicType{quicInitial, quicZeroRTT, quicHandshake, quicRetry}[first>>4&3], true
}

// quicReader takes fields from the front of b. After one that is not there b is nil.
type quicReader struct{ b []byte }

func (r *quicReader) take(n uint64) []byte {
	if r.b == nil || n > uint64(len(r.b)) {
		r.b = nil
		return nil
	}
	field := r.b[:n:n]
	r.b = r.b[n:]
	return field
}

// number takes an integer of variable length (RFC 9000 section 16).
func (r *quicReader) number() uint64 {
	if len(r.b) == 0 {
		r.b = nil
		return 0
	}
	b := r.take(1 << (r.b[0] >> 6))
	if b == nil {
		return 0
	}
	v := uint64(b[0] & 0x3f)
	for _, c := range b[1:] {
		v = v<<8 | uint64(c)
	}
	return v
}

// quicVersionName is how EVE has a version.
func quicVersionName(v uint32) string {
	switch v {
	case quicV2:
		return "v2"
	case 0x51303339, 0x51303433, 0x51303434, 0x51303435, 0x51303436:
		return string([]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
	}
	return strconv.FormatUint(uint64(v), 16)
}
