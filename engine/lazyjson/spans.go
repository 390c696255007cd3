package lazyjson

import "slices"

// shortSpan is the length in bytes up to which a container is read again instead of being remembered.
const shortSpan = 32

// Spans remembers where the containers of a text end, so that Members of one that is deep in others does not read all
// that it holds: without it, going down through n levels reads the innermost value n times. It takes 8 bytes per
// container that is longer than 32 bytes. It is safe for concurrent reading.
type Spans struct{ list []span } // by start

type span struct{ start, end uint32 }

// NewSpans reads s[off:], which must begin with a valid object or array, as for Members.
func NewSpans(s string, off uint32) *Spans {
	b := bytesOf(s)
	x := &Spans{}
	var open []int // positions in list
	for i := int(off); ; {
		switch b[i] {
		case '"':
			i, _ = text(b, i+1)
			continue
		case '{', '[':
			open = append(open, len(x.list))
			x.list = append(x.list, span{start: uint32(i)})
		case '}', ']':
			last := open[len(open)-1]
			if x.list[last].end = uint32(i + 1); x.list[last].end-x.list[last].start <= shortSpan {
				x.list = x.list[:last] // so was all that it holds
			}
			if open = open[:len(open)-1]; len(open) == 0 {
				return x
			}
		}
		i++
	}
}

// end returns the offset behind the container at start, or 0 if it is short.
func (x *Spans) end(start uint32) uint32 {
	i, ok := slices.BinarySearchFunc(x.list, start, func(s span, start uint32) int {
		return int(int64(s.start) - int64(start))
	})
	if !ok {
		return 0
	}
	return x.list[i].end
}

// Members is the function Members for a container of the text that x was made of.
func (x *Spans) Members(dst []Field, s string, off uint32) []Field {
	b := bytesOf(s)
	end := b[off] + 2
	i := skipSpace(b, int(off)+1)
	if b[i] == end {
		return dst
	}
	for {
		f := Field{}
		if end == '}' {
			f.KeyOff = uint32(i + 1)
			i, f.KeyEscaped = text(b, i+1)
			f.KeyEnd = uint32(i - 1)
			i = skipSpace(b, skipSpace(b, i)+1)
		}
		f.ValOff, f.Kind = uint32(i), kinds[b[i]]
		switch f.Kind {
		case String:
			i, f.ValEscaped = text(b, i+1)
		case Object, Array:
			if e := x.end(f.ValOff); e > 0 {
				i = int(e)
				break
			}
			fallthrough
		default:
			i, _ = value(b, i, 0)
		}
		f.ValEnd = uint32(i)
		dst = append(dst, f)
		if i = skipSpace(b, i); b[i] == end {
			return dst
		}
		i = skipSpace(b, i+1)
	}
}
