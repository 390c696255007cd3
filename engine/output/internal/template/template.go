// Package template makes names of files, directories and tables from events: "%Y/%m/%d/{event_type}.json". What an event
// puts into a name is data of an attacker: it cannot leave its place in the name.
package template

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"dragonfly/engine/lazyjson"
	"dragonfly/engine/output/internal/column"
)

// MaxValue is the most bytes of a name that come from one field.
const MaxValue = 100

// Template is a parsed text. It may be used by several goroutines.
type Template struct {
	parts   []part
	missing string
	clean   func(dst []byte, value string) []byte
}

type part struct {
	text string   // literal
	time byte     // 'Y', 'm', ... of the time; 0 is none
	path []string // of a field; nil is none

	limit int // most bytes of the field's value
}

// maxElement is the most bytes between two separators: file systems take 255, and ours append to it.
const maxElement = 240

// directives are the strftime directives that are known: how they are written, and what they look like in a name.
var directives = map[byte]struct{ layout, pattern string }{
	'Y': {"2006", `\d{4}`}, 'm': {"01", `\d\d`}, 'd': {"02", `\d\d`}, 'H': {"15", `\d\d`}, 'M': {"04", `\d\d`},
	'y': {"06", `\d\d`}, 'j': {"002", `\d{3}`}, 'F': {"2006-01-02", `\d{4}-\d\d-\d\d`},
}

// Parse reads a template: %Y %m %d %H %M %y %j %F and %% for the time, {field} or {object.field} for a field, {{ and }} for braces.
// missing stands where an event has no such field; clean appends a value of an event to a name, and makes it harmless.
func Parse(text, missing string, clean func(dst []byte, value string) []byte) (*Template, error) {
	t := &Template{missing: string(clean(nil, missing)), clean: clean}
	literal := []byte{}
	flush := func() {
		if len(literal) > 0 {
			t.parts = append(t.parts, part{text: string(literal)})
			literal = nil
		}
	}
	for i := 0; i < len(text); i++ {
		c := text[i]
		var next byte
		if i+1 < len(text) {
			next = text[i+1]
		}
		switch {
		case c == '%' && next == '%', c == '{' && next == '{', c == '}' && next == '}':
			literal = append(literal, c)
			i++
		case c == '%':
			if _, ok := directives[next]; !ok {
				return nil, fmt.Errorf("%q has %q, want one of %%Y %%m %%d %%H %%M %%y %%j %%F, or %%%% for a %%", text, text[i:min(i+2, len(text))])
			}
			flush()
			t.parts = append(t.parts, part{time: next})
			i++
		case c == '{':
			end := strings.IndexByte(text[i:], '}')
			if end < 0 {
				return nil, fmt.Errorf("%q has a { without }", text)
			}
			path := strings.Split(text[i+1:i+end], ".")
			if slices.Contains(path, "") {
				return nil, fmt.Errorf("%q has %q, want the path of a field such as {event_type} or {flow.state}", text, text[i:i+end+1])
			}
			flush()
			t.parts = append(t.parts, part{path: path})
			i += end
		case c == '}':
			return nil, fmt.Errorf("%q has a } without {", text)
		default:
			literal = append(literal, c)
		}
	}
	flush()
	t.share()
	return t, nil
}

// share gives each field as many bytes as its element has room for.
func (t *Template) share() {
	fixed, fields := 0, []int(nil)
	end := func() {
		for _, i := range fields {
			t.parts[i].limit = max(1, min(MaxValue, (maxElement-fixed)/len(fields)))
		}
		fixed, fields = 0, nil
	}
	for i, p := range t.parts {
		switch {
		case p.path != nil:
			fields = append(fields, i)
		case p.time != 0:
			fixed += len(directives[p.time].layout)
		default:
			for j, elem := range strings.Split(p.text, "/") {
				if j > 0 {
					end()
				}
				fixed += len(elem)
			}
		}
	}
	end()
}

