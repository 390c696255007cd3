// Package column takes values out of events for sinks that have columns.
package column

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

// Type is what a column holds.
type Type int

// The types of columns.
const (
	Any   Type = iota // as the event has it
	Text              // the text of a string, the JSON of anything else
	Int               // 64 bits
	Float             // 64 bits
	Bool
	Time // of an EVE timestamp

)

var typeNames = map[string]Type{"any": Any, "string": Text, "int": Int, "float": Float, "bool": Bool, "time": Time}

// Column is one column and the place of its value in an event.
type Column struct {
	Name string
	Path []string // keys from the top of the event down
	Type Type
}

// MaxColumns is the most columns of a row: SQLite has room for 2000.
const MaxColumns = 500

// maxName is the longest name of a column, in bytes.
const maxName = 128

// Parse reads the option columns as the engine hands it over: the JSON of {"src_ip", "alert.signature_id:int"} or of
// {src = "src_ip", sid = "alert.signature_id:int"}. Names that are not given are the path with "_" for ".". Columns are in
// the order of the list, or by name. reserved are names, in lower case, that the sink has itself.
func Parse(text string, otherwise Type, reserved ...string) ([]Column, error) {
	fail := func(format string, args ...any) ([]Column, error) {
		return nil, &engine.ConfigError{Key: "columns", Msg: fmt.Sprintf(format, args...)}
	}
	var list []string
	var named map[string]string
	if json.Unmarshal([]byte(text), &list) != nil {
		if json.Unmarshal([]byte(text), &named) != nil {
			return fail(`is %s, want a list of paths such as {"src_ip", "alert.signature_id:int"}, or {name = "path"}`, text)
		}
	}
	var columns []Column
	for _, spec := range list {
		c, err := parseSpec("", spec, otherwise)
		if err != nil {
			return fail("%v", err)
		}
		columns = append(columns, c)
	}
	for name, spec := range named {
		c, err := parseSpec(name, spec, otherwise)
		if err != nil {
			return fail("%v", err)
		}
		columns = append(columns, c)
	}
	if named != nil {
		slices.SortFunc(columns, func(a, b Column) int { return strings.Compare(a.Name, b.Name) })
	}
	if len(columns) > MaxColumns {
		return fail("has %d columns, want %d at most", len(columns), MaxColumns)
	}
	seen := map[string]bool{}
	for _, name := range reserved {
		seen[name] = true
	}
	for _, c := range columns {
		low := strings.ToLower(c.Name)
		if seen[low] {
			return fail("%q is there twice, or is a column that the output makes itself (%s): give it another name", c.Name, strings.Join(reserved, ", "))
		}
		seen[low] = true
	}
	return columns, nil
}

func parseSpec(name, spec string, otherwise Type) (Column, error) {
	path, typeName, typed := strings.Cut(spec, ":")
	c := Column{Name: name, Path: strings.Split(path, "."), Type: otherwise}
	if typed {
		t, ok := typeNames[typeName]
		if !ok {
			return c, fmt.Errorf("%q has the type %q, want one of any, string, int, float, bool, time", spec, typeName)
		}
		c.Type = t
	}
	if slices.Contains(c.Path, "") {
		return c, fmt.Errorf("%q is not a path such as src_ip or alert.signature_id", spec)
	}
	if c.Name == "" {
		c.Name = strings.ReplaceAll(path, ".", "_")
	}
	if len(c.Name) > maxName || strings.ContainsFunc(c.Name, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }) {
		return c, fmt.Errorf("%q is not a name for a column: up to %d bytes of UTF-8 without control characters", c.Name, maxName)
	}
	return c, nil
}

// Reader finds fields in one event after the other. It belongs to one goroutine.
type Reader struct{ lazyjson.Reader }

// Reset goes on to another event.
func (r *Reader) Reset(ev engine.Event) {
	r.Reader.Reset(ev.Body, ev.Index) // not an object: no fields
}

