package archive

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// tend closes files that got nothing for long, and removes old ones.
func (o *output) tend(ctx context.Context) {
	idle := time.NewTicker(max(o.idle/2, 10*time.Millisecond))
	defer idle.Stop()
	prune := time.NewTicker(o.every)
	defer prune.Stop()
	if o.age == 0 && o.size == 0 {
		prune.Stop()
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-idle.C:
			o.closeIdle()
		case <-prune.C:
			if err := o.prune(ctx); err != nil && ctx.Err() == nil {
				o.log.Error("cannot remove old files", "dir", o.dir, "err", err)
			}
		}
	}
}

func (o *output) closeIdle() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, f := range o.open {
		if time.Since(f.used) >= o.idle {
			o.forget(f)
		}
	}
}

// kept is a file of the archive.
type kept struct {
	name string
	size int64
	at   time.Time // of the last write
}

// prune removes the files that are too old, and the oldest while there is too much. Only files whose names the template can
// have made are looked at; open ones stay. Directories that become empty are removed.
func (o *output) prune(ctx context.Context) error {
	files, err := o.list(ctx)
	if err != nil {
		return err
	}
	slices.SortFunc(files, func(a, b kept) int { return a.at.Compare(b.at) })
	total := int64(0)
	for _, f := range files {
		total += f.size
	}
	var errs []error
	for _, f := range files {
		old := o.age > 0 && time.Since(f.at) > o.age
		if !old && (o.size == 0 || total <= o.size) {
			break
		}
		removed, err := o.remove(f.name)
		if removed {
			total -= f.size
			o.removed.Add(1)
			o.log.Debug("old file removed", "path", filepath.Join(o.dir, f.name))
		}
		if errs = append(errs, err); len(errs) > 100 || ctx.Err() != nil {
			break
		}
	}
	return errors.Join(errs...)
}

// list returns the files of the archive.
func (o *output) list(ctx context.Context) (files []kept, err error) {
	depth := o.name.Depth()
	err = fs.WalkDir(o.root.FS(), ".", func(path string, d fs.DirEntry, err error) error {
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, fs.ErrNotExist):
			return nil
		case err != nil:
			return err
		case d.IsDir():
			if path != "." && strings.Count(path, "/") >= depth {
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular() || !o.pattern.MatchString(path):
			return nil
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		files = append(files, kept{path, info.Size(), info.ModTime()})
		return nil
	})
	return files, err
}

// remove removes one file that is not open, and its directories if they are empty then.
func (o *output) remove(name string) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.open[name] != nil {
		return false, nil
	}
	if err := o.root.Remove(name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
		return false, err
	}
	for dir := filepath.Dir(name); dir != "."; dir = filepath.Dir(dir) {
		if o.root.Remove(dir) != nil {
			break // not empty
		}
	}
	return true, nil
}
