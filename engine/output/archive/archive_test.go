package archive

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"dragonfly/engine"
	"dragonfly/test/parts"
	"dragonfly/test/rig"
)

func values(set engine.Values) engine.Values { return rig.Values(Kind.Options, set) }

func open(t *testing.T, dir, address string, set engine.Values) (*output, *parts.Log) {
	t.Helper()
	out, row := rig.OpenOutput(t, Kind, "archive://"+filepath.Join(dir, address), set)
	return out.(*output), &row.Log
}

func ev(format string, args ...any) engine.Event { return rig.Event(format, args...) }

func write(t *testing.T, o *output, batch ...engine.Event) { t.Helper(); rig.Write(t, o, batch...) }

// tree returns the files below dir with their unpacked content.
func tree(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		files[name] = unpacked(t, path)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func unpacked(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var r io.Reader = bytes.NewReader(text)
	switch filepath.Ext(path) {
	case ".gz":
		r, err = gzip.NewReader(r)
	case ".zst":
		r, err = zstd.NewReader(r)
	}
	if err == nil {
		text, err = io.ReadAll(r)
	}
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return string(text)
}

func TestArchiveWritesByTimeAndFields(t *testing.T) {
	dir := t.TempDir()
	o, _ := open(t, dir, "a/%Y/%m-%d/{event_type}/{src_ip}.json", engine.Values{"max_open": int64(2), "fsync": "batch"})
	a := ev(`{"timestamp":"2026-11-21T23:59:59.000000-0100","event_type":"dns","src_ip":"10.0.0.1","n":1}`)
	b := ev(`{"timestamp":"2026-11-21T23:59:59.000000+0000","event_type":"dns","src_ip":"10.0.0.1","n":2}`)
	c := ev(`{"timestamp":"2026-11-21T23:59:59.000000+0000","event_type":"../../../etc","src_ip":"/x","n":3}`)
	d := ev(`{"timestamp":"2026-11-21T23:59:59.000000+0000","event_type":{},"n":4}`)
	write(t, o, a, b, c, d, a, b)
	write(t, o, d)
	if len(o.open) > 2 {
		t.Errorf("%d files are open, want 2 at most", len(o.open))
	}
	got := tree(t, dir)
	want := map[string]string{
		"a/2026/11-22/dns/10.0.0.1.json":      a.Body + "\n" + a.Body + "\n",
		"a/2026/11-21/dns/10.0.0.1.json":      b.Body + "\n" + b.Body + "\n",
		"a/2026/11-21/_._.._.._etc/_x.json":   c.Body + "\n",
		"a/2026/11-21/_unknown/_unknown.json": d.Body + "\n" + d.Body + "\n",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestArchiveMendsWhatAKillLeaves(t *testing.T) {
	for _, end := range []string{".json", ".json.gz", ".json.zst"} {
		t.Run(end, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, "x"+end)
			first, _ := open(t, dir, "{t}"+end, nil)
			for n := range 3 {
				write(t, first, ev(`{"t":"x","n":%d}`, n))
			}
			first.Close()
			whole, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			second, _ := open(t, dir, "{t}"+end, nil)
			write(t, second, ev(`{"t":"x","text":"%s","n":3}`, strings.Repeat("abc", 100)))
			second.Close()
			longer, _ := os.ReadFile(path)
			for cut := len(whole); cut < len(longer); cut++ { // killed at each byte
				if err := os.WriteFile(path, longer[:cut], 0o600); err != nil {
					t.Fatal(err)
				}
				o, log := open(t, dir, "{t}"+end, nil)
				write(t, o, ev(`{"t":"x","n":4}`))
				o.Close()
				want := "{\"t\":\"x\",\"n\":0}\n{\"t\":\"x\",\"n\":1}\n{\"t\":\"x\",\"n\":2}\n"
				if end == ".json" && cut == len(longer)-1 {
					want = strings.TrimSuffix(string(longer), "\n") + "\n"
				}
				if want += "{\"t\":\"x\",\"n\":4}\n"; unpacked(t, path) != want {
					t.Fatalf("cut at %d of %d: got %q, want %q\n%s", cut, len(longer), unpacked(t, path), want, log)
				}
			}
			// also when the first batch of all was cut short
			for cut := 1; cut < len(whole)/3-1; cut++ {
				if err := os.WriteFile(path, whole[:cut], 0o600); err != nil {
					t.Fatal(err)
				}
				o, _ := open(t, dir, "{t}"+end, nil)
				write(t, o, ev(`{"t":"x","n":4}`))
				o.Close()
				if got := unpacked(t, path); got != "{\"t\":\"x\",\"n\":4}\n" {
					t.Fatalf("cut at %d: got %q", cut, got)
				}
			}
		})
	}
}

func TestArchiveSetsDamagedFilesAside(t *testing.T) {
	for _, end := range []string{".json.gz", ".json.zst"} {
		dir := t.TempDir()
		path := filepath.Join(dir, "x"+end)
		o, _ := open(t, dir, "{t}"+end, nil)
		for n := range 5 {
			write(t, o, ev(`{"t":"x","n":%d}`, n))
		}
		o.Close()
		text, _ := os.ReadFile(path)
		text[len(text)/2-len(text)/5] ^= 0xff // in the second or third batch
		text[len(text)/5] ^= 0xff             // the head of the second
		os.WriteFile(path, text, 0o600)
		o, log := open(t, dir, "{t}"+end, nil)
		write(t, o, ev(`{"t":"x","n":9}`))
		o.Close()
		if got := unpacked(t, path); got != "{\"t\":\"x\",\"n\":9}\n" {
			t.Errorf("%s: got %q", end, got)
		}
		aside, err := os.ReadFile(path + ".damaged")
		if err != nil || !bytes.Equal(aside, text) || !strings.Contains(log.String(), "renamed") {
			t.Errorf("%s: the damaged file was not kept: %v, %s", end, err, log)
		}
	}
}

func TestArchiveAppendsToFilesOfOthers(t *testing.T) {
	dir := t.TempDir()
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	io.WriteString(z, "{\"n\":1}\n")
	z.Close()
	os.WriteFile(filepath.Join(dir, "x.gz"), b.Bytes(), 0o600)
	var c bytes.Buffer
	e, _ := zstd.NewWriter(&c)
	io.WriteString(e, "{\"n\":1}\n")
	e.Close()
	os.WriteFile(filepath.Join(dir, "x.zst"), c.Bytes(), 0o600)
	for _, end := range []string{".gz", ".zst"} {
		o, log := open(t, dir, "{t}"+end, nil)
		write(t, o, ev(`{"t":"x"}`))
		if got := unpacked(t, filepath.Join(dir, "x"+end)); got != "{\"n\":1}\n{\"t\":\"x\"}\n" {
			t.Errorf("%s: got %q, %s", end, got, log)
		}
	}
}

func TestArchivePrunes(t *testing.T) {
	dir := t.TempDir()
	o, _ := open(t, dir, "%Y/{t}.json", engine.Values{"keep_size": int64(40), "keep_age": time.Hour, "prune_every": time.Hour, "max_open": int64(1)})
	foreign := filepath.Join(dir, "notes.json")
	os.WriteFile(foreign, make([]byte, 1000), 0o600)
	deep := filepath.Join(dir, "2001", "x", "y.json")
	os.MkdirAll(filepath.Dir(deep), 0o755)
	os.WriteFile(deep, make([]byte, 1000), 0o600)
	for i, name := range []string{"old", "b", "c", "d"} { // 18, 16, 16, 16 bytes in years of their own
		write(t, o, ev(`{"t":"%s","timestamp":"%d-01-01T00:00:00.000000+0000"}`, name, 2020+i))
		path := filepath.Join(dir, fmt.Sprint(2020+i), name+".json")
		age := time.Duration(4-i) * time.Minute
		if name == "old" {
			age = 2 * time.Hour
		}
		os.Truncate(path, 16)
		os.Chtimes(path, time.Now(), time.Now().Add(-age))
	}
	if err := o.prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	var names []string
	for name := range tree(t, dir) {
		names = append(names, name)
	}
	slices.Sort(names)
	if got := strings.Join(names, " "); got != "2001/x/y.json 2022/c.json 2023/d.json notes.json" {
		t.Errorf("got %s", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "2020")); err == nil {
		t.Error("the directory that became empty is still there")
	}
	if o.removed.Load() != 2 {
		t.Errorf("counted %d", o.removed.Load())
	}
}

func TestArchiveBeginsAnewWhenAFileIsMoved(t *testing.T) {
	dir := t.TempDir()
	o, _ := open(t, dir, "{t}.json", nil)
	write(t, o, ev(`{"t":"x","n":1}`))
	os.Rename(filepath.Join(dir, "x.json"), filepath.Join(dir, "moved"))
	o.open["x.json"].checked = time.Time{}
	write(t, o, ev(`{"t":"x","n":2}`))
	if got := tree(t, dir); got["x.json"] != "{\"t\":\"x\",\"n\":2}\n" || got["moved"] != "{\"t\":\"x\",\"n\":1}\n" {
		t.Errorf("got %v", got)
	}
}

func TestArchiveRefusesAFileOfAnotherRow(t *testing.T) {
	dir := t.TempDir()
	a, _ := open(t, dir, "{t}.json", nil)
	b, _ := open(t, dir, "{t}.json", nil)
	write(t, a, ev(`{"t":"x"}`))
	if n, err := b.Write(t.Context(), []engine.Event{ev(`{"t":"x"}`)}); n != 0 || err == nil || !strings.Contains(err.Error(), "another row") {
		t.Errorf("got %d, %v", n, err)
	}
	if os.Mkdir(filepath.Join(dir, "d.json"), 0o755) != nil {
		t.Fatal()
	}
	if n, err := a.Write(t.Context(), []engine.Event{ev(`{"t":"y"}`), ev(`{"t":"d"}`)}); n != 0 || err == nil {
		t.Errorf("of a directory: got %d, %v", n, err)
	}
	if got := tree(t, dir)["y.json"]; got != "" {
		t.Errorf("a window that failed left %q", got)
	}
	syscall.Mkfifo(filepath.Join(dir, "p.json"), 0o600)
	if _, err := a.Write(t.Context(), []engine.Event{ev(`{"t":"p"}`)}); err == nil || !strings.Contains(err.Error(), "regular") {
		t.Errorf("of a pipe: got %v", err)
	}
	outside := t.TempDir()
	os.Symlink(outside+"/target", filepath.Join(dir, "l.json"))
	if _, err := a.Write(t.Context(), []engine.Event{ev(`{"t":"l"}`)}); err == nil {
		t.Error("a link that leads out was followed")
	}
}

func TestArchiveUndoesWhenTheDiskIsFull(t *testing.T) {
	dir := parts.Tmpfs(t, "256k")
	o, _ := open(t, dir, "{t}.json", nil)
	t.Cleanup(func() { o.Close() })
	pad := strings.Repeat("x", 1000)
	batch := func(n int) (list []engine.Event) {
		for i := range 20 {
			list = append(list, ev(`{"t":"%d","n":%d,"pad":"%s"}`, i%3, n*20+i, pad))
		}
		return list
	}
	n := 0
	for ; ; n++ {
		done, err := o.Write(t.Context(), batch(n))
		if err != nil {
			if done != 0 || !strings.Contains(err.Error(), "no space") {
				t.Fatalf("got %d, %v", done, err)
			}
			break
		}
	}
	for range 3 {
		if done, err := o.Write(context.Background(), batch(n)); err == nil || done != 0 {
			t.Fatalf("on a full disk: got %d, %v", done, err)
		}
	}
	lines := 0
	for _, text := range tree(t, dir) {
		lines += strings.Count(text, "\n")
		if text != "" && !strings.HasSuffix(text, "\n") {
			t.Error("a piece of a line is left")
		}
	}
	if lines != n*20 {
		t.Errorf("%d lines, want %d", lines, n*20)
	}
}

func TestNewChecksTheRow(t *testing.T) {
	for address, key := range map[string]string{"": "uri", "/a/../{b}": "uri", "/a/{b}/": "uri", "/a/{b": "uri", "/%Q": "uri", "/../x": "uri"} {
		_, err := New(engine.Params{Address: address, LogDir: "/log", Options: values(nil)})
		if err == nil || !strings.Contains(fmt.Sprintf("%#v", err), key) && !strings.Contains(err.Error(), "\"") {
			t.Errorf("%q: got %v", address, err)
		}
	}
	for address, dir := range map[string]string{"/a/b/%Y/x.json": "/a/b", "/%Y": "/", "x{a}": "/log%", "/a/b.json": "/a", "/a/b-%Y": "/a"} {
		out, err := New(engine.Params{Address: address, LogDir: "/log%", Options: values(nil)})
		if err != nil || out.(*output).dir != dir {
			t.Errorf("%q: got %v, %v, want %s", address, out, err, dir)
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	var batch []engine.Event
	for n := range 1000 {
		batch = append(batch, ev(`{"timestamp":"2026-11-21T16:53:57.123456+0000","flow_id":%d,"event_type":"%d","src_ip":"10.0.0.%d","src_port":5353,"dest_ip":"10.0.0.2","dest_port":53,"proto":"UDP"}`, n, n%8, n%250))
	}
	for _, path := range []string{"%Y/%m/%d.json", "%Y/%m/%d/{event_type}.json", "%Y/%m/%d/{event_type}.json.gz"} {
		b.Run(path[len("%Y/%m/"):], func(b *testing.B) {
			out, err := New(engine.Params{Address: filepath.Join(b.TempDir(), path), Options: values(nil), Log: slog.New(slog.DiscardHandler)})
			if err != nil {
				b.Fatal(err)
			}
			defer out.Close()
			for b.Loop() {
				if n, err := out.Write(b.Context(), batch); n != len(batch) {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(len(batch)*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
	b.Run("plain", func(b *testing.B) { // one file, nothing looked at
		f, err := os.Create(filepath.Join(b.TempDir(), "x.json"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		var buf []byte
		for b.Loop() {
			buf = buf[:0]
			for i := range batch {
				buf = append(append(buf, batch[i].Body...), '\n')
			}
			if _, err := f.Write(buf); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(len(batch)*b.N)/b.Elapsed().Seconds(), "events/s")
	})
}
