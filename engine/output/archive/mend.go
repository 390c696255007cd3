package archive

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"strconv"

	"github.com/klauspost/compress/gzip"

	"dragonfly/engine/lazyjson"
	"dragonfly/engine/output/internal/files"
)

// mend looks at the end of a file that was there: a process that was killed in the middle of a write leaves a piece of a
// line, a gzip member or a zstd frame, behind which nothing could be read. It is cut off: what it held was not acked and
// comes again. A last line that is complete but for its line end gets that.
func (o *output) mend(f *file) error {
	if f.end == 0 {
		return nil
	}
	whole, err := o.wholeEnd(f)
	if err != nil || whole == f.end {
		return err
	}
	path := filepath.Join(o.dir, f.name)
	if f.packing != plain && !torn(f, f.packing, whole, f.end) {
		return errDamaged
	}
	if whole < 0 {
		o.log.Warn("the file did not end with a line end: added", "path", path)
		n, err := f.Write([]byte{'\n'})
		f.end += int64(n)
		return err
	}
	o.log.Warn("the file ended in a piece of a batch, left by a process that was killed: cut off, its events come again", "path", path, "bytes", f.end-whole)
	f.end = whole
	return f.Truncate(whole)
}

// errDamaged says that a compressed file cannot be appended to: there is more wrong than a write that was cut short.
var errDamaged = errors.New("the file is damaged, or not what its name says")

// torn reports whether what stands behind whole is one write of ours that was cut short: not more than that, not of another
// program, and with nothing behind it that is whole.
func torn(r io.ReaderAt, how packing, whole, size int64) bool {
	if size-whole > files.MaxPiece {
		return false
	}
	piece := make([]byte, size-whole)
	if _, err := r.ReadAt(piece, whole); err != nil {
		return false
	}
	head := []byte("\x1f\x8b\x08\x04") // as encode begins a member
	if how == zst {
		head = []byte("\x28\xb5\x2f\xfd")
	}
	n := min(len(piece), len(head))
	if !bytes.Equal(piece[:n], head[:n]) && bytes.Trim(piece, "\x00") != nil {
		return false
	}
	for at := 1; ; at++ {
		i := bytes.Index(piece[min(at, len(piece)):], head)
		if i < 0 {
			return true
		}
		at += i
		off := whole + int64(at)
		length := memberLen(r, off)
		if how == zst {
			length = frameLen(r, off, size)
		}
		if length > 0 && off+length <= size {
			return false
		}
	}
}

// setAside renames a damaged file, so that a new one can be begun.
func (o *output) setAside(name string) error {
	for i := 0; ; i++ {
		to := name + ".damaged"
		if i > 0 {
			to += "-" + strconv.Itoa(i)
		}
		if _, err := o.root.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			if err != nil {
				return err
			}
			continue
		}
		o.log.Error("the file is damaged, or not what its name says: nothing can be appended to it, it is renamed and a new one is begun", "path", filepath.Join(o.dir, name), "to", filepath.Join(o.dir, to))
		return o.root.Rename(name, to)
	}
}

// wholeEnd returns up to where the file is whole; -1 if just the last line end is missing.
func (o *output) wholeEnd(f *file) (int64, error) {
	switch f.packing {
	case gz:
		return gzipEnd(f, f.end)
	case zst:
		return zstdEnd(f, f.end), nil
	}
	piece, err := files.LastPiece(f, f.end)
	switch {
	case err != nil:
		return 0, err
	case len(piece) == 0:
		return f.end, nil
	case piece[0] == '{' && lazyjson.Validate(string(piece)) != nil:
		return f.end - int64(len(piece)), nil
	}
	return -1, nil
}

// gzipEnd walks from member to member by the lengths in their headers, and unpacks those of other programs.
func gzipEnd(r io.ReaderAt, size int64) (int64, error) {
	for off := int64(0); ; {
		n := memberLen(r, off)
		if n == 0 && off < size {
			n = unpackedLen(r, off, size)
		}
		if n == 0 || off+n > size {
			return off, nil
		}
		off += n
	}
}

// unpackedLen returns the length of a gzip member by unpacking it, 0 if it is none or not whole.
func unpackedLen(r io.ReaderAt, off, size int64) int64 {
	src := &counter{r: bufio.NewReaderSize(io.NewSectionReader(r, off, size-off), 64<<10)}
	z, err := gzip.NewReader(src)
	if err != nil {
		return 0
	}
	z.Multistream(false)
	if _, err := io.Copy(io.Discard, z); err != nil {
		return 0
	}
	return src.n
}

// counter counts what is read of a reader; it is an io.ByteReader, so that gzip reads no further than it needs.
type counter struct {
	r *bufio.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}

func (c *counter) ReadByte() (byte, error) {
	b, err := c.r.ReadByte()
	if err == nil {
		c.n++
	}
	return b, err
}

func zstdEnd(r io.ReaderAt, size int64) (off int64) {
	for {
		n := frameLen(r, off, size)
		if n == 0 {
			return off
		}
		off += n
	}
}
