// Package parquet writes events into Parquet files in partitioned directories: parquet://.
//
// A Parquet file is of no use before its end is written, so events cannot be acked when they are in one. They are appended
// to a write-ahead segment, a file of lines in the same directory whose name begins with a dot, and are delivered then. A
// segment that is full or old is sealed and made into one file per partition; when all of them are on the disk the segment is
// removed. What a crash leaves is made into files at the next start. Names of files and partitions depend on the segment
// only, so doing it again replaces files by equal ones: no event is lost, and none that was delivered is there twice.
package parquet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/column"
	"dragonfly/engine/output/internal/files"
	"dragonfly/engine/wire/template"
)

// defaultColumns are those of a row without columns.
const defaultColumns = `["timestamp:time","event_type","flow_id:int","in_iface","src_ip","src_port:int","dest_ip","dest_port:int","proto","app_proto","community_id",` +
	`"alert.signature_id:int","alert.signature","alert.category","alert.severity:int","alert.action",` +
	`"flow.pkts_toserver:int","flow.pkts_toclient:int","flow.bytes_toserver:int","flow.bytes_toclient:int","flow.start:time","flow.end:time","flow.state","flow.reason",` +
	`"dns.type","dns.rrname","dns.rrtype","dns.rcode","http.hostname","http.url","http.http_method","http.http_user_agent","http.status:int","tls.sni","tls.version","fileinfo.filename","fileinfo.size:int"]`

// eventColumn holds the whole event.
const eventColumn = "event"

// Kind is parquet://.
var Kind = engine.OutputKind{
	Doc: "`parquet://DIR`: writes Parquet files `DIR/PARTITION/part-ID.parquet`. A file appears when it is complete. Until then its events are in `DIR/.wal-ID.ndjson`: a crash loses none, and the next start makes the files. Columns are all optional; `event` is the whole event as JSON. Relative paths are below the log directory.",
	Options: []engine.Option{
		{Key: "partition", Type: engine.String, Default: "event_type={event_type}/dt=%Y-%m-%d", Doc: "The directory of an event below DIR, a template as in archive:// (times are UTC, of the event's timestamp); \"\" puts all files into DIR."},
		{Key: "missing", Type: engine.String, Default: "_unknown", Doc: "What stands in the partition for a field that an event does not have."},
		{Key: "columns", Type: engine.JSON, Default: defaultColumns, Doc: "Fields with a column of their own: a list of paths, `{\"src_ip\", \"alert.signature_id:int\"}` (columns src_ip, alert_signature_id), or `{sid = \"alert.signature_id:int\"}`. Types: string (the default; anything else than a string as JSON), int (64 bits), float, bool, time (microseconds, UTC). A value of another type is null."},
		{Key: "event", Type: engine.Bool, Default: true, Doc: "Whether the whole event is kept, in the column event."},
		{Key: "segment_size", Type: engine.Bytes, Default: int64(64 << 20), Min: 4096, Max: 1 << 30, Doc: "Events (as JSON) that are made into files together; making them takes about three times as much memory."},
		{Key: "every", Type: engine.Duration, Default: 5 * time.Minute, Min: 0.05, Max: 86400, Doc: "How long events wait at most until they are made into files."},
		{Key: "row_group", Type: engine.Int, Default: int64(122880), Min: 1, Max: 1e7, Doc: "Rows of a row group."},
		{Key: "compress", Type: engine.String, Default: "zstd", Enum: []string{"zstd", "snappy", "gzip", "none"}, Doc: "What pages are compressed with."},
		{Key: "fsync", Type: engine.String, Default: "never", Enum: []string{"never", "batch"}, Doc: "Whether each batch is on the disk before it is acked. Complete files always are."},
		{Key: "keep_age", Type: engine.Duration, Max: 86400 * 36600, Doc: "Remove files that were made longer ago; 0 never."},
		{Key: "keep_size", Type: engine.Bytes, Max: 1 << 60, Doc: "Remove the files that were made first while all together are larger; 0 never. Only files that this row's partition can have made count, and go; directories that become empty go with them."},
		{Key: "prune_every", Type: engine.Duration, Default: time.Minute, Min: 0.01, Max: 86400, Doc: "How often keep_age and keep_size are looked at."},
		{Key: "mode", Type: engine.String, Default: "0640", Doc: "Permissions of new files, octal. Directories can be listed by whom their files can be read."},
	},
	New: New,
}

// maxWaiting is how many sealed segments may wait before Write waits for them.
const maxWaiting = 2

// maxRows is how many events a segment can have.
const maxRows = 1 << 20

