package e2e

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
)

// archivePipeline is test/examples/files.lua in a root of its own: /data and the input are below it. The output "count" tells
// the test how far it is.
func archivePipeline(t *testing.T) *root {
	example, err := os.ReadFile("../examples/files.lua")
	if err != nil {
		t.Fatal(err)
	}
	config := strings.NewReplacer("/data/", "$ROOT/data/", "/var/log/suricata/", "$ROOT/", `every = "5m"`, `every = "100ms"`,
		"outputs = {", `outputs = { { tag = "count", uri = "file://out.json" },`).Replace(string(example)) + "listen = \"\"\n"
	return newRoot(t, "-- scripts/config.lua --\n"+config+`
-- scripts/keep.lua --
function loop(e)
  for _, tag in ipairs { "archive", "sqlite", "parquet", "count" } do dragonfly.output_event(tag, e) end
end
`)
}

// feed appends n events to what the input reads, from number from on.
func (r *root) feed(from, n int) {
	var b strings.Builder
	for i := from; i < from+n; i++ {
		fmt.Fprintf(&b, `{"timestamp":"2026-11-2%d:00:00.000000+0000","event_type":"%s","src_ip":"10.0.0.%d","alert":{"signature_id":%d},"n":%d}`+"\n",
			i%3, []string{"dns", "http", "../tls"}[i%3], i%250, i, i)
	}
	r.append("eve.json", strings.ReplaceAll(b.String(), `:00:00.0`, `T12:00:00.0`))
}

// archived counts how often each event is in the archive; a file that is not whole fails the test.
func (r *root) archived() map[int]int {
	r.t.Helper()
	seen := map[int]int{}
	r.walk("data", ".json.gz", func(path string, f *os.File) error {
		z, err := gzip.NewReader(f)
		if err != nil {
			return err
		}
		d := json.NewDecoder(z)
		for {
			var e struct{ N int }
			if err := d.Decode(&e); err == io.EOF {
				return nil
			} else if err != nil {
				return err
			}
			seen[e.N]++
		}
	})
	return seen
}

// inParquet counts how often each event is in a Parquet file.
func (r *root) inParquet() map[int]int {
	r.t.Helper()
	seen := map[int]int{}
	r.walk("data/parquet", ".parquet", func(path string, f *os.File) error {
		type row struct {
			Event string `parquet:"event,optional"`
			SID   int64  `parquet:"alert_signature_id,optional"`
		}
		pr := parquet.NewGenericReader[row](f)
		defer pr.Close()
		rows := make([]row, pr.NumRows())
		if n, err := pr.Read(rows); n != len(rows) || err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("%d rows of %d: %w", n, len(rows), err)
		}
		for _, row := range rows {
			var e struct{ N int }
			if err := json.Unmarshal([]byte(row.Event), &e); err != nil || int64(e.N) != row.SID {
				return fmt.Errorf("row %v: %w", row, err)
			}
			seen[e.N]++
		}
		return nil
	})
	return seen
}

// walk calls see with each file below dir whose name ends with end and does not begin with a dot.
func (r *root) walk(dir, end string, see func(path string, f *os.File) error) {
	r.t.Helper()
	err := filepath.WalkDir(r.path(dir), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, end) || d.Name()[0] == '.' {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := see(path, f); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	})
	if err != nil {
		r.t.Fatal(err)
	}
}

// sql asks the database with the command sqlite3.
func (r *root) sql(query string) string {
	r.t.Helper()
	if _, err := exec.LookPath("sqlite3"); err != nil {
		skip(r.t, "sqlite3 is not installed")
	}
	text, err := exec.Command("sqlite3", "-batch", "-init", "/dev/null", "-cmd", ".timeout 20000", r.path("data/eve.db"), query).CombinedOutput()
	if err != nil {
		r.t.Fatalf("%s: %v: %s", query, err, text)
	}
	return strings.TrimSpace(string(text))
}

func wantAll(t *testing.T, where string, seen map[int]int, n int) {
	t.Helper()
	missing := 0
	for i := range n {
		if seen[i] == 0 {
			missing++
		}
	}
	if missing > 0 || len(seen) != n {
		t.Errorf("%s: %d events of %d are missing, %d are there", where, missing, n, len(seen))
	}
}

