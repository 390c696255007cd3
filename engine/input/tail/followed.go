package tail

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/input/lines"
)

// followed is one open file.
type followed struct {
	file   *os.File
	id     fileID
	spot   spot // in a directory, as last seen
	at     engine.Position
	head   []byte   // its first bytes: lines.FingerprintLen, or as many as it had
	marks  []mark   // of offsets that were passed, in order
	unpack unpacker // of a packed file, that is read to its end and not followed; else nil
	reader *lines.Reader
	cursor *engine.Cursor // nil if the input keeps no checkpoint
	sent   int64          // offset behind what the engine has taken
	zeros  int64          // of reader.Zeros, told
	begun  bool           // something was read of it
	idle   bool           // the last read met the end
	check  bool           // time has passed since the last read: see before the next whether the file was truncated
	broken bool           // a read fails, and this is told
	closed bool           // it is to be taken from the list
	hurry  bool           // too many rotated files are open: it is closed at its end
	gone   time.Time      // since when its name belongs to another file; zero while it does not
	grown  time.Time      // when it last grew
}

// followAt begins to read a file at offset. A cursor of what was read before goes on, with what is not yet acked; nil makes
// one. inLine says that the offset comes from a checkpoint that may lie within a line that is too long.
func (in *input) followAt(file *os.File, s spot, offset int64, cursor *engine.Cursor, inLine bool) *followed {
	f := in.prepare(file, s, offset, inLine)
	if f != nil {
		in.begin(f, cursor)
	}
	return f
}

// prepare looks what a file is that is to be read at offset. After an error, which is told, it is closed and the result nil.
func (in *input) prepare(file *os.File, s spot, offset int64, inLine bool) *followed {
	at, err := lines.Identify(file, s.path())
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	info, serr := file.Stat()
	if err = errors.Join(err, serr); err != nil {
		in.unreadable(s.path(), err)
		file.Close()
		return nil
	}
	at.Offset = offset
	f := &followed{file: file, id: idOf(info), spot: s, at: at, reader: lines.New(file, offset, in.max), sent: offset, idle: true, check: true, grown: time.Now()}
	f.reader.SkipZeros = true
	f.reader.Resume(lines.Before(file, offset), inLine)
	f.at.Mark = f.reader.Mark()
	f.head = firstBytes(file, at.FingerprintLen)
	f.mark()
	return f
}

// begin follows f: see followAt.
func (in *input) begin(f *followed, cursor *engine.Cursor) {
	switch {
	case cursor != nil:
		f.takeOver(cursor)
	case in.remember:
		f.cursor = in.checkpoints.Cursor(in.tag, f.at)
	}
	in.files = append(in.files, f)
	in.log.Info("following", "path", f.at.Path, "offset", f.at.Offset)
}

// takeOver lets f go on with the cursor of the file that it is, or of which it is the copy: a second one beside it would
// say after a crash that what stands before its start, and is not acked, belongs to no file.
func (f *followed) takeOver(cursor *engine.Cursor) {
	cursor.Reopen(func(p *engine.Position) {
		offset, mark := p.Offset, p.Mark
		*p = f.at
		p.Offset, p.Mark = offset, mark
	})
	f.cursor = cursor
}

// readsPerTurn bounds what is read of one file before the others get their turn.
const readsPerTurn = 16

// heldUp is how long the pipeline may hold up the reading before a truncation meanwhile must be thought of.
const heldUp = 5 * time.Millisecond

// read emits what f holds, at most readsPerTurn chunks, and reports whether that was anything.
func (in *input) read(ctx context.Context, f *followed, emit engine.EmitFunc) (moved bool, err error) {
	if f.unpack != nil {
		return in.readPacked(ctx, f, emit)
	}
	if f.check {
		if !in.unchanged(f) {
			in.restart(f)
		}
		if f.sent == 0 && !f.begun && len(f.head) > 0 && in.isCopy(f) {
			return false, nil
		}
	}
	f.check = false
	for range readsPerTurn {
		begun := time.Now()
		records, rerr := f.reader.Next()
		if rerr == nil {
			moved, f.idle, f.begun = true, false, true
			f.grown = begun
		}
		if err := in.emit(ctx, f, records, emit); err != nil {
			return moved, err
		}
		if rerr != nil {
			in.readFailed(f, rerr)
			f.idle, f.check = true, true
			break
		}
		if time.Since(begun) > heldUp {
			f.check = true
			break
		}
	}
	if f.idle && f.over(time.Now(), in.grace) && f.reader.Pending() > 0 { // nobody will complete its last line
		return moved, in.emit(ctx, f, f.reader.Last(), emit)
	}
	return moved, nil
}

