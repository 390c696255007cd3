// Package redis writes events to a Redis, as elements of a list, messages of a channel or entries of a stream: redis://.
package redis

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"

	"dragonfly/engine"
	"dragonfly/engine/wire"
	link "dragonfly/engine/wire/redis"
	"dragonfly/engine/wire/template"
)

// Kind is redis:// and rediss://.
var Kind = engine.OutputKind{
	Doc: "`redis://HOST:PORT/KEY`, `rediss://` with TLS, or `redis:///PATH/OF/SOCKET` with `key`: pushes events to a list, publishes them on a channel or adds them to a stream, delivered when the server has said so. KEY may hold fields of the event: `eve:{event_type}`. Several servers, separated by commas, are Sentinels or nodes of a cluster.",
	Options: append([]engine.Option{
		{Key: "type", Type: engine.String, Default: "list", Enum: []string{"list", "channel", "stream"}, Doc: "What KEY is: a list (LPUSH, RPUSH), a channel (PUBLISH; whoever does not listen then never gets the event) or a stream (XADD)."},
		{Key: "push", Type: engine.String, Default: "left", Enum: []string{"left", "right"}, Doc: "End of the list that events are pushed to: left, as Suricata does by default (readers take from the right: RPOP), or right (readers take from the left: LPOP, as Logstash does)."},
		{Key: "field", Type: engine.String, Default: "eve", Doc: "Field of a stream's entry that holds the event; Suricata's is eve."},
		{Key: "max_length", Type: engine.Int, Default: int64(0), Max: 1 << 40, Doc: "Elements that a list may have, exactly, or a stream, approximately (MAXLEN ~): the oldest go, read or not. 0: no limit."},
		{Key: "max_event", Type: engine.Bytes, Default: int64(512 << 20), Min: 1024, Max: 512 << 20, Doc: "Longest event in bytes; longer ones go to the dead letter. The server's proto-max-bulk-len."},
		{Key: "replicas", Type: engine.Int, Default: int64(0), Max: 100, Doc: "Replicas that must have an event before it is delivered (WAIT), within timeout. Not with cluster."},
	}, link.Options...),
	New: New,
}

type output struct {
	server  *link.Server
	key     *template.Namer
	typ     string
	left    bool
	field   string
	max     int64
	maxBody int
	wait    int
	trimmed *atomic.Int64
	unheard *atomic.Int64

	link  *link.Link // nil: closed
	ahead wire.Ahead
	cmds  []command
	taken []bool
	args  []any
	keys  map[string]int64 // lists of a batch, and their length
}

// command is one command of a pipeline and the events that it carries.
type command struct {
	goredis.Cmder
	events []int // indices in the batch; nil: LTRIM and WAIT
	key    string
}

var _ engine.PortUser = (*output)(nil)
var _ engine.PathUser = (*output)(nil)

// New implements the kind.
func New(p engine.Params) (engine.Output, error) {
	s, err := link.New(p)
	if err != nil {
		return nil, err
	}
	key, err := template.Name(s.Key, nil)
	if err != nil {
		return nil, &engine.ConfigError{Key: "uri", Msg: err.Error()}
	}
	o := &output{server: s, key: key, typ: p.Options.String("type"), left: p.Options.String("push") == "left", field: p.Options.String("field"),
		max: p.Options.Int("max_length"), maxBody: int(p.Options.Int("max_event")), wait: int(p.Options.Int("replicas")), keys: map[string]int64{}}
	if o.wait > 0 && s.Cluster {
		return nil, &engine.ConfigError{Key: "replicas", Msg: "cannot be had with cluster = true: WAIT counts the replicas of one node"}
	}
	if o.typ == "stream" && o.field == "" {
		return nil, &engine.ConfigError{Key: "field", Msg: "is empty; the events of a stream need a field, such as eve"}
	}
	if o.typ == "channel" && o.max > 0 {
		return nil, &engine.ConfigError{Key: "max_length", Msg: "means nothing for a channel, which keeps nothing"}
	}
	o.trimmed = p.Counter("trimmed_total", "Elements that went from a list because of max_length, read or not.")
	o.unheard = p.Counter("unheard_total", "Events published on a channel that nobody listened to.")
	return o, nil
}

// Paths implements engine.PathUser: connecting needs none.
func (*output) Paths() []engine.PathUse { return nil }

// Ports implements engine.PortUser.
func (o *output) Ports() ([]engine.PortUse, bool) { return o.server.Ports() }

// Open implements engine.Output.
func (o *output) Open(ctx context.Context) error {
	if o.link != nil {
		return nil
	}
	l := o.server.Link()
	if err := l.Ping(ctx).Err(); err != nil && !link.Is(err, "NOPERM") {
		l.Close()
		return o.server.Explain(err)
	}
	o.link = l
	return nil
}

// Close implements engine.Output.
func (o *output) Close() error {
	if o.link == nil {
		return nil
	}
	err := o.link.Close()
	o.link = nil
	return err
}

// pipelineBytes is about how much is sent before answers are read: a server keeps what it cannot answer yet in memory.
const pipelineBytes = 4 << 20

