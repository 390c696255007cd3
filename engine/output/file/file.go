// Package file appends events to files, one JSON document a line: file://, and zfile:// for gzip. It rotates by size, by
// time and by signal, and goes on where it is when the file is moved or removed under it.
package file

import (
	"cmp"
	"compress/gzip"
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
	"syscall"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/files"
)

var options = []engine.Option{
	{Key: "rotate_size", Type: engine.Bytes, Max: 1 << 50, Doc: "Rotate when the file has reached this size; 0 never."},
	{Key: "rotate_every", Type: engine.Duration, Max: 86400 * 366, Doc: "Rotate after this time; 0 never."},
	{Key: "keep", Type: engine.Int, Max: 1e6, Doc: "Rotated files to keep, the newest; 0 keeps all."},
	{Key: "compress", Type: engine.String, Default: "none", Enum: []string{"none", "gzip"}, Doc: "What to pack rotated files with, in the background."},
	{Key: "gzip", Type: engine.Bool, Doc: "Write the file itself as gzip. It is readable after every batch."},
	{Key: "mode", Type: engine.String, Default: "0640", Doc: "Permissions of new files, octal."},
	{Key: "fsync", Type: engine.String, Default: "never", Enum: []string{"never", "batch"}, Doc: "Whether each batch is on the disk before it is acked."},
}

// Kind is file://.
var Kind = engine.OutputKind{
	Doc:     "`file://PATH`: appends to a file, one JSON document a line; `<` behind PATH empties it at the start. Relative paths are below the log directory. SIGUSR1 rotates: the file is renamed to `PATH.YYYYMMDD.HHMMSS`.",
	Options: options,
	New:     func(p engine.Params) (engine.Output, error) { return newOutput(p, p.Options.Bool("gzip")) },
}

// ZKind is zfile://.
var ZKind = engine.OutputKind{
	Doc:     "`zfile://PATH`: like file:// with gzip = true.",
	Options: options,
	New:     func(p engine.Params) (engine.Output, error) { return newOutput(p, true) },
}

type output struct {
	dir, name string
	truncate  bool // at the first open
	gzip      bool
	pack      bool // rotated files
	size      int64
	every     time.Duration
	keep      int
	mode      os.FileMode
	fsync     bool
	log       *slog.Logger

	root    *os.Root // of dir; kept, so that rotation works in a chroot
	file    *os.File
	mended  bool // the end of the file that the first Open met was looked at
	regular bool
	shared  *shared   // with other rows that write the file
	checked time.Time // when the path was last compared with the open file
	buf     []byte
	z       *gzip.Writer
	packing sync.WaitGroup
}

var _ engine.Output = (*output)(nil)
var _ engine.Reopener = (*output)(nil)

func newOutput(p engine.Params, gz bool) (engine.Output, error) {
	path, truncate := strings.CutSuffix(p.Address, "<")
	path = strings.TrimSuffix(path, ">")
	if path == "" || strings.HasSuffix(path, "/") {
		return nil, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q names no file", p.URI)}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.LogDir, path)
	}
	mode, err := files.Mode(cmp.Or(p.Options.String("mode"), "0640"))
	if err != nil {
		return nil, err
	}
	return &output{dir: filepath.Dir(path), name: filepath.Base(path), truncate: truncate, gzip: gz,
		pack: p.Options.String("compress") == "gzip", size: p.Options.Int("rotate_size"), every: p.Options.Duration("rotate_every"),
		keep: int(p.Options.Int("keep")), mode: mode, fsync: p.Options.String("fsync") == "batch", log: p.Log}, nil
}

// Open implements engine.Output.
func (o *output) Open(ctx context.Context) error {
	if o.file != nil {
		return nil
	}
	if o.root == nil {
		root, err := files.Root(o.dir)
		if err != nil {
			return err
		}
		o.root = root
	}
	flags := os.O_CREATE | os.O_APPEND | os.O_WRONLY
	if o.truncate {
		flags |= os.O_TRUNC
	}
	f, err := o.root.OpenFile(o.name, flags, o.mode)
	if err != nil && strings.Contains(err.Error(), "escapes") { // a symlink that leads out of dir
		path := filepath.Join(o.dir, o.name)
		if !engine.Trusted(path, path) {
			return fmt.Errorf("%s is a link that leads elsewhere, and its owner is neither root, nor this user, nor the owner of what it leads to: it is not followed", path)
		}
		f, err = os.OpenFile(path, flags, o.mode)
	}
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	o.file, o.regular, o.shared = f, info.Mode().IsRegular(), join(info)
	if o.regular && !o.same() { // moved meanwhile; and if another row did that, what it knows of the file may be gone, and the file packed
		o.release()
		return o.Open(ctx)
	}
	if !o.mended || o.truncate {
		o.shared.mu.Lock()
		if o.truncate {
			o.shared.end, o.truncate = info.Size(), false
		}
		err := o.mend(o.shared)
		o.shared.mu.Unlock()
		if err != nil {
			o.Close()
			return fmt.Errorf("%s: mending its end: %w", filepath.Join(o.dir, o.name), err)
		}
		o.mended = true
	}
	return nil
}

