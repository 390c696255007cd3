package queues

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nkeys"

	"dragonfly/engine"
	innats "dragonfly/engine/input/nats"
	outnats "dragonfly/engine/output/nats"
)

func TestNATSJetStreamBothWays(t *testing.T) {
	s := newNATS(t, nil)
	s.stream("EVE", "eve.>", 0)
	events := makeEvents(0, 3000)
	out, row := newOutput(t, outnats.Kind, s.uri("eve.{event_type}"), engine.Values{"timeout": time.Minute}) // what a slow disk makes late would be sent again
	if refused := deliver(t, out, events); refused != nil {
		t.Fatal(refused)
	}
	if n := s.stored("EVE"); n != 3000 || row.count("duplicates_total") != 0 {
		t.Fatalf("%d are stored, %d were there", n, row.count("duplicates_total"))
	}
	r := read(t, innats.Kind, s.uri("eve.>"), nil, false)
	until(t, "all", func() bool { return r.len() == 3000 })
	if !slices.Equal(r.bodies(), bodiesOf(events)) {
		t.Error("other events, or another order")
	}
	deliver(t, out, makeEvents(3000, 3010))
	until(t, "what came later", func() bool { return r.len() == 3010 })
	r.stop()
	if unsent, unacked := s.pending("EVE", "dragonfly"); unsent != 0 || unacked != 0 {
		t.Errorf("%d are not sent, %d not acknowledged", unsent, unacked)
	}
	one := read(t, innats.Kind, s.uri("eve.t1"), engine.Values{"durable": "one"}, false)
	until(t, "a third", func() bool { return one.len() == 1003 })
	one.stop()
}

// TestNATSGivesBack: what is not finished when the input ends is sent to the next one at once.
func TestNATSGivesBack(t *testing.T) {
	s := newNATS(t, nil)
	s.stream("EVE", "eve", 0)
	out, _ := newOutput(t, outnats.Kind, s.uri("eve"), nil)
	deliver(t, out, makeEvents(0, 1000))
	o := engine.Values{"ack_wait": time.Hour, "batch": int64(100)}
	r := read(t, innats.Kind, s.uri("eve"), o, true)
	until(t, "all", func() bool { return r.len() == 1000 })
	r.mu.Lock()
	n := len(r.held)
	rest := 1000 - r.sizes[n-1]
	r.held[n-1]() // one batch is finished
	r.held[n-1] = func() {}
	r.mu.Unlock()
	until(t, "its acknowledgements", func() bool { _, unacked := s.pending("EVE", "dragonfly"); return unacked == rest })
	r.stop()
	r.release() // late: nobody must stumble
	again := read(t, innats.Kind, s.uri("eve"), o, false)
	until(t, "the rest", func() bool { return again.len() == rest })
	if got := again.count("redelivered_total"); got != int64(rest) {
		t.Errorf("%d of %d are counted", got, rest)
	}
	again.stop()
	until(t, "all acknowledgements", func() bool { _, unacked := s.pending("EVE", "dragonfly"); return unacked == 0 })
}

// TestNATSSlowIsNotDead: what is in flight for longer than ack_wait is not sent again.
func TestNATSSlowIsNotDead(t *testing.T) {
	s := newNATS(t, nil)
	s.stream("EVE", "eve", 0)
	out, _ := newOutput(t, outnats.Kind, s.uri("eve"), nil)
	deliver(t, out, makeEvents(0, 10))
	r := read(t, innats.Kind, s.uri("eve"), engine.Values{"ack_wait": 2 * time.Second}, true)
	until(t, "all", func() bool { return r.len() == 10 })
	seen := time.Now()
	until(t, "three times ack_wait", func() bool { return time.Since(seen) > 6*time.Second })
	if n := r.len(); n != 10 {
		t.Skipf("%d records for 10 messages: the machine stood still", n)
	}
	r.release()
	r.stop()
}