// Write implements engine.Output. The batch goes in pipelines; the first event that the server did not take ends it, and what it
// took behind that is remembered, so that it is not sent twice. When a connection breaks, events whose answer is not known are sent again.
func (o *output) Write(ctx context.Context, batch []engine.Event) (int, error) {
	if err := o.Open(ctx); err != nil {
		return 0, err
	}
	l := o.link
	stop := context.AfterFunc(ctx, l.Break)
	defer stop()
	o.taken = append(o.taken[:0], make([]bool, len(batch))...)
	if before, _ := o.ahead.Next(batch); before != nil {
		copy(o.taken, before)
	}
	for from := 0; from < len(batch); {
		to, size := from, 0
		for to < len(batch) && (size == 0 || size+len(batch[to].Body) <= pipelineBytes) {
			if !o.taken[to] {
				if len(batch[to].Body) > o.maxBody {
					break
				}
				size += len(batch[to].Body)
			}
			to++
		}
		if err := o.send(ctx, batch, from, to); err != nil {
			return o.stopped(batch, err)
		}
		if from = to; to < len(batch) && !o.taken[to] && len(batch[to].Body) > o.maxBody {
			err := fmt.Errorf("redis %s: the event has %d bytes, and max_event is %d", o.server.Name, len(batch[to].Body), o.maxBody)
			return o.ahead.Stop(batch, o.taken, nil, to, true, &engine.RejectError{Err: err})
		}
	}
	return len(batch), nil
}

// fault is what ended a pipeline, at an event.
type fault struct {
	err error
	key string
}

func (f *fault) Error() string { return f.err.Error() }

// stopped returns what Write returns after err: of the events from the start of batch all are taken up to n.
func (o *output) stopped(batch []engine.Event, err error) (int, error) {
	n := 0
	for n < len(batch) && o.taken[n] {
		n++
	}
	var f *fault
	refused := false
	if errors.As(err, &f) {
		err = o.server.Explain(f.err)
		if link.Is(f.err, "WRONGTYPE") {
			err = fmt.Errorf("key %q: %w", f.key, err)
			refused = !o.key.Fixed() // other events go elsewhere
		}
	}
	if refused {
		err = &engine.RejectError{Err: err}
	}
	return o.ahead.Stop(batch, o.taken, nil, n, refused, err)
}

// send sends the events from..to of batch that are not taken in one pipeline, and notes in o.taken which the server took. The
// error is the first event's that it did not take.
func (o *output) send(ctx context.Context, batch []engine.Event, from, to int) error {
	pipe := o.link.Pipeline()
	o.cmds = o.cmds[:0]
	clear(o.keys)
	o.build(ctx, pipe, batch, from, to)
	if len(o.cmds) == 0 {
		return nil
	}
	if o.max > 0 && o.typ == "list" {
		for key := range o.keys {
			first, last := int64(0), o.max-1
			if !o.left {
				first, last = -o.max, -1
			}
			o.cmds = append(o.cmds, command{Cmder: pipe.LTrim(ctx, key, first, last)})
		}
	}
	var wait *goredis.Cmd
	if o.wait > 0 {
		wait = pipe.Do(ctx, "WAIT", o.wait, max(1, o.server.Timeout().Milliseconds()/2))
	}
	_, err := pipe.Exec(ctx)
	if err != nil && !link.Answered(err) {
		o.Close() // what was answered before counts
	}
	if wait != nil {
		n, err := wait.Int()
		if err == nil && n < o.wait {
			err = fmt.Errorf("%d replicas have the events, and replicas is %d: see the replication of the server", n, o.wait)
		}
		if err != nil {
			return &fault{err: err}
		}
	}
	return o.outcome()
}

// outcome notes what the commands of a pipeline did, and returns the first fault.
func (o *output) outcome() error {
	var first error
	for _, c := range o.cmds {
		if err := c.Err(); err != nil {
			if first == nil {
				first = &fault{err: err, key: c.key}
			}
			continue
		}
		for _, i := range c.events {
			o.taken[i] = true
		}
		n, isInt := c.Cmder.(*goredis.IntCmd)
		switch {
		case !isInt || c.events == nil:
		case o.typ == "channel" && n.Val() == 0:
			o.unheard.Add(int64(len(c.events)))
		case o.typ == "list":
			o.keys[c.key] = n.Val()
		}
	}
	if o.max > 0 && first == nil {
		for _, n := range o.keys {
			o.trimmed.Add(max(0, n-o.max))
		}
	}
	return first
}

// build queues the commands for the events from..to of batch. Neighbours for the same list share a command, which the server
// carries out wholly or not at all.
func (o *output) build(ctx context.Context, pipe goredis.Pipeliner, batch []engine.Event, from, to int) {
	for i := from; i < to; i++ {
		if o.taken[i] {
			continue
		}
		key := o.key.Of(&batch[i])
		c := command{key: key, events: []int{i}}
		switch o.typ {
		case "channel":
			c.Cmder = pipe.Publish(ctx, key, batch[i].Body)
		case "stream":
			c.Cmder = pipe.XAdd(ctx, &goredis.XAddArgs{Stream: key, MaxLen: o.max, Approx: o.max > 0, Values: []string{o.field, batch[i].Body}})
		default:
			o.args = append(o.args[:0], batch[i].Body)
			for i+1 < to && !o.taken[i+1] && (o.key.Fixed() || o.key.Of(&batch[i+1]) == key) {
				i++
				o.args = append(o.args, batch[i].Body)
				c.events = append(c.events, i)
			}
			if o.left {
				c.Cmder = pipe.LPush(ctx, key, o.args...)
			} else {
				c.Cmder = pipe.RPush(ctx, key, o.args...)
			}
			o.keys[key] = 0
		}
		o.cmds = append(o.cmds, c)
	}
}
