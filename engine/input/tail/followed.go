package tail

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/input/lines"
)

// followed is one open file.
type followed struct {
	file   *os.File
	info   os.FileInfo // as it was opened: its identity
	name   string      // in the directory, as last seen
	at     engine.Position
	reader *lines.Reader
	cursor *engine.Cursor // nil if the input keeps no checkpoint
	sent   int64          // offset behind what the engine has taken
	idle   bool           // the last read met the end
	check  bool           // time has passed since the last read: see before the next whether the file was truncated
	gone   time.Time      // since when its name belongs to another file; zero while it does not
	grown  time.Time      // when it last grew after that
}

// follow begins to read a file that is new to the input. fromEnd skips what it holds now.
func (in *input) follow(file *os.File, name string, fromEnd bool) *followed {
	offset := int64(0)
	if fromEnd {
		if info, err := file.Stat(); err == nil {
			offset = lineStart(file, info.Size())
		}
	}
	return in.followAt(file, name, offset)
}

// lineStart returns the offset behind the last line end before size: a line that is being written is read whole.
func lineStart(file *os.File, size int64) int64 {
	buf := make([]byte, 64<<10)
	for end := size; end > 0; {
		n := min(int64(len(buf)), end)
		if _, err := file.ReadAt(buf[:n], end-n); err != nil {
			return size
		}
		for i := n - 1; i >= 0; i-- {
			if buf[i] == '\n' {
				return end - n + i + 1
			}
		}
		end -= n
	}
	return 0
}

func (in *input) followAt(file *os.File, name string, offset int64) *followed {
	path := filepath.Join(in.dir, name)
	at, err := lines.Identify(file, path)
	if err == nil {
		_, err = file.Seek(offset, io.SeekStart)
	}
	info, serr := file.Stat()
	if err = errors.Join(err, serr); err != nil {
		in.log.Error("cannot follow", "path", path, "err", err)
		file.Close()
		return nil
	}
	at.Offset = offset
	f := &followed{file: file, info: info, name: name, at: at, reader: lines.New(file, offset, in.max), sent: offset, idle: true, check: true}
	if in.remember {
		f.cursor = in.checkpoints.Cursor(in.tag, at)
	}
	in.files = append(in.files, f)
	in.log.Info("following", "path", path, "offset", offset)
	return f
}

// readsPerTurn bounds what is read of one file before the others get their turn.
const readsPerTurn = 16

// heldUp is how long the pipeline may hold up the reading before a truncation meanwhile must be thought of.
const heldUp = 5 * time.Millisecond

// read emits what f holds, at most readsPerTurn chunks, and reports whether that was anything.
func (in *input) read(ctx context.Context, f *followed, emit engine.EmitFunc) (moved bool, err error) {
	if f.check && !in.unchanged(f) {
		in.restart(f)
	}
	f.check = false
	for range readsPerTurn {
		begun := time.Now()
		records, rerr := f.reader.Next()
		if rerr == nil {
			moved, f.idle = true, false
			f.grown = time.Now()
		}
		if err := in.emit(ctx, f, records, emit); err != nil {
			return moved, err
		}
		if rerr != nil {
			if rerr != io.EOF {
				in.log.Error("cannot read, trying again", "path", f.at.Path, "err", rerr)
			}
			f.idle, f.check = true, true
			break
		}
		if time.Since(begun) > heldUp {
			f.check = true
			break
		}
	}
	if f.idle && f.over(time.Now()) && f.reader.Pending() > 0 { // nobody will complete its last line
		return moved, in.emit(ctx, f, f.reader.Last(), emit)
	}
	return moved, nil
}

func (in *input) emit(ctx context.Context, f *followed, records []engine.Record, emit engine.EmitFunc) error {
	if len(records) == 0 {
		return nil
	}
	b := engine.Batch{Origin: "tail://" + f.at.Path, Records: records}
	if f.cursor != nil {
		b.Done = f.cursor.Track(f.reader.Offset())
	}
	if err := emit(ctx, b); err != nil { // the engine is stopping; another Run begins with this batch
		if f.cursor != nil {
			f.cursor.Untrack()
		}
		f.file.Seek(f.sent, io.SeekStart)
		f.reader.Reset(f.file, f.sent)
		return err
	}
	f.sent = f.reader.Offset()
	return nil
}

// unchanged reports whether f is still the file that it was: not shorter than what was read, and with the same
// beginning. A file that grew past its fingerprint gets a longer one.
func (in *input) unchanged(f *followed) bool {
	info, err := f.file.Stat()
	if err != nil {
		return true // the read will say it
	}
	if info.Size() < f.reader.Offset()+int64(f.reader.Pending()) {
		return false
	}
	if f.at.FingerprintLen > 0 {
		print, err := lines.Fingerprint(f.file, f.at.FingerprintLen)
		if err == nil && print != f.at.Fingerprint {
			return false
		}
	}
	if f.at.FingerprintLen < 1024 && info.Size() > int64(f.at.FingerprintLen) {
		if now, err := lines.Identify(f.file, f.at.Path); err == nil {
			f.at.Fingerprint, f.at.FingerprintLen = now.Fingerprint, now.FingerprintLen
			if f.cursor != nil {
				f.cursor.Update(func(p *engine.Position) { p.Fingerprint, p.FingerprintLen = now.Fingerprint, now.FingerprintLen })
			}
		}
	}
	return true
}

// restart reads f again from its start: it was truncated or rewritten.
func (in *input) restart(f *followed) {
	in.log.Info("the file was truncated or rewritten, reading it from its start", "path", f.at.Path)
	f.at.Offset = f.sent
	in.followCopy(f.at)
	if f.cursor != nil {
		f.cursor.Remove()
	}
	if now, err := lines.Identify(f.file, f.at.Path); err == nil {
		f.at = now
	}
	f.at.Offset, f.sent = 0, 0
	if f.cursor != nil {
		f.cursor = in.checkpoints.Cursor(in.tag, f.at)
	}
	f.file.Seek(0, io.SeekStart)
	f.reader.Reset(f.file, 0)
}

// rename notes under which name f was seen.
func (f *followed) rename(dir, name string) {
	if f.name == name {
		return
	}
	f.name, f.at.Path = name, filepath.Join(dir, name)
	if f.cursor != nil {
		f.cursor.Update(func(p *engine.Position) { p.Path = f.at.Path })
	}
}

// over reports whether f was rotated away and has not grown for a while.
func (f *followed) over(now time.Time) bool { return !f.gone.IsZero() && now.Sub(f.grown) >= grace }

// drop closes a file that is over and read to its end.
func (in *input) drop(f *followed, now time.Time) bool {
	if !f.idle || !f.over(now) || f.reader.Pending() > 0 {
		return false
	}
	if info, err := f.file.Stat(); err == nil && info.Size() > f.reader.Offset() {
		return false
	}
	in.log.Info("a rotated file is read to its end", "path", f.at.Path)
	if f.cursor != nil {
		f.cursor.Remove()
	}
	f.file.Close()
	return true
}
