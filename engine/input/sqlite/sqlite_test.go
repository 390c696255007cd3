package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/engine"
	test "dragonfly/test/rig"
)

// rig runs inputs over a database and keeps what they emit.
type rig struct {
	t      *testing.T
	path   string
	db     *sql.DB
	points *engine.Checkpoints

	mu   sync.Mutex
	got  []string
	news chan struct{}
	hold func(body string) bool // batches that are not acked
}

func newRig(t *testing.T, script ...string) *rig {
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "x.db"), points: engine.NewCheckpoints(), news: make(chan struct{}, 1000)}
	db, err := sql.Open("sqlite", "file:"+r.path+"?_pragma=busy_timeout(20000)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	r.db = db
	r.exec("PRAGMA journal_mode = WAL")
	for _, text := range script {
		r.exec(text)
	}
	return r
}

func (r *rig) exec(text string) {
	r.t.Helper()
	if _, err := r.db.Exec(text); err != nil {
		r.t.Fatal(err)
	}
}

func (r *rig) input(set engine.Values) *input {
	r.t.Helper()
	in, err := r.try(set)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { in.(*input).Close() })
	return in.(*input)
}

func (r *rig) try(set engine.Values) (engine.Input, error) {
	v := engine.Values{"every": 10 * time.Millisecond}
	maps.Copy(v, set)
	return New(engine.Params{Tag: "x", Address: r.path, Options: test.Values(Kind.Options, v), Checkpoints: r.points, Log: slog.New(slog.DiscardHandler)})
}

func (r *rig) emit(ctx context.Context, b engine.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	held := false
	for _, rec := range b.Records {
		r.got = append(r.got, rec.Body)
		held = held || r.hold != nil && r.hold(rec.Body)
	}
	if b.Done != nil && !held {
		b.Done()
	}
	r.news <- struct{}{}
	return ctx.Err()
}

// once runs an input that ends by itself and returns what it emitted.
func (r *rig) once(set engine.Values) string {
	r.t.Helper()
	r.got = nil
	if err := r.input(set).Run(r.t.Context(), r.emit); err != nil {
		r.t.Fatal(err)
	}
	return strings.Join(r.got, "\n")
}

func (r *rig) last() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string{""}, r.got...)[len(r.got)]
}

// until waits for n records.
func (r *rig) until(n int) {
	r.t.Helper()
	limit := time.After(time.Minute)
	for {
		r.mu.Lock()
		have := len(r.got)
		r.mu.Unlock()
		if have >= n {
			return
		}
		select {
		case <-r.news:
		case <-limit:
			r.t.Fatalf("%d records, want %d", have, n)
		}
	}
}

func TestSQLiteReadsValuesExactly(t *testing.T) {
	r := newRig(t, `CREATE TABLE t (n INTEGER, d DATETIME, b BLOB, f REAL, "q""u o" TEXT, bool BOOLEAN)`,
		`INSERT INTO t VALUES (9223372036854775807, '2026-11-21 16:53:57', x'00ff10', 1.5, 'a"b' || char(10), 1), (-9223372036854775808, 1795280037, NULL, 9e999, NULL, 0)`)
	want := `{"n":9223372036854775807,"d":"2026-11-21 16:53:57","b":"AP8Q","f":1.5,"q\"u o":"a\"b\n","bool":1}` + "\n" +
		`{"n":-9223372036854775808,"d":1795280037,"b":null,"f":"+Inf","q\"u o":null,"bool":0}`
	if got := r.once(engine.Values{"query": "SELECT * FROM t;"}); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got := r.once(engine.Values{"table": "t", "follow": false}); got != want {
		t.Errorf("got %s\nwant %s", got, want)
	}
	if got := r.once(engine.Values{"query": "SELECT count(*) AS n, 'x' FROM t -- all"}); got != `{"n":2,"'x'":"x"}` {
		t.Errorf("got %s", got)
	}
	if got := r.once(engine.Values{"query": "SELECT '{\"a\":1}' AS e, 2 AS n", "body": "e"}); got != `{"a":1}` {
		t.Errorf("got %s", got)
	}
}

func TestSQLiteGoesOnWhereItWas(t *testing.T) {
	r := newRig(t, "CREATE TABLE t (n INTEGER)")
	for n := range 10 {
		r.exec(fmt.Sprintf("INSERT INTO t VALUES (%d)", n))
	}
	r.hold = func(body string) bool { return body == `{"n":6}` }
	set := engine.Values{"table": "t", "follow": false, "rows": int64(2)}
	if got := r.once(set); strings.Count(got, "\n") != 9 {
		t.Errorf("got %s", got)
	}
	r.hold = nil
	r.points = restarted(t, r.points)
	r.exec("INSERT INTO t VALUES (10)")
	if got := r.once(set); got != `{"n":6}`+"\n"+`{"n":7}`+"\n"+`{"n":8}`+"\n"+`{"n":9}`+"\n"+`{"n":10}` {
		t.Errorf("after a restart: got %s", got)
	}
	if got := r.once(set); got != "" {
		t.Errorf("got again %s", got)
	}
	os.Remove(r.path)
	other := newRig(t, "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (77)")
	other.points = restarted(t, r.points)
	if got := other.once(set); got != `{"n":77}` {
		t.Errorf("of another database: got %s", got)
	}
}

