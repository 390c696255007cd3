package tail

import (
	"bufio"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/zstd"

	"dragonfly/engine"
	"dragonfly/engine/input/lines"
)

// unpacker reads the content of a packed file.
type unpacker interface {
	io.Reader
	Close() error
}

// restarting stands for an unpacker that must be made anew, and then skip to offset.
type restarting struct{ offset int64 }

func (restarting) Read([]byte) (int, error) { return 0, io.ErrNoProgress }
func (restarting) Close() error             { return nil }

// unpackFrom returns the content of file behind offset, and what stands before it.
func unpackFrom(file *os.File, offset int64) (u unpacker, before []byte, err error) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, nil, err
	}
	b := bufio.NewReaderSize(file, 64<<10)
	magic, _ := b.Peek(4)
	switch {
	case strings.HasPrefix(string(magic), "\x1f\x8b"):
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, nil, err
		}
		u = z
	case string(magic) == "\x28\xb5\x2f\xfd":
		z, err := zstd.NewReader(b, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, nil, err
		}
		u = z.IOReadCloser()
	default:
		return nil, nil, errors.New("is neither gzip nor zstd")
	}
	before = make([]byte, min(offset, lines.MarkLen))
	if _, err = io.CopyN(io.Discard, u, offset-int64(len(before))); err == nil {
		_, err = io.ReadFull(u, before)
	}
	if err != nil {
		u.Close()
		return nil, nil, err
	}
	return u, before, nil
}

// unpackedHead returns the first bytes of the content of file.
func unpackedHead(file *os.File) ([]byte, error) {
	u, _, err := unpackFrom(file, 0)
	if err != nil {
		return nil, err
	}
	defer u.Close()
	head := make([]byte, lines.FingerprintLen)
	n, err := io.ReadFull(u, head)
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		err = nil
	}
	return head[:n], err
}

// unpackedSize returns how long the content of file says it is; ok is false where it does not say.
func unpackedSize(file *os.File, info os.FileInfo) (size int64, ok bool) {
	head := make([]byte, zstd.HeaderMaxSize)
	n, _ := file.ReadAt(head, 0)
	if head = head[:n]; strings.HasPrefix(string(head), "\x1f\x8b") {
		var tail [4]byte
		if info.Size() >= 4<<20 || info.Size() < 18 {
			return 0, false // the field counts modulo 4 GiB, and gzip packs 1032 to 1 at best
		}
		if _, err := file.ReadAt(tail[:], info.Size()-4); err != nil {
			return 0, false
		}
		return int64(binary.LittleEndian.Uint32(tail[:])), true
	}
	var h zstd.Header
	if err := h.Decode(head); err != nil || !h.HasFCS {
		return 0, false
	}
	return int64(h.FrameContentSize), true
}

// claimPacked goes on in a packed file with p, if it holds p's file. It reports whether the file is now accounted for; else
// it
// is still the caller's.
func (in *input) claimPacked(p *past, file *os.File, info os.FileInfo, head []byte, s spot) bool {
	n := p.at.FingerprintLen
	if n == 0 || n > len(head) || lines.Hash(head[:n]) != p.at.Fingerprint {
		return false
	}
	u, before, err := unpackFrom(file, p.at.Offset)
	if err != nil || p.at.Mark != 0 && lines.Sum(before) != p.at.Mark {
		if err == nil {
			u.Close()
		}
		return false
	}
	if size, ok := unpackedSize(file, info); ok && size == p.at.Offset { // nothing is left
		u.Close()
		p.finished = true
		if p.cursor != nil {
			p.cursor.Finish()
		}
		return false
	}
	in.counts.unpacked.Add(1)
	in.log.Info("reading what was not yet read of a file that is packed now", "path", s.path(), "offset", p.at.Offset)
	f := in.followPacked(file, s, u, before, p.at)
	f.at.Inode = 0 // another file has it, or will
	if p.cursor != nil {
		f.takeOver(p.cursor)
		p.cursor = nil
	}
	in.forget(p)
	return true
}

