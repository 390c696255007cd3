package sqlite

import (
	"context"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

// pageBytes ends a page whose rows are long.
const pageBytes = 8 << 20

// maxTies is how many rows may have an equal cursor, as they are read together.
const maxTies = 100000

// Run implements engine.Input.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	err := in.run(ctx, emit)
	if ctx.Err() != nil {
		return nil
	}
	if err != nil {
		in.Close() // opened anew by the next Run
		return err
	}
	return nil
}

func (in *input) run(ctx context.Context, emit engine.EmitFunc) error {
	if err := in.Open(ctx); err != nil {
		return err
	}
	if in.cursor == "" {
		return in.readOnce(ctx, emit)
	}
	if in.removal != nil {
		q, err := in.prepare(ctx)
		if err != nil {
			return err
		}
		return in.consumes(ctx, q, emit)
	}
	at, known := in.position(), false
	for _, p := range in.checkpoints.Load(in.tag) {
		if resumes(at, p) {
			at.Offset, known = p.Offset, true
		}
	}
	behind, err := in.behindLast(ctx)
	switch {
	case err != nil:
		return err
	case !known && in.atEnd:
		at.Offset = behind
	case at.Offset > behind:
		in.log.Warn("the database ends before what was read of it: rows were removed, or it was filled anew; all of it is read", "path", in.path, "cursor", behind-1, "read", at.Offset-1)
		at.Offset = 0
	}
	in.checkpoints.Start(in.tag)
	cursor := in.checkpoints.Cursor(in.tag, at)
	in.checkpoints.Settle(in.tag)
	q, err := in.prepare(ctx)
	if err != nil {
		return err
	}
	return in.follows(ctx, q, cursor, at.Offset, emit)
}

// behindLast returns the cursor behind the last row; 0 if there is none.
func (in *input) behindLast(ctx context.Context) (int64, error) {
	var last any
	if err := in.conn.QueryRowContext(ctx, "SELECT max("+column(in.cursor)+") FROM "+in.source()).Scan(&last); err != nil {
		return 0, in.explain(err)
	}
	if last == nil {
		return 0, nil
	}
	n, err := in.cursorOf(last)
	return n + 1, err
}

// cursorOf returns the value of the cursor in a row.
func (in *input) cursorOf(v any) (int64, error) {
	n, ok := v.(int64)
	if !ok || n < 0 || n == math.MaxInt64 {
		return 0, fmt.Errorf("sqlite %s: the cursor %q is %v in a row, want integers from 0 on", in.path, in.cursor, v)
	}
	return n, nil
}

// follows emits page after page from the row with the cursor next on.
func (in *input) follows(ctx context.Context, q *query, cursor *engine.Cursor, next int64, emit engine.EmitFunc) error {
	tick := time.NewTicker(in.every)
	defer tick.Stop()
	for {
		p, err := in.page(ctx, q, next)
		if err != nil {
			return err
		}
		if len(p.records) > 0 {
			b := engine.Batch{Origin: "sqlite://" + in.path, Records: p.records, Done: cursor.Track(p.end)}
			if err := emit(ctx, b); err != nil {
				cursor.Untrack()
				return err
			}
			next = p.end
			continue
		}
		if !in.follow {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if in.cursor == "rowid" { // rows at the end that are removed give their rowids to others
			behind, err := in.behindLast(ctx)
			if err != nil {
				return err
			}
			next = min(next, behind)
		}
		if in.moved() {
			return fmt.Errorf("%s was replaced: the new database is read from its start", in.path)
		}
	}
}

// source returns what stands behind FROM.
func (in *input) source() string {
	if in.table != "" {
		return quoted(in.table) + " AS q"
	}
	return "(" + in.query + "\n) AS q"
}

func quoted(name string) string { return `"` + strings.ReplaceAll(name, `"`, `""`) + `"` }

// column names a column of the source: without q SQLite takes a quoted name that is no column for text.
func column(name string) string { return "q." + quoted(name) }

// query is the statement of a page, and its columns.
type query struct {
	text  string
	names []string // quoted, as keys of JSON
	body  int      // the column that is the record; -1: all are
}

// prepare looks which columns there are. Each is selected as +column: an expression has no declared type, by which the
// driver would turn numbers and text into times.
func (in *input) prepare(ctx context.Context) (*query, error) {
	rows, err := in.conn.QueryContext(ctx, "SELECT * FROM "+in.source()+" LIMIT 0")
	if err != nil {
		return nil, in.explain(err)
	}
	defer rows.Close()
	names, err := rows.Columns()
	if err != nil {
		return nil, in.explain(err)
	}
	q := &query{body: -1}
	var list []string
	if in.cursor != "" {
		list = append(list, "+"+column(in.cursor))
	}
	rows.Close()
	if in.removal != nil {
		if err := in.removable(ctx, names); err != nil {
			return nil, err
		}
		list = append(list, "q."+in.removal.rowid)
	}
	for i, name := range names {
		q.names = append(q.names, string(lazyjson.AppendQuoted(nil, name)))
		list = append(list, "+"+column(name))
		if in.body != "" && strings.EqualFold(name, in.body) {
			q.body = i
		}
	}
	if in.body != "" && q.body < 0 {
		return nil, fmt.Errorf("sqlite %s: body names the column %q, there are %s", in.path, in.body, strings.Join(names, ", "))
	}
	q.text = "SELECT " + strings.Join(list, ", ") + " FROM " + in.source()
	if in.cursor != "" {
		q.text += " WHERE " + column(in.cursor) + " >= ? ORDER BY " + column(in.cursor)
	}
	return q, nil
}

// page is what one query has read.
type page struct {
	records []engine.Record
	keys    []rowKey // of the records, if they are to be removed
	end     int64    // where the next page begins
}

// page reads rows from the cursor next on. Rows with an equal cursor are in one page. Rows that were emitted and are to be
// removed are passed over.
func (in *input) page(ctx context.Context, q *query, next int64) (p page, err error) {
	rows, err := in.conn.QueryContext(ctx, q.text, next)
	if err != nil {
		return p, in.explain(err)
	}
	defer rows.Close() // soon: a reader keeps the writer's WAL from being emptied
	first := 1
	if in.removal != nil {
		first = 2
	}
	values, targets := room(len(q.names) + first)
	size := 0
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return page{}, in.explain(err)
		}
		at, err := in.cursorOf(values[0])
		if err != nil {
			return page{}, err
		}
		if at >= p.end && (len(p.records) >= in.rows || size >= pageBytes) {
			break
		}
		if len(p.records) >= in.rows+maxTies {
			return page{}, fmt.Errorf("sqlite %s: more than %d rows have the cursor %q = %d: choose a column that grows from row to row", in.path, maxTies, in.cursor, at)
		}
		p.end = at + 1
		if in.removal != nil {
			rowid := values[1].(int64)
			if _, known := in.removal.rows[rowid]; known {
				continue
			}
			p.keys = append(p.keys, rowKey{rowid, at})
		}
		body := q.record(values[first:])
		p.records, size = append(p.records, engine.Record{Body: body, Offset: at}), size+len(body)
	}
	if err := rows.Err(); err != nil {
		return page{}, in.explain(err)
	}
	return p, nil
}

