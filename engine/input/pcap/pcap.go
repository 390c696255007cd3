// Package pcap meters capture files: pcap://. The packets become flows, and these become EVE events in Suricata's shape. A Pass
// does the metering; the command `dragonfly flows` uses it too.
package pcap

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
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
	options     engine.Values
	remember    bool
	again       bool // meter all again when nothing is new
	checkpoints *engine.Checkpoints
	log         *slog.Logger
	counter     func(name, help string) *atomic.Int64
	stdin       *stream

	over bool // read to its damaged end, with nothing to remember that by
	files
}

var _ engine.Opener = (*input)(nil)
var _ engine.Closer = (*input)(nil)
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
	in := &input{tag: p.Tag, options: p.Options, remember: checkpoint != "false" && path != "-", again: checkpoint == `"auto"`,
		checkpoints: p.Checkpoints, log: p.Log, counter: p.Counter, files: files{path: path, opened: map[string]Source{}}}
	if path == "-" {
		in.stdin = newStream(stdin)
	}
	return in, nil
}

// Run implements engine.Input.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	if in.stdin != nil {
		return in.runStream(ctx, emit)
	}
	if in.over {
		return nil
	}
	sources, err := in.files.sources()
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
	in.files.finish()
	if in.remember {
		in.checkpoints.Settle(in.tag)
	} else if err != nil {
		in.over = true
	}
	return err
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
