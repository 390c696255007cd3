package syslog

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"dragonfly/engine"
	"dragonfly/engine/input/lines"
)

// keepLong is how much of a message that is too long, or cannot be framed, goes to the dead letter, in bytes.
const keepLong = 4 << 10

// errFraming ends a connection: where the next message begins is not known.
var errFraming = errors.New("message length expected (RFC 6587 octet counting)")

// frames reads the messages of a connection. Its beginning says how they are framed (RFC 6587 section 3.4): a number and a space
// are the length of the first message, anything else is a message that ends with a line end.
type frames struct {
	src  io.Reader
	max  int
	line *lines.Reader // messages end with a line end
	octs bool          // octet counting; neither: not known yet
	buf  []byte        // read and not yet taken, octet counting
	skip int           // bytes still to be skipped of a message that is too long
	out  []engine.Record

	chunk []byte // what is read into
}

func newFrames(src io.Reader, max int) *frames { return &frames{src: src, max: max} }

// next reads once and returns the messages that this completed, perhaps none, valid until the next call. Bodies are raw
// messages. Errors are those of the connection, io.EOF too, and errFraming; messages may come with them.
func (f *frames) next() ([]engine.Record, error) {
	if f.line != nil {
		return f.line.Next()
	}
	if f.chunk == nil {
		f.chunk = make([]byte, 16<<10)
	}
	n, err := f.src.Read(f.chunk)
	f.buf = append(f.buf, f.chunk[:n]...)
	if !f.octs {
		digits := countDigits(f.buf)
		if digits == len(f.buf) && digits <= maxDigits {
			return nil, err // not known yet
		}
		if f.octs = digits > 0 && digits <= maxDigits && f.buf[digits] == ' '; !f.octs {
			f.line = lines.New(io.MultiReader(bytes.NewReader(f.buf), f.src), 0, int64(f.max))
			return f.line.Next()
		}
	}
	f.out = f.out[:0]
	if e := f.split(); e != nil {
		return f.out, e
	}
	return f.out, err
}

// maxDigits is the longest length before a message.
const maxDigits = 9

func countDigits(b []byte) (n int) {
	for n < len(b) && n <= maxDigits && b[n] >= '0' && b[n] <= '9' {
		n++
	}
	return n
}

// split takes whole messages from buf.
func (f *frames) split() error {
	b := f.buf
	defer func() {
		if len(b) < len(f.buf) {
			f.buf = append(f.buf[:0], b...)
		}
	}()
	for {
		if n := min(f.skip, len(b)); n > 0 {
			b, f.skip = b[n:], f.skip-n
		}
		if b = bytes.TrimLeft(b, "\n"); len(b) == 0 { // some end a message with a line end as well
			return nil
		}
		digits := countDigits(b)
		if digits == len(b) && digits <= maxDigits {
			return nil
		}
		length, _ := strconv.Atoi(string(b[:min(digits, maxDigits)]))
		if digits > maxDigits || length == 0 || b[digits] != ' ' {
			kept := string(b[:min(len(b), keepLong)])
			f.out = append(f.out, engine.Record{Body: kept, Offset: -1, Reject: engine.ReasonMalformed})
			err := fmt.Errorf("%w, found %q", errFraming, b[:min(len(b), 20)])
			b = nil
			return err
		}
		b = b[digits+1:]
		switch {
		case length > f.max && len(b) < min(length, keepLong), length <= f.max && len(b) < length:
			b = f.buf[len(f.buf)-len(b)-digits-1:] // not all is here
			return nil
		case length > f.max:
			f.out = append(f.out, engine.Record{Body: string(b[:min(length, keepLong)]), Offset: -1, Reject: engine.ReasonTooLong})
			f.skip = length
		default:
			f.out = append(f.out, engine.Record{Body: string(b[:length]), Offset: -1})
			b = b[length:]
		}
	}
}

// last returns what the connection ended in the midst of: a line without its end is a message, one that was announced longer
// goes to the dead letter.
func (f *frames) last() []engine.Record {
	if f.line != nil {
		return f.line.Last()
	}
	if len(f.buf) == 0 {
		return nil
	}
	r := engine.Record{Body: string(f.buf[:min(len(f.buf), keepLong)]), Offset: -1}
	if f.octs {
		r.Reject = engine.ReasonTruncated
	}
	return []engine.Record{r}
}
