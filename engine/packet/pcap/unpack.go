package pcap

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// maxWindow is the most memory in bytes that a zstd file may ask for: what `zstd --long=27` writes.
const maxWindow = 128 << 20

// unpacker reads a source that is plain, or packed with gzip or zstd, which its first bytes tell.
type unpacker struct {
	src    io.Reader
	out    io.Reader // nil before the first Read
	packed string    // "gzip", "zstd" or ""
	zstd   *zstd.Decoder
}

func (u *unpacker) Read(b []byte) (int, error) {
	if u.out == nil {
		if err := u.open(); err != nil {
			return 0, err
		}
	}
	n, err := u.out.Read(b)
	if err != nil && err != io.EOF && u.packed != "" && !errors.Is(err, io.ErrUnexpectedEOF) {
		err = fmt.Errorf("%s: %w", u.packed, err)
	}
	return n, err
}

func (u *unpacker) open() error {
	magic := make([]byte, 4)
	n, err := io.ReadFull(u.src, magic)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return err
	}
	magic = magic[:n]
	all := io.MultiReader(bytes.NewReader(magic), u.src)
	switch {
	case bytes.HasPrefix(magic, []byte{0x1f, 0x8b}):
		u.packed = "gzip"
		if u.out, err = gzip.NewReader(all); err != nil {
			return fmt.Errorf("gzip: %w", err)
		}
	case bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		u.packed = "zstd"
		u.zstd, err = zstd.NewReader(all, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(maxWindow))
		if err != nil {
			return fmt.Errorf("zstd: %w", err)
		}
		u.out = u.zstd
	default:
		u.out = all
	}
	return nil
}

func (u *unpacker) close() error {
	if u.zstd != nil {
		u.zstd.Close()
	}
	return nil
}
