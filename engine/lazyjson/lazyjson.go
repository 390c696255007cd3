// Package lazyjson validates a JSON text in one pass and remembers where the members of its top-level object are, so that
// a reader decodes only what it asks for and a writer replaces only what it changes; all other bytes stay as they came.
//
// It accepts what RFC 8259 accepts, and in addition strings that are not valid UTF-8 (sensors write them; they pass
// unchanged). Nesting is limited to MaxDepth.
package lazyjson

import (
	"bytes"
	"errors"
	"fmt"
	"math/bits"
	"unicode/utf8"
	"unsafe"
)

// MaxDepth is the deepest nesting that is accepted, as in lua-cjson.
const MaxDepth = 1000

// Kind is the type of a JSON value.
type Kind uint8

// The kinds of JSON values.
const (
	Invalid Kind = iota
	Null
	False
	True
	Number
	String
	Array
	Object
)

// Field is one member of an object or one element of an array (then without a key). Offsets are bytes into the text
// that was indexed.
type Field struct {
	KeyOff, KeyEnd uint32 // the key between its quotes
	ValOff, ValEnd uint32 // the whole value, a string with its quotes
	Kind           Kind
	KeyEscaped     bool // the key contains a backslash: compare its Unquote
	ValEscaped     bool // the string value contains a backslash
}

// RawKey returns the key as it stands in s, between its quotes.
func (f *Field) RawKey(s string) string { return s[f.KeyOff:f.KeyEnd] }

// Raw returns the value as it stands in s.
func (f *Field) Raw(s string) string { return s[f.ValOff:f.ValEnd] }

// Key returns the decoded key.
func (f *Field) Key(s string) string {
	if f.KeyEscaped {
		return Unquote(f.RawKey(s))
	}
	return f.RawKey(s)
}

// Text returns the decoded value of a String field.
func (f *Field) Text(s string) string {
	raw := s[f.ValOff+1 : f.ValEnd-1]
	if f.ValEscaped {
		return Unquote(raw)
	}
	return raw
}

// ErrNotObject is returned by IndexObject for a text that does not begin with "{"; whether it is valid is not known.
var ErrNotObject = errors.New("not a JSON object")

// SyntaxError says where and why a text is not JSON.
type SyntaxError struct {
	Offset int // 0-based byte
	Msg    string
}

func (e *SyntaxError) Error() string {
	return fmt.Sprintf("invalid JSON at byte %d: %s", e.Offset, e.Msg)
}

// IndexObject validates s, which must be one JSON object with optional white space around it, and appends its members
// in order to dst. After an error dst's length is as before.
func IndexObject(dst []Field, s string) ([]Field, error) {
	b := bytesOf(s)
	i := skipSpace(b, 0)
	if i == len(b) || b[i] != '{' {
		return dst, ErrNotObject
	}
	if uint64(len(s)) > 1<<32-1 {
		return dst, &SyntaxError{0, "longer than 4 GiB"}
	}
	n := len(dst)
	dst, i = object(b, i, dst)
	if i >= 0 {
		if i = skipSpace(b, i); i == len(b) {
			return dst, nil
		}
		i = ^i
	}
	return dst[:n], explain(b, ^i)
}

// Validate reports whether s is one JSON value with optional white space around it.
func Validate(s string) error {
	b := bytesOf(s)
	i, _ := value(b, skipSpace(b, 0), 0)
	if i >= 0 {
		if i = skipSpace(b, i); i == len(b) {
			return nil
		}
		i = ^i
	}
	return explain(b, ^i)
}

// Members appends the members of the object, or the elements of the array, that begins at s[off]. s[off:] must begin
// with valid JSON: a part of a text that IndexObject accepted.
func Members(dst []Field, s string, off uint32) []Field {
	b := bytesOf(s)
	if b[off] == '{' {
		dst, _ = object(b, int(off), dst)
		return dst
	}
	i := skipSpace(b, int(off)+1)
	if b[i] == ']' {
		return dst
	}
	for {
		f := Field{ValOff: uint32(i), Kind: kinds[b[i]]}
		if b[i] == '"' {
			i, f.ValEscaped = text(b, i+1)
		} else {
			i, _ = value(b, i, 0)
		}
		f.ValEnd = uint32(i)
		dst = append(dst, f)
		if i = skipSpace(b, i); b[i] == ']' {
			return dst
		}
		i = skipSpace(b, i+1)
	}
}

