// Package sqlite writes events into the tables of an SQLite database: sqlite://.
package sqlite

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/column"
	"dragonfly/engine/wire/template"
)

// defaultColumns are those of a row without columns.
const defaultColumns = `["timestamp","event_type","src_ip","src_port","dest_ip","dest_port","proto","app_proto","flow_id","community_id"]`

// Columns that the output makes itself.
const (
	timeColumn  = "time"  // microseconds since 1970, UTC
	eventColumn = "event" // the whole event
	idColumn    = "id"    // hash of the event
)

// Kind is sqlite://.
var Kind = engine.OutputKind{
	Doc: "`sqlite://PATH`: inserts events into the tables of an SQLite database, each Write in one transaction (WAL: readers do not wait). Tables and missing columns are made. Each table has the columns `time` (microseconds since 1970 of the event's timestamp), those of `columns`, `event` (the whole event as JSON) and, with `unique`, `id`. `?table=NAME` behind PATH is the option table. Relative paths are below the log directory.",
	Options: []engine.Option{
		{Key: "table", Type: engine.String, Default: "events", Doc: "The table: a name, or a template such as `{event_type}_%Y%m` (see archive://; times are UTC); what is not a letter, digit or `_` in a field becomes `_`."},
		{Key: "columns", Type: engine.JSON, Default: defaultColumns, Doc: "Fields with a column of their own: a list of paths, `{\"src_ip\", \"alert.signature_id:int\"}` (columns src_ip, alert_signature_id), or `{sid = \"alert.signature_id:int\"}`. Types: any (as the event has it; the default), string, int, float, bool, time (microseconds since 1970). A value of another type is NULL; objects and arrays are JSON."},
		{Key: "event", Type: engine.Bool, Default: true, Doc: "Whether the whole event is kept, in the column event."},
		{Key: "index", Type: engine.Strings, Default: []string{"time", "event_type", "src_ip", "dest_ip"}, Doc: "Columns that get an index when the output first sees a table; those that are no columns are left out when this is the default."},
		{Key: "unique", Type: engine.Bool, Doc: "Adds the column id, a hash of the event, with a unique index: what a crash or an outage repeats is in the table once. Two events that are equal byte for byte are one then."},
		{Key: "max_tables", Type: engine.Int, Default: int64(1000), Min: 1, Max: 10000, Doc: "Tables that the database may have for a template to make another; events for more are refused (dead letter)."},
		{Key: "fsync", Type: engine.String, Default: "never", Enum: []string{"never", "batch"}, Doc: "batch: each transaction is on the disk before it is acked. never: after a power failure the last transactions may be missing; the database is sound."},
		{Key: "keep_age", Type: engine.Duration, Max: 86400 * 36600, Doc: "Remove rows whose time is longer ago; 0 never."},
		{Key: "keep_count", Type: engine.Int, Max: 1e15, Doc: "Remove the rows that were inserted first while a table has more; 0 never."},
		{Key: "prune_every", Type: engine.Duration, Default: time.Minute, Min: 0.01, Max: 86400, Doc: "How often keep_age and keep_count are looked at, in the background and in small steps."},
	},
	New: New,
}

type output struct {
	path    string
	table   *template.Template
	columns []column.Column
	event   bool
	index   []string
	unique  bool
	max     int
	full    bool // synchronous = FULL
	age     time.Duration
	count   int64
	every   time.Duration
	log     *slog.Logger

	ignored, nulls, pruned *atomic.Int64

	mu      sync.Mutex // held by Write, and by prune for each step
	db      *sql.DB
	conn    *sql.Conn // the only one
	file    os.FileInfo
	checked time.Time         // when the path was last compared with file
	tables  map[string]*table // those whose schema was checked, by what the template made
	rows    column.Reader
	args    []any
	name    []byte // of the table, as the template makes it

	stop context.CancelFunc // of prune
	wg   sync.WaitGroup
}

var _ engine.Output = (*output)(nil)
var _ engine.PathUser = (*output)(nil)

// New checks the row.
func New(p engine.Params) (engine.Output, error) {
	var problems []error
	bad := func(key, format string, args ...any) {
		problems = append(problems, &engine.ConfigError{Key: key, Msg: fmt.Sprintf(format, args...)})
	}
	path, query, _ := strings.Cut(p.Address, "?")
	table := p.Options.String("table")
	values, err := url.ParseQuery(query)
	for key := range values {
		if key != "table" || err != nil {
			bad("uri", "%q has %q behind the ?, want table=NAME or nothing", p.URI, query)
			break
		}
		table = values.Get(key)
	}
	if err != nil && len(values) == 0 {
		bad("uri", "%q: %v", p.URI, err)
	}
	if path == "" || strings.HasSuffix(path, "/") || strings.HasPrefix(path, ":memory:") {
		bad("uri", "%q names no file", p.URI)
	}
	if strings.ContainsAny(path, "\x00") {
		bad("uri", "%q holds a NUL", p.URI)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.LogDir, path)
	}
	o := &output{path: path, event: p.Options.Bool("event"), index: p.Options.Strings("index"), unique: p.Options.Bool("unique"),
		max: int(p.Options.Int("max_tables")), full: p.Options.String("fsync") == "batch", age: p.Options.Duration("keep_age"),
		count: p.Options.Int("keep_count"), every: p.Options.Duration("prune_every"), log: p.Log}
	if o.table, err = template.Path("_unknown", template.CleanName).Parse(table); err != nil || table == "" {
		bad("table", "%q is not a table: %v", table, cmp.Or(err, errors.New("want a name such as events")))
	}
	reserved := []string{timeColumn}
	if o.event {
		reserved = append(reserved, eventColumn)
	}
	if o.unique {
		reserved = append(reserved, idColumn)
	}
	if o.columns, err = column.Parse(p.Options.String("columns"), column.Any, reserved...); err != nil {
		problems = append(problems, err)
	}
	if !o.event && len(o.columns) == 0 && err == nil {
		bad("columns", "is empty and event = false: nothing of an event would be kept")
	}
	isDefault := strings.Join(o.index, ",") == "time,event_type,src_ip,dest_ip"
	var index []string
	for _, name := range o.index {
		switch {
		case o.hasColumn(name):
			index = append(index, name)
		case !isDefault:
			bad("index", "%q is not a column of this row", name)
		}
	}
	o.index = index
	o.ignored, o.nulls, o.pruned = new(atomic.Int64), new(atomic.Int64), new(atomic.Int64)
	if p.Counter != nil {
		o.ignored = p.Counter("repeated_events_total", "events that were in the table already (unique)")
		o.nulls = p.Counter("untyped_values_total", "values that a column's type could not hold: NULL")
		o.pruned = p.Counter("pruned_rows_total", "rows removed because of keep_age and keep_count")
	}
	return o, errors.Join(problems...)
}

