// Package pcap reads capture files: pcap (micro- and nanoseconds, either byte order, the modified form, old versions) and
// pcapng (several sections, interfaces and link types), plain or packed with gzip or zstd.
//
// Files are read and not mapped into memory: mapping was measured, and cost up to a third more, for the faults. It is not built on a
// library: the readers that there are copy each frame, do not know the quirks of old versions that
// libpcap does, and say neither which frame is damaged nor where.
package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"

	"dragonfly/engine/packet"
)

const (
	// MaxFrame is the longest frame in bytes, as in libpcap. A capture that claims a longer one is damaged.
	MaxFrame = 256 << 10

	readLen = 256 << 10            // bytes of one read
	bufLen  = MaxFrame + 2*readLen // a frame with its head, wherever it begins, and a good read
)

// Reader reads the frames of one capture, in order. It belongs to one goroutine.
type Reader struct {
	src    *unpacker
	buf    []byte
	pos    int   // buf[pos:end] is read, and not yet used
	end    int   // of what is read
	passed int64 // bytes before buf[0]
	err    error // how src ended, told when buf is used up

	big    bool // byte order
	number uint64
	frame  packet.Frame // what all frames of a pcap file have in common
	head   int          // of a pcap record, in bytes
	unit   int64        // nanoseconds in a unit of a pcap record's fraction
	swap   swapping
	snap   uint32 // longest frame of a pcap file
	ng     *sections
}

// New reads the head of a capture. Packed captures are unpacked; Close must be called then.
func New(src io.Reader) (*Reader, error) {
	r := &Reader{}
	if err := r.Reset(src); err != nil {
		return nil, err
	}
	return r, nil
}

// Reset goes on with another capture, as New does. The zero Reader can be Reset; after an error Reset is all that it can.
func (r *Reader) Reset(src io.Reader) error {
	if r.src != nil {
		r.Close()
	}
	buf := r.buf
	if buf == nil {
		buf = make([]byte, bufLen)
	}
	*r = Reader{src: &unpacker{src: src}, buf: buf}
	err := r.open()
	if err != nil {
		r.Close()
	}
	return err
}

func (r *Reader) open() error {
	head, err := r.need(24)
	if err != nil {
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("no capture: it has only %d bytes: %w", len(head), io.ErrUnexpectedEOF)
		}
		return err
	}
	if binary.LittleEndian.Uint32(head) == blockSection {
		r.ng = &sections{}
		return nil
	}
	return r.openPcap(head)
}

// Next reads the next frame into f. Its Data is a part of the reader's buffer, valid until the next call. At the end of
// the capture it returns io.EOF. Any other error ends the capture too and names frame and offset, the latter in the
// unpacked capture; it is an io.ErrUnexpectedEOF where the capture is cut off. After an error of the source Next may be called
// again: it goes on with the same frame.
func (r *Reader) Next(f *packet.Frame) error {
	if r.ng != nil {
		return r.nextBlock(f)
	}
	b := r.buf[r.pos:r.end]
	if len(b) < r.head {
		var err error
		if b, err = r.need(r.head); err != nil {
			return r.ended(err)
		}
	}
	captured, length, seconds, fraction := r.record(b)
	keep := captured
	if captured > r.snap {
		if captured > MaxFrame {
			return r.damaged("claims to be %d bytes long, more than %d", captured, MaxFrame)
		}
		keep = r.snap // as libpcap does
	}
	n := r.head + int(captured)
	if len(b) < n {
		var err error
		if b, err = r.need(n); err != nil {
			return r.ended(err)
		}
	}
	r.pos += n
	r.number++
	*f = r.frame
	f.Time, f.Data, f.Len, f.Number = int64(seconds)*1e9+int64(fraction)*r.unit, b[r.head:r.head+int(keep):n], int(length), r.number
	return nil
}

// Offset returns the position in the unpacked capture behind the last frame.
func (r *Reader) Offset() int64 { return r.passed + int64(r.pos) }

// Frames returns how many frames were read.
func (r *Reader) Frames() uint64 { return r.number }

// Dropped returns how many frames were lost when the capture was made, as far as pcapng says.
func (r *Reader) Dropped() uint64 {
	if r.ng == nil {
		return 0
	}
	return r.ng.dropped()
}

// Close frees what unpacking needs. The source is the caller's.
func (r *Reader) Close() error {
	if r.src == nil {
		return nil
	}
	return r.src.close()
}

// need returns what stands at pos: at least n bytes, at most MaxFrame+readLen. With an error, io.EOF if there are none and
// io.ErrUnexpectedEOF if there are fewer, it returns those that there are.
func (r *Reader) need(n int) ([]byte, error) {
	for r.end-r.pos < n {
		if r.err != nil {
			b := r.buf[r.pos:r.end]
			if r.err == io.EOF && len(b) > 0 {
				return b, io.ErrUnexpectedEOF
			}
			return b, r.err
		}
		if len(r.buf)-r.end < readLen {
			r.passed += int64(r.pos)
			r.end = copy(r.buf, r.buf[r.pos:r.end])
			r.pos = 0
		}
		got, err := r.src.Read(r.buf[r.end:])
		r.end += got
		switch {
		case err == io.EOF || errors.Is(err, io.ErrUnexpectedEOF):
			r.err = err
		case err == nil && got == 0:
			err = io.ErrNoProgress
			fallthrough
		case err != nil && r.end-r.pos < n: // it may be tried again
			return r.buf[r.pos:r.end], err
		}
	}
	return r.buf[r.pos:r.end], nil
}

// discard passes over n bytes.
func (r *Reader) discard(n int64) error {
	for {
		have := min(n, int64(r.end-r.pos))
		r.pos += int(have)
		if n -= have; n == 0 {
			return nil
		}
		if _, err := r.need(1); err != nil {
			return err
		}
	}
}

// ended returns the error for a capture that ends at pos.
func (r *Reader) ended(err error) error {
	switch err {
	case io.EOF:
		return err
	case io.ErrUnexpectedEOF:
		return r.wrap("the capture is cut off", err)
	}
	return r.wrap("reading", err)
}

func (r *Reader) wrap(what string, err error) error {
	return fmt.Errorf("frame %d at byte %d: %s: %w", r.number+1, r.Offset(), what, err)
}

// ErrDamaged is in the error of a capture whose bytes make no sense.
var ErrDamaged = errors.New("the capture is damaged")

func (r *Reader) damaged(format string, args ...any) error {
	return fmt.Errorf("%w: frame %d at byte %d %s", ErrDamaged, r.number+1, r.Offset(), fmt.Sprintf(format, args...))
}

// uint16 and uint32 read numbers in the byte order of the capture.
func (r *Reader) uint16(b []byte) uint16 {
	if r.big {
		return binary.BigEndian.Uint16(b)
	}
	return binary.LittleEndian.Uint16(b)
}

func (r *Reader) uint32(b []byte) uint32 {
	if r.big {
		return binary.BigEndian.Uint32(b)
	}
	return binary.LittleEndian.Uint32(b)
}

func (r *Reader) uint64(b []byte) uint64 {
	if r.big {
		return binary.BigEndian.Uint64(b)
	}
	return binary.LittleEndian.Uint64(b)
}
