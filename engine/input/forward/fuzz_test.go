package forward

import (
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/IBM/fluent-forward-go/fluent/protocol"
	"github.com/tinylib/msgp/msgp"

	"dragonfly/engine"
)

// FuzzRead: no bytes make it panic, and what it makes is JSON or rejected. The length that was found is that of the reader.
func FuzzRead(f *testing.F) {
	for _, s := range []string{"93a1740180", "94a174d7005fce07a50c458a6e81a16101 81a56368756e6ba163", "92a1749192018 1a161c3", "92a174c40492018 0c1", "93a17491920180 81aa636f6d70726573736564a4677a6970"} {
		if b, err := hex.DecodeString(strings.ReplaceAll(s, " ", "")); err == nil {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var e extent
		end, err := e.end(b, 1<<16)
		var by extent
		for i := 0; err == nil && i <= len(b); i++ { // byte by byte
			if n, err2 := by.end(b[:i], 1<<16); err2 != nil || n > 0 {
				if n != end || err2 != nil && end > 0 {
					t.Fatalf("byte by byte %d %v, at once %d", n, err2, end)
				}
				break
			}
		}
		if err != nil || end == 0 {
			return
		}
		if rest, err := msgp.Skip(b); err == nil && len(b)-len(rest) != end {
			t.Fatalf("the object has %d bytes, got %d", len(b)-len(rest), end)
		}
		r := &reader{shape: shape{tagKey: "tag", timeKey: "timestamp", unwrap: []string{"log"}}, maxUnpacked: 1 << 16}
		c, err := r.read(b[:end], time.Unix(1, 0))
		if err != nil {
			return
		}
		for _, rec := range c.records {
			if rec.Reject != "" {
				continue
			}
			if ev, err := engine.NewEvent(rec.Body); err != nil || ev.Index == nil {
				t.Fatalf("%q: %v", rec.Body, err)
			}
		}
	})
}

// BenchmarkRead reads a message of 1000 packed entries: the input, and an independent implementation with encoding/json.
func BenchmarkRead(b *testing.B) {
	var list protocol.EntryList
	for i := range 1000 {
		list = append(list, protocol.EntryExt{Timestamp: protocol.EventTime{Time: time.Unix(1700000000, 0)}, Record: map[string]any{"event_type": "alert", "src_ip": "192.0.2.1", "n": i,
			"alert": map[string]any{"signature_id": 2000001, "signature": "ET SCAN", "severity": 2}}})
	}
	m, err := protocol.NewPackedForwardMessage("t", list)
	if err != nil {
		b.Fatal(err)
	}
	message, err := m.MarshalMsg(nil)
	if err != nil {
		b.Fatal(err)
	}
	run := func(name string, read func() (int, error)) {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(message)))
			b.ReportAllocs()
			for b.Loop() {
				if n, err := read(); n != 1000 || err != nil {
					b.Fatal(n, err)
				}
			}
		})
	}
	r := &reader{shape: shape{tagKey: "tag", timeKey: "timestamp", unwrap: []string{"log", "message"}}, maxUnpacked: 1 << 30}
	run("input", func() (int, error) {
		c, err := r.read(message, time.Now())
		return len(c.records), err
	})
	run("other", func() (n int, err error) {
		var m protocol.PackedForwardMessage
		if _, err := m.UnmarshalMsg(message); err != nil {
			return 0, err
		}
		for rest := m.EventStream; len(rest) > 0; n++ {
			var e protocol.EntryExt
			if rest, err = e.UnmarshalMsg(rest); err != nil {
				return n, err
			}
			if _, err := json.Marshal(e.Record); err != nil {
				return n, fmt.Errorf("record %d: %w", n, err)
			}
		}
		return n, nil
	})
}
