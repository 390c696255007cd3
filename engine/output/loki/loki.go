// Package loki pushes events to Grafana Loki.
package loki

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"unicode/utf8"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
	"dragonfly/engine/output/internal/httpsink"
)

// Kind is loki://.
var Kind = engine.OutputKind{
	Doc: "`loki://HOST:3100`: pushes events to Grafana Loki, each as a line with its own time; `tls = true`, or another tls key, talks TLS. Lines that Loki refuses (too old, too long) go to the dead letter.",
	Options: httpsink.Options(append([]engine.Option{
		{Key: "labels", Type: engine.JSON, Default: `{"job":"dragonfly"}`, Doc: "Labels of all streams: `{job = \"dragonfly\", sensor = \"one\"}`."},
		{Key: "label_fields", Type: engine.Strings, Doc: "Fields that are labels, too: `{\"event_type\", \"alert.severity\"}` (as `alert_severity`). Each combination of values is a stream of its own, so take such as have few."},
		{Key: "max_streams", Type: engine.Int, Default: int64(1000), Min: 1, Max: 1 << 20, Doc: "Combinations at most; in further ones the values are \"other\"."},
		{Key: "metadata", Type: engine.Strings, Doc: "Fields that are structured metadata of the line, of any number of values: `{\"src_ip\", \"flow_id\"}`. Loki 2.9 or later with schema v13."},
		{Key: "time_field", Type: engine.String, Default: "timestamp", Doc: "Field with the time of the event: EVE's, RFC 3339, or seconds since 1970. Without it the time is now."},
		{Key: "order", Type: engine.String, Default: "keep", Enum: []string{"keep", "raise"}, Doc: "What becomes of an event that is older than one before it in its stream: it keeps its time, which Loki takes since 2.4 if it is not much older; or its time is raised to that of the other, for older ones."},
		{Key: "tenant", Type: engine.String, Doc: "Tenant, for the header X-Scope-OrgID."},
		{Key: "bulk_size", Type: engine.Int, Default: int64(1024), Min: 1, Max: 1024, Doc: "Events of one request at most; it has what has come."},
		{Key: "bulk_bytes", Type: engine.Bytes, Default: int64(1 << 20), Min: 1, Max: 1 << 30, Doc: "Bytes likewise, before gzip; a longer event goes alone."},
	}, httpsink.Auth...)...),
	New: New,
}

type output struct {
	httpsink.Sink
	url       *url.URL
	more      []string // headers
	labels    map[string]string
	fields    []label
	metadata  []label
	timeField string
	raise     bool
	max       int
	last      map[string]int64 // ns, by stream, of what Loki has; its keys are the streams that are known
	other     *atomic.Int64
}

// label is a field with the name that it has in Loki.
type label struct{ path, name string }

var _ engine.PortUser = (*output)(nil)

// New implements the kind.
func New(p engine.Params) (engine.Output, error) {
	v := p.Options
	client, err := httpsink.New(p, httpsink.Setup{Port: 3100})
	errs := []error{err}
	o := &output{Sink: httpsink.Sink{Client: client}, timeField: v.String("time_field"), raise: v.String("order") == "raise", max: int(v.Int("max_streams")), last: map[string]int64{},
		other: p.Counter("stream_overflow_total", "Events whose labels are \"other\", as max_streams were known.")}
	o.Bulk = httpsink.Bulk{Size: int(v.Int("bulk_size")), Bytes: v.Int("bulk_bytes"), Send: o.send}
	if text := v.String("labels"); text != "" && text != "[]" && json.Unmarshal([]byte(text), &o.labels) != nil {
		errs = append(errs, &engine.ConfigError{Key: "labels", Msg: "is no table of names and texts, want such as {job = \"dragonfly\"}"})
	}
	for name := range o.labels {
		if labelName(name) != name {
			errs = append(errs, &engine.ConfigError{Key: "labels", Msg: fmt.Sprintf("%q is no name of a label, want letters, digits and \"_\", and no digit first", name)})
		}
	}
	o.fields, o.metadata = named(v.Strings("label_fields")), named(v.Strings("metadata"))
	for i, l := range o.fields {
		if slices.ContainsFunc(o.fields[:i], func(b label) bool { return b.name == l.name }) {
			errs = append(errs, &engine.ConfigError{Key: "label_fields", Msg: fmt.Sprintf("has %q twice, as names of labels", l.name)})
		}
		if _, ok := o.labels[l.name]; ok {
			errs = append(errs, &engine.ConfigError{Key: "label_fields", Msg: fmt.Sprintf("%q is in labels already", l.name)})
		}
	}
	if len(o.labels) == 0 {
		errs = append(errs, &engine.ConfigError{Key: "labels", Msg: "is empty, but Loki wants a label in every stream"})
	}
	if tenant := v.String("tenant"); strings.ContainsFunc(tenant, func(r rune) bool { return r <= ' ' || r > 126 }) {
		errs = append(errs, &engine.ConfigError{Key: "tenant", Msg: fmt.Sprintf("%q is no name of a tenant", tenant)})
	} else if tenant != "" {
		o.more = []string{"X-Scope-OrgID", tenant}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	o.url = client.URL("/loki/api/v1/push", "")
	return o, nil
}

func named(paths []string) []label {
	var list []label
	for _, p := range paths {
		list = append(list, label{p, labelName(p)})
	}
	return list
}

// labelName makes a name that Loki takes: letters, digits, "_", no digit first.
func labelName(s string) string {
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '_' {
			return r
		}
		return '_'
	}, s)
	if s == "" || s[0] >= '0' && s[0] <= '9' {
		return "_" + s
	}
	return s
}

