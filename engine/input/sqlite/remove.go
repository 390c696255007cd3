package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"dragonfly/engine"
)

const (
	removeRows = 1000            // rows that one transaction removes: between two of them the writer can go on
	removeWait = 5 * time.Second // how long Close waits for a database that others hold locked
)

// removal knows the rows that were emitted and are still in the table. With it there is no position: what is in the table and
// not here has not been read. So SQLite may give the rowids of removed rows to new ones.
//
// Rows are read and removed by one goroutine at a time; only finish is called by others.
type removal struct {
	rowid  string             // a name of the rowid that is no column of the table
	rows   map[int64]struct{} // rowids of rows that are emitted and not removed
	schema int64              // version of the schema when the first of them was read
	told   bool               // that the database is locked

	mu       sync.Mutex // of what follows
	round    int        // grows with each database
	finished []rowKey   // to be removed
}

// rowKey is a row and the cursor that it had when it was read: one that was changed since then has not been read.
type rowKey struct{ rowid, cursor int64 }

// reset forgets the rows of another database.
func (r *removal) reset() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rows, r.finished = map[int64]struct{}{}, nil
	r.round++
}

// take notes rows that are emitted, and returns the Done of their batch.
func (r *removal) take(keys []rowKey) func() {
	for _, k := range keys {
		r.rows[k.rowid] = struct{}{}
	}
	r.mu.Lock()
	round := r.round
	r.mu.Unlock()
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.round == round {
			r.finished = append(r.finished, keys...)
		}
	}
}

// untake forgets rows that the engine did not take.
func (r *removal) untake(keys []rowKey) {
	for _, k := range keys {
		delete(r.rows, k.rowid)
	}
}

// chunk returns finished rows, removeRows at the most.
func (r *removal) chunk() []rowKey {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.finished[:min(removeRows, len(r.finished))])
}

// removable checks that rows of the table can be removed, and finds a name for its rowid.
func (in *input) removable(ctx context.Context, names []string) error {
	var kind string
	var without bool
	err := in.conn.QueryRowContext(ctx, "SELECT type, wr FROM pragma_table_list WHERE schema = 'main' AND name = ? COLLATE NOCASE", in.table).Scan(&kind, &without)
	if err != nil {
		return in.explain(err)
	}
	if err := in.version(ctx, &in.removal.schema); err != nil {
		return in.explain(err)
	}
	if kind != "table" || without {
		return fmt.Errorf("sqlite %s: rows of %q cannot be removed, it is a %s: remove = true wants a table with rowids", in.path, in.table, map[bool]string{true: "table WITHOUT ROWID", false: kind}[without])
	}
	if _, err := in.conn.ExecContext(ctx, "DELETE FROM "+quoted(in.table)+" WHERE 0"); err != nil && !busy(err) {
		return in.explain(err) // so it is known before anything is emitted
	}
	for _, name := range []string{"rowid", "_rowid_", "oid"} {
		if !slices.ContainsFunc(names, func(s string) bool { return strings.EqualFold(s, name) }) {
			in.removal.rowid = name
			return nil
		}
	}
	return fmt.Errorf("sqlite %s: the table %q has columns that hide its rowid: rename rowid, _rowid_ or oid", in.path, in.table)
}

// version reads a number that VACUUM, which may give rows other rowids, and changes of the schema make another one.
func (in *input) version(ctx context.Context, n *int64) error {
	return in.conn.QueryRowContext(ctx, "PRAGMA schema_version").Scan(n)
}

var errSchema = errors.New("VACUUM has moved rows, or its schema was changed: what is not removed is read again")

func busy(err error) bool {
	e, ok := errors.AsType[*driver.Error](err)
	return ok && (e.Code()&0xff == lib.SQLITE_BUSY || e.Code()&0xff == lib.SQLITE_LOCKED)
}

// remove removes the rows that are finished. While another process holds the database locked it leaves them, and says so.
func (in *input) remove(ctx context.Context) (locked bool, err error) {
	r := in.removal
	for keys := r.chunk(); len(keys) > 0; keys = r.chunk() {
		if err := in.removeChunk(ctx, keys); err != nil {
			if errors.Is(err, errSchema) {
				r.reset()
			}
			if busy(err) {
				if !r.told {
					in.log.Warn("rows that are finished cannot be removed, nothing further is read meanwhile", "path", in.path, "err", in.explain(err))
				}
				r.told = true
				return true, nil
			}
			return false, fmt.Errorf("removing rows: %w", in.explain(err))
		}
		r.mu.Lock()
		r.finished = slices.Delete(r.finished, 0, len(keys))
		r.mu.Unlock()
		r.untake(keys)
		in.removed.Add(int64(len(keys)))
		if r.told {
			in.log.Info("rows are removed again", "path", in.path)
		}
		r.told = false
	}
	return false, nil
}

// removeChunk removes rows in one transaction.
func (in *input) removeChunk(ctx context.Context, keys []rowKey) (err error) {
	// not ctx: a transaction that is broken off in the middle would have to be taken back on a connection that is in doubt
	ctx = context.WithoutCancel(ctx)
	if _, err := in.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			in.conn.ExecContext(ctx, "ROLLBACK")
		}
	}()
	var schema int64
	if err := in.version(ctx, &schema); err != nil {
		return err
	}
	if schema != in.removal.schema {
		return errSchema
	}
	stmt, err := in.conn.PrepareContext(ctx, "DELETE FROM "+quoted(in.table)+" WHERE "+in.removal.rowid+" = ? AND "+quoted(in.table)+"."+quoted(in.cursor)+" = ?")
	if err != nil {
		return err
	}
	defer stmt.Close()
	for _, k := range keys {
		if _, err := stmt.ExecContext(ctx, k.rowid, k.cursor); err != nil {
			return err
		}
	}
	_, err = in.conn.ExecContext(ctx, "COMMIT")
	return err
}

// removeLast removes what is finished when the input is closed.
func (in *input) removeLast() error {
	if in.removal == nil || in.removal.rowid == "" {
		return nil
	}
	for end := time.Now().Add(removeWait); ; {
		locked, err := in.remove(context.Background())
		if err != nil || !locked {
			return err
		}
		if time.Now().After(end) {
			return fmt.Errorf("sqlite %s: another process holds the database locked: rows that are finished stay, and come again", in.path)
		}
	}
}

// consumes emits what is in the table and removes what is finished, until ctx is done or, without follow, all is emitted.
func (in *input) consumes(ctx context.Context, q *query, emit engine.EmitFunc) error {
	tick := time.NewTicker(in.every)
	defer tick.Stop()
	for next := int64(0); ; {
		locked, err := in.remove(ctx)
		if err != nil {
			return err
		}
		var p page
		if !locked {
			if p, err = in.page(ctx, q, next); err != nil {
				return err
			}
		}
		if len(p.records) > 0 {
			next = p.end
			if err := emit(ctx, engine.Batch{Origin: "sqlite://" + in.path, Records: p.records, Done: in.removal.take(p.keys)}); err != nil {
				in.removal.untake(p.keys)
				return err
			}
			continue
		}
		if !in.follow && !locked {
			return nil
		}
		next = 0 // new rows may have the rowids of removed ones
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if in.moved() {
			return fmt.Errorf("%s was replaced: the new database is read from its start", in.path)
		}
	}
}
