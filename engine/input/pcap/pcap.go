// Package pcap meters capture files: pcap://. The packets become flows, and these become EVE events in Suricata's shape. A Pass
// does the metering; the command `dragonfly flows` uses it too.
package pcap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"

	"dragonfly/engine"
	"dragonfly/engine/input/internal/metering"
)

// Kind is pcap://.
var Kind = engine.InputKind{
	Doc: "`pcap://PATH`: meters a capture (pcap, pcapng; also .gz and .zst) and makes EVE events of its flows; `pcap://-` reads standard input. " +
		"PATH may be a glob (`*`, `?`, `[set]`): flows then go on from one file to the next, in the order of their first frames. Relative paths are below the log directory.",
	Finite: true,
	Options: append([]engine.Option{
		{Key: "checkpoint", Type: engine.JSON, Default: `"auto"`, Doc: "What is remembered is how many events of each file are finished. After a crash or an early end the same files are metered again from the first on, and only events that are not finished are handed on; if they have become others (other options, another version, other files) all those of a file, with a warning. Files that are new afterwards are metered by themselves. \"auto\": when nothing is new, all is metered again; true: nothing is ever metered twice; false: every start meters all."},
	}, metering.Options...),
	New: func(p engine.Params) (engine.Input, error) { return New(p, os.Stdin) },
}

type input struct {
	tag         string
	path        string // may be a glob; "-" is stdin
	options     engine.Values
	remember    bool
	again       bool // meter all again when nothing is new
	checkpoints *engine.Checkpoints
	log         *slog.Logger
	counter     func(name, help string) *atomic.Int64
	stdin       *stream

	over bool // read to its damaged end, with nothing to remember that by

	mu     sync.Mutex
	opened map[string]Source // by Open, for Run
}

var _ engine.Opener = (*input)(nil)
var _ engine.PathUser = (*input)(nil)

// New returns the input; stdin is what pcap://- reads.
func New(p engine.Params, stdin io.Reader) (engine.Input, error) {
	path := p.Address
	var errs []error
	fail := func(key, format string, args ...any) {
		errs = append(errs, &engine.ConfigError{Key: key, Msg: fmt.Sprintf(format, args...)})
	}
	if path == "" {
		fail("uri", "%q names no file", p.URI)
	}
	if path != "-" && !filepath.IsAbs(path) {
		path = filepath.Join(p.LogDir, path)
	}
	if _, err := filepath.Match(path, ""); err != nil {
		fail("uri", "%q is not a valid pattern", path)
	}
	checkpoint := p.Options.String("checkpoint")
	switch checkpoint {
	case "true", "false", `"auto"`:
	default:
		fail("checkpoint", "is %s, want true, false or \"auto\"", checkpoint)
	}
	if _, err := NewPass(p.Options); err != nil {
		errs = append(errs, err)
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	in := &input{tag: p.Tag, path: path, options: p.Options, remember: checkpoint != "false" && path != "-", again: checkpoint == `"auto"`,
		checkpoints: p.Checkpoints, log: p.Log, counter: p.Counter, opened: map[string]Source{}}
	if path == "-" {
		in.stdin = newStream(stdin)
	}
	return in, nil
}

// Open implements engine.Opener: it opens all files while the process may.
func (in *input) Open(context.Context) error {
	if in.stdin != nil {
		return nil
	}
	paths, err := in.paths()
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, path := range paths {
		if _, ok := in.opened[path]; ok {
			continue
		}
		s, err := Open(path)
		if err != nil {
			return err
		}
		in.opened[path] = s
	}
	return nil
}

// paths returns the files to meter.
func (in *input) paths() ([]string, error) {
	if !strings.ContainsAny(in.path, "*?[") {
		return []string{in.path}, nil
	}
	paths, _ := filepath.Glob(in.path)
	if len(paths) == 0 {
		return nil, fmt.Errorf("no file matches %q: %w", in.path, fs.ErrNotExist)
	}
	return paths, nil
}

// Run implements engine.Input.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	if in.stdin != nil {
		return in.runStream(ctx, emit)
	}
	if in.over {
		return nil
	}
	sources, err := in.sources()
	defer func() {
		for _, s := range sources {
			s.Close()
		}
	}()
	if err != nil {
		return err
	}
	d := &delivery{in: in, ctx: ctx, emit: emit}
	todo := d.plan(sources)
	for err = errChanged; errors.Is(err, errChanged); {
		err = in.meter(ctx, todo, d)
	}
	if ctx.Err() != nil {
		return nil
	}
	if err != nil && !errors.Is(err, engine.ErrDamaged) {
		return err
	}
	d.finish(todo)
	if in.remember {
		in.checkpoints.Settle(in.tag)
	} else if err != nil {
		in.over = true
	}
	return err
}

// sources returns what Open opened, or else opens it, in the order of the first frames.
func (in *input) sources() ([]Source, error) {
	in.mu.Lock()
	opened := in.opened
	in.opened = map[string]Source{}
	in.mu.Unlock()
	var list []Source
	for _, s := range opened {
		list = append(list, s)
	}
	if len(list) == 0 {
		paths, err := in.paths()
		if err != nil {
			return nil, err
		}
		for _, path := range paths {
			s, err := Open(path)
			if err != nil {
				return list, err
			}
			list = append(list, s)
		}
	}
	Sort(list)
	return list, nil
}

// meter makes one pass over sources.
func (in *input) meter(ctx context.Context, sources []Source, d *delivery) error {
	if len(sources) == 0 {
		return nil
	}
	p, err := NewPass(in.options)
	if err != nil {
		return err
	}
	b := &books{in: in, told: map[string]uint64{}, progress: &p.Progress}
	p.Watch = b.tell
	damaged := p.Run(ctx, sources, d)
	if damaged != nil && !errors.Is(damaged, engine.ErrDamaged) {
		return damaged
	}
	if err := d.end(); err != nil {
		return err
	}
	return damaged
}

// Paths implements engine.PathUser.
func (in *input) Paths() []engine.PathUse {
	if in.stdin != nil {
		return nil
	}
	return engine.ReadDir(in.path)
}