// adoptPacked reads a packed file whose content nobody has read: it was rotated and packed while nobody looked. It
// reports whether the file is to be remembered instead, because its content is known; only then it is still the caller's.
func (in *input) adoptPacked(file *os.File, info os.FileInfo, head []byte, s spot) (known bool) {
	size, sized := unpackedSize(file, info)
	for _, f := range in.files {
		n := min(len(head), len(f.head))
		if n > 0 && string(head[:n]) == string(f.head[:n]) && (!sized || size >= f.sent) {
			return true
		}
	}
	for _, p := range in.past {
		n := p.at.FingerprintLen
		if p.finished && n > 0 && n == len(head) && lines.Hash(head) == p.at.Fingerprint && (!sized || size == p.at.Offset) {
			return true
		}
	}
	u, _, err := unpackFrom(file, 0)
	if err != nil {
		in.unreadable(s.path(), err)
		return true
	}
	in.counts.unpacked.Add(1)
	in.log.Info("reading a file that was rotated and packed before it was seen", "path", s.path())
	at := engine.Position{Path: s.path(), FingerprintLen: len(head), Fingerprint: lines.Hash(head), Device: idOf(info).dev}
	f := in.followPacked(file, s, u, nil, at)
	if in.remember {
		f.cursor = in.checkpoints.Cursor(in.tag, f.at)
	}
	return false
}

// followPacked begins to read a packed file. Its position is that of its content as if it were not packed.
func (in *input) followPacked(file *os.File, s spot, u unpacker, before []byte, at engine.Position) *followed {
	f := &followed{file: file, spot: s, at: at, unpack: u, reader: lines.New(u, at.Offset, in.max), sent: at.Offset, begun: true}
	if info, err := file.Stat(); err == nil {
		f.id = idOf(info)
	}
	f.at.Path = s.path()
	f.reader.SkipZeros = true
	f.reader.Resume(before, true)
	in.files = append(in.files, f)
	return f
}

// readPacked is read for a packed file.
func (in *input) readPacked(ctx context.Context, f *followed, emit engine.EmitFunc) (moved bool, err error) {
	if r, ok := f.unpack.(restarting); ok {
		u, before, err := unpackFrom(f.file, r.offset)
		if err != nil {
			in.damaged(f, err)
			return false, nil
		}
		f.unpack = u
		f.reader.Reset(u, r.offset)
		f.reader.Resume(before, true)
	}
	for range readsPerTurn {
		records, rerr := f.reader.Next()
		if err := in.emit(ctx, f, records, emit); err != nil {
			return moved, err
		}
		moved = true
		if rerr == nil {
			continue
		}
		if err := in.emit(ctx, f, f.reader.Last(), emit); err != nil {
			return moved, err
		}
		if rerr != io.EOF {
			in.damaged(f, rerr)
			return moved, nil
		}
		in.log.Info("a packed file is read to its end", "path", f.at.Path)
		in.putAwayPacked(f)
		return moved, nil
	}
	return moved, nil
}

// damaged gives up a packed file that cannot be read further.
func (in *input) damaged(f *followed, err error) {
	in.counts.lost.Add(1)
	in.log.Error("a packed file cannot be read further: the rest is lost. See whether the packing was cut off", "path", f.at.Path, "offset", f.sent, "err", fmt.Errorf("%w: %w", engine.ErrDamaged, err))
	in.putAwayPacked(f)
}

// putAwayPacked remembers both the content, which another packing may hold, and the packed file.
func (in *input) putAwayPacked(f *followed) {
	if info, err := f.file.Stat(); err == nil {
		in.recalledPacked(f.file, info)
		in.past = append(in.past, in.remembered(f.file, info, f.spot, false))
	}
	in.putAway(f, false)
	in.past[len(in.past)-1].id = fileID{}
	f.closed = true
}
