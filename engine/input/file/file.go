// Package file reads files once, from start to end: file:// (plain, gzip, zstd; a glob reads several, in order) and
// zfile:// (likewise, and named pipes). A file that was read to its end is not read again after a restart, only what was
// appended to it.
package file

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"dragonfly/engine"
	"dragonfly/engine/input/lines"
)

// Kind is file://.
var Kind = engine.InputKind{
	Doc:    "`file://PATH`: reads a file once, a record per line; also .gz and .zst, and several files if PATH is a glob (`*`, `?`, `[set]`). Relative paths are below the log directory.",
	Finite: true,
	Options: []engine.Option{
		lines.MaxLine,
		{Key: "checkpoint", Type: engine.JSON, Default: `"auto"`, Doc: "\"auto\": a start after a crash or an early end goes on where it was, and reads what is new; when nothing is new it reads all again, as dragonfly-mle does. true: nothing is ever read twice. false: every start reads all."},
	},
	New: func(p engine.Params) (engine.Input, error) { return newInput(p, false) },
}

// ZKind is zfile://.
var ZKind = engine.InputKind{
	Doc:     "`zfile://PATH`: like file://; PATH may also be a named pipe, which is made if it does not exist.",
	Finite:  true,
	Options: Kind.Options,
	New:     func(p engine.Params) (engine.Input, error) { return newInput(p, true) },
}

type input struct {
	tag         string
	path        string // may be a glob
	pipe        bool   // make a named pipe where nothing is
	max         int64
	remember    bool
	again       bool // read all again when nothing is new
	checkpoints *engine.Checkpoints
	log         *slog.Logger

	mu     sync.Mutex
	opened map[string]*os.File // by Open, for Run
}

var _ engine.Input = (*input)(nil)
var _ engine.Opener = (*input)(nil)

func newInput(p engine.Params, pipe bool) (engine.Input, error) {
	path := strings.TrimRight(p.Address, "<>")
	if path == "" {
		return nil, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q names no file", p.URI)}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.LogDir, path)
	}
	if _, err := filepath.Match(path, ""); err != nil {
		return nil, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q is not a valid pattern", path)}
	}
	checkpoint := p.Options.String("checkpoint")
	switch checkpoint {
	case "true", "false", `"auto"`:
	default:
		return nil, &engine.ConfigError{Key: "checkpoint", Msg: fmt.Sprintf("is %s, want true, false or \"auto\"", checkpoint)}
	}
	return &input{tag: p.Tag, path: path, pipe: pipe, max: p.Options.Int("max_line"), remember: checkpoint != "false", again: checkpoint == `"auto"`,
		checkpoints: p.Checkpoints, log: p.Log, opened: map[string]*os.File{}}, nil
}

