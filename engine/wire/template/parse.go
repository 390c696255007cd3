package template

import (
	"fmt"
	"slices"
	"strings"
)

// Syntax says how a text with fields is read, and what becomes of their values. In all of them `{a.b}` is a field, the member b of the
// object a, and `{{` is a brace. They contradict each other in what a `}` is that ends no field and in the names that a field may have:
// those who use them go on accepting what they always did.
type Syntax struct {
	Dates  string // what may follow a % as in strftime, of YmdHMSyjFGV; `%%` is a % then. "": a % is a byte as any other
	Dollar bool   // `${a.b}` is a field too
	Close  Close

	// Name reports whether a field may have this name, which is not "". nil: no key of its path may be empty.
	Name func(name string) bool

	// Any value but null stands in the text: "" as it is, objects and arrays as JSON. A member whose own name is "a.b" goes before the
	// member b of a. Without it "", objects and arrays are as missing.
	Any bool

	Missing string // stands for a field that an event lacks; it is cleaned as a value is

	// Clean appends a value so that it is harmless in its place; nil: as it is. It must not look at what is in dst already.
	Clean func(dst []byte, value string) []byte

	// Element is the most bytes between two "/": fields share evenly what the text leaves of it, and what is longer is cut. A field keeps
	// one byte at least and MaxValue at most. 0: no limit.
	Element int
}

// Close says what a } is that ends no field.
type Close int

// What a } can be.
const (
	CloseAlone  Close = iota // itself, also when there are two
	CloseTwice               // itself, and so is `}}`
	CloseStrict              // `}}` is one, a single one is a mistake
)

// MaxFields is the most fields of a template.
const MaxFields = 1000

const written = "a field is written {event_type} or {flow.state}, and {{ stands for {"

// Parse reads a template. The error quotes it, and says what is wrong from which byte (the first is 1) and what is wanted.
func (s Syntax) Parse(text string) (*Template, error) {
	t := &Template{any: s.Any, missing: s.Missing, clean: s.Clean}
	if s.Clean != nil {
		t.missing = string(s.Clean(nil, s.Missing))
	}
	var literal []byte
	flush := func() {
		if len(literal) > 0 {
			t.parts = append(t.parts, part{text: string(literal)})
			literal = literal[:0]
		}
	}
	fields := 0
	for i, n := 0, 0; i < len(text); i += n {
		rest := text[i:]
		wrong := func(want string) (*Template, error) {
			return nil, fmt.Errorf("%q has %q at byte %d: %s", text, rest[:min(len(rest), 40)], i+1, want)
		}
		switch c := rest[0]; {
		case s.escapes(c) && len(rest) > 1 && rest[1] == c:
			literal, n = append(literal, c), 2
		case c == '{', s.Dollar && strings.HasPrefix(rest, "${") && !strings.HasPrefix(rest, "${{"):
			open := strings.IndexByte(rest, '{') + 1
			name, _, closed := strings.Cut(rest[open:], "}")
			switch {
			case !closed:
				return wrong("a { without }, the field is not closed; " + written)
			case name == "" || !s.allows(name):
				return wrong("it has not the name of a field; " + written)
			}
			if fields++; fields > MaxFields {
				return wrong(fmt.Sprintf("want %d fields at most", MaxFields))
			}
			flush()
			t.parts, n = append(t.parts, part{name: []string{name}, path: strings.Split(name, ".")}), open+len(name)+1
		case c == '%' && s.Dates != "":
			if len(rest) == 1 || !strings.Contains(s.Dates, rest[1:2]) {
				return wrong("want a part of the date, one of %" + strings.Join(strings.Split(s.Dates, ""), " %") + ", or %% for a %")
			}
			flush()
			t.parts, n = append(t.parts, part{verb: rest[1]}), 2
		case c == '}' && s.Close == CloseStrict:
			return wrong("there is no field that it ends, and }} stands for }")
		default:
			literal, n = append(literal, c), 1
		}
	}
	flush()
	t.fixed = !slices.ContainsFunc(t.parts, func(p part) bool { return p.text == "" })
	if s.Element > 0 {
		t.share(s.Element)
	}
	return t, nil
}

// escapes reports whether c stands for itself when it is there twice.
func (s Syntax) escapes(c byte) bool {
	return c == '{' || c == '}' && s.Close != CloseAlone || c == '%' && s.Dates != ""
}

func (s Syntax) allows(name string) bool {
	if s.Name != nil {
		return s.Name(name)
	}
	return !slices.Contains(strings.Split(name, "."), "")
}

// Quote returns the template of which text is made whatever the event.
func (s Syntax) Quote(text string) string {
	var b strings.Builder
	for i := range len(text) {
		if s.escapes(text[i]) {
			b.WriteByte(text[i])
		}
		b.WriteByte(text[i])
	}
	return b.String()
}
