// Package template makes names and texts from events: "%Y/%m/%d/{event_type}.json". A Syntax is what its user understands, with how a
// value becomes harmless: what an event puts into a name is data of an attacker.
package template

import (
	"slices"
	"time"
	"unicode/utf8"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

// Template is a parsed text. It may be used by several goroutines.
type Template struct {
	parts   []part
	fixed   bool // without fields and dates
	any     bool
	missing string
	clean   func(dst []byte, value string) []byte
}

// part is a literal text, a part of the date or a field.
type part struct {
	text string
	verb byte     // as in strftime; 0 is none
	path []string // the keys of a field; nil is none
	name []string // its whole name as one key

	limit int // most bytes of the field's value; 0 is none
}

// dates are the parts of a date: how package time writes them, and what they look like. G and V are of the ISO week, with the width
// of these.
var dates = [128]struct{ layout, pattern string }{
	'Y': {"2006", `\d{4}`}, 'm': {"01", `\d\d`}, 'd': {"02", `\d\d`}, 'H': {"15", `\d\d`}, 'M': {"04", `\d\d`}, 'S': {"05", `\d\d`},
	'y': {"06", `\d\d`}, 'j': {"002", `\d{3}`}, 'F': {"2006-01-02", `\d{4}-\d\d-\d\d`}, 'G': {"2006", `\d{4}`}, 'V': {"02", `\d\d`},
}

// Timed reports whether the text depends on the time.
func (t *Template) Timed() bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.verb != 0 })
}

// Fixed reports whether all events have the same text.
func (t *Template) Fixed() bool {
	return t.fixed
}

// Literals calls f for each text between fields and dates, until it returns false, and reports whether it never did.
func (t *Template) Literals(f func(text string) bool) bool {
	return !slices.ContainsFunc(t.parts, func(p part) bool { return p.text != "" && !f(p.text) })
}

// Append appends the text for the event that r is at, with dates of at as it is, in its time zone.
func (t *Template) Append(dst []byte, r *lazyjson.Reader, at time.Time) []byte {
	for i := range t.parts {
		p := &t.parts[i]
		switch {
		case p.text != "":
			dst = append(dst, p.text...)
		case p.path != nil:
			dst = t.appendField(dst, r, p)
		default:
			dst = appendDate(dst, p.verb, at)
		}
	}
	return dst
}

func (t *Template) appendField(dst []byte, r *lazyjson.Reader, p *part) []byte {
	start := len(dst)
	text, ok := t.value(r, p)
	switch {
	case !ok:
		dst = append(dst, t.missing...)
	case t.clean == nil:
		dst = append(dst, text...)
	default:
		dst = t.clean(dst, text)
	}
	if p.limit > 0 && len(dst)-start > p.limit {
		dst = cut(dst, start, p.limit)
	}
	return dst
}

func (t *Template) value(r *lazyjson.Reader, p *part) (text string, ok bool) {
	if !t.any {
		text, _ = r.Scalar(p.path)
		return text, text != ""
	}
	f := r.Find(p.name)
	if f == nil && len(p.path) > 1 {
		f = r.Find(p.path)
	}
	if f == nil || f.Kind == lazyjson.Null {
		return "", false
	}
	return f.Plain(r.Body()), true
}

// cut cuts what is in dst from start on to n bytes, but not in a character: "_" stands for one that has no room.
func cut(dst []byte, start, n int) []byte {
	end := start + n
	for end > start && !utf8.RuneStart(dst[end]) {
		end--
	}
	if end == start {
		return append(dst[:start], '_')
	}
	return dst[:end]
}

func appendDate(dst []byte, verb byte, at time.Time) []byte {
	switch verb {
	case 'G', 'V':
		year, week := at.ISOWeek()
		if verb == 'G' {
			return time.Date(year, 1, 1, 0, 0, 0, 0, time.UTC).AppendFormat(dst, "2006")
		}
		return append(dst, '0'+byte(week/10), '0'+byte(week%10))
	}
	return at.AppendFormat(dst, dates[verb].layout)
}

// Namer makes the texts of a template in one goroutine.
type Namer struct {
	*Template
	fields lazyjson.Reader
	buf    []byte
	last   string
}

// Namer returns a new one.
func (t *Template) Namer() *Namer {
	n := &Namer{Template: t}
	if t.Fixed() {
		n.last = string(t.Append(nil, &n.fields, time.Time{}))
	}
	return n
}

// Of returns the text for ev.
func (n *Namer) Of(ev *engine.Event) string { return n.At(ev, time.Time{}) }

// At returns the text for ev, with dates of at. When it is that of the call before nothing is allocated.
func (n *Namer) At(ev *engine.Event, at time.Time) string {
	if n.Fixed() {
		return n.last
	}
	n.fields.Reset(ev.Body, ev.Index) // not an object: no fields
	n.buf = n.Append(n.buf[:0], &n.fields, at)
	if string(n.buf) != n.last {
		n.last = string(n.buf)
	}
	return n.last
}
