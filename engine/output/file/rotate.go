package file

import (
	"compress/gzip"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// due reports whether the file is to be rotated by size or time.
func (o *output) due() bool {
	if !o.regular || o.size == 0 && o.every == 0 {
		return false
	}
	s := o.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.end > 0 && ((o.size > 0 && s.end >= o.size) || (o.every > 0 && time.Since(s.since) >= o.every))
}

// retryLater lets the file grow for another rotate_every, after a rotation that failed.
func (o *output) retryLater() {
	if o.file != nil {
		o.shared.mu.Lock()
		o.shared.since = time.Now()
		o.shared.mu.Unlock()
	}
}

// Reopen implements engine.Reopener: it rotates, or only opens the new file if something else has moved the old one.
// Devices, pipes and the like are left alone.
func (o *output) Reopen() error {
	if o.file == nil || !o.regular {
		return nil
	}
	if !o.same() {
		return o.anew()
	}
	return o.rotate()
}

// anew opens the path when something else has moved or deleted the file.
func (o *output) anew() error {
	o.log.Info("the file was moved or deleted: a new one is begun", "path", filepath.Join(o.dir, o.name))
	return o.reopen()
}

// rotate renames the file and opens a new one.
func (o *output) rotate() error {
	name, err := o.retire()
	if errors.Is(err, fs.ErrNotExist) {
		return o.anew()
	}
	if err != nil {
		return err
	}
	o.log.Info("rotated file: " + filepath.Join(o.dir, o.name) + " -> " + filepath.Join(o.dir, name))
	if err := o.reopen(); err != nil {
		return err
	}
	o.packing.Wait() // one at a time
	o.packing.Go(func() {
		if o.pack && !o.gzip {
			if err := o.packFile(name); err != nil {
				o.log.Error("cannot pack a rotated file", "file", name, "err", err)
			}
		}
		o.prune()
	})
	return nil
}

// retire renames the file, after which no row writes it. The error is fs.ErrNotExist where something else has moved it.
func (o *output) retire() (name string, err error) {
	s := o.shared
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.moved || !o.same() {
		return "", fs.ErrNotExist
	}
	name, err = o.moveAside()
	s.moved = err == nil
	return name, err
}

// moveAside renames the file to a name that nothing has, also when another row rotates the same file at the same moment.
func (o *output) moveAside() (name string, err error) {
	stamp := o.name + "." + time.Now().Format("20060102.150405")
	from := o.name
	for i := 0; ; i++ {
		if name = stamp; i > 0 {
			name += "-" + strconv.Itoa(i)
		}
		err := o.renameNew(from, name)
		switch {
		case errors.Is(err, fs.ErrExist):
			continue
		case err != nil && from != o.name:
			return from, nil
		case err != nil:
			return "", err
		}
		// One that had the name may have been packed just now. Looked at before the renaming that could be missed.
		if _, err := o.root.Lstat(name + ".gz"); errors.Is(err, fs.ErrNotExist) {
			return name, nil
		}
		from = name
	}
}

// renameNew renames a file; the error is fs.ErrExist if something has the name.
func (o *output) renameNew(from, to string) error {
	dir, err := o.root.Open(".")
	if err != nil {
		return err
	}
	defer dir.Close()
	err = unix.Renameat2(int(dir.Fd()), from, int(dir.Fd()), to, unix.RENAME_NOREPLACE)
	if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // not on this file system
		if _, err := o.root.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
			return fs.ErrExist
		}
		err = o.root.Rename(from, to)
	}
	return err
}

// packFile replaces a rotated file by its gzip.
func (o *output) packFile(name string) error {
	src, err := o.root.Open(name)
	if err != nil {
		return err
	}
	defer src.Close()
	temp := name + ".gz.part"
	dst, err := o.root.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, o.mode)
	if err != nil {
		return err
	}
	z := gzip.NewWriter(dst)
	_, err = io.Copy(z, src)
	if err = errors.Join(err, z.Close(), dst.Sync(), dst.Close()); err == nil {
		err = o.renameNew(temp, name+".gz")
	}
	if err != nil {
		o.root.Remove(temp)
		return err
	}
	if err := o.root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil // another row has pruned it
}

// prune removes the oldest rotated files beyond keep.
func (o *output) prune() {
	if o.keep == 0 {
		return
	}
	d, err := o.root.Open(".")
	if err != nil {
		return
	}
	defer d.Close()
	names, _ := d.Readdirnames(-1)
	names = slices.DeleteFunc(names, func(n string) bool { return !o.isRotated(n) })
	slices.Sort(names)
	for len(names) > o.keep {
		if err := o.root.Remove(names[0]); err != nil && !errors.Is(err, fs.ErrNotExist) {
			o.log.Error("cannot remove an old file", "file", names[0], "err", err)
		}
		names = names[1:]
	}
}

// isRotated reports whether name is one that rotate gives.
func (o *output) isRotated(name string) bool {
	stamp, ok := strings.CutPrefix(name, o.name+".")
	if !ok || len(stamp) < len("20060102.150405") || strings.HasSuffix(stamp, ".part") {
		return false
	}
	_, err := time.Parse("20060102.150405", stamp[:len("20060102.150405")])
	return err == nil
}
