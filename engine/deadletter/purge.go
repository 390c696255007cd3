package deadletter

import (
	"bufio"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Purged is what a purge did.
type Purged struct {
	Removed   int64    // entries
	Files     int      // files removed as a whole
	Rewritten int      // files written anew without what was removed
	Kept      []string // files with entries that are done and that were not touched, and why
}

// Purge removes the entries that are done. It touches only files that the engine itself rotated (nobody else renames them)
// and that nobody has open for writing, so it never meets the engine's appending. A file is replaced by a whole one or not at
// all. To get at the current file, ask for a rotation before. Called within Change.
func (b *Box) Purge() (p Purged, err error) {
	state, err := b.State()
	if err != nil {
		return p, err
	}
	files, err := OpenFiles(b.Path)
	if err != nil {
		return p, err
	}
	defer files.Close()
	left := map[ID]bool{} // what the files hold afterwards
	for _, f := range files {
		if err := p.file(f, state, left); err != nil {
			return p, fmt.Errorf("%s: %w", f.Path, err)
		}
	}
	return p, compact(b.Path, func(id ID) bool {
		s, _ := state.Of(id)
		return left[id] || s == Pending
	})
}

func (p *Purged) file(f *File, state *State, left map[ID]bool) error {
	var keep, done int64
	damaged := 0
	err := f.Scan(func(e *Found) error {
		if s, _ := state.Of(e.ID); s.Done() {
			done++
		} else {
			keep++
		}
		return nil
	}, func(Damage) error { damaged++; return nil })
	if err != nil {
		return err
	}
	why := ""
	switch {
	case done == 0:
	case f.Current:
		why = "the engine has it open: it can be purged when it is rotated (SIGUSR1)"
	case !f.Own:
		why = "it was not rotated by the engine: what rotates it removes it"
	case damaged > 0 && f.Gzip:
		why = fmt.Sprintf("%d places in it are damaged, look at them: it can only be removed by hand", damaged)
	case written(f.f):
		why = "somebody is writing it, or was a minute ago"
	default:
		p.Removed += done
		if keep == 0 && damaged == 0 {
			p.Files++
			return remove(f.Path)
		}
		p.Rewritten++
		if err := f.rewrite(func(id ID) bool { s, _ := state.Of(id); return !s.Done() }); err != nil {
			return err
		}
	}
	if why != "" {
		p.Kept = append(p.Kept, f.Path+": "+why)
	}
	rewritten := why == "" && done > 0
	return f.Scan(func(e *Found) error {
		if s, _ := state.Of(e.ID); !rewritten || !s.Done() {
			left[e.ID] = true
		}
		return nil
	}, func(Damage) error { return nil })
}

func remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// rewrite replaces the file by one with the entries for which keep is true, and with every damaged line as it is.
func (f *File) rewrite(keep func(ID) bool) (err error) {
	src, err := f.reader()
	if err != nil {
		return err
	}
	temp := f.Path + ".part"
	os.Remove(temp) // of a purge that was killed
	dst, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			dst.Close()
			os.Remove(temp)
		}
	}()
	buf := bufio.NewWriterSize(dst, 256<<10)
	var w io.Writer = buf
	var z *gzip.Writer
	if f.Gzip {
		z = gzip.NewWriter(buf)
		w = z
	}
	for r := NewReader(src, 0); ; {
		line, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if line.Long {
			return fmt.Errorf("line %d is longer than %d bytes", line.Number, MaxLine)
		}
		if e, err := line.Entry(); err == nil && !keep(e.ID) {
			continue
		} else if err != nil {
			if broken, _, e, ok := line.resync(); ok && keep(e.ID) {
				line.Text = broken + "\n" + line.Text[len(broken):]
			} else if ok {
				line.Text = broken
			}
		}
		if _, err := io.WriteString(w, line.Text+"\n"); err != nil {
			return err
		}
	}
	if z != nil {
		err = z.Close()
	}
	if err = errors.Join(err, buf.Flush(), dst.Sync()); err != nil {
		return err
	}
	likeBefore(dst, f.info)
	if err = os.Rename(temp, f.Path); err != nil {
		return err
	}
	return errors.Join(dst.Close(), syncDir(filepath.Dir(f.Path)))
}

// CurrentHasDone reports whether the current file holds entries that are done: then a purge gains by rotating it.
func (b *Box) CurrentHasDone() (bool, error) {
	state, err := b.State()
	if err != nil {
		return false, err
	}
	files, err := OpenFiles(b.Path)
	if err != nil {
		return false, err
	}
	defer files.Close()
	found := errors.New("found")
	for _, f := range files {
		if !f.Current {
			continue
		}
		err := f.Scan(func(e *Found) error {
			if s, _ := state.Of(e.ID); s.Done() {
				return found
			}
			return nil
		}, func(Damage) error { return nil })
		if err == found {
			return true, nil
		}
		if err != nil {
			return false, err
		}
	}
	return false, nil
}

// ErrWritten says that a process has the current file open.
var ErrWritten = errors.New("a process has it open for writing")

// Rotate gives the current file the name of a rotated one, as the engine does: for a box whose engine does not run.
// fs.ErrNotExist: there is no current file.
func (b *Box) Rotate() error {
	f, err := os.Open(b.Path)
	if err != nil {
		return err
	}
	defer f.Close()
	if written(f) {
		return fmt.Errorf("%s: %w", b.Path, ErrWritten)
	}
	stamp := b.Path + "." + time.Now().Format(stampFormat)
	for i := 0; ; i++ {
		name := stamp
		if i > 0 {
			name = fmt.Sprintf("%s-%d", stamp, i)
		}
		if _, err := os.Lstat(name + ".gz"); err == nil {
			continue
		}
		hold, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) // so that nothing is written over
		if errors.Is(err, fs.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err = errors.Join(hold.Close(), os.Rename(b.Path, name)); err != nil {
			return errors.Join(err, os.Remove(name))
		}
		return syncDir(filepath.Dir(b.Path))
	}
}