func (o *output) hasColumn(name string) bool {
	for _, c := range o.columnNames() {
		if strings.EqualFold(c, name) {
			return true
		}
	}
	return false
}

// columnNames returns all columns of a table, in the order of an insert.
func (o *output) columnNames() []string {
	names := []string{timeColumn}
	for _, c := range o.columns {
		names = append(names, c.Name)
	}
	if o.event {
		names = append(names, eventColumn)
	}
	if o.unique {
		names = append(names, idColumn)
	}
	return names
}

// Open implements engine.Output.
func (o *output) Open(ctx context.Context) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if err := o.connect(ctx); err != nil {
		return err
	}
	if o.stop == nil && (o.age > 0 || o.count > 0) {
		ctx, stop := context.WithCancel(context.Background())
		o.stop = stop
		o.wg.Go(func() { o.tend(ctx) })
	}
	return nil
}

// connect opens the database and makes it ready. The one connection stays, so that nothing is opened after a chroot.
func (o *output) connect(ctx context.Context) error {
	if o.conn != nil {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(o.path), 0o755); err != nil {
		return err
	}
	if info, err := os.Stat(o.path); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", o.path)
	}
	sync := "NORMAL"
	if o.full {
		sync = "FULL"
	}
	dsn := "file://" + (&url.URL{Path: o.path}).EscapedPath() + "?_pragma=busy_timeout(1000)&_txlock=immediate"
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err != nil {
		db.Close()
		return o.explain(err)
	}
	for _, text := range []string{
		"PRAGMA temp_store = MEMORY", // no files elsewhere
		"PRAGMA auto_vacuum = INCREMENTAL",
		"PRAGMA journal_mode = WAL",
		"PRAGMA synchronous = " + sync,
		"PRAGMA cache_size = -16384",       // KiB: indexes of what comes in any order, such as addresses. 100,000 events: 3.1 -> 2.6 s of CPU,
		"PRAGMA wal_autocheckpoint = 4096", // pages: which are written back less often. half the time
		"PRAGMA trusted_schema = OFF",
		"CREATE TABLE IF NOT EXISTS dragonfly_probe (x); DROP TABLE dragonfly_probe", // it can be written, and -wal and -shm are there
	} {
		if _, err = conn.ExecContext(ctx, text); err != nil {
			break
		}
	}
	if err == nil {
		var mode string
		if err = conn.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode); err == nil && mode != "wal" {
			o.log.Warn("the file system of the database has no shared memory (WAL): readers and this writer wait for each other", "path", o.path, "journal_mode", mode)
		}
	}
	if err == nil {
		o.file, err = os.Stat(o.path)
	}
	if err != nil {
		conn.Close()
		db.Close()
		return o.explain(err)
	}
	o.db, o.conn, o.tables, o.checked = db, conn, map[string]*table{}, time.Now()
	return nil
}

// follow opens the database anew when the path no longer leads to it: looked at once a second at most.
func (o *output) follow(ctx context.Context) error {
	if now := time.Now(); o.conn != nil && now.Sub(o.checked) >= time.Second {
		o.checked = now
		if info, err := os.Stat(o.path); errors.Is(err, os.ErrNotExist) || err == nil && !os.SameFile(info, o.file) {
			if _, err := os.Stat(filepath.Dir(o.path)); err == nil { // in a chroot it is elsewhere
				o.log.Info("the database was moved or deleted: a new one is begun", "path", o.path)
				o.disconnect()
			}
		}
	}
	return o.connect(ctx)
}

func (o *output) disconnect() error {
	if o.conn == nil {
		return nil
	}
	for _, t := range o.tables {
		t.close()
	}
	err := errors.Join(o.conn.Close(), o.db.Close())
	o.conn, o.db, o.tables = nil, nil, nil
	return err
}

// Close implements engine.Output.
func (o *output) Close() error {
	if o.stop != nil {
		o.stop()
		o.wg.Wait()
		o.stop = nil
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.disconnect()
}

// Paths implements engine.PathUser: beside the database are -wal and -shm.
func (o *output) Paths() []engine.PathUse {
	dir := filepath.Dir(o.path)
	if to, err := filepath.EvalSymlinks(o.path); err == nil && filepath.Dir(to) != dir { // SQLite's files are where the link leads
		return []engine.PathUse{{Path: dir}, {Path: filepath.Dir(to), Access: engine.Write, Kept: true}}
	}
	return []engine.PathUse{{Path: dir, Access: engine.Write, Kept: true}}
}
