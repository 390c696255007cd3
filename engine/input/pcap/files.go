package pcap

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// files are the captures of an input. They stay open until all are metered: after a reload the process may no longer have
// the right to open them, or see them at all.
type files struct {
	path string // may be a glob

	mu       sync.Mutex
	opened   map[string]Source
	complete bool // all were metered
}

// Open implements engine.Opener: it opens all files while the process may.
func (in *input) Open(context.Context) error {
	if in.stdin != nil {
		return nil
	}
	return in.files.open()
}

// Close implements engine.Closer.
func (in *input) Close() error {
	in.files.mu.Lock()
	defer in.files.mu.Unlock()
	return in.files.close()
}

// close is called with mu held.
func (f *files) close() error {
	var errs []error
	for _, s := range f.opened {
		errs = append(errs, s.Close())
	}
	clear(f.opened)
	return errors.Join(errs...)
}

// finish says that all was metered.
func (f *files) finish() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.complete = true
	f.close()
}

// open opens what is there and is not open.
func (f *files) open() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	paths, err := f.paths()
	for _, path := range paths {
		old, ok := f.opened[path]
		if ok && !old.replaced() {
			continue
		}
		s, e := Open(path)
		if e != nil {
			err = cmp.Or(err, e)
			continue
		}
		if ok {
			old.Close()
		}
		f.opened[path] = s
	}
	if errors.Is(err, fs.ErrNotExist) && (len(f.opened) > 0 || f.complete) {
		return nil
	}
	return err
}

// paths returns the files to meter. A pattern does not mean directories.
func (f *files) paths() ([]string, error) {
	if !strings.ContainsAny(f.path, "*?[") {
		return []string{f.path}, nil
	}
	paths, _ := filepath.Glob(f.path)
	paths = slices.DeleteFunc(paths, func(path string) bool {
		info, err := os.Stat(path)
		return err == nil && info.IsDir()
	})
	if len(paths) == 0 {
		return nil, fmt.Errorf("no file matches %q: %w", f.path, fs.ErrNotExist)
	}
	return paths, nil
}

// replaced reports whether another file has the path now.
func (s Source) replaced() bool {
	now, err := os.Stat(s.Path)
	if err != nil {
		return false
	}
	f, ok := s.Reader.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && !os.SameFile(now, info)
}

// sources returns all files in the order of their first frames.
func (f *files) sources() ([]Source, error) {
	if err := f.open(); err != nil {
		return nil, err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	list := make([]Source, 0, len(f.opened))
	for _, s := range f.opened {
		list = append(list, s)
	}
	slices.SortFunc(list, func(a, b Source) int { return strings.Compare(a.Path, b.Path) })
	Sort(list)
	return list, nil
}