// Find returns the last member with this (decoded) key, or nil.
func Find(fields []Field, s, key string) *Field {
	for i := len(fields) - 1; i >= 0; i-- {
		f := &fields[i]
		if f.KeyEscaped {
			if Unquote(f.RawKey(s)) == key {
				return f
			}
		} else if int(f.KeyEnd-f.KeyOff) == len(key) && s[f.KeyOff:f.KeyEnd] == key {
			return f
		}
	}
	return nil
}

// FindPath follows a path of keys from fields, the index of s: {"flow", "src_ip"}. scratch is overwritten and returned
// for reuse. It returns nil if any step is missing or not an object.
func FindPath(fields []Field, s string, path []string, scratch []Field) (*Field, []Field) {
	f := Find(fields, s, path[0])
	for _, key := range path[1:] {
		if f == nil || f.Kind != Object {
			return nil, scratch
		}
		scratch = Members(scratch[:0], s, f.ValOff)
		f = Find(scratch, s, key)
	}
	return f, scratch
}

var kinds = [256]Kind{
	'n': Null, 'f': False, 't': True, '"': String, '[': Array, '{': Object, '-': Number,
	'0': Number, '1': Number, '2': Number, '3': Number, '4': Number, '5': Number, '6': Number, '7': Number, '8': Number, '9': Number,
}

// The scanning functions take the text and the offset of what they scan and return the offset behind it, or ^offset of
// the first byte that does not fit.

// object scans an object whose brace is at b[i] and appends its members to dst.
func object(b []byte, i int, dst []Field) ([]Field, int) {
	i = skipSpace(b, i+1)
	if i < len(b) && b[i] == '}' {
		return dst, i + 1
	}
	for {
		if i >= len(b) || b[i] != '"' {
			return dst, ^i
		}
		f := Field{KeyOff: uint32(i + 1)}
		if i, f.KeyEscaped = text(b, i+1); i < 0 {
			return dst, i
		}
		f.KeyEnd = uint32(i - 1)
		if i >= len(b) || b[i] != ':' {
			if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
				return dst, ^i
			}
		}
		if i++; i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		f.ValOff = uint32(i)
		if i < len(b) && b[i] == '"' {
			f.Kind = String
			i, f.ValEscaped = text(b, i+1)
		} else {
			i, f.Kind = value(b, i, 1)
		}
		if i < 0 {
			return dst, i
		}
		f.ValEnd = uint32(i)
		dst = append(dst, f)
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		if i >= len(b) {
			return dst, ^i
		}
		switch b[i] {
		case ',':
			if i++; i < len(b) && b[i] <= ' ' {
				i = skipSpace(b, i)
			}
		case '}':
			return dst, i + 1
		default:
			return dst, ^i
		}
	}
}

// value scans any value at nesting depth depth.
func value(b []byte, i, depth int) (int, Kind) {
	if i >= len(b) {
		return ^i, Invalid
	}
	switch k := kinds[b[i]]; k {
	case String:
		i, _ = text(b, i+1)
		return i, k
	case Number:
		return number(b, i), k
	case Object, Array:
		return container(b, i, depth+1), k
	case True:
		return word(b, i, "true"), k
	case False:
		return word(b, i, "false"), k
	case Null:
		return word(b, i, "null"), k
	}
	return ^i, Invalid
}

// container scans the object or array at b[i].
func container(b []byte, i, depth int) int {
	if depth > MaxDepth {
		return ^i
	}
	isObject := b[i] == '{'
	end := b[i] + 2 // '}' is '{'+2, ']' is '['+2
	i++
	if i < len(b) && b[i] <= ' ' {
		i = skipSpace(b, i)
	}
	if i < len(b) && b[i] == end {
		return i + 1
	}
	for {
		if isObject {
			if i >= len(b) || b[i] != '"' {
				return ^i
			}
			if i, _ = text(b, i+1); i < 0 {
				return i
			}
			if i >= len(b) || b[i] != ':' {
				if i = skipSpace(b, i); i >= len(b) || b[i] != ':' {
					return ^i
				}
			}
			if i++; i < len(b) && b[i] <= ' ' {
				i = skipSpace(b, i)
			}
		}
		if i < len(b) && b[i] == '"' {
			i, _ = text(b, i+1)
		} else {
			i, _ = value(b, i, depth)
		}
		if i < 0 {
			return i
		}
		if i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
		if i >= len(b) {
			return ^i
		}
		if b[i] == end {
			return i + 1
		}
		if b[i] != ',' {
			return ^i
		}
		if i++; i < len(b) && b[i] <= ' ' {
			i = skipSpace(b, i)
		}
	}
}

