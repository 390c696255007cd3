package forward

import (
	"encoding/binary"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/tinylib/msgp/msgp"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

// eveTime is the form of EVE's timestamps, however many digits they have.
const eveTime = "2006-01-02T15:04:05.999999999-0700"

// packer makes entries, [EventTime, record], of events.
type packer struct {
	wrap   string // key of a record that holds the event as text; "": the record is the event
	fields []lazyjson.Field
}

var errNotObject = errors.New("the event is no JSON object: a record of the forward protocol is a map")

// append appends the entry of an event whose fields are index.
func (p *packer) append(b []byte, ev *engine.Event, index []lazyjson.Field) []byte {
	b = msgp.AppendArrayHeader(b, 2)
	b = appendTime(b, timeOf(ev.Body, index))
	if p.wrap != "" {
		b = msgp.AppendMapHeader(b, 1)
		b = msgp.AppendString(b, p.wrap)
		return msgp.AppendString(b, ev.Body)
	}
	return appendObject(b, ev.Body, index)
}

// timeOf returns the event's timestamp, now if it has none.
func timeOf(body string, index []lazyjson.Field) time.Time {
	if f := lazyjson.Find(index, body, "timestamp"); f != nil && f.Kind == lazyjson.String {
		s := f.Text(body)
		t, err := time.Parse(eveTime, s)
		if err != nil {
			t, err = time.Parse(time.RFC3339Nano, s)
		}
		if sec := t.Unix(); err == nil && sec > 0 && sec < 1<<32 {
			return t
		}
	}
	return time.Now()
}

// appendTime appends an EventTime: extension type 0, seconds and nanoseconds.
func appendTime(b []byte, t time.Time) []byte {
	b = append(b, 0xd7, 0x00)
	b = binary.BigEndian.AppendUint32(b, uint32(t.Unix()))
	return binary.BigEndian.AppendUint32(b, uint32(t.Nanosecond()))
}

func appendObject(b []byte, s string, fields []lazyjson.Field) []byte {
	b = msgp.AppendMapHeader(b, uint32(len(fields)))
	for i := range fields {
		b = msgp.AppendString(b, fields[i].Key(s))
		b = appendValue(b, s, &fields[i])
	}
	return b
}

// appendValue appends a JSON value. Whole numbers stay whole as far as 64 bits go; what a double cannot hold is sent as text.
func appendValue(b []byte, s string, f *lazyjson.Field) []byte {
	switch f.Kind {
	case lazyjson.Object:
		return appendObject(b, s, lazyjson.Members(nil, s, f.ValOff))
	case lazyjson.Array:
		list := lazyjson.Members(nil, s, f.ValOff)
		b = msgp.AppendArrayHeader(b, uint32(len(list)))
		for i := range list {
			b = appendValue(b, s, &list[i])
		}
		return b
	case lazyjson.String:
		return msgp.AppendString(b, f.Text(s))
	case lazyjson.True, lazyjson.False:
		return msgp.AppendBool(b, f.Kind == lazyjson.True)
	case lazyjson.Number:
		return appendNumber(b, f.Raw(s))
	}
	return msgp.AppendNil(b)
}

func appendNumber(b []byte, s string) []byte {
	if !strings.ContainsAny(s, ".eE") {
		if n, err := strconv.ParseInt(s, 10, 64); err == nil {
			return msgp.AppendInt64(b, n)
		}
		if n, err := strconv.ParseUint(s, 10, 64); err == nil {
			return msgp.AppendUint64(b, n)
		}
		return msgp.AppendString(b, s)
	}
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		return msgp.AppendFloat64(b, n)
	}
	return msgp.AppendString(b, s)
}