// readFailed tells of an error that is not the end, once until the file can be read again.
func (in *input) readFailed(f *followed, err error) {
	failed := err != io.EOF
	if failed && !f.broken {
		in.counts.unreadable.Add(1)
		in.log.Error("cannot read the file, trying again: see the kernel's log for faults of the disk", "path", f.at.Path, "offset", f.reader.Offset(), "err", err)
	}
	f.broken = failed
}

func (in *input) emit(ctx context.Context, f *followed, records []engine.Record, emit engine.EmitFunc) error {
	offset := f.reader.Offset()
	if offset == f.sent {
		return nil
	}
	if zeros := f.reader.Zeros - f.zeros; zeros > 0 {
		if f.zeros == 0 {
			in.log.Warn("NUL bytes before a line are skipped: its writer crashed, or does not append and the file was truncated", "path", f.at.Path, "offset", f.sent)
		}
		f.zeros += zeros
		in.counts.zeros.Add(zeros)
	}
	if f.unpack == nil && (f.sent == 0 || len(f.head) < lines.FingerprintLen && offset > int64(len(f.head))) {
		in.identify(f)
	}
	mark := f.mark()
	b := engine.Batch{Origin: "tail://" + f.at.Path, Records: records}
	if f.cursor != nil {
		b.Done = f.cursor.TrackMark(offset, mark)
	}
	if len(records) == 0 { // blank lines, or the rest of one that is too long
		if b.Done != nil {
			b.Done()
		}
		f.sent = offset
		return nil
	}
	if err := emit(ctx, b); err != nil { // the engine is stopping; another Run begins with this batch
		if f.cursor != nil {
			f.cursor.Untrack()
		}
		in.rewind(f, f.sent)
		return err
	}
	f.sent = offset
	return nil
}

// identify sees that a checkpoint from now on knows the beginning of what was just read: f may have been empty, or another
// file's content, when it was last looked at. Whether it is truncated again, the next read sees.
func (in *input) identify(f *followed) {
	if in.unchanged(f) || f.sent > 0 {
		return
	}
	now, err := lines.Identify(f.file, f.at.Path)
	head := firstBytes(f.file, now.FingerprintLen)
	before := lines.Before(f.file, f.reader.Offset())
	if err != nil || head == nil || before == nil || !bytes.Equal(before, f.reader.Before()) {
		return
	}
	f.head, f.at.Fingerprint, f.at.FingerprintLen = head, now.Fingerprint, now.FingerprintLen
	if f.cursor != nil {
		f.cursor.Update(func(p *engine.Position) { p.Fingerprint, p.FingerprintLen = now.Fingerprint, now.FingerprintLen })
	}
}

// rewind lets the next read begin at offset, which lies at or before what was read.
func (in *input) rewind(f *followed, offset int64) {
	f.idle, f.check = false, true
	if f.unpack != nil {
		f.unpack.Close()
		f.unpack = restarting{offset}
		return
	}
	f.file.Seek(offset, io.SeekStart)
	f.reader.Reset(f.file, offset)
	f.reader.Resume(lines.Before(f.file, offset), true)
	for n := len(f.marks); n > 0 && f.marks[n-1].offset > offset; n-- {
		f.marks = f.marks[:n-1]
	}
}

// unchanged reports whether f is still the file that it was: not shorter than what was read, with the same beginning, and
// with the same bytes before the offset. A file that grew past its fingerprint gets a longer one.
func (in *input) unchanged(f *followed) bool {
	info, err := f.file.Stat()
	if err != nil || f.unpack != nil {
		return true // the read will say it
	}
	offset := f.reader.Offset()
	if info.Size() < offset+int64(f.reader.Pending()) {
		return false
	}
	var buf [lines.FingerprintLen]byte
	n, err := f.file.ReadAt(buf[:], 0)
	if err != nil && err != io.EOF {
		return true
	}
	now := buf[:n]
	if !bytes.HasPrefix(now, f.head) {
		return false
	}
	if before := f.reader.Before(); offset > int64(len(f.head)) && len(before) > 0 {
		var back [lines.MarkLen]byte
		b := back[:len(before)]
		if n, err := f.file.ReadAt(b, offset-int64(len(b))); n == len(b) && !bytes.Equal(b, before) {
			return false
		} else if n < len(b) && err == io.EOF {
			return false
		}
	}
	if n > len(f.head) {
		f.head = bytes.Clone(now)
		print := lines.Hash(now)
		f.at.Fingerprint, f.at.FingerprintLen = print, n
		if f.cursor != nil {
			f.cursor.Update(func(p *engine.Position) { p.Fingerprint, p.FingerprintLen = print, n })
		}
	}
	return true
}

