package lazyjson

import "strings"

// Reader finds fields in one object after the other. Its memory is reused, and the members of an object that several paths lead
// into are indexed once. It belongs to one goroutine; the zero value is an object without fields.
type Reader struct {
	s       string
	index   []Field
	own     []Field // room for the index of a text that has none
	inside  bool    // inner is the index of the object key
	key     string
	inner   []Field
	scratch []Field
}

// Reset goes on to another text. index is what IndexObject returned for it; nil: it is made here. The error is IndexObject's,
// and then the text has no fields.
func (r *Reader) Reset(s string, index []Field) (err error) {
	if index == nil {
		r.own, err = IndexObject(r.own[:0], s)
		index = r.own
	}
	r.s, r.index, r.inside = s, index, false
	return err
}

// Body returns the text.
func (r *Reader) Body() string { return r.s }

// Find returns the field at a path of keys, as FindPath; nil if there is none. It is good until the next call.
func (r *Reader) Find(path []string) *Field {
	if len(path) == 1 {
		return Find(r.index, r.s, path[0])
	}
	if !r.inside || r.key != path[0] {
		f := Find(r.index, r.s, path[0])
		if f == nil || f.Kind != Object {
			return nil
		}
		r.inside, r.key, r.inner = true, path[0], Members(r.inner[:0], r.s, f.ValOff)
	}
	f, scratch := FindPath(r.inner, r.s, path[1:], r.scratch)
	r.scratch = scratch
	return f
}

// Scalar returns the string without its quotes, or the number, true or false, at a path of keys. ok is false for what is missing, null,
// an object or an array.
func (r *Reader) Scalar(path []string) (text string, ok bool) {
	f := r.Find(path)
	if f == nil || f.Kind == Null || f.Kind >= Array {
		return "", false
	}
	return f.Plain(r.s), true
}

// Plain returns the decoded text of a string, and anything else as it stands in s.
func (f *Field) Plain(s string) string {
	if f.Kind == String {
		return f.Text(s)
	}
	return f.Raw(s)
}

// FindName finds a field by keys joined by dots, "alert.severity", in fields, the index of s. A member whose own name is all of name
// goes before.
func FindName(fields []Field, s, name string) (f Field, ok bool) {
	if f := Find(fields, s, name); f != nil {
		return *f, true
	}
	var room [32]Field // stays on the stack
	for more := strings.Contains(name, "."); more; {
		var key, rest string
		key, rest, more = strings.Cut(name, ".")
		at := Find(fields, s, key)
		switch {
		case at == nil, more && at.Kind != Object:
			return f, false
		case !more:
			return *at, true
		}
		fields, name = Members(room[:0], s, at.ValOff), rest
	}
	return f, false
}