// TestNATSOutage: the server is stopped and started while events go through it, in both directions.
func TestNATSOutage(t *testing.T) {
	s := newNATS(t, nil)
	s.stream("EVE", "eve", 0)
	out, row := newOutput(t, outnats.Kind, s.uri("eve"), engine.Values{"timeout": 2 * time.Second})
	r := read(t, innats.Kind, s.uri("eve"), engine.Values{"timeout": 2 * time.Second, "ack_wait": 5 * time.Second}, false)
	const n = 6000
	events := makeEvents(0, n)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for i := 0; i < n; i += 50 {
			deliver(t, out, events[i:i+50])
		}
	}()
	for range 2 {
		before := r.len()
		until(t, "progress", func() bool { return r.len() > before || r.len() >= n })
		s.stop()
		until(t, "a message", func() bool { return strings.Contains(row.text(), "the connection to nats broke") })
		s.start()
	}
	<-done
	until(t, "all", func() bool { return r.distinct() == n })
	until(t, "a message", func() bool { return strings.Contains(r.text(), "nats answers again") })
	r.stop()
	if n := strings.Count(r.text(), "the connection to nats broke"); n != 2 {
		t.Errorf("got\n%s", r.text())
	}
	if stored := s.stored("EVE"); stored != n {
		t.Logf("%d messages for %d events", stored, n)
	}
}

// TestNATSDuplicates: events of a file that are sent again, after a crash, are in the stream once; others have ids of their own.
func TestNATSDuplicates(t *testing.T) {
	s := newNATS(t, nil)
	s.stream("EVE", "eve", 0)
	same := []engine.Event{makeEvents(1, 2)[0], makeEvents(1, 2)[0]} // of no file
	for range 2 {
		out, _ := newOutput(t, outnats.Kind, s.uri("eve"), nil)
		deliver(t, out, same)
	}
	if n := s.stored("EVE"); n != 4 {
		t.Errorf("%d of 4 equal events are stored", n)
	}
}

func TestNATSCore(t *testing.T) {
	s := newNATS(t, func(o *server.Options) { o.JetStream = false })
	core := engine.Values{"jetstream": false}
	all := read(t, innats.Kind, s.uri("eve.>"), core, false)
	group := engine.Values{"jetstream": false, "queue": "q"}
	a, b := read(t, innats.Kind, s.uri("eve.*"), group, false), read(t, innats.Kind, s.uri("eve.*"), group, false)
	readers := []*reader{all, a, b}
	told := func(text string) func() bool {
		return func() bool {
			return !slices.ContainsFunc(readers, func(r *reader) bool { return !strings.Contains(r.text(), text) })
		}
	}
	until(t, "the subscriptions", told("subscribed"))
	out, _ := newOutput(t, outnats.Kind, s.uri("eve.{event_type}"), core)
	events := makeEvents(0, 3000)
	deliver(t, out, events)
	until(t, "all", func() bool { return all.len() == 3000 && a.len()+b.len() == 3000 })
	if !slices.Equal(all.bodies(), bodiesOf(events)) {
		t.Error("other events, or another order")
	}
	s.stop()
	until(t, "a message", func() bool { return strings.Contains(all.text(), "what is published meanwhile is lost") })
	s.start()
	until(t, "the subscriptions", told("nats answers again"))
	deliver(t, out, events[:10])
	until(t, "what came later", func() bool { return all.len() == 3010 })
	for _, r := range readers {
		r.stop()
	}
}

// TestNATSCoreLoses: what comes faster than it can be handled is counted.
func TestNATSCoreLoses(t *testing.T) {
	s := newNATS(t, nil)
	nc, _ := s.client()
	row := newRow(t, innats.Kind.Options, s.uri("eve"), engine.Values{"jetstream": false, "buffer": int64(10), "batch": int64(1)})
	in, err := innats.Kind.New(row.p)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	hold := make(chan struct{})
	got, ended := 0, make(chan struct{})
	go func() {
		defer close(ended)
		in.Run(ctx, func(context.Context, engine.Batch) error { <-hold; got++; return nil })
	}()
	until(t, "a loss", func() bool {
		return nc.Publish("eve", nil) == nil && nc.Flush() == nil && row.count("dropped_total") > 0
	})
	sent := int(nc.Stats().OutMsgs)
	close(hold)
	cancel()
	<-ended
	in.(engine.Closer).Close()
	if lost := int(row.count("dropped_total")); got+lost > sent || got < 10 || !strings.Contains(row.text(), "messages of nats are lost") {
		t.Errorf("%d sent, %d read, %d lost\n%s", sent, got, lost, row.text())
	}
}