// Value returns the value of a column: nil, string, int64, float64, bool or time.Time. ok is false if the event has a
// value there that the column's type cannot hold; then it is nil.
func (r *Reader) Value(c *Column) (v any, ok bool) {
	f := r.Find(c.Path)
	if f == nil || f.Kind == lazyjson.Null {
		return nil, true
	}
	body := r.Body()
	switch c.Type {
	case Int:
		n, err := strconv.ParseInt(f.Plain(body), 10, 64)
		return orNil(n, err == nil)
	case Float:
		n, err := strconv.ParseFloat(f.Plain(body), 64)
		return orNil(n, err == nil)
	case Bool:
		return orNil(f.Kind == lazyjson.True, f.Kind == lazyjson.True || f.Kind == lazyjson.False)
	case Time:
		t, ok := timeOf(f, body)
		return orNil(t, ok)
	}
	if f.Kind == lazyjson.String {
		return f.Text(body), true
	}
	if raw := f.Raw(body); c.Type == Text || f.Kind >= lazyjson.Array {
		return raw, true
	}
	return scalar(f, body), true
}

func orNil(v any, ok bool) (any, bool) {
	if !ok {
		return nil, false
	}
	return v, true
}

// scalar returns a number or a bool. An integer beyond 64 bits stays text, so that no digit is lost.
func scalar(f *lazyjson.Field, body string) any {
	switch f.Kind {
	case lazyjson.True:
		return true
	case lazyjson.False:
		return false
	}
	raw := f.Raw(body)
	if n, err := strconv.ParseInt(raw, 10, 64); err == nil {
		return n
	}
	if !strings.ContainsAny(raw, ".eE") {
		return raw
	}
	n, err := strconv.ParseFloat(raw, 64)
	if err != nil {
		return raw
	}
	return n
}

var timestampPath = []string{"timestamp"}

// Timestamp returns the time of the event, in UTC; false if its timestamp is missing or not one.
func (r *Reader) Timestamp() (time.Time, bool) {
	f := r.Find(timestampPath)
	if f == nil {
		return time.Time{}, false
	}
	return timeOf(f, r.Body())
}

// timeOf returns the time that a field says: a text that ParseTime takes, or a number of seconds since 1970, as Fluent's clients
// and many programs beside Suricata write it.
func timeOf(f *lazyjson.Field, body string) (time.Time, bool) {
	switch f.Kind {
	case lazyjson.String:
		return ParseTime(f.Text(body))
	case lazyjson.Number:
		return seconds(f.Raw(body))
	}
	return time.Time{}, false
}

// lastSecond is the last of the year 2261, so that nanoseconds since 1970 have 64 bits.
const lastSecond = 9_214_646_399

// seconds reads "1607337893.205884" exactly, to the nanosecond.
func seconds(s string) (time.Time, bool) {
	if strings.ContainsAny(s, "eE") {
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || n < 0 || n > lastSecond {
			return time.Time{}, false
		}
		return time.UnixMicro(int64(n * 1e6)).UTC(), true
	}
	whole, part, _ := strings.Cut(s, ".")
	sec, err := strconv.ParseInt(whole, 10, 64)
	if err != nil || sec < 0 || sec > lastSecond {
		return time.Time{}, false
	}
	nsec, err := strconv.ParseInt((part + "000000000")[:9], 10, 64)
	return time.Unix(sec, nsec).UTC(), err == nil
}

// ParseTime reads an EVE timestamp, "2026-11-21T16:53:57.123456+0000", or one of RFC 3339, from the years 1678 to 2261.
func ParseTime(s string) (time.Time, bool) {
	if n := len(s); n > 5 && n < 64 && (s[n-5] == '+' || s[n-5] == '-') && s[n-3] != ':' {
		s = s[:n-2] + ":" + s[n-2:]
	}
	t, err := time.Parse(time.RFC3339Nano, s)
	if err != nil || t.Year() < 1678 || t.Year() > 2261 {
		return time.Time{}, false
	}
	return t.UTC(), true
}
