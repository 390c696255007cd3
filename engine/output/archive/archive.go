// Package archive appends events to files whose names are made from the events: archive://.
package archive

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/column"
	"dragonfly/engine/output/internal/files"
	"dragonfly/engine/wire/template"
)

// Kind is archive://.
var Kind = engine.OutputKind{
	Doc: "`archive://PATH`: appends to files by time and fields, one JSON document a line: `archive:///data/%Y/%m/%d/{event_type}/{src_ip}.json.gz`. `%Y %m %d %H %M %y %j %F` are of the event's timestamp, in UTC; `{field}` and `{object.field}` are of the event, with what has no place in a file name as `_`; `%%`, `{{` and `}}` stand for themselves. `.gz` and `.zst` files are compressed. Relative paths are below the log directory.",
	Options: []engine.Option{
		{Key: "time", Type: engine.String, Default: "event", Enum: []string{"event", "arrival"}, Doc: "The time in the path: the event's timestamp (its arrival where it has none), or its arrival."},
		{Key: "missing", Type: engine.String, Default: "_unknown", Doc: "What stands in the path for a field that an event does not have."},
		{Key: "max_open", Type: engine.Int, Default: int64(64), Min: 1, Max: 4096, Doc: "Files that are open at a time; the one that was not used for longest is closed for another."},
		{Key: "idle", Type: engine.Duration, Default: time.Minute, Min: 1, Max: 86400, Doc: "A file that got nothing for this time is closed."},
		{Key: "fsync", Type: engine.String, Default: "never", Enum: []string{"never", "batch"}, Doc: "Whether each batch is on the disk before it is acked."},
		{Key: "keep_age", Type: engine.Duration, Max: 86400 * 36600, Doc: "Remove files that nothing was written to for this time; 0 never."},
		{Key: "keep_size", Type: engine.Bytes, Max: 1 << 60, Doc: "Remove the files that were not written to for longest while all together are larger; 0 never."},
		{Key: "prune_every", Type: engine.Duration, Default: time.Minute, Min: 0.01, Max: 86400, Doc: "How often keep_age and keep_size are looked at."},
		{Key: "mode", Type: engine.String, Default: "0640", Doc: "Permissions of new files, octal. Directories can be listed by whom their files can be read."},
	},
	New: New,
}

type output struct {
	dir     string // the path up to the first directory that differs from event to event
	name    *template.Template
	pattern *regexp.Regexp // of the names below dir
	packing packing
	arrival bool
	maxOpen int
	idle    time.Duration
	fsync   bool
	mode    os.FileMode
	age     time.Duration
	size    int64
	every   time.Duration
	log     *slog.Logger
	removed *atomic.Int64

	mu    sync.Mutex // held by Write, and by tend for each step
	root  *os.Root   // of dir
	open  map[string]*file
	tick  int64            // of the last use of a file
	z     encoder          // shared by all files: it holds nothing between two batches
	rows  column.Reader    // used by Write
	sets  map[string]*part // used by Write: the events of each file
	order []*part

	stop context.CancelFunc // of tend
	wg   sync.WaitGroup
}

var _ engine.Output = (*output)(nil)
var _ engine.PathUser = (*output)(nil)

// part is what one file gets of a batch.
type part struct {
	name   string
	events []engine.Event
}

// New checks the row.
func New(p engine.Params) (engine.Output, error) {
	var problems []error
	bad := func(key, format string, args ...any) {
		problems = append(problems, &engine.ConfigError{Key: key, Msg: fmt.Sprintf(format, args...)})
	}
	path := p.Address
	if !filepath.IsAbs(path) {
		path = filepath.Join(template.Path("", nil).Quote(p.LogDir), path)
	}
	missing := p.Options.String("missing")
	if missing == "" || strings.ContainsAny(missing, "/\x00") || missing[0] == '.' {
		bad("missing", "is %q, want a part of a file name", missing)
		missing = "_unknown"
	}
	if p.Address == "" || strings.HasSuffix(path, "/") {
		bad("uri", "%q names no file", p.URI)
	}
	for elem := range strings.SplitSeq(path, "/") {
		if elem == ".." {
			bad("uri", "%q has .. in it: write the path without", p.URI)
		}
	}
	mode, err := files.Mode(p.Options.String("mode"))
	if err != nil {
		problems = append(problems, err)
	}
	o := &output{packing: packingOf(path), arrival: p.Options.String("time") == "arrival", maxOpen: int(p.Options.Int("max_open")),
		idle: p.Options.Duration("idle"), fsync: p.Options.String("fsync") == "batch", mode: mode, age: p.Options.Duration("keep_age"),
		size: p.Options.Int("keep_size"), every: p.Options.Duration("prune_every"), log: p.Log, open: map[string]*file{}, sets: map[string]*part{}}
	whole, err := template.Path(missing, template.CleanFile).Parse(filepath.Clean(path))
	if err != nil {
		bad("uri", "%v", err)
		return nil, errors.Join(problems...)
	}
	o.dir = filepath.Dir(whole.Prefix() + "x")
	if whole.Fixed() {
		o.dir = filepath.Dir(whole.Prefix())
	}
	o.name = whole.Behind(len(strings.TrimSuffix(o.dir, "/")) + 1)
	o.pattern = o.name.Pattern(template.FilePart)
	if p.Counter != nil {
		o.removed = p.Counter("pruned_files_total", "files removed because of keep_age and keep_size")
	} else {
		o.removed = new(atomic.Int64)
	}
	return o, errors.Join(problems...)
}