func TestNATSRefuses(t *testing.T) {
	s := newNATS(t, nil)
	s.stream("EVE", "eve.>", 1000)
	events := makeEvents(0, 6)
	events[3].Body = `{"event_type":"t0","a":"` + strings.Repeat("x", 2000) + `"}`
	events[3].Index = nil
	out, _ := newOutput(t, outnats.Kind, s.uri("eve.{event_type}"), nil)
	refused := deliver(t, out, events)
	if len(refused) != 1 || !strings.Contains(refused[0], "maximum allowed") || s.stored("EVE") != 5 {
		t.Errorf("got %.500v, %d are stored", refused, s.stored("EVE"))
	}
	events[3].Body = `{"a":"` + strings.Repeat("x", 2<<20) + `"}` // more than the server takes
	for _, jetstream := range []bool{true, false} {
		out, _ := newOutput(t, outnats.Kind, s.uri("eve.x"), engine.Values{"jetstream": jetstream})
		if refused := deliver(t, out, events); len(refused) != 1 || !strings.Contains(refused[0], "max_payload of the server is") {
			t.Errorf("got %d refused", len(refused))
		}
	}
	out, _ = newOutput(t, outnats.Kind, s.uri("elsewhere"), nil)
	if n, err := out.Write(context.Background(), events[:1]); n != 0 || err == nil || !strings.Contains(err.Error(), "no stream takes the subject") || !strings.Contains(err.Error(), `subject "elsewhere"`) {
		t.Errorf("got %d, %v", n, err)
	}
	r := read(t, innats.Kind, s.uri("elsewhere"), nil, false)
	until(t, "a message", func() bool { return strings.Contains(r.text(), "nats stream add") })
	r.stop()
	if strings.Count(r.text(), "level=ERROR") != 1 {
		t.Errorf("got\n%s", r.text())
	}
}

func TestNATSIdentities(t *testing.T) {
	pair, _ := nkeys.CreateUser()
	seed, _ := pair.Seed()
	public, _ := pair.PublicKey()
	permissions := &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"eve.t1", "eve.t2"}}, Subscribe: &server.SubjectPermission{Deny: []string{"secret"}}}
	s := newNATS(t, func(o *server.Options) {
		o.JetStream = false
		o.Users = []*server.User{{Username: "u", Password: "p", Permissions: permissions}}
		o.Nkeys = []*server.NkeyUser{{Nkey: public}}
	})
	events := makeEvents(0, 9)
	for _, tc := range []struct {
		o    engine.Values
		want string
	}{
		{engine.Values{"user": "u", "password": "p"}, ""},
		{engine.Values{"nkey": string(seed)}, ""},
		{engine.Values{"user": "u", "password": "wrong"}, "correct user and password"},
		{engine.Values{}, "correct user and password"},
		{engine.Values{"tls": true}, "the server has no TLS"},
	} {
		tc.o["jetstream"] = false
		out, _ := newOutput(t, outnats.Kind, s.uri("x"), tc.o)
		n, err := out.Write(context.Background(), events)
		if tc.want == "" && (n != 9 || err != nil) || tc.want != "" && (n != 0 || err == nil || !strings.Contains(err.Error(), tc.want)) {
			t.Errorf("%d, %v, want %q", n, err, tc.want)
		}
	}
	listener := read(t, innats.Kind, s.uri("eve.*"), engine.Values{"jetstream": false, "nkey": string(seed)}, false)
	until(t, "the subscription", func() bool { return strings.Contains(listener.text(), "subscribed") })
	u := engine.Values{"jetstream": false, "user": "u", "password": "p"}
	out, _ := newOutput(t, outnats.Kind, s.uri("eve.{event_type}"), u)
	refused := deliver(t, out, events)
	if len(refused) != 6 || !strings.Contains(refused[0], "permissions of the server") {
		t.Errorf("%d are refused: %v", len(refused), refused)
	}
	until(t, "the others", func() bool { return listener.len() >= 3 })
	if got := listener.bodies(); len(got) != 3 {
		t.Errorf("got %v", got)
	}
	listener.stop()
	fixed, _ := newOutput(t, outnats.Kind, s.uri("eve.t1"), u)
	n, err := fixed.Write(context.Background(), events)
	var reject *engine.RejectError
	if n != 0 || err == nil || errors.As(err, &reject) || !strings.Contains(err.Error(), "permissions of the server") {
		t.Errorf("got %d, %v", n, err)
	}
	r := read(t, innats.Kind, s.uri("secret"), u, false)
	until(t, "a message", func() bool { return strings.Contains(r.text(), "permissions of the server") })
	r.stop()
}

