// Package sqlite reads rows of an SQLite database, once or as they are added: sqlite://.
package sqlite

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	driver "modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"

	"dragonfly/engine"
)

// Kind is sqlite://.
var Kind = engine.InputKind{
	Doc: "`sqlite://PATH`: reads rows of an SQLite database, a record per row: an object of its columns (integers exact, BLOBs in base64, NULL as null), or what `body` names. With `table`, or `query` and `cursor`, it remembers in the checkpoint how far it has read and goes on as rows are added; a `query` alone is read once, from its start. `?table=NAME` behind PATH is the option table. Relative paths are below the log directory.",
	Options: []engine.Option{
		{Key: "table", Type: engine.String, Doc: "The table to read, in the order of `cursor`."},
		{Key: "query", Type: engine.String, Doc: "A SELECT to read instead of a table, without ; behind it."},
		{Key: "cursor", Type: engine.String, Doc: "The column that grows from row to row: integers from 0 on, best with an index. rowid is the default with table. A row that appears below what was read is not seen; a database that ends before what was read is read from its start."},
		{Key: "body", Type: engine.String, Doc: "A column that holds a JSON text, which is the record then, such as `event` of the output sqlite://."},
		{Key: "follow", Type: engine.Bool, Default: true, Doc: "Wait for further rows. false ends behind the last row that is there."},
		{Key: "every", Type: engine.Duration, Default: time.Second, Min: 0.01, Max: 86400, Doc: "How often to look for new rows."},
		{Key: "start", Type: engine.String, Default: "beginning", Enum: []string{"beginning", "end"}, Doc: "Where to begin when there is no checkpoint: with the first row, or behind the last."},
		{Key: "remove", Type: engine.Bool, Default: false, Doc: "Remove rows from the table when all their events are finished; needs table. What is in the table is then what is not read yet, there is no checkpoint, and rows may appear anywhere in it. Rows that are finished and not yet removed when the process is killed come again. Nobody else may remove rows or put others in their place. The file does not shrink: SQLite uses the room again."},
		{Key: "rows", Type: engine.Int, Default: int64(500), Min: 1, Max: 100000, Doc: "Rows to read at a time; together they are limited to 8 MiB."},
	},
	New: New,
}

type input struct {
	tag         string
	path        string
	table       string
	query       string
	cursor      string // "": read once
	body        string
	follow      bool
	every       time.Duration
	atEnd       bool
	rows        int
	checkpoints *engine.Checkpoints
	log         *slog.Logger
	removal     *removal      // nil: rows stay
	removed     *atomic.Int64 // rows

	mu   sync.Mutex // of what follows
	db   *sql.DB
	conn *sql.Conn
	file os.FileInfo
}

var _ engine.Input = (*input)(nil)
var _ engine.Opener = (*input)(nil)
var _ engine.Closer = (*input)(nil)
var _ engine.Finite = (*input)(nil)
var _ engine.PathUser = (*input)(nil)

// New checks the row.
func New(p engine.Params) (engine.Input, error) {
	var problems []error
	bad := func(key, format string, args ...any) {
		problems = append(problems, &engine.ConfigError{Key: key, Msg: fmt.Sprintf(format, args...)})
	}
	path, text, _ := strings.Cut(p.Address, "?")
	o := p.Options
	in := &input{tag: p.Tag, table: o.String("table"), query: strings.TrimRight(strings.TrimSpace(o.String("query")), "; \t\n"), cursor: o.String("cursor"), body: o.String("body"),
		follow: o.Bool("follow"), every: o.Duration("every"), atEnd: o.String("start") == "end", rows: int(o.Int("rows")), checkpoints: p.Checkpoints, log: p.Log}
	if o.Bool("remove") {
		in.removal, in.removed = &removal{}, new(atomic.Int64)
		if p.Counter != nil {
			in.removed = p.Counter("rows_removed_total", "Rows removed because all their events were finished.")
		}
	}
	values, err := url.ParseQuery(text)
	for key := range values {
		if key == "table" && in.table == "" {
			in.table = values.Get(key)
		} else {
			err = errors.New("unknown")
		}
	}
	if err != nil {
		bad("uri", "%q has %q behind the ?, want table=NAME, once, or nothing", p.URI, text)
	}
	if path == "" || strings.HasSuffix(path, "/") || strings.Contains(path, "\x00") {
		bad("uri", "%q names no file", p.URI)
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.LogDir, path)
	}
	in.path = path
	switch {
	case in.table == "" && in.query == "":
		bad("table", "is missing: name the table to read, or give a query")
	case in.table != "" && in.query != "":
		bad("query", "is there beside table: want one of them")
	case in.table != "" && in.cursor == "":
		in.cursor = "rowid"
	}
	if word := strings.ToLower(strings.TrimLeft(in.query, "( \t\n")); in.query != "" && !strings.HasPrefix(word, "select") && !strings.HasPrefix(word, "with") && !strings.HasPrefix(word, "values") {
		bad("query", "is %q, want a SELECT", in.query)
	}
	if in.removal != nil && (in.table == "" || in.atEnd) {
		bad("remove", "is true, which needs table, and not start = \"end\"")
	}
	if in.cursor == "" {
		in.follow = false
		if in.atEnd {
			bad("start", "is \"end\", which needs a cursor")
		}
	}
	return in, errors.Join(problems...)
}

