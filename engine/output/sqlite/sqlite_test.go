package sqlite

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/test/parts"
	"dragonfly/test/rig"
)

func values(set engine.Values) engine.Values { return rig.Values(Kind.Options, set) }

func open(t testing.TB, address string, set engine.Values) *output {
	t.Helper()
	out, _ := rig.OpenOutput(t, Kind, "sqlite://"+address, set)
	return out.(*output)
}

func ev(format string, args ...any) engine.Event { return rig.Event(format, args...) }

func write(t testing.TB, o *output, batch ...engine.Event) { t.Helper(); rig.Write(t, o, batch...) }

// ask runs SQL with the sqlite3 command, another implementation of the library than ours.
func ask(t *testing.T, path, query string) string {
	t.Helper()
	parts.Needs(t, "sqlite3")
	var text, fault bytes.Buffer
	cmd := exec.Command("sqlite3", "-batch", "-init", "/dev/null", "-cmd", ".timeout 20000", path, query)
	cmd.Stdout, cmd.Stderr = &text, &fault
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v: %s", query, err, fault.String())
	}
	return strings.TrimSpace(text.String())
}

func TestSQLiteWritesTables(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a b?%.db")
	path = strings.ReplaceAll(path, "?", "")
	o := open(t, path, engine.Values{"table": "{event_type}_%Y%m"})
	write(t, o,
		ev(`{"timestamp":"2026-11-21T16:53:57.123456+0000","event_type":"dns","flow_id":9007199254740993,"src_ip":"10.0.0.1","src_port":53,"proto":null}`),
		ev(`{"timestamp":"2026-12-21T16:53:57.123456+0000","event_type":"dns","src_ip":{"a":[1]},"flow_id":18446744073709551616}`),
		ev(`{"timestamp":"2026-12-21T16:53:57.123456+0000","event_type":"x\"; DROP TABLE dns_202611; --","src_ip":"it's\u0000\"quoted\""}`),
		ev(`{"timestamp":"2026-12-21T16:53:57.123456+0000","event_type":"sqlite_master"}`))
	for query, want := range map[string]string{
		"SELECT time, flow_id, typeof(flow_id), src_ip, src_port, proto IS NULL, json_extract(event, '$.src_port') FROM dns_202611": "1795280037123456|9007199254740993|integer|10.0.0.1|53|1|53",
		"SELECT src_ip, flow_id, typeof(flow_id) FROM dns_202612":                                                                   `{"a":[1]}|18446744073709551616|text`,
		"SELECT group_concat(name) FROM (SELECT name FROM sqlite_schema WHERE type='table' ORDER BY 1)":                             "_sqlite_master_202612,dns_202611,dns_202612,x___DROP_TABLE_dns_202611_____202612",
		"SELECT hex(src_ip) FROM x___DROP_TABLE_dns_202611_____202612":                                                              "69742773002271756F74656422",
		"SELECT count(*) FROM sqlite_schema WHERE type='index' AND tbl_name='dns_202611'":                                           "4",
		"PRAGMA integrity_check": "ok", "PRAGMA journal_mode": "wal", "PRAGMA auto_vacuum": "2",
	} {
		if got := ask(t, path, query); got != want {
			t.Errorf("%s: got %q, want %q", query, got, want)
		}
	}
}

func TestSQLiteAddsMissingColumns(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	o := open(t, path+"?table=t", engine.Values{"columns": `["src_ip"]`, "event": false})
	write(t, o, ev(`{"src_ip":"a"}`))
	o.Close()
	o = open(t, path, engine.Values{"table": "t", "columns": `{"we\"ird; --":"alert.sid:int","src_ip":"src_ip"}`, "unique": true})
	write(t, o, ev(`{"src_ip":"b","alert":{"sid":"7"}}`), ev(`{"src_ip":"c","alert":{"sid":"x"}}`))
	if got := ask(t, path, `SELECT src_ip, "we""ird; --", event IS NULL, id IS NULL FROM t ORDER BY rowid`); got != "a||1|1\nb|7|0|0\nc||0|0" {
		t.Errorf("got %q", got)
	}
	if o.nulls.Load() != 1 {
		t.Errorf("counted %d values of another type, want 1", o.nulls.Load())
	}
}

func TestSQLiteKeepsUniqueEventsOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	o := open(t, path, engine.Values{"unique": true})
	for range 3 {
		write(t, o, ev(`{"n":1}`), ev(`{"n":2}`), ev(`{"n":1}`))
	}
	if got := ask(t, path, "SELECT count(*), count(DISTINCT id) FROM events"); got != "2|2" || o.ignored.Load() != 7 {
		t.Errorf("got %s rows, %d ignored", got, o.ignored.Load())
	}
}

func TestSQLiteRejectsWhatATableRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	ask(t, path, "CREATE TABLE t (src_ip TEXT NOT NULL)")
	o := open(t, path, engine.Values{"table": "{t}", "columns": `["src_ip"]`, "max_tables": int64(2), "unique": true})
	n, err := o.Write(t.Context(), []engine.Event{ev(`{"t":"t","src_ip":"a"}`), ev(`{"t":"t","src_ip":"b"}`), ev(`{"t":"t"}`), ev(`{"t":"t","src_ip":"c"}`)})
	var rejected *engine.RejectError
	if n != 2 || !errors.As(err, &rejected) || !strings.Contains(err.Error(), "NOT NULL") {
		t.Errorf("got %d, %v", n, err)
	}
	write(t, o, ev(`{"t":"t","src_ip":"c"}`), ev(`{"t":"u","src_ip":"c"}`))
	if n, err := o.Write(t.Context(), []engine.Event{ev(`{"t":"u","src_ip":"d"}`), ev(`{"t":"v","src_ip":"d"}`)}); n != 1 || !errors.As(err, &rejected) || !strings.Contains(err.Error(), "max_tables") {
		t.Errorf("got %d, %v", n, err)
	}
	if got := ask(t, path, "SELECT count(*) FROM t UNION ALL SELECT count(*) FROM u"); got != "3\n2" {
		t.Errorf("got %q", got)
	}
}

func TestSQLitePrunesByAgeAndCount(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	ask(t, path, "CREATE TABLE other (time INTEGER); INSERT INTO other VALUES (1), (2)")
	o := open(t, path, engine.Values{"keep_age": 24 * time.Hour, "keep_count": int64(1500), "prune_every": time.Hour})
	var batch []engine.Event
	for n := range 5000 {
		at := time.Now().UTC()
		if n < 2500 {
			at = at.Add(-48 * time.Hour)
		}
		batch = append(batch, ev(`{"timestamp":"%s","n":%d}`, at.Format("2006-01-02T15:04:05.000000-0700"), n))
	}
	write(t, o, batch...)
	if err := o.prune(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, path, "SELECT count(*), min(event ->> '$.n') FROM events; SELECT count(*) FROM other"); got != "1500|3500\n2" {
		t.Errorf("got %q", got)
	}
	if got := o.pruned.Load(); got != 3500 {
		t.Errorf("counted %d", got)
	}
	if got := ask(t, path, "PRAGMA integrity_check"); got != "ok" {
		t.Errorf("got %q", got)
	}
}