// Open implements engine.Output.
func (o *output) Open(context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.root != nil {
		return nil
	}
	root, err := files.Root(o.dir)
	if err != nil {
		return err
	}
	o.root = root
	ctx, stop := context.WithCancel(context.Background())
	o.stop = stop
	o.wg.Go(func() { o.tend(ctx) })
	return nil
}

// Write implements engine.Output. What goes to the same file is written together. It takes the batch in windows of as many
// files as may be open; a window is in the files as a whole or not at all, so that what is repeated is not doubled.
func (o *output) Write(ctx context.Context, batch []engine.Event) (int, error) {
	if err := o.Open(ctx); err != nil {
		return 0, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	done := 0
	for done < len(batch) {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		n := o.window(batch[done:])
		if err := o.writeWindow(); err != nil {
			return done, err
		}
		done += n
	}
	for _, set := range o.order {
		set.events = nil // they are not ours to keep
	}
	return done, nil
}

// window fills o.order with the files of the first events of batch, and returns how many events these are.
func (o *output) window(batch []engine.Event) int {
	clear(o.sets)
	o.order = o.order[:0]
	now := time.Now().UTC()
	var buf [512]byte
	for i := range batch {
		o.rows.Reset(batch[i])
		at := now
		if !o.arrival && o.name.Timed() {
			if t, ok := o.rows.Timestamp(); ok {
				at = t
			}
		}
		name := o.name.Append(buf[:0], &o.rows.Reader, at)
		set := o.sets[string(name)]
		if set == nil {
			if len(o.order) == o.maxOpen {
				return i
			}
			set = &part{name: string(name)}
			o.sets[set.name] = set
			o.order = append(o.order, set)
		}
		set.events = append(set.events, batch[i])
	}
	return len(batch)
}

// writeWindow writes o.order; after an error all files are as they were.
func (o *output) writeWindow() error {
	now := time.Now()
	files := make([]*file, 0, len(o.order))
	starts := make([]int64, 0, len(o.order))
	o.tick++
	undo := func(err error) error {
		for i, f := range files {
			if cut := f.cut(starts[i]); cut != nil {
				o.forget(f) // mended when it is opened again
				err = errors.Join(err, cut)
			}
		}
		return err
	}
	for _, set := range o.order {
		f, err := o.file(set.name, now)
		if err != nil {
			return undo(fmt.Errorf("%s: %w", o.dir, err))
		}
		f.tick, f.used = o.tick, now
		files, starts = append(files, f), append(starts, f.end)
		if err := f.append(&o.z, set.events); err != nil {
			return undo(fmt.Errorf("%s: %w", filepath.Join(o.dir, set.name), err))
		}
	}
	if o.fsync {
		for _, f := range files {
			if err := f.sync(); err != nil {
				return undo(err)
			}
		}
	}
	return nil
}

// Close implements engine.Output.
func (o *output) Close() error {
	if o.stop != nil {
		o.stop()
		o.wg.Wait()
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for _, f := range o.open {
		errs = append(errs, f.Close())
	}
	clear(o.open)
	if o.root != nil {
		errs = append(errs, o.root.Close())
	}
	o.root, o.stop = nil, nil
	return errors.Join(errs...)
}

// Reopen implements engine.Reopener: files are closed, and opened anew by their names when there is something for them.
func (o *output) Reopen() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for _, f := range o.open {
		errs = append(errs, f.Close())
	}
	clear(o.open)
	return errors.Join(errs...)
}

// Paths implements engine.PathUser.
func (o *output) Paths() []engine.PathUse {
	return []engine.PathUse{{Path: o.dir, Access: engine.Write, Kept: true}}
}