// Finite implements engine.Finite.
func (in *input) Finite() bool { return !in.follow }

// Open implements engine.Opener. The one connection stays, so that nothing is opened after a chroot.
func (in *input) Open(ctx context.Context) error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.conn != nil {
		return nil
	}
	info, err := os.Stat(in.path)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%s is not a regular file", in.path)
	}
	mode := "?mode=ro&_pragma=query_only(1)"
	if in.removal != nil {
		mode = "?mode=rw"
	}
	db, err := sql.Open("sqlite", "file://"+(&url.URL{Path: in.path}).EscapedPath()+mode+"&_pragma=busy_timeout(1000)&_pragma=temp_store(2)&_pragma=trusted_schema(0)")
	if err != nil {
		return err
	}
	db.SetMaxOpenConns(1)
	conn, err := db.Conn(ctx)
	if err == nil {
		var n int // reads the file, and with WAL opens -wal and -shm
		if err = conn.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
			conn.Close()
		}
	}
	if err != nil {
		db.Close()
		return in.explain(err)
	}
	if in.removal != nil && (in.file == nil || !os.SameFile(in.file, info)) {
		in.removal.reset()
	}
	in.db, in.conn, in.file = db, conn, info
	return nil
}

// Close implements engine.Closer.
func (in *input) Close() error {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.conn == nil {
		return nil
	}
	err := errors.Join(in.removeLast(), in.conn.Close(), in.db.Close())
	in.conn, in.db = nil, nil
	return err
}

// moved reports whether the path leads to another file than the one that is open.
func (in *input) moved() bool {
	info, err := os.Stat(in.path)
	return err == nil && !os.SameFile(info, in.file)
}

// explain adds to an error of the database what it means and what to do.
func (in *input) explain(err error) error {
	text := ""
	code := 0
	if e, ok := errors.AsType[*driver.Error](err); ok {
		code = e.Code()
	}
	switch code & 0xff {
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		text = "another process holds the database locked: end its transaction"
	case lib.SQLITE_CORRUPT:
		text = "the database is damaged: `sqlite3 FILE .recover` saves what can be read"
	case lib.SQLITE_NOTADB:
		text = "the file is not an SQLite database: correct the uri"
	case lib.SQLITE_FULL:
		text = "there is no room: free space there"
	case lib.SQLITE_CANTOPEN, lib.SQLITE_READONLY:
		if in.removal != nil {
			text = "it cannot be written: remove = true needs the right to write to the file and its directory"
			break
		}
		text = "it cannot be opened: with WAL the user of this process needs to write to its directory and to its -shm file (with -c DIR it can only be opened at the start)"
	case lib.SQLITE_ERROR:
		text = "correct table, query, cursor or body, or make what they name"
	}
	if text == "" {
		return fmt.Errorf("sqlite %s: %w", in.path, err)
	}
	return fmt.Errorf("sqlite %s: %s: %w", in.path, text, err)
}

// position returns what identifies the database, and what is read of it, in the checkpoint, at its beginning. It opens no
// file: closing one would end the locks that SQLite holds on it.
func (in *input) position() engine.Position {
	at := engine.Position{Path: in.path}
	if st, ok := in.file.Sys().(*syscall.Stat_t); ok {
		at.Device, at.Inode = uint64(st.Dev), st.Ino
	}
	var st unix.Statx_t
	if unix.Statx(unix.AT_FDCWD, in.path, 0, unix.STATX_BTIME, &st) == nil && st.Mask&unix.STATX_BTIME != 0 {
		at.Born = st.Btime.Sec*1e9 + int64(st.Btime.Nsec)
	}
	sum := sha256.Sum256([]byte(in.source() + "\x00" + in.cursor))
	at.Fingerprint = hex.EncodeToString(sum[:16])
	return at
}

// resumes reports whether an earlier position is of the same rows of the same database.
func resumes(at, earlier engine.Position) bool {
	return at.Device == earlier.Device && at.Inode == earlier.Inode && at.Fingerprint == earlier.Fingerprint &&
		(at.Born == 0 || earlier.Born == 0 || at.Born == earlier.Born)
}

// Paths implements engine.PathUser. Readers of a database with WAL share memory with its writer, in a file beside it.
func (in *input) Paths() []engine.PathUse {
	path := in.path
	if to, err := filepath.EvalSymlinks(path); err == nil {
		path = to
	}
	uses := []engine.PathUse{{Path: filepath.Dir(in.path)}, {Path: filepath.Dir(path)}}
	for _, end := range []string{"-wal", "-shm"} {
		if _, err := os.Stat(path + end); err == nil || in.removal != nil {
			return append(uses, engine.PathUse{Path: filepath.Dir(path), Access: engine.Write})
		}
	}
	return uses
}
