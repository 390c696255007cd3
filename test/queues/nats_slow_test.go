package queues

import (
	"context"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	gonats "github.com/nats-io/nats.go"

	"dragonfly/engine"
	"dragonfly/engine/output/nats"
)

// slowStream answers what is published on a subject as a stream does whose disk is slow; it leaves out what answers says.
func slowStream(t *testing.T, s *natsServer, pause time.Duration, answers func(n int64) bool) (got *atomic.Int64) {
	t.Helper()
	nc, _ := s.client()
	got = new(atomic.Int64)
	if _, err := nc.Subscribe("eve", func(m *gonats.Msg) {
		n := got.Add(1)
		time.Sleep(pause) // what the disk takes
		if answers(n) {
			m.Respond(fmt.Appendf(nil, `{"stream":"EVE","seq":%d}`, n))
		}
	}); err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	return got
}

// A stream that acknowledges slowly, but does, is waited for: nothing is sent again, which would take it still longer.
func TestNATSOutputToASlowStream(t *testing.T) {
	s := newNATS(t, func(o *server.Options) { o.JetStream = false })
	got := slowStream(t, s, 10*time.Millisecond, func(int64) bool { return true })
	out, _ := newOutput(t, nats.Kind, s.uri("eve"), engine.Values{"timeout": 2 * time.Second})
	const n = 400 // 4 s
	if done, err := out.Write(context.Background(), makeEvents(0, n)); done != n || err != nil {
		t.Errorf("%d delivered, %v", done, err)
	}
	if got.Load() != n {
		t.Errorf("%d messages for %d events", got.Load(), n)
	}
}

// One that falls silent is given up after timeout, and what it has acknowledged is not sent again.
func TestNATSOutputToAStreamThatFallsSilent(t *testing.T) {
	s := newNATS(t, func(o *server.Options) { o.JetStream = false })
	got := slowStream(t, s, 0, func(n int64) bool { return n <= 60 || n > 100 })
	out, _ := newOutput(t, nats.Kind, s.uri("eve"), engine.Values{"timeout": time.Second})
	events := makeEvents(0, 100)
	done, err := out.Write(context.Background(), events)
	if done != 60 || err == nil || !strings.Contains(err.Error(), "timeout waiting for ack") {
		t.Errorf("%d delivered, %v", done, err)
	}
	if done, err := out.Write(context.Background(), events[done:]); done != 40 || err != nil {
		t.Errorf("%d delivered, %v", done, err)
	}
	if got.Load() != 140 {
		t.Errorf("%d messages, want 140", got.Load())
	}
}
