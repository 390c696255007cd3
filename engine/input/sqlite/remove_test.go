package sqlite

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"maps"
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
	test "dragonfly/test/rig"
)

// removing runs an input that removes rows; the test finishes its batches.
func removing(r *rig, set engine.Values) *test.Input {
	r.t.Helper()
	v := engine.Values{"table": "t", "remove": true, "every": 10 * time.Millisecond}
	maps.Copy(v, set)
	return test.NewInput(r.t, Kind, "sqlite://"+r.path, v)
}

// ask returns one value.
func (r *rig) ask(query string) (got string) {
	r.t.Helper()
	if err := r.db.QueryRow(query).Scan(&got); err != nil {
		r.t.Fatal(err)
	}
	return got
}

// holds waits until the table holds these rows.
func (r *rig) holds(want string) {
	r.t.Helper()
	parts.Until(r.t, "the table holds "+want, func() bool {
		return r.ask("SELECT coalesce(group_concat(n), '') FROM (SELECT n FROM t ORDER BY n)") == want
	})
}

func TestRemovesWhatIsFinished(t *testing.T) {
	for _, table := range []string{"n INTEGER", "n INTEGER PRIMARY KEY", "rowid TEXT, n INTEGER", `"_rowid_" TEXT, oid INTEGER, n INTEGER UNIQUE`} {
		t.Run(table, func(t *testing.T) {
			r := newRig(t, "CREATE TABLE t ("+table+")", "INSERT INTO t (n) VALUES (1), (2), (3), (4), (5), (6)")
			set := engine.Values{"rows": int64(2)}
			if table != "n INTEGER" {
				set["cursor"] = "n"
			}
			in := removing(r, set).Start()
			first, second, third := in.Next(), in.Next(), in.Next()
			second.Done()
			r.holds("1,2,5,6")
			third.Done()
			r.holds("1,2")
			r.exec("INSERT INTO t (n) VALUES (7)") // with the rowid of a removed row, below those that were read
			r.exec("INSERT INTO t (n) VALUES (8)")
			var got []string
			for len(got) < 2 {
				b := in.Next()
				got = append(got, test.Bodies(b)...)
				b.Done()
			}
			if !strings.Contains(got[0], `"n":7`) || !strings.Contains(got[1], `"n":8`) {
				t.Errorf("got %v", got)
			}
			r.holds("1,2")
			in.Stop()
			first.Done() // the engine drains
			in.Close()
			r.holds("")
			if left := in.Left(); len(left) > 0 || in.Count(t, "rows_removed_total") != 8 {
				t.Errorf("%d rows removed; emitted too: %v", in.Count(t, "rows_removed_total"), left)
			}
		})
	}
}

// TestRowsThatAreNotReadStay although they came below what was read, or were changed after they were.
func TestRowsThatAreNotReadStay(t *testing.T) {
	r := newRig(t, "CREATE TABLE t (at INTEGER, n INTEGER)", "INSERT INTO t VALUES (10, 1), (20, 2), (30, 3)")
	in := removing(r, engine.Values{"cursor": "at", "follow": false}).Start()
	b := in.Next()
	r.exec("INSERT INTO t VALUES (15, 4)")
	r.exec("UPDATE t SET at = 40 WHERE n = 2")
	b.Done()
	if err := in.Wait(); err != nil {
		t.Fatal(err)
	}
	in.Close()
	r.holds("2,4")
	in = removing(r, engine.Values{"cursor": "at", "follow": false}).Start()
	b = in.Next()
	if got := strings.Join(test.Bodies(b), ""); got != `{"at":15,"n":4}{"at":40,"n":2}` {
		t.Errorf("got %s", got)
	}
	in.Wait()
	in.Close()
	r.holds("2,4") // nothing was finished
	in = removing(r, engine.Values{"cursor": "at", "follow": false}).Start()
	if got := strings.Join(test.Bodies(in.Next()), ""); got != `{"at":15,"n":4}{"at":40,"n":2}` {
		t.Errorf("again: got %s", got)
	}
	in.Wait()
}

// TestRemovalGoesOnAfterVacuum, which gives rows other rowids.
func TestRemovalGoesOnAfterVacuum(t *testing.T) {
	r := newRig(t, "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1), (2), (3), (4)", "DELETE FROM t WHERE n = 1")
	in := removing(r, nil).Start()
	b := in.Next()
	r.exec("VACUUM")
	r.exec("INSERT INTO t VALUES (5)")
	b.Done()
	if err := in.Wait(); err == nil || !strings.Contains(err.Error(), "VACUUM") {
		t.Fatalf("got %v", err)
	}
	in.Start() // as the engine does
	var got []string
	for len(got) == 0 || !strings.Contains(got[len(got)-1], "5") {
		b := in.Next()
		got = append(got, test.Bodies(b)...)
		b.Done()
	}
	r.holds("")
	if text := strings.Join(got, ""); !strings.HasSuffix(text, `{"n":2}{"n":3}{"n":4}{"n":5}`) {
		t.Errorf("got %s", text)
	}
}

