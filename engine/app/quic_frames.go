package app

// quicFrames reads the frames of one Initial packet (RFC 9000 section 19, and those of Google QUIC) into an event.
type quicFrames struct {
	event quicEvent
	hello bool // a whole ClientHello or ServerHello was there

	crypto []byte // begin of a hello as earlier packets left it
	filled uint32 // how many bytes of it have come, counted with repetitions
	pieces []quicPiece

	// What the next packet finds in crypto and filled.
	kept       []byte
	keptFilled uint32
}

// quicPiece is the data of a CRYPTO frame that is not a whole hello.
type quicPiece struct {
	offset uint64
	data   []byte
}

// read reports false if a frame is broken; then nothing of the packet counts.
func (f *quicFrames) read(b []byte) bool {
	r := quicReader{b}
	for len(r.b) > 0 {
		kind := r.take(1)[0]
		if kind&0x80 != 0 {
			f.stream(&r, kind)
		} else if !f.frame(&r, kind) {
			return false
		}
		if r.b == nil {
			return false
		}
	}
	f.assemble()
	return true
}

func (f *quicFrames) frame(r *quicReader, kind byte) bool {
	switch kind {
	case 0x00: // PADDING
		for len(r.b) > 0 && r.b[0] == 0 {
			r.b = r.b[1:]
		}
	case 0x01: // PING
	case 0x02:
		ack(r)
	case 0x03: // with the counts of ECN
		ack(r)
		r.number()
		r.number()
		r.number()
	case 0x06: // CRYPTO
		offset := r.number()
		data := r.take(r.number())
		if data != nil {
			return f.cryptoFrame(offset, data)
		}
	case 0x08: // a stream of Google QUIC, in Q050
		r.number() // its offset
		if data := r.take(r.number()); data != nil {
			f.event.tags(data)
		}
	default:
		r.take(uint64(len(r.b))) // frames of other types do not say how long they are
	}
	return true
}

func ack(r *quicReader) {
	r.number() // the largest
	r.number() // delay
	n := r.number()
	r.number() // the first range
	for ; n > 0 && r.b != nil; n-- {
		r.number()
		r.number()
	}
}

// stream reads a STREAM frame of Google QUIC.
func (f *quicFrames) stream(r *quicReader, kind byte) {
	r.take(uint64(kind&0x03) + 1) // the stream
	if n := kind & 0x1c >> 2; n > 0 {
		r.take(uint64(n) + 1) // the offset
	}
	n := uint64(len(r.b))
	if kind&0x20 != 0 {
		b := r.take(2)
		if b == nil {
			return
		}
		n = uint64(b[0])<<8 | uint64(b[1])
	}
	if data := r.take(n); data != nil {
		f.event.tags(data)
	}
}

func (f *quicFrames) cryptoFrame(offset uint64, data []byte) bool {
	if offset == 0 {
		switch h, state := readQUICHello(data); state {
		case helloBad:
			return false
		case helloRead:
			f.take(&h)
			return true
		}
	}
	if offset+uint64(len(data)) < quicCrypto { // no hello is so long
		f.pieces = append(f.pieces, quicPiece{offset, data})
	}
	return true
}

func (f *quicFrames) take(h *quicHello) {
	f.hello = true
	f.event.hello(h)
}

// assemble puts the pieces of a hello together, those of earlier packets first. Whether all are there is decided by their
// number of bytes, as in Suricata.
func (f *quicFrames) assemble() {
	if f.hello {
		return
	}
	size, total := uint64(len(f.crypto)), uint64(0)
	for _, p := range f.pieces {
		size = max(size, p.offset+uint64(len(p.data)))
		total += uint64(len(p.data))
	}
	if total == 0 {
		f.kept, f.keptFilled = f.crypto, f.filled
		return
	}
	whole := make([]byte, size)
	copy(whole, f.crypto)
	for _, p := range f.pieces {
		copy(whole[p.offset:], p.data)
	}
	filled := total + uint64(f.filled)
	if filled >= size {
		switch h, state := readQUICHello(whole); state {
		case helloRead:
			f.take(&h)
			return
		case helloBad:
			return
		}
	}
	f.kept, f.keptFilled = whole, uint32(filled)
}