type output struct {
	dir       string
	partition string
	missing   string
	columns   []column.Column
	event     bool
	limit     int64
	every     time.Duration
	fsync     bool
	mode      os.FileMode
	log       *slog.Logger
	schema    *parquet.Schema
	places    []int // of columns, and behind them of eventColumn, in a row of the schema
	options   []parquet.WriterOption

	keep retention

	files, nulls, pruned *atomic.Int64

	root *os.Root
	wake chan struct{} // 1 token: there may be something to do
	stop context.CancelFunc
	wg   sync.WaitGroup

	mu      sync.Mutex
	active  *segment      // takes events; nil: none yet
	waiting []*segment    // sealed, oldest first; only convert takes from it
	failed  error         // of the last attempt to make files
	changed chan struct{} // closed and replaced when an attempt has ended
	buf     []byte
}

var _ engine.Output = (*output)(nil)
var _ engine.PathUser = (*output)(nil)
var _ engine.Reopener = (*output)(nil)

// New checks the row.
func New(p engine.Params) (engine.Output, error) {
	var problems []error
	bad := func(key, format string, args ...any) {
		problems = append(problems, &engine.ConfigError{Key: key, Msg: fmt.Sprintf(format, args...)})
	}
	o := &output{dir: p.Address, partition: strings.Trim(p.Options.String("partition"), "/"), missing: p.Options.String("missing"), event: p.Options.Bool("event"),
		limit: p.Options.Int("segment_size"), every: p.Options.Duration("every"), fsync: p.Options.String("fsync") == "batch", log: p.Log,
		wake: make(chan struct{}, 1), changed: make(chan struct{})}
	if o.dir == "" || strings.ContainsAny(o.dir, "\x00") {
		bad("uri", "%q names no directory", p.URI)
	}
	if !filepath.IsAbs(o.dir) {
		o.dir = filepath.Join(p.LogDir, o.dir)
	}
	if o.missing == "" || o.missing[0] == '.' || strings.ContainsAny(o.missing, "/\x00") {
		bad("missing", "is %q, want a part of a file name", o.missing)
	}
	if err := o.header().check(); err != nil {
		bad("partition", "%v", err)
	}
	o.keep = retention{age: p.Options.Duration("keep_age"), size: p.Options.Int("keep_size"), every: p.Options.Duration("prune_every")}
	if len(problems) == 0 {
		if err := o.keep.names(o.partition, o.missing); err != nil {
			bad("partition", "%v", err)
		}
	}
	mode, err := files.Mode(p.Options.String("mode"))
	if err != nil {
		problems = append(problems, err)
	}
	o.mode = mode
	var reserved []string
	if o.event {
		reserved = append(reserved, eventColumn)
	}
	o.columns, err = column.Parse(p.Options.String("columns"), column.Text, reserved...)
	if err != nil {
		problems = append(problems, err)
	} else if !o.event && len(o.columns) == 0 {
		bad("columns", "is empty and event = false: nothing of an event would be kept")
	}
	o.files, o.nulls, o.pruned = new(atomic.Int64), new(atomic.Int64), new(atomic.Int64)
	if p.Counter != nil {
		o.files = p.Counter("parquet_files_total", "Parquet files completed")
		o.nulls = p.Counter("untyped_values_total", "values that a column's type could not hold: null")
		o.pruned = p.Counter("pruned_files_total", "files removed because of keep_age and keep_size")
	}
	if len(problems) == 0 {
		o.makeSchema()
		codec := map[string]compress.Codec{"zstd": &parquet.Zstd, "snappy": &parquet.Snappy, "gzip": &parquet.Gzip, "none": &parquet.Uncompressed}[p.Options.String("compress")]
		o.options = []parquet.WriterOption{o.schema, parquet.Compression(codec), parquet.MaxRowsPerRowGroup(p.Options.Int("row_group")),
			parquet.CreatedBy("dragonfly", "", ""), parquet.DataPageStatistics(true)}
	}
	return o, errors.Join(problems...)
}

// Open implements engine.Output. Segments that an earlier process has left wait to be made into files.
func (o *output) Open(context.Context) error {
	if o.root != nil {
		return nil
	}
	root, err := files.Root(o.dir)
	if err != nil {
		return err
	}
	left, err := o.leftovers(root)
	if err != nil {
		root.Close()
		return err
	}
	o.root = root
	o.waiting = append(o.waiting, left...)
	ctx, stop := context.WithCancel(context.Background())
	o.stop = stop
	o.wg.Go(func() { o.tend(ctx) })
	if len(left) > 0 {
		o.log.Info("an earlier process has left events that are not in files: they are made now", "dir", o.dir, "segments", len(left))
		o.nudge()
	}
	return nil
}

