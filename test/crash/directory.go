package crash

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
)

// directory reads the files of a file sink, also those that were rotated: all whose names begin with name.
type directory struct {
	dir, name string
	to        *delivery

	mu   sync.Mutex
	read map[uint64]int64 // by inode: the offset behind the last whole line
}

// poll takes the lines that are new.
func (d *directory) poll() error { return d.each(false) }

// end takes the lines that are new, and what is behind the last line end of a file is a fault.
func (d *directory) end() error { return d.each(true) }

func (d *directory) each(last bool) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.read == nil {
		d.read = map[uint64]int64{}
	}
	entries, err := os.ReadDir(d.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), d.name) && e.Type().IsRegular() {
			if err := d.file(e.Name(), last); !errors.Is(err, fs.ErrNotExist) { // else it was renamed: the next time
				errs = append(errs, err)
			}
		}
	}
	return errors.Join(errs...)
}

func (d *directory) file(name string, last bool) error {
	f, err := os.Open(filepath.Join(d.dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	inode := info.Sys().(*syscall.Stat_t).Ino
	at := d.read[inode]
	if info.Size() < at {
		d.to.torn(name+", shorter than it was,", nil)
		return nil
	}
	text, err := io.ReadAll(io.NewSectionReader(f, at, info.Size()-at))
	if err != nil {
		return err
	}
	for {
		line, rest, ok := bytes.Cut(text, []byte{'\n'})
		if !ok {
			break
		}
		d.to.take(line)
		at += int64(len(line)) + 1
		text = rest
	}
	d.read[inode] = at
	if last && len(text) > 0 {
		d.to.torn(name, text)
	}
	return nil
}
