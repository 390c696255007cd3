package deadletter

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"
)

// MaxLine is the longest line that is read, in bytes. A longer one is damage: it is passed over without being held.
const MaxLine = 2 << 30

// Line is one line of a file.
type Line struct {
	Text   string // without its end; a line that is too long has its first bytes only
	Number int64  // 1-based
	Offset int64  // of its first byte, in the plain text of a compressed file
	End    int64  // behind its line end
	Cut    bool   // it has no line end: the file ends in it
	Long   bool   // longer than MaxLine
}

// Entry parses the line.
func (l *Line) Entry() (Entry, error) {
	switch {
	case l.Long:
		return Entry{}, fmt.Errorf("longer than %d bytes", MaxLine)
	case l.Cut:
		if e, err := Parse(l.Text); err == nil {
			return e, nil
		}
		return Entry{}, errors.New("the file ends in the middle of it")
	}
	return Parse(l.Text)
}

const (
	lineStart  = `{"time":"` // of every line of ours
	mostStarts = 16          // places of a damaged line that are tried
)

// resync finds the whole entry at the end of a damaged line, if there is one: a crash can leave a piece of a line, and the
// engine goes on behind it. broken is what stands before it.
func (l *Line) resync() (broken string, rest Line, e Entry, ok bool) {
	if l.Long {
		return "", rest, e, false
	}
	for at, tries := 1, 0; tries < mostStarts && at < len(l.Text); tries++ {
		i := strings.Index(l.Text[at:], lineStart)
		if i < 0 {
			break
		}
		at += i
		if e, err := Parse(l.Text[at:]); err == nil {
			rest = *l
			rest.Text, rest.Offset = l.Text[at:], l.Offset+int64(at)
			return l.Text[:at], rest, e, true
		}
		at++
	}
	return "", rest, e, false
}

// Reader reads lines. Blank ones are passed over.
type Reader struct {
	src    *bufio.Reader
	max    int
	number int64
	offset int64
	buf    []byte
}

// NewReader returns a Reader of src, whose first byte stands at offset of the file.
func NewReader(src io.Reader, offset int64) *Reader {
	return &Reader{src: bufio.NewReaderSize(src, 256<<10), max: MaxLine, offset: offset}
}

// Next returns the next line, or io.EOF. Other errors are those of the file; what came before them was returned as a line.
func (r *Reader) Next() (Line, error) {
	for {
		l := Line{Number: r.number + 1, Offset: r.offset}
		err := r.read(&l)
		if r.offset == l.Offset {
			return l, err // nothing was read: an error, or the end
		}
		r.number++
		l.End = r.offset
		l.Cut = err != nil
		l.Text = strings.TrimSuffix(strings.TrimSuffix(l.Text, "\n"), "\r")
		if l.Long || strings.TrimSpace(l.Text) != "" {
			return l, nil // an error comes again
		}
	}
}

func (r *Reader) read(l *Line) error {
	r.buf = r.buf[:0]
	for {
		part, err := r.src.ReadSlice('\n')
		r.offset += int64(len(part))
		if room := r.max + 1 - len(r.buf); len(part) > room {
			l.Long = true
			part = part[:max(room, 0)]
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			if !l.Long {
				r.buf = append(r.buf, part...)
			}
			continue
		}
		if len(r.buf) == 0 {
			l.Text = string(part)
		} else {
			r.buf = append(r.buf, part...)
			l.Text = string(r.buf)
		}
		if l.Long {
			l.Text = strings.Clone(l.Text[:min(len(l.Text), 200)])
		}
		if cap(r.buf) > 16<<20 {
			r.buf = nil
		}
		return err
	}
}
