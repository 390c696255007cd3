package forward

import (
	"encoding/binary"
	"errors"
)

var (
	errTooLong = errors.New("the message is longer than max_message")
	errInvalid = errors.New("not MessagePack: the byte 0xc1")
)

// extent finds where a MessagePack object ends in bytes that are still coming. It neither recurses nor allocates, whatever the
// object claims to hold.
type extent struct {
	pos  int   // behind the headers and texts that are passed
	more int64 // objects still to come, beyond the first
	any  bool  // the first has begun
}

// end returns the length of the object that b begins with; 0 if it goes on behind b: then it is called again with more bytes. An
// object that must be longer than most is errTooLong.
func (e *extent) end(b []byte, most int) (int, error) {
	for !e.any || e.more > 0 {
		if e.pos >= len(b) {
			return 0, e.limit(most)
		}
		head, size, children, err := header(b[e.pos:])
		if err != nil {
			return 0, err
		}
		if head == 0 {
			return 0, e.limit(most)
		}
		if e.any {
			e.more--
		}
		e.any = true
		e.pos += head + size
		e.more += children
		if err := e.limit(most); err != nil {
			return 0, err
		}
	}
	if e.pos > len(b) {
		return 0, nil
	}
	return e.pos, nil
}

// limit: each object to come has one byte at least.
func (e *extent) limit(most int) error {
	if int64(e.pos)+e.more > int64(most) {
		return errTooLong
	}
	return nil
}

// header reads the header of the object that b begins with: its length (0: not all of it is here), how many bytes of text follow
// it, and how many objects.
func header(b []byte) (head, size int, children int64, err error) {
	c := b[0]
	switch {
	case c <= 0x7f || c >= 0xe0 || c == 0xc0 || c == 0xc2 || c == 0xc3: // small numbers, nil, booleans
		return 1, 0, 0, nil
	case c <= 0x8f:
		return 1, 0, 2 * int64(c&15), nil
	case c <= 0x9f:
		return 1, 0, int64(c & 15), nil
	case c <= 0xbf:
		return 1, int(c & 31), 0, nil
	case c == 0xc1:
		return 0, 0, 0, errInvalid
	case c >= 0xca && c <= 0xd3: // float32, float64, uint8 ... uint64, int8 ... int64
		return 1, int([...]byte{4, 8, 1, 2, 4, 8, 1, 2, 4, 8}[c-0xca]), 0, nil
	case c >= 0xd4 && c <= 0xd8: // fixext: the type, 1 ... 16 bytes
		return 1, 1 + 1<<(c-0xd4), 0, nil
	}
	width := [...]byte{1, 2, 4}
	var n int
	read := func(i byte) bool {
		w := int(width[i])
		if len(b) < 1+w {
			return false
		}
		switch w {
		case 1:
			n = int(b[1])
		case 2:
			n = int(binary.BigEndian.Uint16(b[1:]))
		default:
			n = int(binary.BigEndian.Uint32(b[1:]))
		}
		head = 1 + w
		return true
	}
	switch {
	case c <= 0xc6: // bin
		if read(c - 0xc4) {
			return head, n, 0, nil
		}
	case c <= 0xc9: // ext: the type is one byte more
		if read(c - 0xc7) {
			return head, n + 1, 0, nil
		}
	case c <= 0xdb: // str
		if read(c - 0xd9) {
			return head, n, 0, nil
		}
	case c <= 0xdd: // array
		if read(c - 0xdc + 1) {
			return head, 0, int64(n), nil
		}
	default: // map
		if read(c - 0xde + 1) {
			return head, 0, 2 * int64(n), nil
		}
	}
	return 0, 0, 0, nil
}
