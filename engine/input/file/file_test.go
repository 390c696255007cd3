package file

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"dragonfly/engine"
)

// rig runs inputs over a directory and keeps what they emit.
type rig struct {
	t      *testing.T
	dir    string
	state  string // directory of the checkpoints
	points *engine.Checkpoints
	got    []string
	hold   func(body string) bool // records that are not acked; nil acks all
}

func newRig(t *testing.T) *rig {
	r := &rig{t: t, dir: t.TempDir(), state: t.TempDir()}
	r.reopen()
	return r
}

// reopen is a restart: what was saved is there.
func (r *rig) reopen() {
	r.t.Helper()
	if r.points != nil {
		if err := r.points.Save(); err != nil {
			r.t.Fatal(err)
		}
	}
	c, err := engine.OpenCheckpoints(filepath.Join(r.state, "checkpoints"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.points = c
}

func (r *rig) write(name, text string) {
	r.t.Helper()
	if err := os.WriteFile(filepath.Join(r.dir, name), []byte(text), 0o644); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) append(name, text string) {
	r.t.Helper()
	f, err := os.OpenFile(filepath.Join(r.dir, name), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		r.t.Fatal(err)
	}
	defer f.Close()
	f.WriteString(text)
}

func (r *rig) input(kind engine.InputKind, address string) engine.Input {
	r.t.Helper()
	in, err := kind.New(engine.Params{Tag: "eve", URI: "file://" + address, Address: address, LogDir: r.dir, Checkpoints: r.points,
		Options: engine.Values{"max_line": int64(1 << 20), "checkpoint": "true"}, Log: slog.New(slog.NewTextHandler(io.Discard, nil))})
	if err != nil {
		r.t.Fatal(err)
	}
	return in
}

func (r *rig) emit(ctx context.Context, b engine.Batch) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	ack := true
	for _, rec := range b.Records {
		r.got = append(r.got, rec.Body)
		ack = ack && (r.hold == nil || !r.hold(rec.Body))
	}
	if b.Done != nil && ack {
		b.Done()
	}
	return nil
}

// run opens and runs an input to its end.
func (r *rig) run(address string) error {
	in := r.input(Kind, address)
	if err := in.(engine.Opener).Open(r.t.Context()); err != nil {
		return err
	}
	return in.Run(r.t.Context(), r.emit)
}

// want runs an input and compares what it emits now.
func (r *rig) want(address string, records ...string) {
	r.t.Helper()
	r.got = nil
	if err := r.run(address); err != nil {
		r.t.Fatal(err)
	}
	if got, want := fmt.Sprint(r.got), fmt.Sprint(records); got != want {
		r.t.Fatalf("got %s, want %s", got, want)
	}
}

func gz(text string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, text)
	z.Close()
	return b.String()
}

func zst(text string) string {
	z, _ := zstd.NewWriter(nil)
	defer z.Close()
	return string(z.EncodeAll([]byte(text), nil))
}

func TestFileReadsOnce(t *testing.T) {
	r := newRig(t)
	r.write("a", "one\r\n\ntwo\nlast without end")
	r.want("a<", "one", "two", "last without end")
	r.reopen()
	r.want("a>")
}

func TestFileReadsWhatWasAppended(t *testing.T) {
	r := newRig(t)
	r.write("a", "one\n")
	r.want("a", "one")
	r.append("a", "two\n")
	r.reopen()
	r.want("a", "two")
}

func TestFileReadsAnotherFileOfTheSameName(t *testing.T) {
	r := newRig(t)
	r.write("a", "one\n")
	r.want("a", "one")
	r.reopen()
	r.write("b", "new\n")
	os.Rename(r.dir+"/b", r.dir+"/a")
	r.want("a", "new")
}

func TestFileReadsACutFileFromItsStart(t *testing.T) {
	r := newRig(t)
	r.write("a", "one\ntwo\n")
	r.want("a", "one", "two")
	r.reopen()
	r.write("a", "x\n") // the same inode
	r.want("a", "x")
}