// Write implements engine.Output.
func (o *output) Write(ctx context.Context, batch []engine.Event) (int, error) {
	if err := o.Open(ctx); err != nil {
		return 0, err
	}
	if err := o.follow(); err != nil {
		return 0, err
	}
	if o.due() {
		if err := o.rotate(); err != nil {
			o.log.Error("cannot rotate, going on in the same file", "path", filepath.Join(o.dir, o.name), "err", err)
			o.retryLater()
		}
	}
	if err := o.lock(ctx); err != nil {
		return 0, err
	}
	defer o.shared.mu.Unlock()
	if o.gzip {
		return o.writeGzip(batch)
	}
	return o.write(batch)
}

// lock waits for the turn of this row.
func (o *output) lock(ctx context.Context) error {
	for {
		if err := o.Open(ctx); err != nil {
			return err
		}
		if o.shared.mu.Lock(); !o.shared.moved {
			return nil
		}
		o.shared.mu.Unlock()
		o.release()
	}
}

// writeLen is about how many bytes one write(2) gets: as many as stay in the processor's cache between the copy into the
// buffer and the kernel's copy out of it.
const writeLen = 128 << 10

// write appends the batch, some events at a time.
func (o *output) write(batch []engine.Event) (int, error) {
	done := 0
	for done < len(batch) {
		n := 0
		o.buf = o.buf[:0]
		for ; done+n < len(batch) && (n == 0 || len(o.buf)+len(batch[done+n].Body) < writeLen); n++ {
			o.buf = append(o.buf, batch[done+n].Body...)
			o.buf = append(o.buf, '\n')
		}
		got, err := o.append(batch[done : done+n])
		if done += got; err != nil {
			return done, err
		}
	}
	if cap(o.buf) > 4<<20 {
		o.buf = nil
	}
	if o.fsync && o.regular {
		if err := o.file.Sync(); err != nil {
			return 0, err
		}
	}
	return done, nil
}

// append writes the buffer, which holds events. After a partial write it cuts the file behind the last whole line, so
// that the retry neither doubles a line nor leaves a piece of one.
func (o *output) append(events []engine.Event) (int, error) {
	n, err := o.file.Write(o.buf)
	if err == nil {
		o.shared.end += int64(n)
		return len(events), nil
	}
	done, whole := 0, 0
	for done < len(events) && whole+len(events[done].Body)+1 <= n {
		whole += len(events[done].Body) + 1
		done++
	}
	if !o.regular || whole == n {
		o.shared.end += int64(whole)
		return done, err
	}
	return done, errors.Join(err, o.shared.cut(o.file, n, whole))
}

// writeGzip appends the batch as a gzip member of its own: whole or not at all.
func (o *output) writeGzip(batch []engine.Event) (int, error) {
	o.buf = o.buf[:0]
	w := (*appender)(&o.buf)
	if o.z == nil {
		o.z = gzip.NewWriter(w)
	} else {
		o.z.Reset(w)
	}
	for i := range batch {
		io.WriteString(o.z, batch[i].Body)
		o.z.Write([]byte{'\n'})
	}
	if err := o.z.Close(); err != nil {
		return 0, err
	}
	n, err := o.file.Write(o.buf)
	if err == nil && o.fsync && o.regular {
		err = o.file.Sync()
	}
	if err != nil {
		if o.regular && n > 0 {
			err = errors.Join(err, o.shared.cut(o.file, n, 0))
		}
		return 0, err
	}
	o.shared.end += int64(n)
	return len(batch), nil
}

type appender []byte

func (a *appender) Write(b []byte) (int, error) { *a = append(*a, b...); return len(b), nil }

// follow opens the file anew when the path no longer leads to it: looked at once a second at most.
func (o *output) follow() error {
	now := time.Now()
	if !o.regular || now.Sub(o.checked) < time.Second {
		return nil
	}
	o.checked = now
	if o.same() {
		return nil
	}
	return o.anew()
}

// same reports whether the path still leads to the open file.
func (o *output) same() bool {
	open, err := o.file.Stat()
	if err != nil {
		return false
	}
	now, err := o.root.Stat(o.name)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	return os.SameFile(open, now)
}

func (o *output) reopen() error {
	err := o.release()
	return errors.Join(err, o.Open(context.Background()))
}

// release closes the file.
func (o *output) release() error {
	if o.file == nil {
		return nil
	}
	o.shared.leave()
	err := o.file.Close()
	o.file = nil
	return err
}

// Close implements engine.Output.
func (o *output) Close() error {
	o.packing.Wait()
	if err := o.release(); !errors.Is(err, syscall.EBADF) {
		return err
	}
	return nil
}

// Paths implements engine.PathUser: the directory, for rotation, the file in it, and the directory of the file which a link
// leads to; a device only itself.
func (o *output) Paths() []engine.PathUse {
	path := filepath.Join(o.dir, o.name)
	dir := engine.PathUse{Path: o.dir, Access: engine.Write, Kept: true}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return []engine.PathUse{dir}
	case !info.Mode().IsRegular():
		return []engine.PathUse{{Path: path, Access: engine.Write}}
	case !linked(path):
		return []engine.PathUse{dir, {Path: path, Access: engine.Write, Kept: true}}
	}
	dir.Kept = false // only the link is there
	to, err := filepath.EvalSymlinks(path)
	if err != nil || !engine.Trusted(path, to) {
		return []engine.PathUse{dir}
	}
	return []engine.PathUse{dir, {Path: filepath.Dir(to), Access: engine.Write}}
}

func linked(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode()&os.ModeSymlink != 0
}
