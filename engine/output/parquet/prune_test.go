package parquet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/test/parts"
)

const eventOf = `{"timestamp":"%d-01-01T00:00:00.000000+0000","event_type":"dns","n":1}`

// present returns the names of all that is below dir and no directory. What goes away meanwhile is not there.
func present(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		if errors.Is(err, fs.ErrNotExist) && path != dir {
			return nil
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

// make4 makes a file of each of four years, the first the oldest, and returns their names.
func make4(t *testing.T, dir string, set engine.Values) (names []string) {
	t.Helper()
	o, _ := open(t, dir, set)
	for i := range 4 {
		write(t, o, ev(eventOf, 2020+i))
		o.Reopen()
		parts.Until(t, "a file", func() bool { return o.files.Load() == int64(i+1) })
		for _, name := range present(t, dir) {
			if strings.HasSuffix(name, ".parquet") && !slices.Contains(names, name) {
				names = append(names, name)
				at := time.Now().Add(time.Duration(i-4) * time.Hour)
				if err := os.Chtimes(filepath.Join(dir, name), at, at); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if err := o.Close(); err != nil || len(names) != 4 {
		t.Fatalf("got %v, %v", names, err)
	}
	return names
}

func TestParquetPrunes(t *testing.T) {
	for _, c := range []struct {
		partition string
		keep      func(size int64) engine.Values // size is that of one file
		left      int
	}{
		{"event_type={event_type}/year=%Y", func(int64) engine.Values { return engine.Values{"keep_age": 150 * time.Minute} }, 2},
		{"event_type={event_type}/year=%Y", func(size int64) engine.Values { return engine.Values{"keep_size": 3 * size} }, 3},
		{"event_type={event_type}/year=%Y", func(size int64) engine.Values { return engine.Values{"keep_size": 2*size - 1} }, 1},
		{"event_type={event_type}/year=%Y", func(size int64) engine.Values {
			return engine.Values{"keep_size": 3 * size, "keep_age": 90 * time.Minute}
		}, 1},
		{"event_type={event_type}/year=%Y", func(size int64) engine.Values {
			return engine.Values{"keep_size": 4 * size, "keep_age": 10 * time.Hour}
		}, 4},
		{"event_type={event_type}/year=%Y", func(int64) engine.Values { return nil }, 4},
		{"{no.such.field}//x/%F", func(size int64) engine.Values { return engine.Values{"keep_size": size} }, 1},
		{"", func(size int64) engine.Values { return engine.Values{"keep_size": size} }, 1},
	} {
		t.Run(fmt.Sprint(c.partition, c.keep(1)), func(t *testing.T) {
			dir, outside := t.TempDir(), t.TempDir()
			made := make4(t, dir, engine.Values{"partition": c.partition})
			info, err := os.Stat(filepath.Join(dir, made[0]))
			if err != nil {
				t.Fatal(err)
			}
			base := filepath.Base(made[0])
			foreign := []string{"notes.parquet", "x/" + base, "a/b/c/d/e/" + base, filepath.Join(filepath.Dir(made[3]), "part-0.parquet"), filepath.Join(filepath.Dir(made[3]), "."+base+".tmp"), ".damaged-1.ndjson"}
			if c.partition != "" {
				foreign = append(foreign, base)
			}
			for _, name := range foreign { // old and large
				path := filepath.Join(dir, name)
				if os.MkdirAll(filepath.Dir(path), 0o755) != nil || os.WriteFile(path, make([]byte, 100<<10), 0o600) != nil || os.Chtimes(path, time.Unix(1, 0), time.Unix(1, 0)) != nil {
					t.Fatal(path)
				}
			}
			link := "event_type=link"
			if err := os.Symlink(outside, filepath.Join(dir, link)); err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{base, "year=2020/" + base} {
				os.MkdirAll(filepath.Dir(filepath.Join(outside, name)), 0o755)
				if err := os.WriteFile(filepath.Join(outside, name), make([]byte, 100<<10), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			set := engine.Values{"partition": c.partition, "prune_every": 10 * time.Millisecond}
			for key, v := range c.keep(info.Size()) {
				set[key] = v
			}
			o, log := open(t, dir, set)
			parts.Until(t, "files are removed", func() bool { return o.pruned.Load() >= int64(4-c.left) })
			o.stop()
			o.wg.Wait()
			o.keep.next = time.Time{}
			o.prune(t.Context()) // once more: all that is to stay stays
			if err := o.Close(); err != nil {
				t.Fatal(err)
			}
			want := append(append([]string{link}, foreign...), made[4-c.left:]...)
			got := present(t, dir)
			slices.Sort(want)
			slices.Sort(got)
			if !slices.Equal(got, want) {
				t.Errorf("got\n%s\nwant\n%s\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"), log)
			}
			if left := present(t, outside); len(left) != 2 {
				t.Errorf("of files outside only %v are left", left)
			}
			if _, err := os.Stat(filepath.Dir(filepath.Join(dir, made[0]))); c.partition != "" && (err == nil) != (c.left == 4) {
				t.Errorf("the directory of %s: %v", made[0], err)
			}
			if o.pruned.Load() != int64(4-c.left) {
				t.Errorf("%d files are counted", o.pruned.Load())
			}
		})
	}
}

// TestParquetPrunesWhileItWrites: what is being made stays, and nothing fails, although directories come and go.
func TestParquetPrunesWhileItWrites(t *testing.T) {
	dir := t.TempDir()
	o, log := open(t, dir, engine.Values{"partition": "{event_type}", "keep_size": int64(1), "prune_every": 10 * time.Millisecond, "segment_size": int64(4096), "event": true})
	for i := range 300 {
		write(t, o, ev(`{"event_type":"t%d","n":%d,"pad":"%s"}`, i%3, i, strings.Repeat("x", 200)))
	}
	o.Reopen()
	parts.Until(t, "all are made and removed", func() bool { return len(present(t, dir)) == 0 && o.files.Load() == o.pruned.Load() })
	if made := o.files.Load(); made < 3 {
		t.Errorf("%d made", made)
	}
	if log.Count("level=ERROR") > 0 {
		t.Error(log)
	}
	write(t, o, ev(`{"event_type":"t0","n":1}`))
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	if got := present(t, dir); len(got) != 1 {
		t.Errorf("got %v", got)
	}
}
