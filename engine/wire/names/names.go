// Package names makes names of topics, keys and subjects from a pattern with fields of the event: "eve.{event_type}".
package names

import (
	"fmt"
	"strings"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

// Missing stands for a field that an event lacks, or that holds null, an object, an array or "".
const Missing = "unknown"

// maxValue is how many bytes of a field go into a name.
const maxValue = 256

// Pattern is a name with fields. It is used by one goroutine at a time.
type Pattern struct {
	parts   []part
	fixed   string
	clean   func(byte) bool // bytes that may stand in a field's value; nil: all
	buf     []byte
	scratch []lazyjson.Field
	index   []lazyjson.Field
}

type part struct {
	text string
	path []string // a field; then text is ""
}

// New reads a pattern: `{a.b}` is the field b of the object a, `{{` stands for `{`. Bytes of a field's value for which clean is
// false become `_`.
func New(pattern string, clean func(byte) bool) (*Pattern, error) {
	p := &Pattern{clean: clean}
	var text strings.Builder
	for rest := pattern; rest != ""; {
		i := strings.IndexByte(rest, '{')
		if i < 0 {
			text.WriteString(rest)
			break
		}
		text.WriteString(rest[:i])
		rest = rest[i+1:]
		if strings.HasPrefix(rest, "{") {
			text.WriteByte('{')
			rest = rest[1:]
			continue
		}
		name, after, closed := strings.Cut(rest, "}")
		path := strings.Split(name, ".")
		for _, key := range path {
			if key == "" {
				closed = false
			}
		}
		if !closed {
			return nil, fmt.Errorf("%q: a field is written {name} or {object.name}, and {{ stands for {", pattern)
		}
		p.parts = append(p.parts, part{text: text.String()}, part{path: path})
		text.Reset()
		rest = after
	}
	if len(p.parts) == 0 {
		p.fixed = text.String()
		return p, nil
	}
	p.parts = append(p.parts, part{text: text.String()})
	return p, nil
}

// Fixed reports whether all events have the same name.
func (p *Pattern) Fixed() bool { return p.parts == nil }

// Of returns the name for ev.
func (p *Pattern) Of(ev *engine.Event) string {
	if p.parts == nil {
		return p.fixed
	}
	index := ev.Index
	if index == nil {
		index, _ = lazyjson.IndexObject(p.index[:0], ev.Body)
		p.index = index
	}
	p.buf = p.buf[:0]
	for i := range p.parts {
		part := &p.parts[i]
		if part.path == nil {
			p.buf = append(p.buf, part.text...)
			continue
		}
		var f *lazyjson.Field
		f, p.scratch = lazyjson.FindPath(index, ev.Body, part.path, p.scratch)
		p.buf = p.value(p.buf, f, ev.Body)
	}
	return string(p.buf)
}

func (p *Pattern) value(dst []byte, f *lazyjson.Field, body string) []byte {
	v := ""
	if f != nil {
		switch f.Kind {
		case lazyjson.String:
			v = f.Text(body)
		case lazyjson.Number, lazyjson.True, lazyjson.False:
			v = f.Raw(body)
		}
	}
	if v == "" {
		return append(dst, Missing...)
	}
	for i := range min(len(v), maxValue) {
		if c := v[i]; p.clean == nil || p.clean(c) {
			dst = append(dst, c)
			continue
		}
		dst = append(dst, '_')
	}
	return dst
}
