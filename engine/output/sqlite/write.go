package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/column"
)

// Write implements engine.Output: one transaction. After an event that the database refuses the ones before it are committed.
func (o *output) Write(ctx context.Context, batch []engine.Event) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.follow(ctx); err != nil {
		return 0, err
	}
	n, ignored, err := o.insert(ctx, batch)
	if err == nil {
		o.ignored.Add(ignored)
		return n, nil
	}
	var rejected *engine.RejectError
	if errors.As(err, &rejected) {
		o.ignored.Add(ignored)
		return n, err
	}
	o.reset()
	return 0, o.explain(err)
}

// reset forgets what is known of the tables, and the connection if it does not answer: the next Write looks again.
func (o *output) reset() {
	for name, t := range o.tables {
		t.close()
		delete(o.tables, name)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var one int
	if o.conn.QueryRowContext(ctx, "SELECT 1").Scan(&one) != nil {
		o.disconnect()
	}
}

// insert writes batch in one transaction. With a *RejectError the first n are committed.
func (o *output) insert(ctx context.Context, batch []engine.Event) (n int, ignored int64, err error) {
	// a transaction that ends by itself with ctx would let the next row in without one
	tx, err := o.conn.BeginTx(context.WithoutCancel(ctx), nil)
	if err != nil {
		return 0, 0, err
	}
	defer tx.Rollback()
	now := time.Now().UTC()
	var rejected error
	for n = range batch {
		body := batch[n].Body
		o.rows.Reset(batch[n])
		at, ok := o.rows.Timestamp()
		if !ok {
			at = now
		}
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		t, err := o.tableFor(ctx, tx, at)
		if err == nil {
			// without ctx, for which the driver would start a goroutine per row: BenchmarkWrite, output/plain: 1.6 -> 1.0
			var res sql.Result
			if res, err = t.insert.Exec(o.values(at, body)...); err == nil && o.unique {
				if rows, _ := res.RowsAffected(); rows == 0 {
					ignored++
				}
			}
		}
		if err != nil {
			if !refused(err) {
				return 0, 0, err
			}
			rejected = rejection(err)
			break
		}
	}
	if rejected == nil {
		n = len(batch)
	}
	if err := tx.Commit(); err != nil {
		return 0, 0, err
	}
	return n, ignored, rejected
}

// values returns the values of a row, in the order of columnNames.
func (o *output) values(at time.Time, body string) []any {
	o.args = append(o.args[:0], at.UnixMicro())
	for i := range o.columns {
		v, ok := o.rows.Value(&o.columns[i])
		if !ok {
			o.nulls.Add(1)
		}
		if t, ok := v.(time.Time); ok {
			v = t.UnixMicro()
		}
		o.args = append(o.args, v)
	}
	if o.event {
		o.args = append(o.args, body)
	}
	if o.unique {
		sum := sha256.Sum256([]byte(body))
		o.args = append(o.args, hex.EncodeToString(sum[:16]))
	}
	return o.args
}

// table is one whose schema was checked.
type table struct {
	name   string
	insert *sql.Stmt
}

func (t *table) close() { t.insert.Close() }

// errTables says that an event would make a table too many.
var errTables = errors.New("too many tables")

// refused reports whether the database will never take the event.
func refused(err error) bool {
	code := codeOf(err)
	return errors.Is(err, errTables) || code&0xff == lib.SQLITE_CONSTRAINT || code == lib.SQLITE_TOOBIG || code == lib.SQLITE_MISMATCH
}

func rejection(err error) error {
	if codeOf(err)&0xff == lib.SQLITE_CONSTRAINT {
		err = fmt.Errorf("a constraint of the table does not let it in: %w", err)
	}
	return &engine.RejectError{Err: err}
}

func codeOf(err error) int {
	if e, ok := errors.AsType[*driver.Error](err); ok {
		return e.Code()
	}
	return 0
}

// explain adds to an error of the database what it means and what to do.
func (o *output) explain(err error) error {
	text := ""
	switch code := codeOf(err); code & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		text = "another process holds the database locked: end its transaction"
	case lib.SQLITE_FULL:
		return fmt.Errorf("sqlite %s: %w: %w", o.path, syscall.ENOSPC, err)
	case lib.SQLITE_CORRUPT:
		text = "the database is damaged: save what can be read (sqlite3 FILE .recover) and move it away, a new one is then begun"
	case lib.SQLITE_NOTADB:
		text = "the file is not an SQLite database: move it away, or correct the uri"
	case lib.SQLITE_READONLY:
		text = "it can only be read: let the user of this process write to the file and its directory"
	case lib.SQLITE_CANTOPEN:
		text = "it cannot be opened: let the user of this process write to the file and its directory (with -c DIR it can only be opened at the start)"
	case lib.SQLITE_IOERR:
		text = "reading or writing failed: look at the disk and at the kernel's log"
	}
	if text == "" {
		return fmt.Errorf("sqlite %s: %w", o.path, err)
	}
	switch codeOf(err) & 0xff {
	case lib.SQLITE_READONLY, lib.SQLITE_CANTOPEN, lib.SQLITE_IOERR: // SQLite does not say why
		if cause := unix.Faccessat(unix.AT_FDCWD, filepath.Dir(o.path), unix.W_OK, unix.AT_EACCESS); cause != nil {
			return fmt.Errorf("sqlite %s: %s: %w: %w", o.path, text, cause, err)
		}
		var fs unix.Statfs_t
		if unix.Statfs(filepath.Dir(o.path), &fs) == nil && fs.Bavail*uint64(fs.Bsize) < 128<<10 { // for -shm
			return fmt.Errorf("sqlite %s: %w: %w", o.path, syscall.ENOSPC, err)
		}
	}
	return fmt.Errorf("sqlite %s: %s: %w", o.path, text, err)
}

// tableFor returns the table of the event that o.rows is at.
func (o *output) tableFor(ctx context.Context, tx *sql.Tx, at time.Time) (*table, error) {
	o.name = o.table.Append(o.name[:0], &o.rows.Reader, at)
	if t := o.tables[string(o.name)]; t != nil {
		return t, nil
	}
	key := string(o.name)
	name := key
	if len(name) > maxName {
		name = name[:maxName]
	}
	if strings.HasPrefix(strings.ToLower(name), "sqlite_") {
		name = "_" + name // reserved
	}
	if len(o.tables) >= maxPrepared {
		for key, t := range o.tables {
			t.close()
			delete(o.tables, key)
			break
		}
	}
	t, err := o.prepare(ctx, tx, name)
	if err == nil {
		o.tables[key] = t
	}
	return t, err
}

// maxName is the longest name of a table, in bytes.
const maxName = 200

// maxPrepared is how many tables are remembered with their statements.
const maxPrepared = 256

// quoted returns name as an SQL identifier.
func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// prepare makes the table, or what it lacks, and the statement that fills it.
func (o *output) prepare(ctx context.Context, tx *sql.Tx, name string) (*table, error) {
	have, err := columnsOf(ctx, tx, name)
	if err != nil {
		return nil, err
	}
	names := o.columnNames()
	if len(have) == 0 {
		var tables int
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'").Scan(&tables); err != nil {
			return nil, err
		}
		if tables >= o.max {
			return nil, fmt.Errorf("table %q cannot be made, the database has %d: max_tables: %w", name, tables, errTables)
		}
		if _, err := tx.ExecContext(ctx, "CREATE TABLE "+quoted(name)+" ("+o.declare(names)+")"); err != nil {
			return nil, err
		}
	} else {
		for _, c := range names {
			if have[strings.ToLower(c)] {
				continue
			}
			o.log.Info("column added", "table", name, "column", c)
			if _, err := tx.ExecContext(ctx, "ALTER TABLE "+quoted(name)+" ADD COLUMN "+o.declare([]string{c})); err != nil {
				return nil, err
			}
		}
	}
	for _, c := range o.index {
		if _, err := tx.ExecContext(ctx, "CREATE INDEX IF NOT EXISTS "+quoted(name+"."+c)+" ON "+quoted(name)+" ("+quoted(c)+")"); err != nil {
			return nil, err
		}
	}
	if o.unique {
		if _, err := tx.ExecContext(ctx, "CREATE UNIQUE INDEX IF NOT EXISTS "+quoted(name+"."+idColumn+".unique")+" ON "+quoted(name)+" ("+idColumn+")"); err != nil {
			if codeOf(err)&0xff == lib.SQLITE_CONSTRAINT { // it is not the event that is wrong
				err = fmt.Errorf("table %q has rows of equal %s, so it cannot be unique: remove what is there twice, or choose another table: %v", name, idColumn, err)
			}
			return nil, err
		}
	}
	text := "INSERT INTO " + quoted(name) + " ("
	marks := strings.Repeat(", ?", len(names))[2:]
	for i, c := range names {
		if i > 0 {
			text += ", "
		}
		text += quoted(c)
	}
	text += ") VALUES (" + marks + ")"
	if o.unique {
		text += " ON CONFLICT (" + idColumn + ") DO NOTHING" // unlike OR IGNORE it does not hide what other constraints refuse
	}
	stmt, err := o.conn.PrepareContext(ctx, text)
	if err != nil {
		return nil, err
	}
	return &table{name: name, insert: stmt}, nil
}

// declare returns columns as in CREATE TABLE. Those of type any have none: they keep what they are given.
func (o *output) declare(names []string) string {
	types := map[string]string{timeColumn: " INTEGER", eventColumn: " TEXT", idColumn: " TEXT"}
	for _, c := range o.columns {
		types[c.Name] = map[column.Type]string{column.Text: " TEXT", column.Int: " INTEGER", column.Float: " REAL", column.Bool: " INTEGER", column.Time: " INTEGER"}[c.Type]
	}
	parts := make([]string, len(names))
	for i, c := range names {
		parts[i] = quoted(c) + types[c]
	}
	return strings.Join(parts, ", ")
}

// columnsOf returns the columns of a table in lower case; none if there is no such table.
func columnsOf(ctx context.Context, tx *sql.Tx, name string) (map[string]bool, error) {
	rows, err := tx.QueryContext(ctx, "SELECT name FROM pragma_table_xinfo(?)", name)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	have := map[string]bool{}
	for rows.Next() {
		var c string
		if err := rows.Scan(&c); err != nil {
			return nil, err
		}
		have[strings.ToLower(c)] = true
	}
	return have, rows.Err()
}
