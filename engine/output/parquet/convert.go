package parquet

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/parquet-go/parquet-go"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/column"
)

func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// makeSchema makes the schema, and finds where each column is in its rows.
func (o *output) makeSchema() {
	group := parquet.Group{}
	names := make([]string, 0, len(o.columns)+1)
	for _, c := range o.columns {
		names = append(names, c.Name)
		group[c.Name] = parquet.Optional(nodeOf(c.Type))
	}
	if o.event {
		names = append(names, eventColumn)
		group[eventColumn] = parquet.Optional(parquet.String())
	}
	o.schema = parquet.NewSchema("eve", group)
	for _, name := range names {
		leaf, ok := o.schema.Lookup(name)
		if !ok {
			panic("BUG: parquet: no column " + name)
		}
		o.places = append(o.places, leaf.ColumnIndex)
	}
}

func nodeOf(t column.Type) parquet.Node {
	switch t {
	case column.Int:
		return parquet.Int(64)
	case column.Float:
		return parquet.Leaf(parquet.DoubleType)
	case column.Bool:
		return parquet.Leaf(parquet.BooleanType)
	case column.Time:
		return parquet.Timestamp(parquet.Microsecond)
	}
	return parquet.String()
}

// convert makes files of a segment, one per partition, one after the other, and removes it. Doing it again makes the same.
func (o *output) convert(ctx context.Context, s *segment) error {
	h, events, damaged, err := s.lines()
	switch {
	case errors.Is(err, errNoHeader):
		return o.drop(s, false)
	case errors.Is(err, errHeader):
		return o.drop(s, true)
	case err != nil:
		return err
	}
	partition, err := h.template()
	if err != nil {
		return err
	}
	began := time.UnixMicro(h.Began).UTC()
	var rows column.Reader
	var buf []byte
	parts := map[string][]int32{} // the events of each partition
	for i := range events {
		rows.Reset(events[i])
		at, ok := rows.Timestamp()
		if !ok {
			at = began
		}
		buf = partition.Append(buf[:0], &rows.Reader, at)
		parts[string(buf)] = append(parts[string(buf)], int32(i))
	}
	for _, name := range slices.Sorted(maps.Keys(parts)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := o.writeFile(filepath.Clean(name), s.id, events, parts[name]); err != nil {
			return err
		}
	}
	return o.drop(s, damaged > 0)
}

// writeFile makes the file of a partition: under another name, which readers leave out, until it is complete and on the disk.
func (o *output) writeFile(dir, id string, events []engine.Event, which []int32) (err error) {
	if err := o.root.MkdirAll(dir, o.mode|o.mode>>2&0o111); err != nil {
		return err
	}
	temp := filepath.Join(dir, ".part-"+id+".parquet.tmp")
	f, err := o.root.OpenFile(temp, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, o.mode)
	if err != nil {
		return err
	}
	err = o.writeRows(f, events, which)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = o.root.Rename(temp, filepath.Join(dir, "part-"+id+".parquet"))
	}
	if err != nil {
		if rm := o.root.Remove(temp); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
			err = errors.Join(err, rm)
		}
		return err
	}
	o.files.Add(1)
	for {
		if err := o.syncDir(dir); err != nil || dir == "." {
			return err
		}
		dir = filepath.Dir(dir)
	}
}

// rowsLen is how many rows are handed over together.
const rowsLen = 256

// writeRows writes the events of a partition as a Parquet file.
func (o *output) writeRows(f *os.File, events []engine.Event, which []int32) error {
	w := parquet.NewWriter(f, o.options...)
	width := len(o.places)
	values := make([]parquet.Value, rowsLen*width)
	batch := make([]parquet.Row, 0, rowsLen)
	var rows column.Reader
	for i, n := range which {
		row := values[len(batch)*width : (len(batch)+1)*width]
		rows.Reset(events[n])
		o.fill(row, &rows, events[n].Body)
		batch = append(batch, row)
		if len(batch) == rowsLen || i == len(which)-1 {
			if _, err := w.WriteRows(batch); err != nil {
				return err
			}
			batch = batch[:0]
		}
	}
	return w.Close()
}

// fill makes the row of an event.
func (o *output) fill(row []parquet.Value, rows *column.Reader, body string) {
	for i, place := range o.places {
		var v any = body
		if i < len(o.columns) {
			var ok bool
			if v, ok = rows.Value(&o.columns[i]); !ok {
				o.nulls.Add(1)
			}
		}
		row[place] = valueOf(v, place)
	}
}

// valueOf returns a value of an optional column. Text is made valid UTF-8, as readers refuse a file with other.
func valueOf(v any, place int) parquet.Value {
	var value parquet.Value
	switch v := v.(type) {
	case nil:
		return parquet.NullValue().Level(0, 0, place)
	case string:
		v = strings.ToValidUTF8(v, "\ufffd")
		value = parquet.ByteArrayValue(unsafe.Slice(unsafe.StringData(v), len(v)))
	case int64:
		value = parquet.Int64Value(v)
	case float64:
		value = parquet.DoubleValue(v)
	case bool:
		value = parquet.BooleanValue(v)
	case time.Time:
		value = parquet.Int64Value(v.UnixMicro())
	}
	return value.Level(0, 1, place)
}
