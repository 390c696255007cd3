package http

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/sinktest"
)

// BenchmarkBulk writes 1024 events of 500 bytes as NDJSON, beside a plain client that posts the same bytes.
func BenchmarkBulk(b *testing.B) {
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	defer s.Close()
	var batch []engine.Event
	var all bytes.Buffer
	for i := range 1024 {
		ev, err := engine.NewEvent(fmt.Sprintf(`{"n":%d,"x":"%s"}`, i, strings.Repeat("x", 480)))
		if err != nil {
			b.Fatal(err)
		}
		batch = append(batch, ev)
		all.WriteString(ev.Body + "\n")
	}
	b.Run("output", func(b *testing.B) {
		p := sinktest.Params(Kind, s.URL, engine.Values{"mode": "bulk", "format": "ndjson", "bulk_size": int64(1024)}, nil)
		p.Dial = (&net.Dialer{}).DialContext
		out, err := New(p)
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		for b.Loop() {
			if n, err := out.Write(b.Context(), batch); n != len(batch) {
				b.Fatal(n, err)
			}
		}
		b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("plain client", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			resp, err := http.Post(s.URL, "application/x-ndjson", bytes.NewReader(all.Bytes()))
			if err != nil {
				b.Fatal(err)
			}
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		}
		b.ReportMetric(float64(b.N*len(batch))/b.Elapsed().Seconds(), "events/s")
	})
}
