package forward

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"dragonfly/engine"
)

// texts reads messages in JSON, as in_forward of fluentd takes them too: [tag, time, record, option] and
// [tag, [[time, record], ...], option].
type texts struct {
	shape
	src  io.Reader
	dec  *json.Decoder
	most int
	left int // bytes that this message may still take
}

func newTexts(src io.Reader, most int, s shape) *texts {
	t := &texts{shape: s, src: src, most: most}
	t.dec = json.NewDecoder(t)
	return t
}

// Read implements io.Reader for the decoder.
func (t *texts) Read(b []byte) (int, error) {
	if t.left <= 0 {
		return 0, errTooLong
	}
	n, err := t.src.Read(b[:min(len(b), t.left)])
	t.left -= n
	return n, err
}

// next reads one message. Errors are those of the source, or say that it is not a message of the protocol.
func (t *texts) next() (content, error) {
	t.left = t.most
	var parts []json.RawMessage
	if err := t.dec.Decode(&parts); err != nil {
		return content{}, err
	}
	now := time.Now()
	var tag string
	if len(parts) < 2 || json.Unmarshal(parts[0], &tag) != nil {
		return content{}, errors.New("not a message of the forward protocol: an array [tag, ...] is")
	}
	var c content
	var option struct{ Chunk string }
	var entries [][]json.RawMessage
	rest := parts[2:]
	switch {
	case parts[1][0] == '[' && json.Unmarshal(parts[1], &entries) == nil: // null would do, too
		for _, e := range entries {
			if len(e) != 2 {
				return content{}, errors.New("not a message of the forward protocol: an entry is [time, record]")
			}
			c.records = append(c.records, t.record(tag, e[0], e[1], now))
		}
	case len(parts) > 2:
		c.records, rest = []engine.Record{t.record(tag, parts[1], parts[2], now)}, parts[3:]
	default:
		return content{}, errors.New("not a message of the forward protocol: the record is missing")
	}
	if len(rest) > 0 {
		if err := json.Unmarshal(rest[0], &option); err != nil {
			return content{}, fmt.Errorf("the option of a message cannot be read: %w", err)
		}
	}
	c.chunk = option.Chunk
	return c, nil
}

func (t *texts) record(tag string, stamp, record json.RawMessage, now time.Time) engine.Record {
	var sec float64
	if json.Unmarshal(stamp, &sec) == nil && sec > 0 && sec < 1<<33 {
		now = time.UnixMicro(int64(sec * 1e6)).UTC()
	}
	var flat bytes.Buffer
	if json.Compact(&flat, record) != nil || flat.Len() == 0 || flat.Bytes()[0] != '{' {
		return engine.Record{Body: string(record[:min(len(record), keepLong)]), Offset: -1, Reject: engine.ReasonNotObject}
	}
	return engine.Record{Body: string(t.appendText(nil, flat.String(), tag, now)), Offset: -1}
}