func TestArchiveSQLiteAndParquetOverKills(t *testing.T) {
	r := archivePipeline(t)
	n := 0
	for range 5 {
		p := r.start()
		before := r.lines("log/out.json")
		r.feed(n, 3000)
		n += 3000
		p.until("some events", func() bool { return r.lines("log/out.json") > before+500 })
		p.cmd.Process.Kill()
		<-p.ended
		p.ended <- nil
	}
	p := r.start()
	r.feed(n, 10)
	n += 10
	last := fmt.Sprintf(`"n":%d}`, n-1)
	p.until("the last event", func() bool { return strings.Contains(r.read("log/out.json"), last) })
	p.stop()
	wantAll(t, "archive", r.archived(), n)
	wantAll(t, "parquet", r.inParquet(), n)
	r.walk("data/parquet", "", func(path string, _ *os.File) error {
		if !strings.HasSuffix(path, ".parquet") {
			return errors.New("was not expected")
		}
		return nil
	})
	hidden, _ := filepath.Glob(r.path("data/parquet/.*"))
	if len(hidden) > 0 {
		t.Errorf("write-ahead segments are left: %v", hidden)
	}
	want := fmt.Sprintf("%d|%d\nok", n, n)
	if got := r.sql("SELECT count(*), count(DISTINCT alert_signature_id) FROM events; PRAGMA integrity_check"); got != want {
		t.Errorf("sqlite: got %q, want %q", got, want)
	}
	if outside, _ := filepath.Glob(r.path("data/2026/*/tls*")); len(outside) > 0 {
		t.Errorf("a field led out of its directory: %v", outside)
	}
}

func TestArchiveSQLiteAndParquetConfined(t *testing.T) {
	needRoot(t)
	r := archivePipeline(t)
	r.forAll("data", "data/parquet", "state", "log", "empty")
	r.feed(0, 1)
	os.Chmod(r.path("eve.json"), 0o644)
	p := r.start("-c", r.path("empty"), "-p")
	for n := 1; n < 10; n++ {
		r.feed(n, 1)
	}
	p.until("all events", func() bool { return r.lines("log/out.json") == 10 && len(r.inParquet()) == 10 })
	if out := p.stop(); strings.Contains(out, "level=ERROR") {
		t.Errorf("errors in the log:\n%s", out)
	}
	wantAll(t, "archive", r.archived(), 10)
	if got := r.sql("SELECT count(*) FROM events; PRAGMA integrity_check"); got != "10\nok" {
		t.Errorf("sqlite: got %q", got)
	}
	r.feed(10, 1)
	p = r.start("-c", r.path("empty"), "-p") // what the first has left can be gone on with
	p.until("one more", func() bool { return r.lines("log/out.json") == 11 })
	p.stop()
	if got := r.sql("SELECT count(*) FROM events; PRAGMA integrity_check"); got != "11\nok" {
		t.Errorf("sqlite, after a restart: got %q", got)
	}
}

func TestSQLiteIsReadAndFollowed(t *testing.T) {
	r := newRoot(t, `
-- scripts/config.lua --
inputs = { { tag = "rows", uri = "sqlite://$ROOT/data/eve.db?table=events", body = "event", every = "20ms", script = "f", default_analyzer = "" } }
outputs = { { tag = "out", uri = "file://out.json" } }
listen = ""
-- scripts/f.lua --
function loop(e) dragonfly.output_event("out", e) end
-- data/x --
`)
	r.sql(`CREATE TABLE events (event TEXT); PRAGMA journal_mode = WAL;
WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM c WHERE n < 4999) INSERT INTO events SELECT json_object('n', n) FROM c`)
	p := r.start()
	p.until("some rows", func() bool { return r.lines("log/out.json") > 100 })
	p.cmd.Process.Kill()
	<-p.ended
	p.ended <- nil
	p = r.start()
	for n := 5000; n < 5010; n++ {
		r.sql(fmt.Sprintf(`INSERT INTO events VALUES ('{"n":%d}'), ('no json')`, n))
	}
	p.until("all rows", func() bool { return strings.Contains(r.read("log/out.json"), `{"n":5009}`) })
	p.stop()
	seen := map[int]int{}
	for line := range strings.Lines(r.read("log/out.json")) {
		var e struct{ N int }
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatal(err)
		}
		seen[e.N]++
	}
	wantAll(t, "rows", seen, 5010)
	before := r.lines("log/out.json")
	r.sql(`INSERT INTO events VALUES ('{"n":5010}')`)
	p = r.start()
	p.until("the next row", func() bool { return r.lines("log/out.json") > before })
	p.stop()
	if got := r.lines("log/out.json"); got != before+1 {
		t.Errorf("%d rows after a restart, want 1", got-before)
	}
}

func TestFilesExampleIsInTheReadme(t *testing.T) {
	example, err := os.ReadFile("../examples/files.lua")
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(readme), "```lua\n"+string(example)+"```\n") {
		t.Error("README.md does not have test/examples/files.lua")
	}
}
