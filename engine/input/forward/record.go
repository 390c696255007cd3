package forward

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
	"unsafe"

	"github.com/tinylib/msgp/msgp"

	"dragonfly/engine/lazyjson"
)

// eveTime is the form of EVE's timestamps; nanoTime that of times that are finer.
const (
	eveTime  = "2006-01-02T15:04:05.000000-0700"
	nanoTime = "2006-01-02T15:04:05.000000000-0700"
)

// maxDepth is the deepest nesting of a record: the JSON of it must be accepted too.
const maxDepth = lazyjson.MaxDepth - 1

var (
	errDeep   = fmt.Errorf("the record is nested deeper than %d", maxDepth)
	errNotMap = errors.New("the record is not a map")
)

// shape says how events are made of records.
type shape struct {
	tagKey, timeKey string   // "" leaves it out
	unwrap          []string // keys whose text, if it is a JSON object, is the event
}

// appendEvent appends to dst the event of the record, a map, that b begins with, and returns what follows it. An error leaves dst
// as it was.
func (s *shape) appendEvent(dst, b []byte, tag string, t time.Time) (out, rest []byte, err error) {
	if msgp.NextType(b) != msgp.MapType {
		return dst, b, errNotMap
	}
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return dst, b, err
	}
	start := len(dst)
	hasTag, hasTime := false, false
	inner := "" // the event as text
	out = append(dst, '{')
	for i := range n {
		var key string
		if key, b, err = readKey(b); err != nil {
			return dst, b, err
		}
		hasTag = hasTag || key == s.tagKey
		hasTime = hasTime || key == s.timeKey
		if inner == "" && slices.Contains(s.unwrap, key) {
			inner = textOf(b)
		}
		if i > 0 {
			out = append(out, ',')
		}
		out = lazyjson.AppendQuoted(out, key)
		out = append(out, ':')
		if out, b, err = appendValue(out, b, 1); err != nil {
			return dst, b, err
		}
	}
	if inner != "" {
		return s.appendText(out[:start], inner, tag, t), b, nil
	}
	return s.appendExtra(out, n == 0, hasTag, hasTime, tag, t), b, nil
}

// textOf returns the text that b begins with if it is a JSON object.
func textOf(b []byte) string {
	text, _, err := readText(b)
	for len(text) > 0 && (text[len(text)-1] == '\n' || text[len(text)-1] == '\r') {
		text = text[:len(text)-1]
	}
	if err != nil || len(text) < 2 || text[0] != '{' || slices.Contains(text, '\n') || lazyjson.Validate(string(text)) != nil {
		return ""
	}
	return string(text)
}

// appendText appends the event that is a JSON object already, followed by what it lacks.
func (s *shape) appendText(dst []byte, text, tag string, t time.Time) []byte {
	fields, err := lazyjson.IndexObject(nil, text)
	if err != nil {
		return dst
	}
	end := len(text) - 1
	for text[end] != '}' {
		end--
	}
	dst = append(dst, text[:end]...)
	return s.appendExtra(dst, len(fields) == 0, lazyjson.Find(fields, text, s.tagKey) != nil, lazyjson.Find(fields, text, s.timeKey) != nil, tag, t)
}

// appendExtra closes the object with the tag and the time, where it has none.
func (s *shape) appendExtra(dst []byte, empty, hasTag, hasTime bool, tag string, t time.Time) []byte {
	comma := func() {
		if !empty {
			dst = append(dst, ',')
		}
		empty = false
	}
	if s.timeKey != "" && !hasTime {
		comma()
		dst = lazyjson.AppendQuoted(dst, s.timeKey)
		dst = append(dst, ':', '"')
		if t.Nanosecond()%1000 != 0 {
			dst = t.AppendFormat(dst, nanoTime)
		} else {
			dst = t.AppendFormat(dst, eveTime)
		}
		dst = append(dst, '"')
	}
	if s.tagKey != "" && !hasTag {
		comma()
		dst = lazyjson.AppendQuoted(dst, s.tagKey)
		dst = append(dst, ':')
		dst = lazyjson.AppendQuoted(dst, tag)
	}
	return append(dst, '}')
}

// readText reads a text: a str or a bin.
func readText(b []byte) (text, rest []byte, err error) {
	if msgp.NextType(b) == msgp.BinType {
		return msgp.ReadBytesZC(b)
	}
	return msgp.ReadStringZC(b)
}

// view returns b as a string without copying it, for as long as b does not change: BenchmarkRead 6029 -> 29 allocs.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// readKey reads the key of a map: a text, or a number or boolean that is written as text.
func readKey(b []byte) (string, []byte, error) {
	switch msgp.NextType(b) {
	case msgp.StrType, msgp.BinType:
		text, rest, err := readText(b)
		return view(text), rest, err
	case msgp.MapType, msgp.ArrayType, msgp.ExtensionType:
		return "", b, errors.New("a key of the record is a map, an array or an extension")
	}
	text, rest, err := appendValue(nil, b, maxDepth)
	return string(text), rest, err
}

