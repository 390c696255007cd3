// Package tail follows files that grow: tail://. It survives every usual rotation: rename and create, copytruncate,
// truncation in place, delete and recreate (also with the same inode), a symlink that moves, files that appear later.
//
// A file is known by its device, inode, birth and first bytes, and an offset in it by the bytes before, not by names and
// times. One that is renamed away is read to its end and kept open until nothing was written to it for some seconds; its
// successor is read from its start. Rotated files that were read are remembered while they are there, so a file beside
// them that is unknown is new, however the clock went and however many rotations nobody saw.
//
//	place.go     directories: names, opening, watching
//	look.go      what is new in them, what is gone
//	past.go      files that were read, or are looked for
//	copies.go    copies of followed files
//	packed.go    compressed ones
//	followed.go  open files: reading, truncation
package tail

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
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

// maxOpen bounds how many files are open without need: rotated ones beyond it wait for others to be read, and those that
// match the pattern and do not grow are closed until they do.
const maxOpen = 256

type input struct {
	tag         string
	max         int64
	fromStart   bool
	poll        time.Duration
	grace       time.Duration
	remember    bool
	checkpoints *engine.Checkpoints
	log         *slog.Logger
	counts      counters
	newWatcher  func() (*fsnotify.Watcher, error)

	opened  bool
	watcher *fsnotify.Watcher // nil if the kernel has none left
	places  []*place          // the first is that of the URI
	files   []*followed
	past    []*past
	started bool              // the first look at the directory is done: files that appear now are new
	scans   int               // so many of the next looks are at all files, not at those alone that match the pattern
	scanned time.Time         // the last time
	stale   bool              // names changed while the last scan looked at them
	again   int               // so many scans in a row were broken off for that
	waiting bool              // a file that the last scan found waits for others to be read
	told    map[string]string // conditions by path
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
	in := &input{tag: p.Tag, max: p.Options.Int("max_line"), fromStart: fromStart || p.Options.String("from") == "start",
		poll: p.Options.Duration("poll"), grace: grace, remember: p.Options.Bool("checkpoint"), checkpoints: p.Checkpoints, log: p.Log,
		counts: newCounters(p), newWatcher: newWatcher}
	main := &place{dir: filepath.Dir(path), pattern: filepath.Base(path)}
	in.places = []*place{main}
	if _, err := filepath.Match(main.pattern, ""); err != nil || strings.ContainsAny(main.dir, "*?[") {
		return nil, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q: only the last part may be a pattern, and a valid one", path)}
	}
	return in, nil
}

// Open implements engine.Opener: it takes hold of the directory, so that rotation works in a chroot too.
func (in *input) Open(context.Context) error {
	if !in.opened {
		in.opened = true
		in.startWatcher()
	}
	in.places[0].hold(in)
	return nil
}

// Close implements engine.Closer.
func (in *input) Close() error {
	for _, f := range in.files {
		f.close()
	}
	in.files = nil
	var err error
	for _, p := range in.places {
		err = errors.Join(err, p.close())
	}
	if in.watcher != nil {
		err = errors.Join(err, in.watcher.Close())
	}
	return err
}

// Run implements engine.Input. It ends with ctx only.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	if !in.opened {
		in.Open(ctx)
	}
	if !in.started && in.remember {
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
			in.noted(ev, &due)
			in.drainEvents(events, &due)
		case <-faults: // the kernel's queue ran over, mostly
			due, in.scans = true, 2
		case <-look.C:
			due = true
		case <-ctx.Done():
		}
	}
	return nil
}

// noted takes what the kernel has told: due says that something was created, renamed or removed.
func (in *input) noted(ev fsnotify.Event, due *bool) {
	if ev.Op&^fsnotify.Write != 0 {
		*due = true
	}
	if ev.Op&(fsnotify.Create|fsnotify.Rename) != 0 {
		in.scans = max(in.scans, 1)
	}
}

// drainEvents takes what else the kernel has told.
func (in *input) drainEvents(events chan fsnotify.Event, due *bool) {
	for {
		select {
		case ev := <-events:
			in.noted(ev, due)
		default:
			return
		}
	}
}

// readAll reads every file as far as it goes now and reports whether anything was read.
func (in *input) readAll(ctx context.Context, emit engine.EmitFunc) (moved bool, err error) {
	closed := false
	for _, f := range in.files {
		m, err := in.read(ctx, f, emit)
		closed = closed || f.closed
		if err != nil {
			return moved, err
		}
		moved = moved || m
	}
	if closed {
		in.files = slices.DeleteFunc(in.files, func(f *followed) bool { return f.closed })
	}
	return moved, nil
}

// Paths implements engine.PathUser.
func (in *input) Paths() []engine.PathUse {
	return engine.ReadDir(filepath.Join(in.places[0].dir, in.places[0].pattern))
}
