package forward

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/tinylib/msgp/msgp"

	"dragonfly/engine"
)

// bomb is a message of n small entries that gzip makes tiny, with a chunk to ack.
func bomb(t *testing.T, n int) []byte {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write(bytes.Repeat([]byte("\x92\x01\x80"), n)); err != nil || z.Close() != nil {
		t.Fatal(err)
	}
	b := msgp.AppendArrayHeader(nil, 3)
	b = msgp.AppendString(b, "t")
	b = msgp.AppendBytes(b, packed.Bytes())
	b = msgp.AppendMapHeader(b, 2)
	b = msgp.AppendString(b, "compressed")
	b = msgp.AppendString(b, "gzip")
	b = msgp.AppendString(b, "chunk")
	return msgp.AppendString(b, "c")
}

func TestManyEntriesComeInParts(t *testing.T) {
	const n = 1 << 17
	r := &reader{shape: shape{"tag", "timestamp", nil}, maxUnpacked: 1 << 30}
	parts, total, longest := 0, 0, 0
	count := func(records []engine.Record) error {
		size := 0
		for _, record := range records {
			size += len(record.Body)
		}
		parts, total, longest = parts+1, total+len(records), max(longest, size)
		return nil
	}
	r.part = count
	c, err := r.read(bomb(t, n), time.Now())
	if err != nil || c.chunk != "c" {
		t.Fatal(c.chunk, err)
	}
	count(c.records)
	if total != n || parts < 5 || longest > partLen+1<<10 {
		t.Errorf("got %d records in %d parts, the longest of %d bytes", total, parts, longest)
	}
	r.part = func([]engine.Record) error { return errEnded }
	if _, err := r.read(bomb(t, n), time.Now()); !errors.Is(err, errEnded) {
		t.Errorf("got %v", err)
	}
}

// TestAckOfParts: a chunk is acked when the last of its parts is finished, whatever their order.
func TestAckOfParts(t *testing.T) {
	const n = 40_000
	r := newRig(t, nil)
	conn := r.dial()
	go conn.Write(bomb(t, n)) // its answer is awaited
	var batches []engine.Batch
	for got := 0; got < n; {
		b := r.next()
		batches, got = append(batches, b), got+len(b.Records)
	}
	if len(batches) < 2 {
		t.Fatalf("got %d batches", len(batches))
	}
	for _, b := range batches[1:] {
		b.Done()
	}
	fmt.Fprint(conn, "\x93\xa1t\x01\x80") // what follows is read before the ack
	r.next().Done()
	if got := r.in.acked.Load(); got != 0 {
		t.Errorf("acked %d", got)
	}
	batches[0].Done()
	ack := make([]byte, 7)
	if _, err := io.ReadFull(conn, ack); err != nil || string(ack) != "\x81\xa3ack\xa1c" {
		t.Errorf("got %q, %v", ack, err)
	}
}

// TestNullIsNoList: in a message as text null stands for no time, not for an empty list of entries.
func TestNullIsNoList(t *testing.T) {
	r := newRig(t, nil)
	fmt.Fprint(r.dial(), `["t",null,{"a":1,"timestamp":2}]`)
	if got := fmt.Sprint(bodies(r.next())); got != `[{"a":1,"timestamp":2,"tag":"t"}]` {
		t.Errorf("got %s", got)
	}
}
