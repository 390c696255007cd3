package parquet

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"

	"dragonfly/engine"
	"dragonfly/test/parts"
	"dragonfly/test/rig"
)

func values(set engine.Values) engine.Values { return rig.Values(Kind.Options, set) }

func open(t testing.TB, dir string, set engine.Values) (*output, *parts.Log) {
	t.Helper()
	out, row := rig.OpenOutput(t, Kind, "parquet://"+dir, set)
	return out.(*output), &row.Log
}

func ev(format string, args ...any) engine.Event { return rig.Event(format, args...) }

func write(t testing.TB, o *output, batch ...engine.Event) { t.Helper(); rig.Write(t, o, batch...) }

// read returns the column event of all complete files below dir by partition.
func read(t testing.TB, dir string) map[string][]string {
	t.Helper()
	got := map[string][]string{}
	files, _ := filepath.Glob(filepath.Join(dir, "*", "*", "*.parquet"))
	more, _ := filepath.Glob(filepath.Join(dir, "*.parquet"))
	for _, path := range append(files, more...) {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel(dir, filepath.Dir(path))
		r := parquet.NewGenericReader[struct {
			Event string `parquet:"event,optional"`
		}](f)
		rows := make([]struct {
			Event string `parquet:"event,optional"`
		}, r.NumRows())
		if n, err := r.Read(rows); n != len(rows) || err != nil && err != io.EOF {
			t.Fatalf("%s: %d rows of %d, %v", path, n, len(rows), err)
		}
		for _, row := range rows {
			got[rel] = append(got[rel], row.Event)
		}
		r.Close()
		f.Close()
	}
	return got
}

// hidden returns the names of files in dir that begin with a dot.
func hidden(t testing.TB, dir string) (names []string) {
	t.Helper()
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && d.Name()[0] == '.' {
			names = append(names, d.Name())
		}
		return nil
	})
	return names
}

var samples = []engine.Event{
	ev(`{"timestamp":"2026-11-21T16:53:57.123456+0000","event_type":"dns","flow_id":9007199254740993,"src_ip":"10.0.0.1","src_port":53,"dns":{"rrname":"é.example","rrtype":"A"}}`),
	ev(`{"timestamp":"2026-11-22T00:30:00.000000+0100","event_type":"dns","src_ip":"10.0.0.2","src_port":"x"}`),
	ev(`{"timestamp":"2026-11-22T00:30:00.000000+0000","event_type":"alert","alert":{"signature_id":2100498,"signature":"bad \ud83d\ude00 %s"}}`, "\xff"),
	ev(`{"event_type":"../../x","timestamp":"never"}`),
}