// appendValue appends as JSON the object that b begins with.
func appendValue(dst, b []byte, depth int) (out, rest []byte, err error) {
	if depth > maxDepth {
		return dst, b, errDeep
	}
	if len(b) == 0 {
		return dst, b, msgp.ErrShortBytes
	}
	switch msgp.NextType(b) {
	case msgp.StrType, msgp.BinType:
		text, rest, err := readText(b)
		return lazyjson.AppendQuoted(dst, view(text)), rest, err
	case msgp.MapType:
		return appendMap(dst, b, depth)
	case msgp.ArrayType:
		return appendArray(dst, b, depth)
	case msgp.NilType:
		return append(dst, "null"...), b[1:], nil
	case msgp.BoolType:
		v, rest, err := msgp.ReadBoolBytes(b)
		return strconv.AppendBool(dst, v), rest, err
	case msgp.IntType:
		v, rest, err := msgp.ReadInt64Bytes(b)
		return strconv.AppendInt(dst, v, 10), rest, err
	case msgp.UintType:
		v, rest, err := msgp.ReadUint64Bytes(b)
		return strconv.AppendUint(dst, v, 10), rest, err
	case msgp.Float32Type:
		v, rest, err := msgp.ReadFloat32Bytes(b)
		return appendFloat(dst, float64(v), 32), rest, err
	case msgp.Float64Type:
		v, rest, err := msgp.ReadFloat64Bytes(b)
		return appendFloat(dst, v, 64), rest, err
	}
	return appendExt(dst, b)
}

func appendMap(dst, b []byte, depth int) (out, rest []byte, err error) {
	n, b, err := msgp.ReadMapHeaderBytes(b)
	if err != nil {
		return dst, b, err
	}
	dst = append(dst, '{')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		var key string
		if key, b, err = readKey(b); err != nil {
			return dst, b, err
		}
		dst = lazyjson.AppendQuoted(dst, key)
		dst = append(dst, ':')
		if dst, b, err = appendValue(dst, b, depth+1); err != nil {
			return dst, b, err
		}
	}
	return append(dst, '}'), b, nil
}

func appendArray(dst, b []byte, depth int) (out, rest []byte, err error) {
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil {
		return dst, b, err
	}
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, b, err = appendValue(dst, b, depth+1); err != nil {
			return dst, b, err
		}
	}
	return append(dst, ']'), b, nil
}

// appendFloat appends a number; what JSON cannot say is null.
func appendFloat(dst []byte, v float64, bits int) []byte {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return append(dst, "null"...)
	}
	form := byte('f')
	if a := math.Abs(v); a != 0 && (a < 1e-6 || a >= 1e21) {
		form = 'e'
	}
	return strconv.AppendFloat(dst, v, form, -1, bits)
}

// appendExt appends an EventTime as its text, another extension as its bytes in base64.
func appendExt(dst, b []byte) (out, rest []byte, err error) {
	kind, data, rest, err := readExt(b)
	if err != nil {
		return dst, b, err
	}
	if kind == 0 && len(data) == 8 {
		dst = append(dst, '"')
		dst = eventTime(data).AppendFormat(dst, nanoTime)
		return append(dst, '"'), rest, nil
	}
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, data)
	return append(dst, '"'), rest, nil
}

// readExt reads an extension.
func readExt(b []byte) (kind int8, data, rest []byte, err error) {
	if len(b) == 0 {
		return 0, nil, b, msgp.ErrShortBytes
	}
	head, size, _, err := header(b)
	if err != nil {
		return 0, nil, b, err
	}
	if head == 0 || len(b) < head+size {
		return 0, nil, b, msgp.ErrShortBytes
	}
	if c := b[0]; c < 0xc7 || c > 0xd8 || c > 0xc9 && c < 0xd4 {
		return 0, nil, b, fmt.Errorf("the byte 0x%02x where an extension was expected", c)
	}
	return int8(b[head]), b[head+1 : head+size], b[head+size:], nil
}

// eventTime is the protocol's EventTime: seconds and nanoseconds, 32 bits each, big endian.
func eventTime(data []byte) time.Time {
	return time.Unix(int64(binary.BigEndian.Uint32(data)), int64(binary.BigEndian.Uint32(data[4:]))%1e9).UTC()
}

// readTime reads the time of an entry: seconds, an EventTime, or [time, metadata]. 0 is now.
func readTime(b []byte, now time.Time) (t time.Time, rest []byte, err error) {
	if len(b) == 0 {
		return now, b, msgp.ErrShortBytes
	}
	switch msgp.NextType(b) {
	case msgp.ArrayType:
		n, b, err := msgp.ReadArrayHeaderBytes(b)
		if err != nil || n < 1 || len(b) == 0 || msgp.NextType(b) == msgp.ArrayType {
			return now, b, errors.Join(err, errors.New("the time of an entry is an array without a time"))
		}
		if t, b, err = readTime(b, now); err != nil {
			return now, b, err
		}
		b, err = skip(b, int(n)-1)
		return t, b, err
	case msgp.Float32Type, msgp.Float64Type:
		f, rest, err := msgp.ReadFloat64Bytes(b)
		if err == nil && f > 0 && f < 1<<33 {
			sec, frac := math.Modf(f)
			return time.Unix(int64(sec), int64(math.Round(frac*1e6))*1e3).UTC(), rest, nil
		}
		return now, rest, err
	case msgp.IntType, msgp.UintType:
		sec, rest, err := msgp.ReadInt64Bytes(b)
		if err != nil || sec == 0 || sec < -1<<35 || sec > 1<<37 {
			return now, rest, err
		}
		return time.Unix(sec, 0).UTC(), rest, nil
	case msgp.NilType:
		return now, b[1:], nil
	}
	kind, data, rest, err := readExt(b)
	if err == nil && (kind != 0 || len(data) != 8) {
		err = fmt.Errorf("the time of an entry is an extension of type %d and %d bytes; type 0 of 8 bytes (EventTime) is known", kind, len(data))
	}
	if err != nil {
		return now, b, err
	}
	if t = eventTime(data); t.Unix() == 0 {
		t = now
	}
	return t, rest, nil
}

// skip passes n objects.
func skip(b []byte, n int) ([]byte, error) {
	for range n {
		var e extent
		end, err := e.end(b, len(b))
		if errors.Is(err, errTooLong) || err == nil && end == 0 {
			err = msgp.ErrShortBytes
		}
		if err != nil {
			return b, err
		}
		b = b[end:]
	}
	return b, nil
}