func TestRemovalWaitsForALock(t *testing.T) {
	r := newRig(t, "CREATE TABLE t (n INTEGER)", "INSERT INTO t VALUES (1), (2)")
	in := removing(r, nil).Start()
	b := in.Next()
	conn, err := r.db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	b.Done()
	in.Log.Wait(t, "rows that are finished cannot be removed")
	if _, err := conn.ExecContext(t.Context(), "INSERT INTO t VALUES (3); COMMIT"); err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if got := test.Bodies(in.Next()); len(got) != 1 || got[0] != `{"n":3}` {
		t.Errorf("got %v", got)
	}
	in.Log.Wait(t, "rows are removed again")
	r.holds("3")
	if n := in.Log.Count("cannot be removed"); n != 1 {
		t.Errorf("told %d times", n)
	}
}

func TestRemovalTellsWhatIsWrong(t *testing.T) {
	r := newRig(t, "CREATE TABLE t (n INTEGER PRIMARY KEY) WITHOUT ROWID", "CREATE TABLE u (rowid TEXT, oid TEXT, _rowid_ TEXT, n INTEGER)", "CREATE VIEW v AS SELECT rowid AS n FROM u")
	for table, want := range map[string]string{"t": "WITHOUT ROWID", "u": "hide its rowid", "v": "is a view", "nope": "no such"} {
		in := removing(r, engine.Values{"table": table, "cursor": "n"}).Start()
		if err := in.Wait(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", table, err, want)
		}
	}
	for _, set := range []engine.Values{{"query": "SELECT 1"}, {"table": "t", "start": "end"}} {
		set["remove"] = true
		if _, err := r.try(set); err == nil || !strings.Contains(err.Error(), "needs table") {
			t.Errorf("%v: got %v", set, err)
		}
	}
	dir := parts.Tmpfs(t, "1m")
	db, err := sql.Open("sqlite", dir+"/x.db")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec("CREATE TABLE t (n INTEGER); INSERT INTO t VALUES (1)"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	if err := syscall.Mount("none", dir, "tmpfs", syscall.MS_REMOUNT|syscall.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	in := test.NewInput(t, Kind, "sqlite://"+dir+"/x.db", engine.Values{"table": "t", "remove": true}).Start()
	if err := in.Wait(); err == nil || !strings.Contains(err.Error(), "right to write") || len(in.Left()) > 0 {
		t.Errorf("got %v", err)
	}
}

// TestKilledWhileRemoving kills a process that reads and removes, again and again, while rows are written: each is delivered,
// and in the end none is left.
func TestKilledWhileRemoving(t *testing.T) {
	const rows, kills = 3000, 12
	r := newRig(t, "CREATE TABLE t (n INTEGER)")
	delivered := filepath.Join(t.TempDir(), "delivered")
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; n < rows; n += 10 {
			if _, err := r.db.Exec("INSERT INTO t WITH RECURSIVE s(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM s WHERE i < 9) SELECT ? + i FROM s", n); err != nil {
				t.Error(err)
				return
			}
		}
	})
	defer wg.Wait()
	size := func() int64 {
		info, err := os.Stat(delivered)
		if err != nil {
			return 0
		}
		return info.Size()
	}
	for n := 0; ; n++ {
		cmd := exec.Command(os.Args[0], "-test.run=^TestRemovingChild$", "-test.count=1")
		cmd.Env = append(os.Environ(), "REMOVING_DB="+r.path, "REMOVING_TO="+delivered)
		cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		var out parts.Log
		cmd.Stdout, cmd.Stderr = &out, &out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if n < kills {
			before := size()
			parts.Until(t, "the child delivers", func() bool { return size() > before || n > 0 && r.ask("SELECT count(*) FROM t") == "0" })
			time.Sleep(time.Duration(n) * 3 * time.Millisecond) // in another place each time
		} else {
			wg.Wait()
			r.holds("")
		}
		cmd.Process.Kill()
		cmd.Wait()
		if strings.Contains(out.String(), "FAIL") {
			t.Fatal(out.String())
		}
		if n == kills {
			break
		}
	}
	f, err := os.Open(delivered)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	seen, twice := map[string]bool{}, 0
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if seen[lines.Text()] {
			twice++
		}
		seen[lines.Text()] = true
	}
	if len(seen) != rows {
		t.Errorf("%d of %d rows were delivered", len(seen), rows)
	}
	t.Logf("%d rows came twice", twice)
}

// TestRemovingChild is the process that is killed.
func TestRemovingChild(t *testing.T) {
	path := os.Getenv("REMOVING_DB")
	if path == "" {
		return // not part of TestKilledWhileRemoving
	}
	to, err := os.OpenFile(os.Getenv("REMOVING_TO"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	var row test.Row
	in, err := New(row.Params(Kind.Options, "sqlite://"+path, engine.Values{"table": "t", "remove": true, "every": 10 * time.Millisecond, "rows": int64(50)}))
	if err != nil {
		t.Fatal(err)
	}
	for { // Run is called again after an error, as by the engine
		err := in.Run(context.Background(), func(_ context.Context, b engine.Batch) error {
			var text strings.Builder
			for _, rec := range b.Records {
				fmt.Fprintln(&text, rec.Body)
			}
			if _, err := to.WriteString(text.String()); err != nil {
				return err
			}
			b.Done()
			return nil
		})
		t.Log(err)
	}
}
