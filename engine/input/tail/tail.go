// Package tail follows files that grow: tail://. It survives every usual rotation: rename and create, copytruncate,
// truncation in place, delete and recreate (also with the same inode), a symlink that moves, files that appear later.
//
// A file is known by its device, inode and first bytes, not by its name. One that is renamed away is read to its end and
// kept open until nothing was written to it for some seconds; its successor is read from its start.
package tail

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"

	"dragonfly/engine"
	"dragonfly/engine/input/lines"
)

// Kind is tail://.
var Kind = engine.InputKind{
	Doc: "`tail://PATH`: follows a file that grows, a record per line, over rotations; PATH may be a glob in its last part (`eve.*.json`). " +
		"Without a checkpoint it starts at the end, with `<` behind PATH at the start. Relative paths are below the log directory.",
	Options: []engine.Option{
		lines.MaxLine,
		{Key: "from", Type: engine.String, Default: "end", Enum: []string{"start", "end"}, Doc: "Where to begin in a file that is there at the first start. Files that appear later are read from their start."},
		{Key: "poll", Type: engine.Duration, Default: 250 * time.Millisecond, Min: 0.01, Max: 3600, Doc: "How often to look for new data and rotations besides the kernel's notifications."},
		{Key: "checkpoint", Type: engine.Bool, Default: true, Doc: "Remember what was read: after a restart it goes on there."},
	},
	New: New,
}

// grace is how long a file that was rotated away must not grow before it is closed: its writer may not have noticed yet.
const grace = 5 * time.Second

type input struct {
	tag         string
	dir         string
	pattern     string // in dir; may be a glob
	max         int64
	fromStart   bool
	poll        time.Duration
	remember    bool
	checkpoints *engine.Checkpoints
	log         *slog.Logger

	root    *os.Root // of dir, opened by Open; nil while dir does not exist
	absent  error    // why root is nil
	watcher *fsnotify.Watcher
	watched bool
	files   []*followed
	started bool // the first look at the directory is done: files that appear now are new
	told    string
}

var _ engine.Input = (*input)(nil)
var _ engine.Opener = (*input)(nil)
var _ engine.Closer = (*input)(nil)

// New implements the kind.
func New(p engine.Params) (engine.Input, error) {
	path, fromStart := strings.CutSuffix(p.Address, "<")
	path = strings.TrimSuffix(path, ">")
	if path == "" || strings.HasSuffix(path, "/") {
		return nil, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q names no file", p.URI)}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.LogDir, path)
	}
	in := &input{tag: p.Tag, dir: filepath.Dir(path), pattern: filepath.Base(path), max: p.Options.Int("max_line"),
		fromStart: fromStart || p.Options.String("from") == "start", poll: p.Options.Duration("poll"),
		remember: p.Options.Bool("checkpoint"), checkpoints: p.Checkpoints, log: p.Log}
	if _, err := filepath.Match(in.pattern, ""); err != nil || strings.ContainsAny(in.dir, "*?[") {
		return nil, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q: only the last part may be a pattern, and a valid one", path)}
	}
	return in, nil
}

// Open implements engine.Opener: it takes hold of the directory, so that rotation works in a chroot too.
func (in *input) Open(context.Context) error {
	if in.watcher == nil {
		w, err := fsnotify.NewBufferedWatcher(64)
		if err != nil { // no inotify instance left: polling does
			in.log.Warn("no notification of changes from the kernel, polling instead", "every", in.poll, "err", err)
		}
		in.watcher = w
	}
	in.openDir()
	return nil
}

// openDir takes hold of the directory when it is there, and of its successor when it was removed and made anew.
func (in *input) openDir() {
	if in.root != nil && removed(in.root) {
		in.root.Close()
		in.root, in.watched = nil, false // the kernel took the watch back
	}
	if in.root == nil {
		in.root, in.absent = os.OpenRoot(in.dir)
	}
	if in.root != nil && !in.watched && in.watcher != nil {
		in.watched = true
		if err := in.watcher.Add(in.dir); err != nil {
			in.log.Warn("no notification of changes from the kernel, polling instead", "directory", in.dir, "every", in.poll, "err", err)
		}
	}
}

// removed reports whether a directory has no name any more.
func removed(dir *os.Root) bool {
	info, err := dir.Stat(".")
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	return ok && st.Nlink == 0
}

// Close implements engine.Closer.
func (in *input) Close() error {
	for _, f := range in.files {
		f.file.Close()
	}
	in.files = nil
	var err error
	if in.root != nil {
		err = in.root.Close()
	}
	if in.watcher != nil {
		err = errors.Join(err, in.watcher.Close())
	}
	return err
}