const (
	ones  = 0x0101010101010101
	highs = 0x8080808080808080
)

// text scans a string from behind its opening quote to behind its closing quote, eight bytes at a time.
func text(b []byte, i int) (end int, escaped bool) {
	for {
		for i+8 <= len(b) {
			x := *(*uint64)(unsafe.Pointer(&b[i]))
			q, s := x^(ones*'"'), x^(ones*'\\')
			stop := ((q - ones) &^ q) | ((s - ones) &^ s) | ((x - ones*0x20) &^ x)
			if stop &= highs; stop != 0 {
				i += bits.TrailingZeros64(stop) >> 3
				break
			}
			i += 8
		}
		for i < len(b) && b[i] >= ' ' && b[i] != '"' && b[i] != '\\' {
			i++
		}
		if i >= len(b) || b[i] < ' ' {
			return ^i, escaped
		}
		if b[i] == '"' {
			return i + 1, escaped
		}
		escaped = true
		if i = escape(b, i); i < 0 {
			return i, escaped
		}
	}
}

// escape scans the escape sequence whose backslash is at b[i].
func escape(b []byte, i int) int {
	if i+1 >= len(b) {
		return ^(i + 1)
	}
	switch b[i+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return i + 2
	case 'u':
		for j := i + 2; j < i+6; j++ {
			if j >= len(b) || hex(b[j]) < 0 {
				return ^min(j, len(b))
			}
		}
		return i + 6
	}
	return ^(i + 1)
}

func number(b []byte, i int) int {
	if b[i] == '-' {
		i++
	}
	if i >= len(b) {
		return ^i
	}
	if b[i] == '0' {
		i++
	} else if j := digits(b, i); j == i {
		return ^i
	} else {
		i = j
	}
	if i < len(b) && b[i] == '.' {
		j := digits(b, i+1)
		if j == i+1 {
			return ^j
		}
		i = j
	}
	if i < len(b) && b[i]|0x20 == 'e' {
		i++
		if i < len(b) && (b[i] == '+' || b[i] == '-') {
			i++
		}
		j := digits(b, i)
		if j == i {
			return ^j
		}
		i = j
	}
	return i
}

func digits(b []byte, i int) int {
	for i < len(b) && b[i]-'0' <= 9 {
		i++
	}
	return i
}

func word(b []byte, i int, w string) int {
	for j := range len(w) {
		if i+j >= len(b) || b[i+j] != w[j] {
			return ^(i + j)
		}
	}
	return i + len(w)
}

func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\t' || b[i] == '\n' || b[i] == '\r') {
		i++
	}
	return i
}

func hex(c byte) int {
	switch {
	case c-'0' <= 9:
		return int(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return int(c|0x20-'a') + 10
	}
	return -1
}

// explain words the error for a text that stopped being JSON at b[i].
func explain(b []byte, i int) error {
	switch {
	case i >= len(b):
		return &SyntaxError{i, "unexpected end"}
	case b[i] == '{' || b[i] == '[':
		if value, _ := value(b, i, MaxDepth-1); value >= 0 || ^value != i {
			return &SyntaxError{i, fmt.Sprintf("nested deeper than %d", MaxDepth)}
		}
	case b[i] < ' ':
		return &SyntaxError{i, fmt.Sprintf("control character 0x%02x", b[i])}
	case i == 0 && bytes.HasPrefix(b, []byte("\xef\xbb\xbf")):
		return &SyntaxError{i, "a byte order mark: JSON begins without it"}
	case b[i] >= utf8.RuneSelf:
		if r, _ := utf8.DecodeRune(b[i:]); r != utf8.RuneError {
			return &SyntaxError{i, fmt.Sprintf("unexpected %+q", r)}
		}
		return &SyntaxError{i, fmt.Sprintf("unexpected byte 0x%02x", b[i])}
	}
	return &SyntaxError{i, fmt.Sprintf("unexpected %q", b[i])}
}

func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// KindOf returns the kind of the value that begins with c.
func KindOf(c byte) Kind { return kinds[c] }