func TestParquetWritesPartitions(t *testing.T) {
	dir := t.TempDir()
	o, _ := open(t, dir, nil)
	write(t, o, samples...)
	began := o.active.began
	if len(hidden(t, dir)) != 1 {
		t.Errorf("no write-ahead segment: %v", hidden(t, dir))
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	got := read(t, dir)
	want := map[string][]string{
		"event_type=dns/dt=2026-11-21":                        {samples[0].Body, samples[1].Body},
		"event_type=alert/dt=2026-11-22":                      {strings.ReplaceAll(samples[2].Body, "\xff", "\ufffd")},
		"event_type=_._.._x/dt=" + began.Format("2006-01-02"): {samples[3].Body},
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
	if o.nulls.Load() != 2 || len(hidden(t, dir)) != 0 { // src_port, timestamp
		t.Errorf("%d values of another type, left: %v", o.nulls.Load(), hidden(t, dir))
	}
}

func TestParquetSealsByTimeAndSize(t *testing.T) {
	dir := t.TempDir()
	o, _ := open(t, dir, engine.Values{"every": 50 * time.Millisecond, "partition": "", "segment_size": int64(1 << 20)})
	write(t, o, samples[0])
	waitFor(t, func() bool { return len(read(t, dir)["."]) == 1 })
	o.Close()
	dir = t.TempDir()
	o, _ = open(t, dir, engine.Values{"every": time.Hour, "partition": "", "segment_size": int64(4096), "row_group": int64(10)})
	for range 20 {
		write(t, o, samples...)
	}
	waitFor(t, func() bool { return len(read(t, dir)["."]) >= 60 })
	o.Reopen()
	waitFor(t, func() bool { return len(read(t, dir)["."]) == 80 })
	if o.files.Load() < 2 {
		t.Errorf("%d files", o.files.Load())
	}
}

func waitFor(t testing.TB, ok func() bool) { t.Helper(); parts.Until(t, "a condition", ok) }

// crash ends an output as a kill does: what is in memory is gone, locks are released.
func crash(o *output) {
	o.stop()
	o.wg.Wait()
	for _, s := range append(o.waiting, o.active) {
		if s != nil {
			s.file.Close()
		}
	}
	o.root.Close()
	o.root, o.active, o.waiting = nil, nil, nil
}

func TestParquetMakesFilesOfWhatAKillLeft(t *testing.T) {
	for _, with := range []string{"", `{"n":2`, `{"n":2}`, "header"} {
		dir := t.TempDir()
		o, _ := open(t, dir, nil)
		if with == "header" {
			os.WriteFile(filepath.Join(dir, ".wal-20260101T000000.000000-00000000.ndjson"), []byte(`{"versi`), 0o600)
		}
		write(t, o, samples...)
		name := o.active.name
		crash(o)
		if with != "header" {
			f, _ := os.OpenFile(filepath.Join(dir, name), os.O_APPEND|os.O_WRONLY, 0)
			io.WriteString(f, with)
			f.Close()
		}
		again, log := open(t, dir, engine.Values{"partition": "{event_type}"}) // the old segment keeps its partition
		waitFor(t, func() bool { return len(hidden(t, dir)) == 0 })
		again.Close()
		if got := read(t, dir); len(got) != 3 || len(got["event_type=dns/dt=2026-11-21"]) != 2 {
			t.Errorf("%q: got %v\n%s", with, got, log)
		}
	}
}

func TestParquetDoesNotDoubleWhatAKillRepeats(t *testing.T) {
	dir := t.TempDir()
	o, _ := open(t, dir, nil)
	write(t, o, samples...)
	kept, err := os.ReadFile(filepath.Join(dir, o.active.name))
	name := o.active.name
	if err != nil {
		t.Fatal(err)
	}
	o.Close()
	// killed before the segment was removed, with one file half made
	os.WriteFile(filepath.Join(dir, name), kept, 0o600)
	os.WriteFile(filepath.Join(dir, "event_type=dns", "dt=2026-11-21", ".part-"+strings.TrimSuffix(strings.TrimPrefix(name, ".wal-"), ".ndjson")+".parquet.tmp"), []byte("PAR1"), 0o600)
	before := fmt.Sprint(read(t, dir))
	again, _ := open(t, dir, nil)
	waitFor(t, func() bool { return len(hidden(t, dir)) == 0 })
	again.Close()
	if got := fmt.Sprint(read(t, dir)); got != before {
		t.Errorf("got %s\nwant %s", got, before)
	}
}

func TestParquetKeepsDamagedSegments(t *testing.T) {
	dir := t.TempDir()
	o, _ := open(t, dir, engine.Values{"partition": ""})
	write(t, o, samples...)
	path := filepath.Join(dir, o.active.name)
	crash(o)
	text, _ := os.ReadFile(path)
	text[bytes.Index(text, []byte(`"event_type":"alert"`))] = 0
	os.WriteFile(path, text, 0o600)
	os.WriteFile(filepath.Join(dir, ".wal-x.ndjson"), []byte("hello\nworld\n"), 0o600)
	again, log := open(t, dir, engine.Values{"partition": ""})
	waitFor(t, func() bool { return strings.Count(log.String(), "is damaged") == 2 })
	again.Close()
	if got := read(t, dir)["."]; len(got) != 3 {
		t.Errorf("got %v", got)
	}
	if got := hidden(t, dir); len(got) != 2 || !strings.HasPrefix(got[0], ".damaged-") || !strings.HasPrefix(got[1], ".damaged-") {
		t.Errorf("left %v", got)
	}
}

func TestParquetSharesADirectory(t *testing.T) {
	dir := t.TempDir()
	a, _ := open(t, dir, engine.Values{"partition": ""})
	write(t, a, samples[0])
	b, _ := open(t, dir, engine.Values{"partition": ""}) // must not take what a is writing
	write(t, b, samples[1])
	b.Close()
	write(t, a, samples[2])
	a.Close()
	if got := read(t, dir)["."]; len(got) != 3 {
		t.Errorf("got %v", got)
	}
}

func TestParquetWaitsForSpace(t *testing.T) {
	dir := parts.Tmpfs(t, "512k")
	o, log := open(t, dir, engine.Values{"partition": "", "segment_size": int64(60 << 10), "compress": "none"})
	t.Cleanup(func() { o.Close() })
	ballast := filepath.Join(dir, "ballast")
	os.WriteFile(ballast, make([]byte, 300<<10), 0o600)
	var failed error
	n := 0
	for ; failed == nil; n++ {
		var done int
		if done, failed = o.Write(t.Context(), []engine.Event{ev(`{"n":%d,"pad":"%s"}`, n, strings.Repeat("x", 5000))}); failed != nil && done != 0 {
			t.Fatalf("got %d, %v", done, failed)
		}
	}
	n--
	if !errors.Is(failed, syscall.ENOSPC) {
		t.Fatalf("got %v, want no space", failed)
	}
	os.Remove(ballast)
	waitFor(t, func() bool {
		_, err := o.Write(t.Context(), []engine.Event{ev(`{"n":%d}`, n)})
		return err == nil
	})
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	got := read(t, dir)["."]
	seen := map[int]int{}
	for _, body := range got {
		var e struct{ N int }
		json.Unmarshal([]byte(body), &e)
		seen[e.N]++
	}
	for i := range n + 1 {
		if seen[i] != 1 {
			t.Errorf("event %d is there %d times", i, seen[i])
		}
	}
	if len(hidden(t, dir)) != 0 {
		t.Errorf("left %v\n%s", hidden(t, dir), log)
	}
}

// TestParquetIsReadByOthers needs DuckDB's module for Python, which Debian does not have; PYTHON names the interpreter.
func TestParquetIsReadByOthers(t *testing.T) {
	python := os.Getenv("PYTHON")
	if python == "" {
		python = "python3"
	}
	if exec.Command(python, "-c", "import duckdb").Run() != nil {
		t.Log("no python3 with duckdb: nobody else has read the files")
		return
	}
	for _, codec := range []string{"zstd", "snappy", "gzip", "none"} {
		dir := t.TempDir()
		o, _ := open(t, dir, engine.Values{"compress": codec, "row_group": int64(100)})
		for range 300 {
			write(t, o, samples...)
		}
		if err := o.Close(); err != nil {
			t.Fatal(err)
		}
		script := `
import duckdb, sys, json
q = "read_parquet('" + sys.argv[1] + "/**/*.parquet', hive_partitioning = true)"
print(duckdb.sql("select count(*), count(distinct event), sum(src_port), max(flow_id) from " + q).fetchall())
print(duckdb.sql("select distinct epoch_us(timestamp), dns_rrname, dt from " + q + " where flow_id is not null").fetchall())
print(duckdb.sql("select distinct typeof(timestamp), typeof(src_port), typeof(event), json_extract(event, '$.alert.signature_id')::int from " + q + " where alert_signature_id = 2100498").fetchall())`
		text, err := exec.Command(python, "-c", script, dir).CombinedOutput()
		want := "[(1200, 4, 15900, 9007199254740993)]\n[(1795280037123456, 'é.example', datetime.date(2026, 11, 21))]\n[('TIMESTAMP WITH TIME ZONE', 'BIGINT', 'VARCHAR', 2100498)]\n"
		if err != nil || string(text) != want {
			t.Errorf("%s: got %s%v, want %s", codec, text, err, want)
		}
	}
}

func TestNewChecksTheRow(t *testing.T) {
	for _, c := range []struct {
		dir  string
		set  engine.Values
		want string
	}{
		{"", nil, "names no directory"}, {"/x", engine.Values{"partition": "{"}, "without }"}, {"/x", engine.Values{"partition": "a/../b"}, "begins with a dot"},
		{"/x", engine.Values{"partition": ".a"}, "begins with a dot"}, {"/x", engine.Values{"missing": "../x"}, "part of a file name"}, {"/x", engine.Values{"columns": `["event"]`}, "makes itself"},
		{"/x", engine.Values{"columns": `[]`, "event": false}, "nothing of an event"}, {"/x", engine.Values{"mode": "9"}, "octal"},
	} {
		if _, err := New(engine.Params{Address: c.dir, URI: c.dir, Options: values(c.set)}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %v: got %v, want %q", c.dir, c.set, err, c.want)
		}
	}
	if !slices.Contains(strings.Split(defaultColumns, `"`), "src_ip") {
		t.Error("BUG: no src_ip")
	}
}

func BenchmarkWrite(b *testing.B) {
	var batch []engine.Event
	for n := range 1000 {
		batch = append(batch, ev(`{"timestamp":"2026-11-21T16:53:57.123456+0000","flow_id":%d,"event_type":"dns","src_ip":"10.0.0.%d","src_port":5353,"dest_ip":"10.0.0.2","dest_port":53,"proto":"UDP","dns":{"type":"query","id":1,"rrname":"www%d.example.com","rrtype":"A"}}`, n, n%250, n))
	}
	b.Run("output", func(b *testing.B) { // with the write-ahead segment
		o, _ := open(b, b.TempDir(), engine.Values{"segment_size": int64(8 << 20)})
		for b.Loop() {
			write(b, o, batch...)
		}
		o.Close()
		b.ReportMetric(float64(len(batch)*b.N)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("plain", func(b *testing.B) { // the library alone, into one file
		o, _ := open(b, b.TempDir(), nil)
		f, err := os.Create(filepath.Join(b.TempDir(), "x.parquet"))
		if err != nil {
			b.Fatal(err)
		}
		defer f.Close()
		which := make([]int32, 30*len(batch))
		for i := range which {
			which[i] = int32(i % len(batch))
		}
		n := 0
		for b.Loop() {
			if n++; n%30 == 0 {
				if err := o.writeRows(f, batch, which); err != nil {
					b.Fatal(err)
				}
			}
		}
		b.ReportMetric(float64(len(batch)*b.N)/b.Elapsed().Seconds(), "events/s")
	})
}
