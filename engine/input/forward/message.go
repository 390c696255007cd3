package forward

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	"github.com/tinylib/msgp/msgp"

	"dragonfly/engine"
)

// keepLong is how much of what cannot be read goes to the dead letter, in bytes.
const keepLong = 4 << 10

// option is the last element of a message.
type option struct {
	chunk      string // id to ack; "" if none is wanted
	compressed string // "", "text", "gzip", "zstd"
}

// partLen is the most bytes of events that a part holds, but for its last event.
const partLen = 1 << 20

// content is a message, read.
type content struct {
	records []engine.Record // its last part
	chunk   string
}

// reader reads messages in MessagePack, in all four modes.
type reader struct {
	shape
	maxUnpacked int64 // bytes of entries that came compressed

	part func([]engine.Record) error // takes what is read of a message before its end is, so that few bytes can not become very many; nil: not wanted

	text []byte // of the events of one message
	ends []int  // of each in text, -n-1: a reject, bad[n]
	bad  []engine.Record
}

// read reads one whole message; now stands in for times that are not said. An error says that it is not a message of the protocol.
// Entries that cannot be read become rejected records.
func (r *reader) read(b []byte, now time.Time) (content, error) {
	r.text, r.ends, r.bad = nil, r.ends[:0], nil
	if msgp.NextType(b) == msgp.NilType {
		return content{}, nil // heartbeat
	}
	n, b, err := msgp.ReadArrayHeaderBytes(b)
	if err != nil || n < 2 || n > 4 {
		return content{}, errors.New("not a message of the forward protocol: an array [tag, ...] of 2 to 4 elements is")
	}
	tagText, b, err := readText(b)
	if err != nil || len(b) == 0 {
		return content{}, errors.New("not a message of the forward protocol: the tag is no text")
	}
	tag := string(tagText)
	entries, before := b, 1 // elements before the option, from here
	kind := msgp.NextType(b)
	if kind != msgp.ArrayType && kind != msgp.StrType && kind != msgp.BinType {
		before = 2
	}
	if int(n) < before+1 {
		return content{}, errors.New("not a message of the forward protocol: the record is missing")
	}
	rest, err := skip(b, before)
	if err != nil {
		return content{}, err
	}
	var opt option
	if int(n) > before+1 {
		if opt, err = readOption(rest); err != nil {
			return content{}, err
		}
	}
	err = nil
	switch kind {
	case msgp.ArrayType: // Forward
		count, list, broken := msgp.ReadArrayHeaderBytes(entries)
		if broken != nil {
			return content{}, broken
		}
		err = r.entries(list, int(count), tag, now)
	case msgp.StrType, msgp.BinType: // PackedForward
		packed, _, broken := readText(entries)
		if broken != nil {
			return content{}, broken
		}
		if packed, broken = r.unpack(packed, opt.compressed); broken != nil {
			r.reject(packed, broken)
		}
		err = r.entries(packed, -1, tag, now)
	default: // Message
		r.entry(entries, tag, now)
	}
	if err != nil {
		return content{}, err
	}
	return content{r.records(), opt.chunk}, nil
}

// unpack returns the entries; with an error those that came before it.
func (r *reader) unpack(b []byte, how string) ([]byte, error) {
	var src io.Reader
	switch how {
	case "", "text":
		return b, nil
	case "gzip":
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			return nil, err
		}
		src = z
	case "zstd":
		z, err := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(uint64(r.maxUnpacked)))
		if err != nil {
			return nil, err
		}
		defer z.Close()
		src = z
	default:
		return nil, fmt.Errorf("entries are compressed with %q; gzip and zstd are known", how)
	}
	out, err := io.ReadAll(io.LimitReader(src, r.maxUnpacked+1))
	if int64(len(out)) > r.maxUnpacked {
		return out[:r.maxUnpacked], fmt.Errorf("%w: entries are longer than max_unpacked, %d bytes", errTooLong, r.maxUnpacked)
	}
	return out, err
}

// entries reads count [time, record] behind each other, all there are if count is negative. Behind one that is no entry at all
// nothing can be read; a record that cannot be used is passed. An error is that of part.
func (r *reader) entries(b []byte, count int, tag string, now time.Time) error {
	for ; count != 0 && len(b) > 0; count-- {
		rest, err := skip(b, 1)
		if err != nil {
			r.reject(b, fmt.Errorf("an entry cannot be read: %w", err))
			return nil
		}
		one := b[:len(b)-len(rest)]
		n, inner, err := msgp.ReadArrayHeaderBytes(one)
		if err != nil || n != 2 {
			r.reject(one, errors.New("an entry is not [time, record]"))
		} else {
			r.entry(inner, tag, now)
		}
		b = rest
		if r.part != nil && len(r.text)+len(r.bad)*keepLong >= partLen {
			if err := r.part(r.records()); err != nil {
				return err
			}
			r.ends, r.bad = r.ends[:0], nil
		}
	}
	return nil
}

// entry reads a time and a record.
func (r *reader) entry(b []byte, tag string, now time.Time) {
	t, rest, err := readTime(b, now)
	if err == nil {
		r.text, _, err = r.appendEvent(r.text, rest, tag, t)
	}
	if err != nil {
		r.reject(rest, err)
		return
	}
	r.ends = append(r.ends, len(r.text))
}

// reject makes a dead letter of bytes that are no record: its text tells why, and holds their beginning as a Go string.
func (r *reader) reject(b []byte, err error) {
	reason := engine.ReasonMalformed
	switch {
	case errors.Is(err, errNotMap):
		reason = engine.ReasonNotObject
	case errors.Is(err, errTooLong):
		reason = engine.ReasonTooLong
	}
	text := strconv.AppendQuoteToASCII([]byte(err.Error()+": "), string(b[:min(len(b), keepLong)]))
	r.bad = append(r.bad, engine.Record{Body: string(text), Offset: -1, Reject: reason})
	r.ends = append(r.ends, -len(r.bad))
}

// records cuts the text, which they share.
func (r *reader) records() []engine.Record {
	text, start := string(r.text), 0
	list := make([]engine.Record, 0, len(r.ends))
	for _, end := range r.ends {
		if end < 0 {
			list = append(list, r.bad[-end-1])
			continue
		}
		list = append(list, engine.Record{Body: text[start:end], Offset: -1})
		start = end
	}
	r.text = nil
	return list
}

// readOption reads the keys that are known.
func readOption(b []byte) (o option, err error) {
	if len(b) > 0 && msgp.NextType(b) == msgp.NilType {
		return o, nil
	}
	n, b, err := msgp.ReadMapHeaderBytes(b)
	for i := uint32(0); i < n && err == nil; i++ {
		var key string
		if key, b, err = readKey(b); err != nil {
			break
		}
		kind := msgp.NextType(b)
		if (key == "chunk" || key == "compressed") && (kind == msgp.StrType || kind == msgp.BinType) {
			var text []byte
			text, b, err = readText(b)
			if key == "chunk" {
				o.chunk = string(text)
			} else {
				o.compressed = string(text)
			}
			continue
		}
		b, err = skip(b, 1)
	}
	if err != nil {
		err = fmt.Errorf("the option of a message cannot be read: %w", err)
	}
	return o, err
}