// send is the httpsink.Sender. What it notes about streams counts only when Loki has the lines: what is sent again has the same times,
// so that Loki knows it again.
func (o *output) send(ctx context.Context, events []engine.Event) (int, []error, error) {
	p := push{o: o, last: map[string]int64{}, streams: map[string]*stream{}}
	for i := range events {
		p.add(&events[i])
	}
	body := p.encode(o.Client.Buffer())
	a, err := o.Client.Post(ctx, o.url, "application/json", body, o.more...)
	if err == nil {
		err = o.Client.Verdict(a)
	}
	if err == nil {
		maps.Copy(o.last, p.last)
		o.other.Add(p.other)
	}
	return len(events), nil, err
}

// push is a request in the making.
type push struct {
	o       *output
	streams map[string]*stream // by their labels, encoded
	order   []*stream
	last    map[string]int64
	other   int64
}

type stream struct {
	labels string // JSON
	lines  []line
}

type line struct {
	at int64 // ns
	ev *engine.Event
}

// maxLabel is the most bytes of a label's value (Loki's max_label_value_length).
const maxLabel = 2048

func (p *push) add(ev *engine.Event) {
	labels := p.o.labelsOf(ev, false)
	_, known := p.o.last[labels]
	if _, here := p.last[labels]; !known && !here && len(p.o.fields) > 0 && len(p.o.last)+len(p.last) >= p.o.max {
		labels = p.o.labelsOf(ev, true)
		p.other++
	}
	s := p.streams[labels]
	if s == nil {
		s = &stream{labels: labels}
		p.streams[labels] = s
		p.order = append(p.order, s)
	}
	when, _ := httpsink.Time(ev, p.o.timeField)
	at := when.UnixNano()
	last, here := p.last[labels]
	if !here {
		last = p.o.last[labels]
	}
	if p.o.raise {
		at = max(at, last)
	}
	p.last[labels] = max(at, last)
	s.lines = append(s.lines, line{at, ev})
}

// labelsOf encodes the labels of an event's stream, always in the same order.
func (o *output) labelsOf(ev *engine.Event, other bool) string {
	b := []byte{'{'}
	add := func(name, value string) {
		if len(b) > 1 {
			b = append(b, ',')
		}
		b = append(lazyjson.AppendQuoted(b, name), ':')
		b = lazyjson.AppendQuoted(b, value)
	}
	for _, name := range slices.Sorted(maps.Keys(o.labels)) {
		add(name, o.labels[name])
	}
	for _, f := range o.fields {
		text, ok := httpsink.Text(ev, f.path)
		if other {
			text, ok = "other", true
		}
		if ok && text != "" {
			add(f.name, clean(text, maxLabel))
		}
	}
	return string(append(b, '}'))
}

// clean makes s valid UTF-8 of n bytes at most.
func clean(s string, n int) string {
	if s = strings.ToValidUTF8(s, "\uFFFD"); len(s) > n {
		for s = s[:n]; !utf8.ValidString(s); {
			s = s[:len(s)-1]
		}
	}
	return s
}

func (p *push) encode(dst []byte) []byte {
	dst = append(dst, `{"streams":[`...)
	for i, s := range p.order {
		if i > 0 {
			dst = append(dst, ',')
		}
		slices.SortStableFunc(s.lines, func(a, b line) int { return cmp.Compare(a.at, b.at) })
		dst = append(append(append(dst, `{"stream":`...), s.labels...), `,"values":[`...)
		for j, l := range s.lines {
			if j > 0 {
				dst = append(dst, ',')
			}
			dst = append(strconv.AppendInt(append(dst, `["`...), l.at, 10), `",`...)
			dst = lazyjson.AppendQuoted(dst, strings.ToValidUTF8(l.ev.Body, "\uFFFD"))
			dst = append(p.o.appendMetadata(dst, l.ev), ']')
		}
		dst = append(dst, "]}"...)
	}
	return append(dst, "]}"...)
}

func (o *output) appendMetadata(dst []byte, ev *engine.Event) []byte {
	first := true
	for _, m := range o.metadata {
		text, ok := httpsink.Text(ev, m.path)
		if !ok {
			continue
		}
		if first {
			dst = append(dst, ",{"...)
		} else {
			dst = append(dst, ',')
		}
		first = false
		dst = append(lazyjson.AppendQuoted(dst, m.name), ':')
		dst = lazyjson.AppendQuoted(dst, strings.ToValidUTF8(text, "\uFFFD"))
	}
	if !first {
		dst = append(dst, '}')
	}
	return dst
}
