package archive

import (
	"encoding/binary"
	"io"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"dragonfly/engine"
)

// packing is how a file is compressed: by the end of its name.
type packing int

const (
	plain packing = iota
	gz            // each batch a gzip member, with its length in the header
	zst           // each batch a zstd frame
)

func packingOf(path string) packing {
	switch {
	case strings.HasSuffix(path, ".gz"):
		return gz
	case strings.HasSuffix(path, ".zst"):
		return zst
	}
	return plain
}

// A member's header has an extra field (RFC 1952 2.3.1.1) with the member's length, so that its end is found without
// unpacking it.
const (
	extraID   = "DF"
	extraLen  = 8  // "DF", 4, 0, length of the member as 32 bits
	lengthOff = 16 // of the length in the member
)

// encoder makes what is appended to a file for a batch. Its buffers are reused.
type encoder struct {
	plain, packed []byte
	gz            *gzip.Writer
	zst           *zstd.Encoder
}

func (z *encoder) encode(how packing, events []engine.Event) ([]byte, error) {
	if cap(z.plain) > 8<<20 {
		z.plain, z.packed = nil, nil
	}
	z.plain = z.plain[:0]
	for i := range events {
		z.plain = append(z.plain, events[i].Body...)
		z.plain = append(z.plain, '\n')
	}
	switch how {
	case gz:
		return z.gzip()
	case zst:
		if z.zst == nil {
			var err error
			if z.zst, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true)); err != nil {
				return nil, err
			}
		}
		z.packed = z.zst.EncodeAll(z.plain, z.packed[:0])
		return z.packed, nil
	}
	return z.plain, nil
}

func (z *encoder) gzip() ([]byte, error) {
	z.packed = z.packed[:0]
	w := (*appender)(&z.packed)
	if z.gz == nil {
		z.gz = gzip.NewWriter(w)
	}
	z.gz.Reset(w)
	z.gz.ModTime = time.Unix(0, 0) // none
	z.gz.Extra = []byte(extraID + "\x04\x00\x00\x00\x00\x00")
	if _, err := z.gz.Write(z.plain); err != nil {
		return nil, err
	}
	if err := z.gz.Close(); err != nil {
		return nil, err
	}
	binary.LittleEndian.PutUint32(z.packed[lengthOff:], uint32(len(z.packed)))
	return z.packed, nil
}

type appender []byte

func (a *appender) Write(b []byte) (int, error) { *a = append(*a, b...); return len(b), nil }

// memberLen returns the length of the gzip member that begins at off, 0 if it is not known.
func memberLen(r io.ReaderAt, off int64) int64 {
	var head [lengthOff + 4]byte
	if _, err := r.ReadAt(head[:], off); err != nil {
		return 0
	}
	if head[0] != 0x1f || head[1] != 0x8b || head[2] != 8 || head[3]&4 == 0 || head[10] != extraLen || head[11] != 0 || string(head[12:16]) != extraID+"\x04\x00" {
		return 0
	}
	return int64(binary.LittleEndian.Uint32(head[lengthOff:]))
}

// frameLen returns the length of the zstd frame that begins at off (RFC 8878 3.1), 0 if it is none or not whole.
func frameLen(r io.ReaderAt, off, size int64) int64 {
	var head [18]byte
	n, err := r.ReadAt(head[:], off)
	if err != nil && err != io.EOF || n < 6 {
		return 0
	}
	switch magic := binary.LittleEndian.Uint32(head[:]); {
	case magic&^15 == 0x184d2a50: // skippable
		if n < 8 || off+8+int64(binary.LittleEndian.Uint32(head[4:])) > size {
			return 0
		}
		return 8 + int64(binary.LittleEndian.Uint32(head[4:]))
	case magic != 0xfd2fb528:
		return 0
	}
	desc := head[4]
	at := off + 5 + []int64{0, 1, 2, 4}[desc&3]
	single := desc&32 != 0
	switch {
	case desc>>6 == 0 && single:
		at++
	case desc>>6 != 0:
		at += 1 << (desc >> 6)
	}
	if !single {
		at++
	}
	for {
		var b [3]byte
		if _, err := r.ReadAt(b[:], at); err != nil {
			return 0
		}
		block := uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16
		length := int64(block >> 3)
		if block>>1&3 == 1 { // one byte, repeated
			length = 1
		}
		if at += 3 + length; block&1 != 0 {
			break
		}
	}
	if desc&4 != 0 {
		at += 4 // checksum
	}
	if at > size {
		return 0
	}
	return at - off
}