func TestFileKnowsARenamedFile(t *testing.T) {
	r := newRig(t)
	r.write("eve.json", "one\n")
	r.want("eve.*", "one")
	os.Rename(r.dir+"/eve.json", r.dir+"/eve.json.1")
	r.write("eve.json", "two\n")
	r.reopen()
	r.want("eve.*", "two")
}

func TestFileReadsCompressedFilesByTheirFirstBytes(t *testing.T) {
	r := newRig(t)
	r.write("a.json", gz("one\n")+gz("two\n"))
	r.write("b.gz", zst("three\n"))
	r.write("c.zst", "plain\n")
	r.want("*", "one", "two", "three", "plain")
	r.reopen()
	r.want("*")
}

func TestFileResumesInACompressedFile(t *testing.T) {
	r := newRig(t)
	var text strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&text, "line %d %s\n", i, strings.Repeat("x", i%50))
	}
	for name, packed := range map[string]string{"a.gz": gz(text.String()), "b.zst": zst(text.String())} {
		r.write(name, packed)
		r.got = nil
		cut := false
		r.hold = func(body string) bool { cut = cut || strings.HasPrefix(body, "line 10000 "); return cut }
		if err := r.run(name); err != nil {
			t.Fatal(err)
		}
		if len(r.got) != 20_000 {
			t.Fatalf("%s: got %d records", name, len(r.got))
		}
		r.reopen() // as after a crash: what was not acked comes again
		r.got, r.hold = nil, nil
		if err := r.run(name); err != nil {
			t.Fatal(err)
		}
		first := r.got[0]
		var n int
		fmt.Sscanf(first, "line %d", &n)
		if n > 10_000 || n < 5_000 || len(r.got) != 20_000-n {
			t.Errorf("%s: resumed at %q with %d records", name, first, len(r.got))
		}
	}
}

// A crash in the first of several files must not forget that the others are finished.
func TestFileRemembersFilesThatItHasNotComeTo(t *testing.T) {
	r := newRig(t)
	r.write("a", "a1\n")
	r.write("b", "b1\n")
	r.want("?", "a1", "b1")
	r.reopen()
	r.append("a", "a2\n")
	in := r.input(Kind, "?")
	ctx, cancel := context.WithCancel(t.Context())
	if err := in.Run(ctx, func(context.Context, engine.Batch) error { cancel(); return ctx.Err() }); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	r.want("?", "a2")
}

func TestFileErrorsNameTheFile(t *testing.T) {
	r := newRig(t)
	for _, address := range []string{"missing", "missing*"} {
		if err := r.run(address); err == nil || !strings.Contains(err.Error(), filepath.Join(r.dir, address)) {
			t.Errorf("%s: got %v", address, err)
		}
	}
	r.write("cut.gz", gz(strings.Repeat("line\n", 1000))[:30])
	if err := r.run("cut.gz"); err == nil || !strings.Contains(err.Error(), "cut.gz") {
		t.Errorf("got %v", err)
	}
	for _, address := range []string{"", "<", "["} {
		_, err := Kind.New(engine.Params{Address: address, LogDir: r.dir})
		if len(engine.ConfigErrors(err)) != 1 {
			t.Errorf("%q: got %v", address, err)
		}
	}
}

func TestFileWithoutCheckpointReadsAgain(t *testing.T) {
	r := newRig(t)
	r.write("a", "one\n")
	for range 2 {
		in, err := Kind.New(engine.Params{Tag: "eve", Address: "a", LogDir: r.dir, Checkpoints: r.points, Options: engine.Values{"max_line": int64(1000), "checkpoint": "false"}})
		if err != nil {
			t.Fatal(err)
		}
		r.got = nil
		if err := in.Run(t.Context(), r.emit); err != nil || len(r.got) != 1 {
			t.Errorf("got %q, %v", r.got, err)
		}
	}
}

