package file

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/test/parts"
)

func open(t *testing.T, dir, address string, o engine.Values) *output {
	t.Helper()
	out, err := newOutput(engine.Params{Address: address, LogDir: dir, Options: o, Log: slog.New(slog.DiscardHandler)}, o.Bool("gzip"))
	if err != nil {
		t.Fatal(err)
	}
	if err := out.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return out.(*output)
}

func events(from, to int) (list []engine.Event) {
	for i := from; i < to; i++ {
		list = append(list, engine.Event{Body: fmt.Sprintf(`{"n":%d}`, i)})
	}
	return list
}

func write(t *testing.T, o *output, batch []engine.Event) {
	t.Helper()
	if n, err := o.Write(t.Context(), batch); err != nil || n != len(batch) {
		t.Fatalf("got %d of %d, %v", n, len(batch), err)
	}
}

// content is what is in a file, unpacked if its name says that it is packed.
func content(t *testing.T, path string) string {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var r io.Reader = f
	if strings.HasSuffix(path, ".gz") {
		if r, err = gzip.NewReader(f); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(text)
}

func text(from, to int) string {
	var b strings.Builder
	for _, ev := range events(from, to) {
		b.WriteString(ev.Body + "\n")
	}
	return b.String()
}

func TestFileAppendsOrTruncates(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "sub/out.json")
	o := open(t, dir, "sub/out.json", nil)
	write(t, o, events(0, 2000))
	o.Close()
	o = open(t, dir, "sub/out.json>", nil)
	write(t, o, events(2000, 3000))
	o.Close()
	if got := content(t, path); got != text(0, 3000) {
		t.Errorf("got %d bytes", len(got))
	}
	o = open(t, dir, "sub/out.json<", nil)
	write(t, o, events(0, 1))
	o.checked = time.Time{}
	os.Remove(path) // opened again, but not emptied again
	write(t, o, events(1, 2))
	o.Reopen()
	write(t, o, events(2, 3))
	if got := content(t, path); got != text(2, 3) {
		t.Errorf("got %q", got)
	}
}

func TestFileRotatesBySize(t *testing.T) {
	dir := t.TempDir()
	o := open(t, dir, "out.json", engine.Values{"rotate_size": int64(100), "keep": int64(3), "compress": "gzip"})
	for i := range 10 {
		write(t, o, events(i*20, i*20+20))
	}
	o.Close()
	rotated, _ := filepath.Glob(filepath.Join(dir, "out.json.*"))
	if len(rotated) != 3 {
		t.Fatalf("got %v, want 3 rotated files", rotated)
	}
	if got := content(t, rotated[2]); strings.Count(got, "\n") != 20 {
		t.Errorf("got %q", got)
	}
	if got := content(t, filepath.Join(dir, "out.json")); got != text(180, 200) {
		t.Errorf("got %q", got)
	}
}

func TestFileFollowsLogrotate(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "out.json")
	o := open(t, dir, "out.json", nil)
	write(t, o, events(0, 1))
	os.Rename(path, path+".1")
	os.WriteFile(path, nil, 0o644)
	if err := o.Reopen(); err != nil {
		t.Fatal(err)
	}
	write(t, o, events(1, 2))
	if m, _ := filepath.Glob(path + ".*"); len(m) != 1 || content(t, path) != text(1, 2) || content(t, path+".1") != text(0, 1) {
		t.Errorf("got files %v", m)
	}
}

func TestReopenLeavesDevicesAlone(t *testing.T) {
	o := open(t, "/", "/dev/null", nil)
	write(t, o, events(0, 1))
	if err := o.Reopen(); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat("/dev/null"); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		t.Fatal("/dev/null is not a device any more")
	}
}

func TestGzipIsReadableAfterEachBatch(t *testing.T) {
	dir := t.TempDir()
	o := open(t, dir, "out.gz", engine.Values{"gzip": true})
	for i := range 3 {
		write(t, o, events(i*10, i*10+10))
		if got := content(t, filepath.Join(dir, "out.gz")); got != text(0, i*10+10) {
			t.Errorf("got %q", got)
		}
	}
}

// TestFullDiskCutsNoLine fills a small file system and frees it again: in the end each event is there once, whole.
func TestFullDiskCutsNoLine(t *testing.T) {
	dir := parts.Tmpfs(t, "256k")
	ballast := filepath.Join(dir, "ballast")
	os.WriteFile(ballast, make([]byte, 150<<10), 0o644)
	o := open(t, dir, "out.json", nil)
	defer o.Close()
	batch, failures := events(0, 15_000), 0
	for len(batch) > 0 {
		n, err := o.Write(context.Background(), batch)
		batch = batch[n:]
		if err != nil {
			if failures++; failures == 3 {
				os.Remove(ballast)
			}
			if got := content(t, filepath.Join(dir, "out.json")); got != "" && !strings.HasSuffix(got, "}\n") {
				t.Fatalf("a cut line stays: %q", got[len(got)-20:])
			}
			if failures > 10 {
				t.Fatal(err)
			}
		}
	}
	if failures < 3 {
		t.Fatal("the disk was never full")
	}
	if got := content(t, filepath.Join(dir, "out.json")); got != text(0, 15_000) {
		t.Errorf("got %d lines", strings.Count(got, "\n"))
	}
}

func TestNewRefusesMistakes(t *testing.T) {
	for _, p := range []engine.Params{{Address: ""}, {Address: "dir/"}, {Address: "x", Options: engine.Values{"mode": "rw"}}} {
		if _, err := newOutput(p, false); len(engine.ConfigErrors(err)) != 1 {
			t.Errorf("%+v: got %v", p, err)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	o, err := newOutput(engine.Params{Address: "out.json", LogDir: b.TempDir(), Log: slog.New(slog.DiscardHandler)}, false)
	if err != nil {
		b.Fatal(err)
	}
	defer o.Close()
	batch := make([]engine.Event, 256)
	for i := range batch {
		batch[i].Body = strings.Repeat("x", 524)
	}
	b.ReportAllocs()
	b.SetBytes(256 * 525)
	for b.Loop() {
		if _, err := o.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
}

// TestTwoRowsRotateOneFile loses no line and writes none over another.
func TestTwoRowsRotateOneFile(t *testing.T) {
	for _, pack := range []string{"none", "gzip"} {
		t.Run(pack, func(t *testing.T) { twoRows(t, engine.Values{"compress": pack}) })
	}
}

// twoRows lets rows write and rotate one file: each event is in one of the files.
func twoRows(t *testing.T, options engine.Values) {
	dir := t.TempDir()
	const rounds, rows = 60, 3
	var wg sync.WaitGroup
	for row := range rows {
		o := open(t, dir, "a.json", options)
		defer o.Close()
		wg.Go(func() {
			for i := range rounds {
				n := row*rounds + i
				if k, err := o.Write(context.Background(), events(n, n+1)); err != nil || k != 1 {
					t.Errorf("got %d, %v", k, err)
				}
				if i%3 != row { // some write without a look at the path
					continue
				}
				if err := o.rotate(); err != nil {
					t.Error(err)
				}
			}
			o.packing.Wait()
		})
	}
	wg.Wait()
	files, err := filepath.Glob(filepath.Join(dir, "a.json*"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[string]int{}
	for _, f := range files {
		for line := range strings.Lines(content(t, f)) {
			seen[strings.TrimSpace(line)]++
		}
	}
	for _, ev := range events(0, rows*rounds) {
		if seen[ev.Body] != 1 {
			t.Errorf("%s is there %d times", ev.Body, seen[ev.Body])
		}
	}
}
