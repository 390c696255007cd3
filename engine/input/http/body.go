package http

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"unsafe"

	"github.com/klauspost/compress/gzip"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

// body reads the body of a request. Its bytes never change afterwards.
type body struct {
	max  int64
	held *budget
	wait context.Context // for room
	took int64
}

// firstRead is the room for a body of unknown length, in bytes.
const firstRead = 16 << 10

// read returns the whole body, unpacked.
func (b *body) read(r *http.Request) (string, error) {
	tooLong := &refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body is longer than %d bytes: send fewer events at a time", b.max)}
	var src io.Reader = r.Body
	size := r.ContentLength + 1 // the last read finds the end
	switch encoding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); encoding {
	case "", "identity":
		if r.ContentLength > b.max {
			return "", tooLong
		}
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(io.LimitReader(r.Body, b.max+1))
		if err != nil {
			return "", b.broken("no gzip", err)
		}
		defer z.Close()
		src, size = z, firstRead
	default:
		return "", &refusal{http.StatusUnsupportedMediaType, fmt.Sprintf("the encoding %q is not known, want gzip or none", encoding)}
	}
	if size <= 0 {
		size = firstRead
	}
	var buf []byte
	for used := 0; ; {
		if used == len(buf) {
			next := min(max(size, 2*int64(used)), b.max+1)
			if int64(used) == b.max+1 {
				return "", tooLong
			}
			if err := b.held.take(b.wait, next-int64(used)); err != nil {
				return "", &refusal{http.StatusTooManyRequests, "there is no room for events at the moment: send them again later"}
			}
			b.took += next - int64(used)
			grown := engine.NewChunk(int(next))
			copy(grown, buf)
			buf = grown
		}
		n, err := src.Read(buf[used:])
		if used += n; int64(used) > b.max {
			return "", tooLong
		}
		if errors.Is(err, io.EOF) {
			if used == 0 {
				return "", nil
			}
			return unsafe.String(&buf[0], used), nil
		}
		if err != nil {
			return "", b.broken("the body could not be read", err)
		}
	}
}

func (b *body) broken(what string, err error) error {
	return &refusal{http.StatusBadRequest, what + ": " + err.Error()}
}

// free gives the room back.
func (b *body) free() {
	b.held.give(b.took)
	b.took = 0
}

// split returns the objects in a body as records: of an array, of lines, or the body as a whole. An error says where the first is that
// is none; then nothing is taken.
func split(text string) ([]engine.Record, error) {
	text = strings.TrimPrefix(text, "\uFEFF")
	start := strings.TrimLeft(text, " \t\r\n")
	if start == "" {
		return nil, nil
	}
	if start[0] == '[' {
		return array(text)
	}
	first, _, several := strings.Cut(start, "\n")
	if several && lazyjson.Validate(first) != nil { // an object may stand on several lines
		if _, err := lazyjson.IndexObject(nil, text); err == nil {
			return []engine.Record{{Body: oneLine(strings.TrimSpace(text)), Offset: -1}}, nil
		}
	}
	var records []engine.Record
	n := 0
	for line := range strings.Lines(text) {
		n++
		if line = strings.Trim(line, " \t\r\n"); line == "" {
			continue
		}
		if err := object(line); err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		records = append(records, engine.Record{Body: line, Offset: -1})
	}
	return records, nil
}

func object(s string) error {
	err := lazyjson.Validate(s)
	if err == nil && s[0] != '{' {
		err = fmt.Errorf("it is JSON, but no object: want {...}")
	}
	return err
}

// array returns the elements of an array.
func array(text string) ([]engine.Record, error) {
	if err := lazyjson.Validate(text); err != nil {
		var at *lazyjson.SyntaxError
		if errors.As(err, &at) {
			return nil, fmt.Errorf("line %d: %w", 1+strings.Count(text[:min(at.Offset, len(text))], "\n"), err)
		}
		return nil, err
	}
	var records []engine.Record
	for i, f := range lazyjson.Members(nil, text, uint32(strings.IndexByte(text, '['))) {
		if f.Kind != lazyjson.Object {
			return nil, fmt.Errorf("line %d: element %d of the array is no object", 1+strings.Count(text[:f.ValOff], "\n"), i+1)
		}
		records = append(records, engine.Record{Body: oneLine(f.Raw(text)), Offset: -1})
	}
	return records, nil
}

// oneLine replaces line ends, which in JSON stand between its parts only.
func oneLine(s string) string {
	if strings.ContainsAny(s, "\r\n") {
		return strings.NewReplacer("\r", " ", "\n", " ").Replace(s)
	}
	return s
}

// budget is a number of bytes that several share.
type budget struct {
	mu    sync.Mutex
	freed *sync.Cond // signalled when bytes were given back, or somebody who waits gives up
	left  int64
}

func newBudget(n int64) *budget {
	b := &budget{left: n + 1} // a body that is one byte too long is read before that is known
	b.freed = sync.NewCond(&b.mu)
	return b
}

// take waits until n bytes are left, or returns ctx's error.
func (b *budget) take(ctx context.Context, n int64) error {
	defer context.AfterFunc(ctx, func() {
		b.mu.Lock()
		b.freed.Broadcast()
		b.mu.Unlock()
	})()
	b.mu.Lock()
	defer b.mu.Unlock()
	for b.left < n {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		b.freed.Wait()
	}
	b.left -= n
	return nil
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	b.left += n
	b.freed.Broadcast()
	b.mu.Unlock()
}
