package pcap

import (
	"encoding/binary"
	"fmt"

	"dragonfly/engine/packet"
)

// Magic numbers of pcap files (https://www.ietf.org/archive/id/draft-ietf-opsawg-pcap-04.html), in the writer's byte order.
const (
	magicMicro    = 0xa1b2c3d4
	magicNano     = 0xa1b23c4d
	magicModified = 0xa1b2cd34 // with 8 more bytes in the head of a record: interface, protocol, packet type
)

// swapping says in which order a record has the lengths: early versions wrote that of the packet first.
type swapping uint8

const (
	inOrder swapping = iota
	swapped
	maybeSwapped // version 2.3: some did, some did not
)

// openPcap reads the head of a pcap file.
func (r *Reader) openPcap(head []byte) error {
	magic := binary.LittleEndian.Uint32(head)
	if head[0] == 0xa1 {
		r.big, magic = true, binary.BigEndian.Uint32(head)
	}
	r.head, r.unit = 16, 1000
	switch magic {
	case magicMicro:
	case magicNano:
		r.unit = 1
	case magicModified:
		r.head = 24
	default:
		return fmt.Errorf("no capture: it begins with % x, want pcap or pcapng, perhaps packed with gzip or zstd", head[:4])
	}
	major, minor := r.uint16(head[4:]), r.uint16(head[6:])
	switch {
	case major == 2 && minor < 3, major == 543 && minor == 0: // 543: DG/UX tcpdump
		r.swap = swapped
	case major == 2 && minor == 3:
		r.swap = maybeSwapped
	case major == 2 && minor == 4:
	default:
		return fmt.Errorf("capture of version %d.%d, want 2.0 to 2.4", major, minor)
	}
	if r.snap = r.uint32(head[16:]); r.snap == 0 || r.snap > MaxFrame {
		r.snap = MaxFrame
	}
	// The upper 16 bits say how long the checksum behind each frame is. It stays part of the frame, as in libpcap.
	r.frame.LinkType = packet.LinkType(r.uint32(head[20:]))
	r.pos += len(head[:24])
	return nil
}

// record reads the head of a pcap record.
func (r *Reader) record(b []byte) (captured, length, seconds, fraction uint32) {
	b = b[:16]
	if r.big {
		seconds, fraction = binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])
		captured, length = binary.BigEndian.Uint32(b[8:]), binary.BigEndian.Uint32(b[12:])
	} else {
		seconds, fraction = binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
		captured, length = binary.LittleEndian.Uint32(b[8:]), binary.LittleEndian.Uint32(b[12:])
	}
	if r.swap == swapped || r.swap == maybeSwapped && captured > length {
		captured, length = length, captured
	}
	return captured, length, seconds, fraction
}