// restarted returns checkpoints as the next process sees them.
func restarted(t *testing.T, old *engine.Checkpoints) *engine.Checkpoints {
	t.Helper()
	path := filepath.Join(t.TempDir(), "checkpoints")
	fresh, err := engine.OpenCheckpoints(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := fresh.Write(old.Cut(nil)); err != nil {
		t.Fatal(err)
	}
	if fresh, err = engine.OpenCheckpoints(path); err != nil {
		t.Fatal(err)
	}
	return fresh
}

func TestSQLiteKeepsEqualCursorsTogether(t *testing.T) {
	r2 := newRig(t, "CREATE TABLE t (at INTEGER, n INTEGER)")
	tx, _ := r2.db.Begin()
	for n := range 100 {
		tx.Exec("INSERT INTO t VALUES (?, ?)", n/10, n)
	}
	tx.Commit()
	if got := r2.once(engine.Values{"table": "t", "cursor": "at", "rows": int64(3), "follow": false}); strings.Count(got, "\n") != 99 {
		t.Errorf("got %s", got)
	}
}

func TestSQLiteFollowsAWriter(t *testing.T) {
	r := newRig(t, "CREATE TABLE t (n INTEGER)")
	ctx, cancel := context.WithCancel(t.Context())
	in := r.input(engine.Values{"table": "t", "rows": int64(7)})
	ended := make(chan error, 1)
	go func() { ended <- in.Run(ctx, r.emit) }()
	for n := range 500 {
		r.exec(fmt.Sprintf("INSERT INTO t VALUES (%d)", n))
	}
	r.until(500)
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	for n, body := range r.got {
		if body != fmt.Sprintf(`{"n":%d}`, n) {
			t.Fatalf("record %d is %s", n, body)
		}
	}
}

func TestSQLiteSeesThatRowsWereReplaced(t *testing.T) {
	r := newRig(t, "CREATE TABLE t (n INTEGER)", "CREATE TABLE u (n INTEGER)", "INSERT INTO t VALUES (1), (2), (3)", "INSERT INTO u VALUES (7)")
	set := engine.Values{"table": "t", "follow": false}
	r.once(set)
	if got := r.once(engine.Values{"table": "u", "follow": false}); got != `{"n":7}` {
		t.Errorf("of another table in the same row: got %s", got)
	}
	r.once(set)
	r.exec("DELETE FROM t")
	r.exec("INSERT INTO t VALUES (4)")
	if got := r.once(set); got != `{"n":4}` {
		t.Errorf("of a table that was filled anew: got %s", got)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	in := r.input(engine.Values{"table": "t"})
	r.got = nil
	go func() { ended <- in.Run(ctx, r.emit) }()
	r.exec("INSERT INTO t VALUES (5)")
	r.until(1)
	r.exec("DELETE FROM t WHERE n = 5")
	r.exec("INSERT INTO t VALUES (6)") // may come at once: then 5 had its rowid, and it is not seen
	r.exec("INSERT INTO t VALUES (8)")
	for n := 2; r.last() != `{"n":8}`; n++ {
		r.until(n)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
}

func TestSQLiteStartsAtTheEnd(t *testing.T) {
	r := newRig(t, "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1), (2)")
	set := engine.Values{"table": "t", "follow": false, "start": "end"}
	if got := r.once(set); got != "" {
		t.Errorf("got %s", got)
	}
	r.exec("INSERT INTO t VALUES (3)")
	if got := r.once(set); got != `{"n":3}` {
		t.Errorf("got %s", got)
	}
}

func TestSQLiteTellsWhatIsWrong(t *testing.T) {
	r := newRig(t, "CREATE TABLE t (n INTEGER, s TEXT)", "INSERT INTO t VALUES (1, 'x')")
	for _, c := range []struct {
		set  engine.Values
		want string
	}{
		{engine.Values{"table": "nope"}, "no such table"}, {engine.Values{"table": "t", "cursor": "nope"}, "no such column"}, {engine.Values{"query": "SELECT FROM"}, "syntax error"},
		{engine.Values{"table": "t", "cursor": "s"}, "integers from 0 on"}, {engine.Values{"table": "t", "body": "nope"}, "there are n, s"},
		{engine.Values{"query": "WITH x AS (SELECT 1) DELETE FROM t"}, "syntax error"},
	} {
		err := r.input(c.set).Run(t.Context(), r.emit)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.set, err, c.want)
		}
	}
	for _, c := range []struct {
		set  engine.Values
		want string
	}{
		{nil, "is missing"}, {engine.Values{"table": "t", "query": "SELECT 1"}, "one of them"}, {engine.Values{"query": "DELETE FROM t"}, "want a SELECT"}, {engine.Values{"query": "SELECT 1", "start": "end"}, "needs a cursor"},
	} {
		var config *engine.ConfigError
		if _, err := r.try(c.set); !errors.As(err, &config) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.set, err, c.want)
		}
	}
	uses := r.input(engine.Values{"table": "t"}).Paths()
	if !slices.ContainsFunc(uses, func(u engine.PathUse) bool { return u.Path == filepath.Dir(r.path) && u.Access == engine.Write }) {
		t.Errorf("paths: got %v", uses)
	}
}
