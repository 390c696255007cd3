package queues

import (
	"context"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"dragonfly/engine"
	inredis "dragonfly/engine/input/redis"
	outredis "dragonfly/engine/output/redis"
)

const benchBatch = 1000

func benchEvents() []engine.Event {
	list := makeEvents(0, benchBatch)
	for i := range list {
		list[i].Body = strings.Replace(list[i].Body, "{", `{"pad":"`+strings.Repeat("x", 500)+`",`, 1)
	}
	return list
}

// BenchmarkRedisOutput writes batches to a list; plain is go-redis with one RPUSH per batch, the least that a client can do.
func BenchmarkRedisOutput(b *testing.B) {
	s := newRedis(b)
	events := benchEvents()
	b.Run("output", func(b *testing.B) {
		out, _ := newOutput(b, outredis.Kind, "redis://"+s.socket(), engine.Values{"key": "k", "max_length": int64(10000)})
		for b.Loop() {
			deliver(b, out, events)
		}
		b.ReportMetric(float64(b.N*benchBatch)/b.Elapsed().Seconds(), "events/s")
	})
	b.Run("plain", func(b *testing.B) {
		c := goredis.NewClient(&goredis.Options{Network: "unix", Addr: s.socket(), Protocol: 2})
		defer c.Close()
		for b.Loop() {
			args := make([]any, len(events))
			for i := range events {
				args[i] = events[i].Body
			}
			pipe := c.Pipeline()
			pipe.LPush(context.Background(), "p", args...)
			pipe.LTrim(context.Background(), "p", 0, 9999)
			if _, err := pipe.Exec(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N*benchBatch)/b.Elapsed().Seconds(), "events/s")
	})
}

// BenchmarkRedisInput reads a list that is full: with the processing list, without, and with go-redis alone.
func BenchmarkRedisInput(b *testing.B) {
	s := newRedis(b)
	events := benchEvents()
	fill := func(n int) {
		out, _ := newOutput(b, outredis.Kind, "redis://"+s.socket(), engine.Values{"key": "k"})
		for range n {
			deliver(b, out, events)
		}
		out.Close()
	}
	for _, processing := range []bool{true, false} {
		b.Run(map[bool]string{true: "processing", false: "popped"}[processing], func(b *testing.B) {
			fill(b.N)
			b.ResetTimer()
			r := read(b, inredis.Kind, "redis://"+s.socket(), engine.Values{"key": "k", "processing": processing}, false)
			until(b, "all", func() bool { return r.len() == b.N*benchBatch })
			b.ReportMetric(float64(b.N*benchBatch)/b.Elapsed().Seconds(), "events/s")
			r.cancel()
			<-r.ended
			r.in.(engine.Closer).Close()
		})
	}
	b.Run("plain", func(b *testing.B) {
		fill(b.N)
		c := goredis.NewClient(&goredis.Options{Network: "unix", Addr: s.socket(), Protocol: 2})
		defer c.Close()
		b.ResetTimer()
		for n := 0; n < b.N*benchBatch; {
			got, err := c.RPopCount(context.Background(), "k", 500).Result()
			if err != nil {
				b.Fatal(err)
			}
			n += len(got)
		}
		b.ReportMetric(float64(b.N*benchBatch)/b.Elapsed().Seconds(), "events/s")
	})
}
