package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"time"
)

// A segment is a file of frames behind a header. All numbers are little endian.
//
//	header  0 "dfspool"  7 version  8 sequence  16 number of the first event  24 zero  28 CRC32C of bytes 0 to 28
//	frame   0 magic  4 length of the payload  8 number of the event  16 time (ms since 1970)  24 length of the origin
//	        26 kind  28 CRC32C of the payload  32 CRC32C of sequence and bytes 0 to 32, then the payload: origin, body
//
// Lengths have a checksum of their own, so that a damaged body costs one event and no search. The magic holds bytes that
// no JSON text holds: where a frame's header is damaged the next one is found by it. The sequence in the checksum keeps
// frames of another file, or pieces of a file that was there before, from being taken for ours.
const (
	version   = 1
	headerLen = 32
	frameLen  = 36

	kindEvent = 0
	kindGap   = 1 // what is missing before this number is known to be lost (Repair)

	maxPayload = math.MaxInt32
	maxID      = 1 << 62
)

var (
	segmentMagic = []byte("dfspool")
	frameMagic   = []byte{0x00, 0x1e, 'D', 'F'}
	castagnoli   = crc32.MakeTable(crc32.Castagnoli)
	le           = binary.LittleEndian
)

var errHeader = errors.New("its header is damaged")

// newerError says that a later version of this program wrote a segment.
type newerError byte

func (v newerError) Error() string {
	return fmt.Sprintf("format %d, this program reads %d", byte(v), version)
}

func appendHeader(b []byte, seq, first uint64) []byte {
	start := len(b)
	b = append(b, segmentMagic...)
	b = append(b, version)
	b = le.AppendUint64(b, seq)
	b = le.AppendUint64(b, first)
	b = le.AppendUint32(b, 0)
	return le.AppendUint32(b, checksum(b[start:]))
}

// parseHeader returns the number of the segment's first event.
func parseHeader(b []byte, seq uint64) (first uint64, err error) {
	if len(b) < headerLen || !bytes.Equal(b[:7], segmentMagic) || le.Uint32(b[28:]) != checksum(b[:28]) {
		return 0, errHeader
	}
	if b[7] != version {
		return 0, newerError(b[7])
	}
	if first = le.Uint64(b[16:]); le.Uint64(b[8:]) != seq || first == 0 || first > maxID {
		return 0, errHeader
	}
	return first, nil
}

// frame is one event in a segment.
type frame struct {
	id   uint64
	kind uint16
	Entry
}

// sizeOf is the length of an entry's frame.
func sizeOf(e *Entry) int64 { return frameLen + int64(len(shortOrigin(e.Origin))) + int64(len(e.Body)) }

func shortOrigin(s string) string { return s[:min(len(s), math.MaxUint16)] }

func appendFrame(b []byte, seq, id uint64, kind uint16, e *Entry) []byte {
	start, origin := len(b), shortOrigin(e.Origin)
	b = append(b, frameMagic...)
	b = le.AppendUint32(b, uint32(len(origin)+len(e.Body)))
	b = le.AppendUint64(b, id)
	b = le.AppendUint64(b, uint64(e.Time.UnixMilli()))
	b = le.AppendUint16(b, uint16(len(origin)))
	b = le.AppendUint16(b, kind)
	b = append(b, "12345678"...) // both checksums, below
	b = append(b, origin...)
	b = append(b, e.Body...)
	h := b[start:]
	le.PutUint32(h[28:], checksum(h[frameLen:]))
	le.PutUint32(h[32:], headSum(h, seq))
	return b
}

// headSum is the checksum of a frame's own header.
func headSum(h []byte, seq uint64) uint32 {
	var s [8]byte
	le.PutUint64(s[:], seq)
	return crc32.Update(crc32.Checksum(s[:], castagnoli), castagnoli, h[:32])
}