func (o *output) nudge() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// Write implements engine.Output: it appends to the write-ahead segment.
func (o *output) Write(ctx context.Context, batch []engine.Event) (int, error) {
	if err := o.Open(ctx); err != nil {
		return 0, err
	}
	if err := o.ready(ctx); err != nil {
		return 0, err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.active == nil {
		s, err := o.begin()
		if err != nil {
			return 0, fmt.Errorf("%s: %w", o.dir, err)
		}
		o.active = s
	}
	o.buf = o.buf[:0]
	for i := range batch {
		o.buf = append(append(o.buf, batch[i].Body...), '\n')
	}
	err := o.active.append(o.buf, len(batch), o.fsync)
	if cap(o.buf) > 8<<20 {
		o.buf = nil
	}
	if err != nil {
		if o.active.torn { // it could not be cut: what is whole of it is made into files
			o.seal()
		}
		return 0, fmt.Errorf("%s: %w", filepath.Join(o.dir, o.active.nameOr("a new segment")), err)
	}
	if o.active.size >= o.limit || o.active.rows >= maxRows {
		o.seal()
	}
	return len(batch), nil
}

// ready waits until there is room for another segment. While files cannot be made it returns why.
func (o *output) ready(ctx context.Context) error {
	for {
		o.mu.Lock()
		full, failed, changed := len(o.waiting) >= maxWaiting && o.active == nil, o.failed, o.changed
		o.mu.Unlock()
		if !full {
			return nil
		}
		o.nudge()
		if failed != nil {
			return failed
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}

// seal ends the active segment. It is called with mu held.
func (o *output) seal() {
	if o.active == nil {
		return
	}
	o.waiting = append(o.waiting, o.active)
	o.active = nil
	o.nudge()
}

// Reopen implements engine.Reopener: what is there is made into files now.
func (o *output) Reopen() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.seal()
	return nil
}

// tend makes files of sealed segments, seals one that is old, and removes old files.
func (o *output) tend(ctx context.Context) {
	tick := time.NewTicker(max(min(o.every/8, o.keep.pause(), time.Second), 10*time.Millisecond))
	defer tick.Stop()
	var tried time.Time
	for {
		woken := false
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
			woken = true
		case <-tick.C:
		}
		o.mu.Lock()
		if o.active != nil && time.Since(o.active.began) >= o.every {
			o.seal()
		}
		due := len(o.waiting) > 0 && (woken || o.failed == nil || time.Since(tried) >= 5*time.Second)
		o.mu.Unlock()
		if due {
			o.convertAll(ctx)
			tried = time.Now()
		}
		o.prune(ctx)
	}
}

// convertAll makes files of all sealed segments, the oldest first, until one fails.
func (o *output) convertAll(ctx context.Context) error {
	for {
		o.mu.Lock()
		if len(o.waiting) == 0 {
			o.mu.Unlock()
			return nil
		}
		s := o.waiting[0]
		o.mu.Unlock()
		err := o.convert(ctx, s)
		if err != nil && ctx.Err() != nil {
			return ctx.Err()
		}
		o.mu.Lock()
		if err == nil {
			o.waiting = o.waiting[1:]
		} else {
			err = fmt.Errorf("%s: making files of it: %w", filepath.Join(o.dir, s.name), err)
			if o.failed == nil {
				o.log.Error("cannot make Parquet files, the events stay in the write-ahead segment and it is tried again", "err", err)
			}
		}
		o.failed = err
		close(o.changed)
		o.changed = make(chan struct{})
		o.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

// Close implements engine.Output: what is there is made into files.
func (o *output) Close() error {
	if o.root == nil {
		return nil
	}
	o.stop()
	o.wg.Wait()
	o.mu.Lock()
	o.seal()
	o.mu.Unlock()
	err := o.convertAll(context.Background())
	if err != nil {
		err = fmt.Errorf("events stay in write-ahead segments, and are made into files at the next start: %w", err)
	}
	for _, s := range o.waiting {
		s.file.Close()
	}
	o.waiting, o.failed = nil, nil
	err = errors.Join(err, o.root.Close())
	o.root = nil
	return err
}

// Paths implements engine.PathUser.
func (o *output) Paths() []engine.PathUse {
	return []engine.PathUse{{Path: o.dir, Access: engine.Write, Kept: true}}
}

// template returns the parsed partition of a segment.
func (h header) template() (*template.Template, error) {
	return template.Path(h.Missing, template.CleanFile).Parse(h.Partition)
}
