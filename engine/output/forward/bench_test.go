package forward

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/IBM/fluent-forward-go/fluent/client"
	"github.com/IBM/fluent-forward-go/fluent/protocol"
	"github.com/tinylib/msgp/msgp"

	"dragonfly/engine"
)

const eve = `{"timestamp":"2026-11-21T10:00:00.123456+0100","flow_id":123456789012,"event_type":"alert","src_ip":"192.0.2.1","src_port":1234,"dest_ip":"192.0.2.2","dest_port":80,"proto":"TCP",` +
	`"alert":{"action":"allowed","gid":1,"signature_id":2000001,"rev":3,"signature":"ET SCAN x","category":"y","severity":2},"n":%d}`

// acker is a server that reads messages and acks them, and does nothing else.
func acker(b *testing.B) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				r, w := msgp.NewReader(conn), msgp.NewWriter(conn)
				for {
					var m protocol.PackedForwardMessage
					if err := m.DecodeMsg(r); err != nil {
						return
					}
					if m.Options != nil && m.Options.Chunk != "" {
						ack := protocol.AckMessage{Ack: m.Options.Chunk}
						if ack.EncodeMsg(w) != nil || w.Flush() != nil {
							return
						}
					}
				}
			}()
		}
	}()
	return l
}

// BenchmarkWrite sends batches of JSON, gzipped and acked: the output, and another client that decodes the same texts with
// encoding/json, as a program would that used it.
func BenchmarkWrite(b *testing.B) {
	var batch []engine.Event
	var texts []string
	for i := range 1024 {
		texts = append(texts, fmt.Sprintf(eve, i))
		ev, err := engine.NewEvent(texts[i])
		if err != nil {
			b.Fatal(err)
		}
		batch = append(batch, ev)
	}
	report := func(b *testing.B) {
		b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "events/s")
	}
	b.Run("output", func(b *testing.B) {
		l := acker(b)
		out, err := New(engine.Params{Address: l.Addr().String(), Options: engine.Values{"tag": "t", "require_ack": true, "ack_timeout": deadline, "compress": "gzip", "chunk": int64(2 << 20)},
			Dial: (&net.Dialer{}).DialContext, Counter: func(string, string) *atomic.Int64 { return new(atomic.Int64) }})
		if err != nil {
			b.Fatal(err)
		}
		defer out.Close()
		b.ReportAllocs()
		for b.Loop() {
			if n, err := out.Write(b.Context(), batch); n != len(batch) || err != nil {
				b.Fatal(n, err)
			}
		}
		report(b)
	})
	b.Run("other", func(b *testing.B) {
		l := acker(b)
		c := client.New(client.ConnectionOptions{Factory: &client.ConnFactory{Address: l.Addr().String()}, RequireAck: true, ConnectionTimeout: deadline})
		if err := c.Connect(); err != nil {
			b.Fatal(err)
		}
		defer c.Disconnect()
		b.ReportAllocs()
		for b.Loop() {
			var list protocol.EntryList
			for _, s := range texts {
				var rec map[string]any
				if err := json.Unmarshal([]byte(s), &rec); err != nil {
					b.Fatal(err)
				}
				list = append(list, protocol.EntryExt{Timestamp: protocol.EventTime{Time: time.Now()}, Record: rec})
			}
			if err := c.SendCompressed("t", list); err != nil && err != io.EOF {
				b.Fatal(err)
			}
		}
		report(b)
	})
}
