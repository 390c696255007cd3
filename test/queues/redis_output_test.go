package queues

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	inredis "dragonfly/engine/input/redis"
	outredis "dragonfly/engine/output/redis"
)

func bodiesOf(events []engine.Event) (list []string) {
	for i := range events {
		list = append(list, events[i].Body)
	}
	return list
}

func TestRedisOutputs(t *testing.T) {
	s := newRedis(t)
	events := makeEvents(0, 3000)
	for _, o := range []engine.Values{
		{"key": "left"},
		{"key": "right", "push": "right", "pop": "left"},
		{"key": "stream", "type": "stream"},
	} {
		out, _ := newOutput(t, outredis.Kind, "redis://"+s.socket(), o)
		if refused := deliver(t, out, events); refused != nil {
			t.Error(refused)
		}
		r := read(t, inredis.Kind, "redis://"+s.socket(), o, false)
		until(t, "all", func() bool { return r.len() >= len(events) })
		if !slices.Equal(r.bodies(), bodiesOf(events)) {
			t.Errorf("%v: other events, or another order", o)
		}
		r.stop()
	}
	listener := read(t, inredis.Kind, "redis://"+s.socket(), engine.Values{"key": "c.t1", "type": "channel"}, false)
	until(t, "the subscription", func() bool { return strings.HasSuffix(s.cli("PUBSUB", "NUMSUB", "c.t1"), "1") })
	out, row := newOutput(t, outredis.Kind, "redis://"+s.socket(), engine.Values{"key": "c.{event_type}", "type": "channel"})
	deliver(t, out, events)
	until(t, "a third", func() bool { return listener.len() == 1000 })
	if n := row.count("unheard_total"); n != 2000 {
		t.Errorf("%d events were unheard, want 2000", n)
	}
	listener.stop()
}

func TestRedisOutputLengths(t *testing.T) {
	s := newRedis(t)
	events := makeEvents(0, 1000)
	for _, push := range []string{"left", "right"} {
		out, row := newOutput(t, outredis.Kind, "redis://"+s.socket(), engine.Values{"key": push, "push": push, "max_length": int64(100)})
		deliver(t, out, events)
		if n := s.cli("LLEN", push); n != "100" {
			t.Errorf("%s: %s elements", push, n)
		}
		newest := map[string]string{"left": "0", "right": "-1"}[push]
		if got := s.cli("LINDEX", push, newest); got != events[999].Body {
			t.Errorf("the newest is %s", got)
		}
		if n := row.count("trimmed_total"); n != 900 {
			t.Errorf("%d are counted, want 900", n)
		}
	}
	out, _ := newOutput(t, outredis.Kind, "redis://"+s.socket(), engine.Values{"key": "s", "type": "stream", "max_length": int64(100)})
	deliver(t, out, events)
	if n := s.cli("XLEN", "s"); n < "100" || n > "300" || len(n) != 3 {
		t.Errorf("%s entries", n)
	}
}

// TestRedisOutputPartly: of a batch for three lists one key is of the wrong type. Its events are refused, the others are
// delivered once.
func TestRedisOutputPartly(t *testing.T) {
	s := newRedis(t)
	s.cli("SET", "k.t1", "x")
	events := makeEvents(0, 30)
	for _, typ := range []string{"list", "stream"} {
		out, _ := newOutput(t, outredis.Kind, "redis://"+s.socket(), engine.Values{"key": "k.{event_type}", "type": typ})
		n, err := out.Write(context.Background(), events)
		var reject *engine.RejectError
		if n != 1 || !errors.As(err, &reject) || !strings.Contains(err.Error(), `key "k.t1"`) || !strings.Contains(err.Error(), "choose another key") {
			t.Fatalf("got %d, %v", n, err)
		}
		if refused := deliver(t, out, events[2:]); len(refused) != 9 || !strings.Contains(refused[0], `"n":4}`) {
			t.Errorf("got %v", refused)
		}
		count := map[string]string{"list": "LLEN", "stream": "XLEN"}[typ]
		for _, key := range []string{"k.t0", "k.t2"} {
			if n := s.cli(count, key); n != "10" {
				t.Errorf("%s has %s, want 10", key, n)
			}
			s.cli("DEL", key)
		}
	}
	// a key that all events have is waited for
	out, _ := newOutput(t, outredis.Kind, "redis://"+s.socket(), engine.Values{"key": "k.t1"})
	n, err := out.Write(context.Background(), events)
	var reject *engine.RejectError
	if n != 0 || err == nil || errors.As(err, &reject) || !strings.Contains(err.Error(), "delete the key") {
		t.Errorf("got %d, %v", n, err)
	}
	s.cli("DEL", "k.t1")
	if n, err := out.Write(context.Background(), events); n != 30 || err != nil {
		t.Errorf("got %d, %v", n, err)
	}
}

