package archive

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
)

// file is an open file of the archive.
type file struct {
	*os.File
	name    string
	packing packing
	end     int64     // size
	tick    int64     // of its last use
	used    time.Time // likewise
	checked time.Time // when its name was last compared with it
	fresh   bool      // made by us and its directory not yet synced
	dir     *os.Root
}

// file returns the file of a name, open and at its end.
func (o *output) file(name string, now time.Time) (*file, error) {
	f := o.open[name]
	if f != nil && now.Sub(f.checked) >= time.Second {
		f.checked = now
		if !o.same(f) {
			o.log.Info("the file was moved or deleted: a new one is begun", "path", filepath.Join(o.dir, name))
			o.forget(f)
			f = nil
		}
	}
	if f != nil {
		return f, nil
	}
	for len(o.open) >= o.maxOpen {
		o.forget(o.oldest())
	}
	f, err := o.openFile(name)
	if err != nil {
		return nil, err
	}
	f.checked = now
	o.open[name] = f
	return f, nil
}

// oldest returns the file that was not used for longest.
func (o *output) oldest() (oldest *file) {
	for _, f := range o.open {
		if oldest == nil || f.tick < oldest.tick {
			oldest = f
		}
	}
	return oldest
}

func (o *output) forget(f *file) {
	if err := f.Close(); err != nil {
		o.log.Error("closing a file", "path", filepath.Join(o.dir, f.name), "err", err)
	}
	delete(o.open, f.name)
}

// same reports whether the name still leads to the file.
func (o *output) same(f *file) bool {
	open, err := f.Stat()
	if err != nil {
		return false
	}
	now, err := o.root.Stat(f.name)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ENOTDIR)
	}
	return os.SameFile(open, now)
}

// openFile opens a file for appending, alone, and mends its end. The root does not follow links that lead out of it.
func (o *output) openFile(name string) (*file, error) {
	flags := os.O_CREATE | os.O_APPEND | os.O_RDWR | syscall.O_NONBLOCK // a named pipe must not wait for its reader
	path := filepath.Join(o.dir, name)
	var f *os.File
	var err error
	for range 3 { // prune may remove an empty directory in between
		if f, err = o.root.OpenFile(name, flags, o.mode); !errors.Is(err, fs.ErrNotExist) {
			break
		}
		if err = o.root.MkdirAll(filepath.Dir(name), o.mode|o.mode>>2&0o111); err != nil {
			break
		}
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s is not a regular file: move it away", path)
	}
	if err == nil {
		if err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("%s is written by another process or another row: give each a path of its own", path)
		}
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	it := &file{File: f, name: name, packing: o.packing, end: info.Size(), fresh: info.Size() == 0, dir: o.root}
	if err := o.mend(it); err != nil {
		f.Close()
		if errors.Is(err, errDamaged) {
			if err := o.setAside(name); err != nil {
				return nil, err
			}
			return o.openFile(name)
		}
		return nil, fmt.Errorf("%s: mending its end: %w", path, err)
	}
	return it, nil
}

// append writes events behind the others.
func (f *file) append(z *encoder, events []engine.Event) error {
	b, err := z.encode(f.packing, events)
	if err != nil {
		return err
	}
	n, err := f.Write(b)
	if err != nil {
		if n > 0 {
			err = errors.Join(err, f.Truncate(f.end))
		}
		return err
	}
	f.end += int64(n)
	return nil
}

// cut takes back what was written behind end.
func (f *file) cut(end int64) error {
	if f.end == end {
		return nil
	}
	err := f.Truncate(end)
	if err == nil {
		f.end = end
	}
	return err
}

// sync brings the file to the disk, with its directories if it is new.
func (f *file) sync() error {
	if err := f.Sync(); err != nil || !f.fresh {
		return err
	}
	for dir := filepath.Dir(f.name); ; dir = filepath.Dir(dir) {
		d, err := f.dir.Open(dir)
		if err != nil {
			return err
		}
		if err := errors.Join(d.Sync(), d.Close()); err != nil {
			return err
		}
		if dir == "." {
			f.fresh = false
			return nil
		}
	}
}