// readOnce emits all rows of a query without a cursor.
func (in *input) readOnce(ctx context.Context, emit engine.EmitFunc) error {
	q, err := in.prepare(ctx)
	if err != nil {
		return err
	}
	rows, err := in.conn.QueryContext(ctx, q.text)
	if err != nil {
		return in.explain(err)
	}
	defer rows.Close()
	values, targets := room(len(q.names))
	var records []engine.Record
	size, n := 0, int64(0)
	flush := func() error {
		err := error(nil)
		if len(records) > 0 {
			err = emit(ctx, engine.Batch{Origin: "sqlite://" + in.path, Records: records})
		}
		records, size = records[:0], 0
		return err
	}
	for rows.Next() {
		if err := rows.Scan(targets...); err != nil {
			return in.explain(err)
		}
		body := q.record(values)
		records, size, n = append(records, engine.Record{Body: body, Offset: n}), size+len(body), n+1
		if len(records) >= in.rows || size >= pageBytes {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	if err := rows.Err(); err != nil && !errors.Is(err, sql.ErrNoRows) {
		return in.explain(err)
	}
	return flush()
}

func room(n int) (values, targets []any) {
	values, targets = make([]any, n), make([]any, n)
	for i := range values {
		targets[i] = &values[i]
	}
	return values, targets
}

// record returns a row as JSON.
func (q *query) record(values []any) string {
	if q.body >= 0 {
		switch v := values[q.body].(type) {
		case string:
			return strings.ReplaceAll(strings.ReplaceAll(v, "\n", " "), "\r", " ")
		case []byte:
			return strings.ReplaceAll(strings.ReplaceAll(string(v), "\n", " "), "\r", " ")
		}
		return string(appendValue(nil, values[q.body]))
	}
	b := []byte{'{'}
	for i, name := range q.names {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(b, name...), ':')
		b = appendValue(b, values[i])
	}
	return string(append(b, '}'))
}

// appendValue appends a value of SQLite as JSON. Infinite numbers, which JSON does not have, are text.
func appendValue(b []byte, v any) []byte {
	switch v := v.(type) {
	case nil:
		return append(b, "null"...)
	case int64:
		return strconv.AppendInt(b, v, 10)
	case float64:
		if math.IsInf(v, 0) || math.IsNaN(v) {
			return lazyjson.AppendQuoted(b, strconv.FormatFloat(v, 'g', -1, 64))
		}
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	case bool:
		return strconv.AppendBool(b, v)
	case string:
		return lazyjson.AppendQuoted(b, v)
	case []byte:
		b = append(b, '"')
		b = base64.StdEncoding.AppendEncode(b, v)
		return append(b, '"')
	}
	return lazyjson.AppendQuoted(b, fmt.Sprint(v))
}