// reader finds the frames of one segment.
type reader struct {
	src io.ReaderAt
	seq uint64
	off int64 // of buf[at] in the file
	end int64 // nothing behind it is read
	buf []byte
	at  int

	lastBad uint64 // highest number of an event whose payload is damaged
}

// newReader reads the frames of a segment between its header and end.
func newReader(src io.ReaderAt, seq uint64, end int64) *reader {
	return &reader{src: src, seq: seq, off: headerLen, end: max(end, headerLen)}
}

// next returns the next frame, and how many bytes before it were none. The error is io.EOF at the end; skipped counts then too.
func (r *reader) next() (f frame, skipped int64, err error) {
	for {
		if left := r.end - r.off; left < frameLen {
			r.off = r.end
			return frame{}, skipped + left, io.EOF
		}
		h, err := r.peek(frameLen)
		if err != nil {
			return frame{}, skipped, err
		}
		if len(h) < frameLen {
			continue // the file was shorter than it should be
		}
		n := frameLen + int64(le.Uint32(h[4:]))
		if !bytes.Equal(h[:4], frameMagic) || le.Uint32(h[32:]) != headSum(h, r.seq) || n > r.end-r.off || !plausible(h) {
			k, err := r.search()
			if skipped += k; err != nil {
				return frame{}, skipped, err
			}
			continue
		}
		b, err := r.peek(int(n))
		if err != nil {
			return frame{}, skipped, err
		}
		if int64(len(b)) < n {
			continue
		}
		id := le.Uint64(b[8:])
		sound := crc32.Checksum(b[frameLen:], castagnoli) == le.Uint32(b[28:])
		if sound {
			body := string(b[frameLen:])
			cut := int(le.Uint16(b[24:]))
			f = frame{id: id, kind: le.Uint16(b[26:]), Entry: Entry{Origin: body[:cut], Body: body[cut:], Time: time.UnixMilli(int64(le.Uint64(b[16:]))), ID: id}}
		}
		r.at += int(n)
		r.off += n
		if sound {
			return f, skipped, nil
		}
		r.lastBad = max(r.lastBad, id)
		skipped += n
	}
}

// plausible reports whether a header with a right checksum can be one that this version wrote.
func plausible(h []byte) bool {
	id, length := le.Uint64(h[8:]), le.Uint32(h[4:])
	return id > 0 && id <= maxID && length <= maxPayload && uint32(le.Uint16(h[24:])) <= length && le.Uint16(h[26:]) <= kindGap
}

// search goes to the next magic behind this place, and returns how far that is.
func (r *reader) search() (skipped int64, err error) {
	step := func(n int) {
		r.at += n
		r.off += int64(n)
		skipped += int64(n)
	}
	step(1)
	for r.end-r.off >= frameLen {
		b, err := r.peek(int(min(r.end-r.off, 64<<10)))
		if err != nil {
			return skipped, err
		}
		if i := bytes.Index(b, frameMagic); i >= 0 {
			step(i)
			return skipped, nil
		}
		step(max(len(b)-len(frameMagic)+1, 0))
	}
	return skipped, nil
}

// readLen is how much is read at once.
const readLen = 256 << 10

// peek returns the next n bytes without moving on; fewer, and end moved there, if the file ends before.
func (r *reader) peek(n int) ([]byte, error) {
	if len(r.buf)-r.at >= n {
		return r.buf[r.at : r.at+n], nil
	}
	have := copy(r.buf, r.buf[r.at:])
	r.at = 0
	want := int(min(r.end-r.off, int64(max(n, readLen))))
	if cap(r.buf) < want {
		r.buf = append(make([]byte, 0, want), r.buf[:have]...)
	}
	got, err := r.src.ReadAt(r.buf[have:want], r.off+int64(have))
	r.buf = r.buf[:have+got]
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(r.buf) < n {
		r.end = r.off + int64(len(r.buf))
	}
	return r.buf[:min(n, len(r.buf))], nil
}

// extend lets the reader go on to a later end of the same file.
func (r *reader) extend(end int64) { r.end = max(r.end, end) }

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }
