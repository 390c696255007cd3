package sqlite

import (
	"context"
	"time"
)

// stepRows is how many rows one step of pruning removes: between two of them a Write can go on.
const stepRows = 1000

// tend prunes, until ctx is done.
func (o *output) tend(ctx context.Context) {
	tick := time.NewTicker(o.every)
	defer tick.Stop()
	told := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		err := o.prune(ctx)
		if err != nil && ctx.Err() == nil && !told {
			o.log.Error("cannot remove old rows, it is tried again", "err", o.explain(err))
		}
		told = err != nil
	}
}

// prune removes old rows from all tables that this output has filled, or that have its column time.
func (o *output) prune(ctx context.Context) error {
	names, err := o.tableNames(ctx)
	if err != nil {
		return err
	}
	for _, name := range names {
		for more := true; more; {
			if more, err = o.pruneStep(ctx, name); err != nil {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond): // Writes come first
			}
		}
	}
	return nil
}

// tableNames returns the tables that the row's template can have made and that have the columns of one.
func (o *output) tableNames(ctx context.Context) (names []string, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == nil {
		return nil, nil
	}
	rows, err := o.conn.QueryContext(ctx, "SELECT s.name FROM sqlite_schema s WHERE s.type = 'table' AND EXISTS (SELECT 1 FROM pragma_table_info(s.name) c WHERE c.name = ?)", timeColumn)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	pattern := o.table.Pattern(`[A-Za-z0-9_]{1,100}`)
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			return nil, err
		}
		if pattern.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, rows.Err()
}

// pruneStep removes up to stepRows rows of a table and gives pages back to the file system; more says that there may be
// more to remove.
func (o *output) pruneStep(ctx context.Context, name string) (more bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.conn == nil {
		return false, nil
	}
	table := quoted(name)
	removed := int64(0)
	run := func(text string, args ...any) error {
		res, err := o.conn.ExecContext(ctx, text, args...)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		removed, more = removed+n, more || n == stepRows
		return err
	}
	if o.age > 0 {
		if err := run("DELETE FROM "+table+" WHERE rowid IN (SELECT rowid FROM "+table+" WHERE "+timeColumn+" < ? ORDER BY "+timeColumn+" LIMIT ?)",
			time.Now().Add(-o.age).UnixMicro(), stepRows); err != nil {
			return false, err
		}
	}
	if o.count > 0 {
		// the count is that of rowids, which is right to within the rows that age has removed, and costs no scan
		var first, last int64
		if err := o.conn.QueryRowContext(ctx, "SELECT coalesce((SELECT min(rowid) FROM "+table+"), 0), coalesce((SELECT max(rowid) FROM "+table+"), -1)").Scan(&first, &last); err != nil {
			return false, err
		}
		if last-first+1 > o.count {
			var n int64
			if err := o.conn.QueryRowContext(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
				return false, err
			}
			if n > o.count {
				if err := run("DELETE FROM "+table+" WHERE rowid IN (SELECT rowid FROM "+table+" ORDER BY rowid LIMIT ?)", min(stepRows, n-o.count)); err != nil {
					return false, err
				}
			}
		}
	}
	if removed > 0 {
		o.pruned.Add(removed)
		_, err = o.conn.ExecContext(ctx, "PRAGMA incremental_vacuum(256)")
	}
	return more, err
}