// restart reads f again from its start: it was truncated or rewritten. What had not been read may be in a copy.
func (in *input) restart(f *followed) {
	if in.cutBack(f) {
		return
	}
	in.counts.truncated.Add(1)
	in.log.Info("the file was truncated or rewritten, reading it from its start", "path", f.at.Path, "read", f.sent)
	old := f.at
	old.Offset, old.Mark = f.sent, 0
	if n := len(f.marks); n > 0 && f.marks[n-1].offset == f.sent {
		old.Mark = f.marks[n-1].sum
	}
	if p := (&past{at: old, cursor: f.cursor, head: f.head, marks: f.marks, changed: true, told: true}); f.sent > 0 {
		if f.cursor != nil {
			f.cursor.Finish() // a copy that is found after a restart is known by it
		}
		in.past = append(in.past, p)
	} else if f.cursor != nil {
		f.cursor.Remove()
	}
	in.scans = 2
	if now, err := lines.Identify(f.file, f.at.Path); err == nil {
		f.at = now
	}
	f.at.Offset, f.sent, f.begun, f.marks, f.zeros, f.reader.Zeros = 0, 0, false, nil, 0, 0
	f.head = firstBytes(f.file, f.at.FingerprintLen)
	if f.cursor != nil {
		f.cursor = in.checkpoints.Cursor(in.tag, f.at)
	}
	f.file.Seek(0, io.SeekStart)
	f.reader.Reset(f.file, 0)
}

// cutBack goes on in a file that was cut to a shorter length, but not to nothing: what is left of it was read.
func (in *input) cutBack(f *followed) bool {
	info, err := f.file.Stat()
	if err != nil || info.Size() < copyLen || info.Size() >= f.sent {
		return false
	}
	n := int(min(info.Size(), int64(len(f.head))))
	if !bytes.Equal(firstBytes(f.file, n), f.head[:n]) {
		return false
	}
	for _, m := range slices.Backward(f.marks) {
		if m.offset == 0 || m.offset > info.Size() {
			continue
		}
		if !lines.Marked(f.file, m.offset, m.sum) {
			return false
		}
		in.counts.truncated.Add(1)
		in.log.Info("the file was cut to a shorter length, going on behind what was read of that", "path", f.at.Path, "read", f.sent, "offset", m.offset)
		f.head = f.head[:n]
		in.rewind(f, m.offset)
		f.sent = m.offset
		return true
	}
	return false
}

// moved notes under which name f was seen.
func (f *followed) moved(s spot) {
	if f.spot == s {
		return
	}
	f.spot, f.at.Path = s, s.path()
	if f.cursor != nil {
		f.cursor.Update(func(p *engine.Position) { p.Path = f.at.Path })
	}
}

// over reports whether f was rotated away and has not grown for a while.
func (f *followed) over(now time.Time, grace time.Duration) bool {
	return !f.gone.IsZero() && (f.hurry || now.Sub(f.gone) >= grace && now.Sub(f.grown) >= grace)
}

// finished reports whether f is read to its end.
func (f *followed) finished() bool {
	if !f.idle || f.reader.Pending() > 0 {
		return false
	}
	info, err := f.file.Stat()
	return err != nil || info.Size() <= f.reader.Offset()
}

// close gives the file back.
func (f *followed) close() {
	if f.unpack != nil {
		f.unpack.Close()
	}
	f.file.Close()
}

// firstBytes returns the first n bytes of file, or nil.
func firstBytes(file io.ReaderAt, n int) []byte {
	b := make([]byte, n)
	if got, _ := file.ReadAt(b, 0); got < n {
		return nil
	}
	return b
}