// Timed reports whether the name depends on the time.
func (t *Template) Timed() bool {
	return slices.ContainsFunc(t.parts, func(p part) bool { return p.time != 0 })
}

// Fixed returns the text before the first part that differs from event to event.
func (t *Template) Fixed() string {
	if len(t.parts) == 0 || t.parts[0].text == "" {
		return ""
	}
	return t.parts[0].text
}

// Constant reports whether all events have the same name.
func (t *Template) Constant() bool {
	return !slices.ContainsFunc(t.parts, func(p part) bool { return p.text == "" })
}

// Append appends the name for the event that r is at, at a time in UTC.
func (t *Template) Append(dst []byte, r *column.Reader, at time.Time) []byte {
	for i := range t.parts {
		p := &t.parts[i]
		switch {
		case p.time != 0:
			dst = at.AppendFormat(dst, directives[p.time].layout)
		case p.path != nil:
			dst = t.appendField(dst, r, p)
		default:
			dst = append(dst, p.text...)
		}
	}
	return dst
}

func (t *Template) appendField(dst []byte, r *column.Reader, p *part) []byte {
	v, _ := r.Value(&column.Column{Path: p.path, Type: column.Text})
	text, _ := v.(string)
	start := len(dst)
	if f := r.Find(p.path); text == "" || f.Kind >= lazyjson.Array {
		dst = append(dst, t.missing...)
	} else {
		dst = t.clean(dst, text)
	}
	if end := start + p.limit; len(dst) > end {
		for end > start+1 && !utf8.RuneStart(dst[end]) {
			end--
		}
		dst = dst[:end]
	}
	return dst
}

// Behind returns the template without the first n bytes of what Fixed returns.
func (t *Template) Behind(n int) *Template {
	rest := *t
	rest.parts = slices.Clone(t.parts)
	if n > 0 {
		rest.parts[0].text = rest.parts[0].text[n:]
		if rest.parts[0].text == "" {
			rest.parts = rest.parts[1:]
		}
	}
	return &rest
}

// Depth returns how many directories are in the name of a file.
func (t *Template) Depth() (n int) {
	for _, p := range t.parts {
		n += strings.Count(p.text, "/")
	}
	return n
}

// Pattern matches exactly the names that the template makes; value is the expression for what clean makes of a field.
func (t *Template) Pattern(value string) *regexp.Regexp {
	var b strings.Builder
	b.WriteString("^(?:")
	for _, p := range t.parts {
		switch {
		case p.time != 0:
			b.WriteString(directives[p.time].pattern)
		case p.path != nil:
			b.WriteString("(?:" + value + "|" + regexp.QuoteMeta(t.missing[:min(len(t.missing), p.limit)]) + ")")
		default:
			b.WriteString(regexp.QuoteMeta(p.text))
		}
	}
	b.WriteString(")$")
	return regexp.MustCompile(b.String())
}

// FilePart is the expression for what CleanFile makes.
const FilePart = `[^/\\\x00-\x1f]{1,100}`

// CleanFile appends a value as a part of the name of a file: without separators, control characters and leading dots, not
// longer than MaxValue bytes. Bytes that have no place in a name become "_".
func CleanFile(dst []byte, value string) []byte {
	start := len(dst)
	for i, r := range value {
		if i+utf8.RuneLen(r) > MaxValue {
			break
		}
		if r < ' ' || r == 0x7f || r == utf8.RuneError || strings.ContainsRune(`/\*?"<>|%=`, r) || r == '.' && len(dst) == start {
			r = '_'
		}
		dst = utf8.AppendRune(dst, r)
	}
	if len(dst) == start {
		dst = append(dst, '_')
	}
	return dst
}

// CleanName appends a value as a part of the name of a table: letters, digits and "_".
func CleanName(dst []byte, value string) []byte {
	for i := 0; i < len(value) && i < MaxValue; i++ {
		c := value[i]
		if c != '_' && (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			c = '_'
		}
		dst = append(dst, c)
	}
	return dst
}
