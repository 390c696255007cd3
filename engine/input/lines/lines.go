// Package lines splits a byte stream into records, for the inputs that read lines. A line is not copied: records point
// into the chunk that they were read in, which is never written again.
package lines

import (
	"bytes"
	"errors"
	"io"
	"unsafe"

	"dragonfly/engine"
)

// MaxLine is the option of every input that reads lines.
var MaxLine = engine.Option{Key: "max_line", Type: engine.Bytes, Default: int64(16 << 20), Min: 64, Max: 1 << 30,
	Doc: "Longest record in bytes. A longer one goes to the dead letter with its first 4 KiB; the rest is skipped."}

const (
	chunkLen = 64 << 10 // bytes of one read
	keepLong = 4 << 10  // bytes kept of a record that is too long
)

// Reader splits a stream. It is used by one goroutine.
type Reader struct {
	src     io.Reader
	max     int
	buf     []byte // the chunk being filled: carried bytes of an unfinished line, then what was read
	used    int    // bytes of buf that hold data
	offset  int64  // in the stream of buf[0]
	skip    bool   // inside a line that is too long
	records []engine.Record
	tail    [MarkLen]byte // the bytes before offset, at its end
	tailLen int           // of those, so many are known

	SkipZeros bool  // NUL bytes before a line are not part of it: a crash, or copytruncate under a writer that does not append, leaves runs of them
	Zeros     int64 // NUL bytes skipped
}

// New returns a Reader of src, whose first byte stands at offset of the source. max is max_line.
func New(src io.Reader, offset int64, max int64) *Reader {
	return &Reader{src: src, offset: offset, max: int(max)}
}

// Reset goes on with another stream: what is carried is forgotten.
func (r *Reader) Reset(src io.Reader, offset int64) {
	*r = Reader{src: src, offset: offset, max: r.max, records: r.records, SkipZeros: r.SkipZeros, Zeros: r.Zeros}
}

// Resume tells the Reader what stands in the source before its offset, MarkLen bytes of it at most. inLine says that a
// checkpoint was there: if it is not behind a line end, or NUL bytes, it is within a line that is too long, whose rest is
// skipped.
func (r *Reader) Resume(before []byte, inLine bool) {
	r.pass(before)
	if n := len(before); inLine && n > 0 && before[n-1] != '\n' && before[n-1] != 0 {
		r.skip = true
	}
}

// Before returns the bytes before Offset, as many as are known and MarkLen at most. They are valid until the next call.
func (r *Reader) Before() []byte { return r.tail[MarkLen-r.tailLen:] }

// Mark returns the checksum of the MarkLen bytes before Offset; 0 if they are not known.
func (r *Reader) Mark() uint32 {
	if int64(r.tailLen) < min(r.offset, MarkLen) {
		return 0
	}
	return Sum(r.Before())
}

// pass notes what the offset has moved over.
func (r *Reader) pass(b []byte) {
	if len(b) >= MarkLen {
		copy(r.tail[:], b[len(b)-MarkLen:])
		r.tailLen = MarkLen
		return
	}
	copy(r.tail[:], r.tail[len(b):])
	copy(r.tail[MarkLen-len(b):], b)
	r.tailLen = min(MarkLen, r.tailLen+len(b))
}

// Offset returns the position in the stream behind the last record returned, where an unfinished line begins.
func (r *Reader) Offset() int64 { return r.offset }

// Pending returns how many bytes of an unfinished line are held.
func (r *Reader) Pending() int { return r.used }

// Next reads once and returns the records that this completed: perhaps none. The slice is valid until the next call.
// Errors are those of the stream, io.EOF too; records may come with them.
func (r *Reader) Next() ([]engine.Record, error) {
	r.grow()
	n, err := r.src.Read(r.buf[r.used:])
	if n == 0 {
		if err == nil {
			err = io.ErrNoProgress
		}
		return nil, err
	}
	from := r.used
	r.used += n
	return r.split(from), err
}

// Last returns the unfinished line at the end of a finite stream as a record, if there is one.
func (r *Reader) Last() []engine.Record {
	r.records = r.records[:0]
	if r.used > 0 && !r.skip {
		r.line(0, r.used)
	}
	r.pass(r.buf[:r.used])
	r.offset += int64(r.used)
	r.used, r.skip, r.buf = 0, false, nil
	return r.records
}

// grow makes room to read into. A new chunk begins with a copy of the unfinished line; the old one belongs to its records.
func (r *Reader) grow() {
	const room = 4 << 10 // less is not worth a read
	if len(r.buf)-r.used >= room {
		return
	}
	buf := engine.NewChunk(max(chunkLen, 2*r.used))
	copy(buf, r.buf[:r.used])
	r.buf = buf
}

// split cuts buf[:used] into lines; no line end stands before from.
func (r *Reader) split(from int) []engine.Record {
	r.records = r.records[:0]
	start := 0
	for {
		i := bytes.IndexByte(r.buf[from:r.used], '\n')
		if i < 0 {
			break
		}
		end := from + i
		if r.skip {
			r.skip = false
		} else {
			r.line(start, end)
		}
		start, from = end+1, end+1
	}
	r.carry(start)
	if r.SkipZeros && r.used > 0 && r.buf[0] == 0 && !r.skip {
		n := zeros(r.buf[:r.used])
		r.Zeros += int64(n)
		r.carry(n)
	}
	if r.used > r.max+1 && !r.skip { // one more than max_line may be the \r of a line that fits
		r.tooLong(0, r.used)
		r.skip = true
	}
	if r.skip {
		r.pass(r.buf[:r.used])
		r.offset += int64(r.used)
		r.used = 0
	}
	return r.records
}

// line makes a record of buf[start:end].
func (r *Reader) line(start, end int) {
	if r.SkipZeros && end > start && r.buf[start] == 0 {
		n := zeros(r.buf[start:end])
		r.Zeros += int64(n)
		start += n
	}
	if end > start && r.buf[end-1] == '\r' {
		end--
	}
	if end-start > r.max {
		r.tooLong(start, end)
		return
	}
	line := r.buf[start:end]
	if len(line) == 0 || (line[0] <= ' ' && len(bytes.TrimSpace(line)) == 0) {
		return
	}
	r.records = append(r.records, engine.Record{Body: unsafe.String(&line[0], len(line)), Offset: r.offset + int64(start)})
}

func (r *Reader) tooLong(start, end int) {
	body := string(r.buf[start : start+min(end-start, keepLong)])
	r.records = append(r.records, engine.Record{Body: body, Offset: r.offset + int64(start), Reject: engine.ReasonTooLong})
}

// carry drops buf[:start], whose lines are out. The unfinished line behind it stays where it is, and so does the room
// behind that: both belong to no record yet.
func (r *Reader) carry(start int) {
	r.pass(r.buf[:start])
	r.offset += int64(start)
	r.buf = r.buf[start:]
	r.used -= start
}

// zeros returns how many NUL bytes b begins with.
func zeros(b []byte) int { return len(b) - len(bytes.TrimLeft(b, "\x00")) }

// Drain reads src to its end and hands each read's records, with the offset behind them, to emit.
func Drain(r *Reader, emit func(records []engine.Record, end int64) error) error {
	for {
		records, err := r.Next()
		if len(records) > 0 {
			if e := emit(records, r.Offset()); e != nil {
				return e
			}
		}
		if errors.Is(err, io.EOF) {
			if last := r.Last(); len(last) > 0 {
				return emit(last, r.Offset())
			}
			return nil
		}
		if err != nil {
			return err
		}
	}
}