// Run implements engine.Input. It ends with ctx only.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	if in.watcher == nil {
		in.Open(ctx)
	}
	if !in.started {
		in.resume()
	}
	var events chan fsnotify.Event
	var faults chan error // to be read, or the watcher stops
	if in.watcher != nil {
		events, faults = in.watcher.Events, in.watcher.Errors
	}
	look := time.NewTicker(in.poll)
	defer look.Stop()
	due := true
	for ctx.Err() == nil {
		if due {
			in.look(time.Now())
			due = false
		}
		moved, err := in.readAll(ctx, emit)
		if err != nil {
			return nil // only ctx ends an emit
		}
		select {
		case <-look.C:
			due = true
			continue
		default:
		}
		if moved {
			continue
		}
		select {
		case ev := <-events:
			due = ev.Op&^fsnotify.Write != 0 // something was created, renamed or removed
			drainEvents(events, &due)
		case <-faults: // the kernel's queue ran over, mostly
			due = true
		case <-look.C:
			due = true
		case <-ctx.Done():
		}
	}
	return nil
}

// drainEvents takes what else the kernel has told.
func drainEvents(events chan fsnotify.Event, due *bool) {
	for {
		select {
		case ev := <-events:
			*due = *due || ev.Op&^fsnotify.Write != 0
		default:
			return
		}
	}
}

// readAll reads every file as far as it goes now and reports whether anything was read.
func (in *input) readAll(ctx context.Context, emit engine.EmitFunc) (moved bool, err error) {
	for _, f := range in.files {
		m, err := in.read(ctx, f, emit)
		if err != nil {
			return moved, err
		}
		moved = moved || m
	}
	return moved, nil
}

// look finds new and rotated files in the directory.
func (in *input) look(now time.Time) {
	in.openDir()
	names, err := in.names()
	switch {
	case errors.Is(err, fs.ErrPermission):
		in.tell("cannot open, trying again: "+err.Error(), in.dir)
	case err != nil || len(names) == 0:
		in.tell("waiting for the file to appear", filepath.Join(in.dir, in.pattern))
	}
	seen := map[*followed]bool{}
	for _, name := range names {
		file, err := in.open(name)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				in.tell("cannot open, trying again: "+err.Error(), name)
			}
			for _, f := range in.files { // it may be ours, unreadable for the moment
				seen[f] = seen[f] || f.name == name
			}
			continue
		}
		if f := in.known(file); f != nil {
			seen[f] = true
			f.gone = time.Time{}
			f.rename(in.dir, name)
			file.Close()
			continue
		}
		in.told = ""
		if f := in.follow(file, name, !in.started && !in.fromStart); f != nil {
			seen[f] = true
		}
	}
	in.started = true
	for _, f := range slices.Clone(in.files) {
		if !seen[f] && f.gone.IsZero() {
			f.gone, f.grown = now, now
			if info, err := f.file.Stat(); err == nil {
				in.followNewer(info.ModTime()) // more than one rotation since the last look
			}
		}
	}
	in.files = slices.DeleteFunc(in.files, func(f *followed) bool { return in.drop(f, now) })
}

// tell logs a condition once until another one comes.
func (in *input) tell(what, path string) {
	if key := what + path; in.told != key {
		in.told = key
		level := slog.LevelInfo
		if strings.HasPrefix(what, "cannot") {
			level = slog.LevelWarn
		}
		in.log.Log(context.Background(), level, what, "path", path)
	}
}

// names returns the files that the pattern matches, sorted.
func (in *input) names() ([]string, error) {
	if !strings.ContainsAny(in.pattern, "*?[") {
		return []string{in.pattern}, nil
	}
	all, err := in.list()
	var names []string
	for _, name := range all {
		if ok, _ := filepath.Match(in.pattern, name); ok && !compressed(name) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, err
}

func (in *input) list() ([]string, error) {
	if in.root == nil {
		return nil, in.absent
	}
	d, err := in.root.Open(".")
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// compressed reports whether name is a rotated file that was packed: its lines were read before.
func compressed(name string) bool {
	switch filepath.Ext(name) {
	case ".gz", ".zst", ".bz2", ".xz", ".lz4", ".zip":
		return true
	}
	return false
}

// open opens a file of the directory. A symlink may lead out of it.
func (in *input) open(name string) (*os.File, error) {
	if in.root == nil {
		return nil, in.absent
	}
	f, err := in.root.Open(name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrPermission) {
		f, err = os.Open(filepath.Join(in.dir, name))
	}
	if err != nil {
		return nil, err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	return f, nil
}

// known returns the followed file that an open file is.
func (in *input) known(file *os.File) *followed {
	info, err := file.Stat()
	if err != nil {
		return nil
	}
	for _, f := range in.files {
		if os.SameFile(f.info, info) {
			return f
		}
	}
	return nil
}

// Paths implements engine.PathUser.
func (in *input) Paths() []engine.PathUse { return engine.ReadDir(filepath.Join(in.dir, in.pattern)) }