// With checkpoint = "auto" a start reads what is new, and all again when nothing is; within a process nothing comes twice.
func TestFileReadsAgainWhenNothingIsNew(t *testing.T) {
	r := newRig(t)
	auto := func() engine.Input {
		in, err := Kind.New(engine.Params{Tag: "eve", Address: "*.json", LogDir: r.dir, Checkpoints: r.points, Log: slog.New(slog.DiscardHandler),
			Options: engine.Values{"max_line": int64(1000), "checkpoint": `"auto"`}})
		if err != nil {
			t.Fatal(err)
		}
		return in
	}
	run := func(want ...string) {
		t.Helper()
		r.got = nil
		if err := auto().Run(t.Context(), r.emit); err != nil || !slices.Equal(r.got, want) {
			t.Errorf("got %q, %v, want %q", r.got, err, want)
		}
	}
	r.write("a.json", "one\n")
	r.write("b.json", "two\n")
	run("one", "two")
	run() // a reload
	r.reopen()
	run("one", "two")
	r.reopen()
	r.append("b.json", "three\n")
	run("three")
	r.reopen()
	r.write("c.json", "four\n")
	run("four")
	r.reopen()
	run("one", "two", "three", "four")
	run()
}

func TestFileSkipsOnlyWhileItMay(t *testing.T) {
	r := newRig(t)
	r.write("a.gz", gz(strings.Repeat(strings.Repeat("x", 99)+"\n", 100_000)))
	if err := r.run("a.gz"); err != nil {
		t.Fatal(err)
	}
	r.reopen()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	r.got = nil
	in := r.input(Kind, "a.gz")
	begun := time.Now()
	if err := in.Run(ctx, r.emit); err != nil || len(r.got) > 0 || time.Since(begun) > 2*time.Second {
		t.Errorf("got %d records, %v after %v", len(r.got), err, time.Since(begun))
	}
}

// ends runs in until cancel has been called and fails if that does not end it.
func ends(t *testing.T, in engine.Input, cancel func(), ctx context.Context, emit engine.EmitFunc) {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx, emit) }()
	cancel()
	select {
	case err := <-ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(60 * time.Second):
		t.Fatal("does not end with its context")
	}
}

func TestZFileReadsANamedPipe(t *testing.T) {
	r := newRig(t)
	in := r.input(ZKind, "pipe")
	if err := in.(engine.Opener).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		f, err := os.OpenFile(r.dir+"/pipe", os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		io.WriteString(f, gz("one\ntwo\n"))
		f.Close()
	})
	if err := in.Run(t.Context(), r.emit); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if fmt.Sprint(r.got) != "[one two]" {
		t.Errorf("got %q", r.got)
	}
}

func TestZFileEndsWhileItWaitsForAWriter(t *testing.T) {
	r := newRig(t)
	in := r.input(ZKind, "pipe")
	in.(engine.Opener).Open(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	ends(t, in, cancel, ctx, r.emit)
}

func TestZFileEndsWhileItsWriterIsSilent(t *testing.T) {
	r := newRig(t)
	in := r.input(ZKind, "pipe")
	in.(engine.Opener).Open(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	w, err := os.OpenFile(r.dir+"/pipe", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	io.WriteString(w, "first line\n")
	read := make(chan struct{})
	emit := func(context.Context, engine.Batch) error { close(read); return nil }
	ends(t, in, func() { <-read; cancel() }, ctx, emit)
}

func TestMakePipeKeepsOthersOut(t *testing.T) {
	path := filepath.Join(t.TempDir(), "p")
	if err := makePipe(path); err != nil {
		t.Fatal(err)
	}
	var st syscall.Stat_t
	syscall.Stat(path, &st)
	if st.Mode&0o007 != 0 {
		t.Errorf("got mode %o", st.Mode)
	}
}

// The checkpoint lies within a line that is too long: its rest is not taken for a line.
func TestFileResumesWithinALineThatIsTooLong(t *testing.T) {
	r := newRig(t)
	text := "before\n" + strings.Repeat("x", 3<<20) + "\nafter\n"
	for name, content := range map[string]string{"a": text, "b.gz": gz(text)} {
		r.write(name, content)
		r.hold = func(body string) bool { return body == "after" }
		r.got = nil
		if err := r.run(name); err != nil {
			t.Fatal(err)
		}
		if len(r.got) != 3 {
			t.Fatalf("%s: got %d records, want 3", name, len(r.got))
		}
		r.reopen()
		r.hold = nil
		r.want(name, "after")
	}
}