func TestRedisOutputOfBigEvents(t *testing.T) {
	s := newRedis(t)
	events := makeEvents(0, 10)
	for i := range events {
		events[i].Body = `{"a":"` + strings.Repeat("x", 1<<20) + fmt.Sprint(i) + `"}` // several pipelines
	}
	events[5].Body = `{"a":"` + strings.Repeat("x", 3<<20) + `"}`
	out, _ := newOutput(t, outredis.Kind, "redis://"+s.socket(), engine.Values{"key": "k", "max_event": int64(2 << 20)})
	refused := deliver(t, out, events)
	if len(refused) != 1 || !strings.Contains(refused[0], "max_event is 2097152") {
		t.Errorf("%d are refused", len(refused))
	}
	if n := s.cli("LLEN", "k"); n != "9" {
		t.Errorf("%s are there, want 9", n)
	}
}

func TestRedisOutputFaults(t *testing.T) {
	s := newRedis(t, "--requirepass", "secret")
	auth := []string{"-a", "secret", "--no-auth-warning"}
	cli := func(args ...string) { s.cli(append(slices.Clone(auth), args...)...) }
	events := makeEvents(0, 10)
	for _, tc := range []struct {
		o      engine.Values
		before func()
		want   string
	}{
		{engine.Values{"key": "k"}, func() {}, "wants a password"},
		{engine.Values{"key": "k", "password": "wrong"}, func() {}, "correct user and password"},
		{engine.Values{"key": "k", "password": "secret", "replicas": int64(1), "timeout": 3 * time.Second}, func() {}, "0 replicas have the events, and replicas is 1"},
		{engine.Values{"key": "k", "password": "secret"}, func() { cli("CONFIG", "SET", "maxmemory", "1") }, "maxmemory is reached"},
		{engine.Values{"key": "k", "password": "secret"}, func() { cli("CONFIG", "SET", "maxmemory", "0"); cli("REPLICAOF", "127.0.0.1", "1") }, "is a replica"},
		{engine.Values{"key": "k", "password": "secret"}, func() { s.kill() }, "no such file|connection refused"},
	} {
		tc.before()
		out, _ := newOutput(t, outredis.Kind, "redis://"+s.socket(), tc.o)
		n, err := out.Write(context.Background(), events)
		var reject *engine.RejectError
		found := false
		for want := range strings.SplitSeq(tc.want, "|") {
			found = found || err != nil && strings.Contains(err.Error(), want)
		}
		if n != 0 || !found || errors.As(err, &reject) {
			t.Errorf("got %d, %v, want %s", n, err, tc.want)
		}
	}
	for _, tc := range []struct {
		o    engine.Values
		want string
	}{
		{engine.Values{"key": "k", "type": "channel", "max_length": int64(1)}, "keeps nothing"},
		{engine.Values{"key": "k", "type": "stream", "field": ""}, "is empty"},
		{engine.Values{"key": "k", "cluster": true, "replicas": int64(1)}, "cannot be had"},
		{engine.Values{"key": "k{"}, "a field is written"},
	} {
		_, err := outredis.Kind.New(newRow(t, outredis.Kind.Options, "redis:///s", tc.o).p)
		if list := engine.ConfigErrors(err); len(list) != 1 || !strings.Contains(list[0].Msg, tc.want) {
			t.Errorf("got %v, want %s", err, tc.want)
		}
	}
}

// TestRedisOutputOutage: the server is killed again and again while events are written; all arrive.
func TestRedisOutputOutage(t *testing.T) {
	s := newRedis(t, "--appendonly", "yes", "--appendfsync", "always")
	out, _ := newOutput(t, outredis.Kind, "redis://"+s.socket(), engine.Values{"key": "k", "type": "stream"})
	const n = 20000
	events := makeEvents(0, n)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < n; i += 100 {
			deliver(t, out, events[i:i+100])
		}
	}()
	for range 3 {
		before := s.cli("XLEN", "k")
		until(t, "progress", func() bool {
			select {
			case <-done:
				return true
			default:
				return s.cli("XLEN", "k") != before
			}
		})
		s.kill()
		s.start()
	}
	<-done
	r := read(t, inredis.Kind, "redis://"+s.socket(), engine.Values{"key": "k", "type": "stream"}, false)
	until(t, "all", func() bool { return r.distinct() == n })
	r.stop()
}

// TestRedisOutputEnds: Write ends soon after its context, also when the server does not answer.
func TestRedisOutputEnds(t *testing.T) {
	s := newRedis(t)
	out, _ := newOutput(t, outredis.Kind, "redis://"+s.socket(), engine.Values{"key": "k", "timeout": 5 * time.Minute})
	deliver(t, out, makeEvents(0, 1))
	s.cmd.Process.Signal(stopSignal)
	defer s.cmd.Process.Signal(goOnSignal)
	ctx, cancel := context.WithCancel(context.Background())
	time.AfterFunc(50*time.Millisecond, cancel)
	if n, err := out.Write(ctx, makeEvents(0, 10)); n != 0 || err == nil {
		t.Errorf("got %d, %v", n, err)
	}
}