// Open implements engine.Opener: it opens all files while the process may.
func (in *input) Open(context.Context) error {
	paths, err := in.paths()
	if err != nil {
		return err
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, path := range paths {
		if in.opened[path] != nil || isPipe(path) { // opening a pipe would wait for its writer
			continue
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		in.opened[path] = f
	}
	return nil
}

func isPipe(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode()&os.ModeNamedPipe != 0
}

// paths returns the files to read, sorted.
func (in *input) paths() ([]string, error) {
	if !strings.ContainsAny(in.path, "*?[") {
		if _, err := os.Stat(in.path); err != nil {
			if !in.pipe || !errors.Is(err, os.ErrNotExist) {
				return nil, err
			}
			if err := makePipe(in.path); err != nil {
				return nil, err
			}
		}
		return []string{in.path}, nil
	}
	paths, _ := filepath.Glob(in.path)
	if len(paths) == 0 {
		return nil, fmt.Errorf("no file matches %q: %w", in.path, fs.ErrNotExist)
	}
	slices.Sort(paths)
	return paths, nil
}

// Run implements engine.Input.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	in.mu.Lock()
	opened := in.opened
	in.opened = map[string]*os.File{}
	in.mu.Unlock()
	var paths []string
	for path := range opened {
		paths = append(paths, path)
	}
	if slices.Sort(paths); len(paths) == 0 {
		var err error
		if paths, err = in.paths(); err != nil {
			return err
		}
	}
	var old []engine.Position
	if in.remember {
		old = in.checkpoints.Load(in.tag)
		in.checkpoints.Start(in.tag)
		if in.again && len(old) > 0 && in.nothingNew(paths, opened, old) {
			in.log.Info("all of it was read by an earlier run, and nothing is new: it is read again (checkpoint = true in its row prevents that)")
			old = nil
		}
	}
	for _, path := range paths {
		f := opened[path]
		if f == nil {
			var err error
			if f, err = openContext(ctx, path); err != nil {
				return err
			}
		}
		err := in.read(ctx, f, path, old, emit)
		f.Close()
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	if in.remember {
		in.checkpoints.Settle(in.tag)
	}
	return nil
}

// nothingNew reports whether an earlier process has finished all of paths.
func (in *input) nothingNew(paths []string, opened map[string]*os.File, old []engine.Position) bool {
	done := func(f *os.File) bool {
		info, err := f.Stat()
		if err != nil || !info.Mode().IsRegular() {
			return false
		}
		for _, p := range old {
			if p.Earlier && p.Finished && lines.Same(f, p) && (p.Offset == info.Size() || isCompressed(f)) {
				return true
			}
		}
		return false
	}
	for _, path := range paths {
		f := opened[path]
		if f == nil {
			info, err := os.Stat(path) // a pipe must not be opened for a look
			if err != nil || !info.Mode().IsRegular() {
				return false
			}
			if f, err = os.Open(path); err != nil {
				return false
			}
			defer f.Close()
		}
		if !done(f) {
			return false
		}
	}
	return true
}

// read emits one file from where it was read before.
func (in *input) read(ctx context.Context, f *os.File, path string, old []engine.Position, emit engine.EmitFunc) error {
	at := engine.Position{Path: path}
	regular, finished := false, false
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		regular = true
		if at, err = lines.Identify(f, path); err != nil {
			return err
		}
	}
	if in.remember && regular {
		for _, p := range old {
			if info, err := f.Stat(); err == nil && lines.Same(f, p) { // it may have been renamed
				at.Offset, finished = p.Offset, p.Finished
				if p.Offset > info.Size() && !isCompressed(f) {
					at.Offset = 0 // it was cut: what it holds now is new
				}
			}
		}
	}
	stop := context.AfterFunc(ctx, func() { f.SetReadDeadline(time.Unix(1, 0)) }) // a pipe's writer may be silent
	defer stop()
	src, compressed, err := plain(ctx, f, regular)
	if err != nil {
		return err
	}
	defer src.Close()
	var before []byte
	if at.Offset > 0 {
		if before, err = skip(f, src, compressed, at.Offset); err != nil {
			return err
		}
		in.log.Info("going on where it was read before", "path", path, "offset", at.Offset)
	}
	var cursor *engine.Cursor
	if in.remember && regular {
		cursor = in.checkpoints.Cursor(in.tag, at)
	}
	r := lines.New(src, at.Offset, in.max)
	r.Resume(before, !finished)
	err = lines.Drain(r, func(records []engine.Record, end int64) error {
		b := engine.Batch{Origin: "file://" + path, Records: records}
		if cursor == nil {
			return emit(ctx, b)
		}
		b.Done = cursor.Track(end)
		err := emit(ctx, b)
		if err != nil {
			cursor.Untrack()
		}
		return err
	})
	if err == nil && cursor != nil {
		cursor.Finish()
	}
	if err != nil && compressed && ctx.Err() == nil {
		return fmt.Errorf("%w: %w", engine.ErrDamaged, err)
	}
	return err
}

// skip moves src to offset of the (decompressed) stream and returns what stands before it. A file that is shorter has been
// cut: it is at its end then.
func skip(f *os.File, src io.Reader, compressed bool, offset int64) (before []byte, err error) {
	if !compressed {
		_, err := f.Seek(offset, io.SeekStart)
		return lines.Before(f, offset), err
	}
	var b bytes.Buffer
	n := min(offset, lines.MarkLen)
	if _, err = io.CopyN(io.Discard, src, offset-n); err == nil {
		_, err = io.CopyN(&b, src, n)
	}
	if err == io.EOF {
		return nil, nil
	}
	return b.Bytes(), err
}

// isCompressed reports whether f is a gzip or zstd file.
func isCompressed(f *os.File) bool {
	magic := make([]byte, 4)
	n, _ := f.ReadAt(magic, 0)
	return isGzip(magic[:n]) || isZstd(magic[:n])
}

func isGzip(magic []byte) bool { return bytes.HasPrefix(magic, []byte{0x1f, 0x8b}) }
func isZstd(magic []byte) bool { return bytes.HasPrefix(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}) }

// plain returns the decompressed content of f, by its first bytes. Pipes are looked into through a buffer.
func plain(ctx context.Context, f *os.File, regular bool) (src io.ReadCloser, compressed bool, err error) {
	var magic []byte
	r := io.Reader(readerFunc(func(b []byte) (int, error) { // skipping a large file takes long
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		return f.Read(b)
	}))
	if regular {
		magic = make([]byte, 4)
		n, err := f.ReadAt(magic, 0)
		if err != nil && err != io.EOF {
			return nil, false, err
		}
		magic = magic[:n]
	} else {
		b := bufio.NewReaderSize(r, 64<<10)
		magic, _ = b.Peek(4)
		r = b
	}
	switch {
	case isGzip(magic):
		z, err := gzip.NewReader(r)
		return z, true, err
	case isZstd(magic):
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1))
		if err != nil {
			return nil, true, err
		}
		return z.IOReadCloser(), true, nil
	}
	return io.NopCloser(r), false, nil
}

// readerFunc is an io.Reader made of its Read.
type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(b []byte) (int, error) { return f(b) }

// Paths implements engine.PathUser. A pipe is opened for writing too, to end the wait for its writer.
func (in *input) Paths() []engine.PathUse {
	uses := engine.ReadDir(in.path)
	if in.pipe && isPipe(in.path) {
		uses = append(uses, engine.PathUse{Path: in.path, Access: engine.Write})
	}
	return uses
}