func TestSQLiteGoesOnAfterALock(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	o := open(t, path, nil)
	write(t, o, ev(`{"n":0}`))
	other := open(t, path, engine.Values{"table": "other"})
	if _, err := other.conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	if n, err := o.Write(t.Context(), []engine.Event{ev(`{"n":1}`)}); n != 0 || err == nil || !strings.Contains(err.Error(), "locked: end its transaction") {
		t.Errorf("got %d, %v", n, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := o.Write(ctx, []engine.Event{ev(`{"n":1}`)}); n != 0 || err == nil {
		t.Errorf("got %d, %v", n, err)
	}
	if _, err := other.conn.ExecContext(t.Context(), "COMMIT"); err != nil {
		t.Fatal(err)
	}
	write(t, o, ev(`{"n":1}`))
	if got := ask(t, path, "SELECT group_concat(event) FROM events"); got != `{"n":0},{"n":1}` {
		t.Errorf("got %q", got)
	}
}

func TestSQLiteSharesADatabase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	var wg sync.WaitGroup
	for i := range 3 {
		o := open(t, path, engine.Values{"keep_age": time.Hour, "prune_every": 10 * time.Millisecond})
		wg.Go(func() {
			for n := range 30 {
				batch := []engine.Event{ev(`{"src_ip":"%d","n":%d}`, i, n), ev(`{"src_ip":"%d","timestamp":"2001-01-01T00:00:00Z"}`, i)}
				for len(batch) > 0 { // as the engine does
					done, err := o.Write(t.Context(), batch)
					if err != nil && !strings.Contains(err.Error(), "locked") {
						t.Errorf("got %v", err)
						return
					}
					batch = batch[done:]
				}
			}
		})
	}
	wg.Wait()
	limit := time.Now().Add(time.Minute)
	for ask(t, path, "SELECT count(*) FROM events WHERE time < 1000000000000000") != "0" {
		if time.Now().After(limit) {
			t.Fatal("old rows were not removed within a minute")
		}
	}
	if got := ask(t, path, "SELECT count(*), count(DISTINCT event) FROM events; PRAGMA integrity_check"); got != "90|90\nok" {
		t.Errorf("got %q", got)
	}
}

func TestSQLiteTellsWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	notADB := filepath.Join(dir, "text.db")
	os.WriteFile(notADB, []byte(strings.Repeat("this is no database\n", 100)), 0o600)
	os.Mkdir(filepath.Join(dir, "d.db"), 0o755)
	for path, want := range map[string]string{notADB: "not an SQLite database", filepath.Join(dir, "d.db"): "not a regular file"} {
		out, err := New(engine.Params{Address: path, Options: values(nil), Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		if err := out.Open(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", path, err, want)
		}
		out.Close()
	}
	for _, c := range []struct {
		address string
		set     engine.Values
		want    string
	}{
		{"", nil, "names no file"}, {":memory:", nil, "names no file"}, {"/x.db?tabel=y", nil, "want table=NAME"},
		{"/x.db", engine.Values{"table": "{x"}, "is not a table"}, {"/x.db", engine.Values{"table": ""}, "is not a table"}, {"/x.db", engine.Values{"columns": `["time"]`}, "makes itself"},
		{"/x.db", engine.Values{"columns": `[]`, "event": false}, "nothing of an event"}, {"/x.db", engine.Values{"index": []string{"nope"}}, "not a column"},
	} {
		if _, err := New(engine.Params{Address: c.address, URI: c.address, Options: values(c.set)}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %v: got %v, want %q", c.address, c.set, err, c.want)
		}
	}
}

func TestSQLiteTellsOfDamage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	o := open(t, path, nil)
	for range 50 {
		write(t, o, ev(`{"src_ip":"a","pad":"%s"}`, strings.Repeat("x", 500)))
	}
	if err := o.Close(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteAt(bytes.Repeat([]byte{0xa5}, int(info.Size())-2*4096), 2*4096)
	f.Close()
	out, err := New(engine.Params{Address: path, Options: values(nil), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	for range 2 {
		if n, err := out.Write(t.Context(), []engine.Event{ev(`{"src_ip":"b"}`)}); n != 0 || err == nil || !strings.Contains(err.Error(), "damaged: save what can be read") {
			t.Fatalf("got %d, %v", n, err)
		}
	}
	if err := os.Rename(path, path+".damaged"); err != nil {
		t.Fatal(err)
	}
	out.(*output).checked = time.Time{}
	write(t, out.(*output), ev(`{"src_ip":"b"}`))
	if got := ask(t, path, "SELECT count(*) FROM events"); got != "1" {
		t.Errorf("got %q", got)
	}
}

func TestSQLiteSurvivesMovesAndDrops(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.db")
	o := open(t, path, nil)
	write(t, o, ev(`{"n":0}`))
	ask(t, path, "DROP TABLE events")
	if _, err := o.Write(t.Context(), []engine.Event{ev(`{"n":1}`)}); err == nil {
		t.Fatal("the table is gone, and no error")
	}
	write(t, o, ev(`{"n":1}`)) // as the engine repeats it
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	o.checked = time.Time{}
	write(t, o, ev(`{"n":2}`))
	if got := ask(t, path, "SELECT event FROM events"); got != `{"n":2}` {
		t.Errorf("got %q", got)
	}
}

func TestSQLiteWaitsForSpace(t *testing.T) {
	dir := parts.Tmpfs(t, "1m")
	path := filepath.Join(dir, "x.db")
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, make([]byte, 500<<10), 0o600); err != nil {
		t.Fatal(err)
	}
	o := open(t, path, engine.Values{"table": "events"})
	t.Cleanup(func() { o.Close() })
	var batch []engine.Event
	for n := range 20 {
		batch = append(batch, ev(`{"n":%d,"pad":"%s"}`, n, strings.Repeat("x", 500)))
	}
	n, failed := 0, error(nil)
	for n = 0; failed == nil; n++ {
		var done int
		if done, failed = o.Write(t.Context(), batch); failed != nil && done != 0 {
			t.Fatalf("got %d, %v", done, failed)
		}
	}
	n--
	if !errors.Is(failed, syscall.ENOSPC) {
		t.Fatalf("got %v, want no space", failed)
	}
	os.Remove(ballast)
	write(t, o, batch...)
	if got := ask(t, path, "SELECT count(*) FROM events; PRAGMA integrity_check"); got != fmt.Sprintf("%d\nok", (n+1)*20) {
		t.Errorf("got %q, want %d", got, (n+1)*20)
	}
}

func BenchmarkWrite(b *testing.B) {
	var batch []engine.Event
	for n := range 1000 {
		batch = append(batch, ev(`{"timestamp":"2026-11-21T16:53:57.123456+0000","flow_id":%d,"event_type":"dns","src_ip":"10.0.0.%d","src_port":5353,"dest_ip":"10.0.0.2","dest_port":53,"proto":"UDP","dns":{"type":"query","id":1,"rrname":"www%d.example.com","rrtype":"A"}}`, n, n%250, n))
	}
	b.Run("output", func(b *testing.B) {
		o := open(b, filepath.Join(b.TempDir(), "x.db"), nil)
		for b.Loop() {
			write(b, o, batch...)
		}
		b.ReportMetric(float64(len(batch)*b.N)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("plain", func(b *testing.B) { // the same columns and indexes, values known beforehand
		o := open(b, filepath.Join(b.TempDir(), "x.db"), nil)
		write(b, o, batch...)
		insert := o.tables["events"].insert
		for b.Loop() {
			tx, _ := o.conn.BeginTx(b.Context(), nil)
			for i := range batch {
				if _, err := insert.Exec(1795280037123456, "2026-11-21T16:53:57.123456+0000", "dns", "10.0.0.1", 5353, "10.0.0.2", 53, "UDP", nil, i, nil, batch[i].Body); err != nil {
					b.Fatal(err)
				}
			}
			tx.Commit()
		}
		b.ReportMetric(float64(len(batch)*b.N)/b.Elapsed().Seconds(), "events/s")
	})
}
