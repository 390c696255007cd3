package template

import (
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"dragonfly/engine/lazyjson"
)

// MaxValue is the most bytes of a path that come from one field.
const MaxValue = 100

// maxElement is the most bytes between two separators: file systems take 255, and ours append to it.
const maxElement = 240

// Path is the syntax of names of files, directories and tables: %Y %m %d %H %M %y %j %F and %% for the time, {field} or {object.field}
// for a field, {{ and }} for braces. An event cannot leave its place in a path if clean does not give what is empty, holds a "/" or
// begins with a "."; missing must not either.
func Path(missing string, clean func(dst []byte, value string) []byte) Syntax {
	return Syntax{Dates: "YmdHMyjF", Close: CloseStrict, Missing: missing, Clean: clean, Element: maxElement}
}

// share gives each field as many bytes as its element has room for, of most.
func (t *Template) share(most int) {
	fixed, fields := 0, []int(nil)
	end := func() {
		for _, i := range fields {
			t.parts[i].limit = max(1, min(MaxValue, (most-fixed)/len(fields)))
		}
		fixed, fields = 0, nil
	}
	for i, p := range t.parts {
		switch {
		case p.path != nil:
			fields = append(fields, i)
		case p.verb != 0:
			fixed += len(dates[p.verb].layout)
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

// Prefix returns the text before the first part that differs from event to event.
func (t *Template) Prefix() string {
	if len(t.parts) == 0 {
		return ""
	}
	return t.parts[0].text
}

// Behind returns the template without the first n bytes of what Prefix returns.
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
		case p.verb != 0:
			b.WriteString(dates[p.verb].pattern)
		case p.path != nil:
			missing := string(t.appendField(nil, &lazyjson.Reader{}, &p))
			b.WriteString("(?:" + value + "|" + literal(missing) + ")")
		default:
			b.WriteString(literal(p.text))
		}
	}
	b.WriteString(")$")
	return regexp.MustCompile(b.String())
}

// literal is the expression for text. Bytes that are no UTF-8, of which there are no expressions, are for it U+FFFD, and so they are
// when it is matched.
func literal(text string) string {
	text = strings.Map(func(r rune) rune { return r }, text)
	return strings.ReplaceAll(regexp.QuoteMeta(text), "\ufffd", `[\x{fffc}\x{fffd}]`) // a class, as a single rune is looked for as bytes
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
