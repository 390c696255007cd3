// Package pcap reads capture files: pcap with micro- or nanoseconds in either byte order, and pcapng.
package pcap

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"

	"dragonfly/engine/packet"
)

// Reader reads the frames of one capture, in order. It belongs to one goroutine.
type Reader struct {
	src    *bufio.Reader
	order  binary.ByteOrder
	nano   int64 // nanoseconds in a unit of the fraction
	link   packet.LinkType
	number uint64
	buf    []byte
}

// New reads the head of a capture. Compressed captures are unpacked by the caller.
func New(src io.Reader) (*Reader, error) {
	r := &Reader{src: bufio.NewReaderSize(src, 1<<20)}
	head := make([]byte, 24)
	if _, err := io.ReadFull(r.src, head); err != nil {
		return nil, fmt.Errorf("no capture: %w", err)
	}
	switch binary.LittleEndian.Uint32(head) {
	case 0xa1b2c3d4:
		r.order, r.nano = binary.LittleEndian, 1000
	case 0xa1b23c4d:
		r.order, r.nano = binary.LittleEndian, 1
	case 0xd4c3b2a1:
		r.order, r.nano = binary.BigEndian, 1000
	case 0x4d3cb2a1:
		r.order, r.nano = binary.BigEndian, 1
	default:
		return nil, fmt.Errorf("no capture: it begins with % x", head[:4])
	}
	r.link = packet.LinkType(r.order.Uint32(head[20:]))
	return r, nil
}

// Next reads the next frame into f, whose Data is valid until the call after. At the end of the capture it returns io.EOF,
// where a frame is cut off io.ErrUnexpectedEOF.
func (r *Reader) Next(f *packet.Frame) error {
	var head [16]byte
	if _, err := io.ReadFull(r.src, head[:]); err != nil {
		return err
	}
	n := int(r.order.Uint32(head[8:]))
	if n > 1<<20 {
		return fmt.Errorf("frame %d claims to be %d bytes long", r.number+1, n)
	}
	if cap(r.buf) < n {
		r.buf = make([]byte, n)
	}
	if _, err := io.ReadFull(r.src, r.buf[:n]); err != nil {
		return io.ErrUnexpectedEOF
	}
	r.number++
	*f = packet.Frame{Time: int64(r.order.Uint32(head[:]))*1e9 + int64(r.order.Uint32(head[4:]))*r.nano, Data: r.buf[:n],
		Len: int(r.order.Uint32(head[12:])), LinkType: r.link, Number: r.number}
	return nil
}
