// Package kept removes the oldest files of an output: those that are too old, and the oldest while there is too much.
package kept

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Rule says which files below a directory are an output's, and which of them stay. Other files are not touched.
type Rule struct {
	Root  *os.Root
	Match func(path string) bool // whether the output has made a file of this name, which is below Root
	Depth int                    // of directories below Root that are looked into
	Age   time.Duration          // files that were not written to for longer go; 0: none does
	Size  int64                  // in bytes; the files that were not written to for longest go while all together have more; 0: none does

	// Remove removes a file, or leaves one that is in use (false), and logs. It calls Drop.
	Remove func(path string) (bool, error)
}

type file struct {
	path string
	size int64
	at   time.Time // of the last write
}

// Prune removes what must go. It goes on after an error, and returns all of them.
func (r Rule) Prune(ctx context.Context) error {
	files, err := r.list(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b file) int { return a.at.Compare(b.at) })
	total := int64(0)
	for _, f := range files {
		total += f.size
	}
	var errs []error
	for _, f := range files {
		old := r.Age > 0 && time.Since(f.at) > r.Age
		if !old && (r.Size == 0 || total <= r.Size) {
			break
		}
		removed, err := r.Remove(f.path)
		if removed {
			total -= f.size
		}
		if errs = append(errs, err); len(errs) > 100 || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// list returns the files of the output.
func (r Rule) list(ctx context.Context) (files []file, err error) {
	err = fs.WalkDir(r.Root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir():
			if path != "." && strings.Count(path, "/") >= r.Depth {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular() || !r.Match(path):
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		files = append(files, file{path, info.Size(), info.ModTime()})
		return nil
	})
	return files, err
}

// Drop removes a file, and its directories if they are empty then. It is no error if the file is gone.
func Drop(root *os.Root, path string) error {
	if err := root.Remove(path); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	for dir := filepath.Dir(path); dir != "."; dir = filepath.Dir(dir) {
		if root.Remove(dir) != nil {
			break // not empty
		}
	}
	return nil
}