func TestNATSRows(t *testing.T) {
	for _, tc := range []struct {
		uri  string
		o    engine.Values
		want string
	}{
		{"nats://host", nil, "names no subject"},
		{"nats://host/", nil, "names no subject"},
		{"nats:///x", nil, "no host:port"},
		{"nats://host:0/x", nil, "no host:port"},
		{"nats://u:p@host/x", nil, "belong into the keys"},
		{"nats://host/a..b", nil, "is no subject"},
		{"nats://host/a b", nil, "is no subject"},
		{"nats://host/a.*b", nil, "whole part"},
		{"nats://host/a.>.b", nil, "whole part"},
		{"nats://host/a", engine.Values{"user": "u", "token": "t"}, "exclude each other"},
		{"nats://host/a", engine.Values{"password": "u"}, "needs user"},
		{"nats://host/a", engine.Values{"nkey": "u"}, "no seed"},
		{"nats://host/a", engine.Values{"creds": tempFile(t, "x", "text")}, "x"},
		{"nats://host/a", engine.Values{"creds": "/does/not/exist"}, "does/not/exist"},
		{"nats://host/a", engine.Values{"durable": "a.b"}, "is no name"},
		{"nats://host/a", engine.Values{"queue": "q"}, "same durable"},
	} {
		_, err := innats.Kind.New(newRow(t, innats.Kind.Options, tc.uri, tc.o).p)
		if list := engine.ConfigErrors(err); len(list) != 1 || list[0].Key == "" || !strings.Contains(list[0].Msg, tc.want) || strings.Contains(list[0].Msg, "u:p@") {
			t.Errorf("%s: got %v, want %q", tc.uri, err, tc.want)
		}
	}
	if _, err := outnats.Kind.New(newRow(t, outnats.Kind.Options, "nats://host/a.*", nil).p); err == nil || !strings.Contains(err.Error(), "wildcard") {
		t.Errorf("got %v", err)
	}
}

// TestNATSOtherConsumer: a consumer that somebody else has made differently is told.
func TestNATSOtherConsumer(t *testing.T) {
	s := newNATS(t, nil)
	st := s.stream("EVE", "eve.>", 0)
	for i, c := range []jetstream.ConsumerConfig{{AckPolicy: jetstream.AckNonePolicy}, {AckPolicy: jetstream.AckExplicitPolicy, FilterSubject: "eve.other"}} {
		c.Durable = fmt.Sprint("c", i)
		if _, err := st.CreateConsumer(context.Background(), c); err != nil {
			t.Fatal(err)
		}
		r := read(t, innats.Kind, s.uri("eve.x"), engine.Values{"durable": c.Durable}, false)
		until(t, "a message", func() bool { return strings.Contains(r.text(), "choose another durable") })
		r.stop()
	}
}
