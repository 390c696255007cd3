// Package redis reads events from a Redis: the elements of a list, the messages of a channel or the entries of a stream: redis://.
package redis

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/input/lines"
	link "dragonfly/engine/wire/redis"
)

// Kind is redis:// and rediss://.
var Kind = engine.InputKind{
	Doc: "`redis://HOST:PORT/KEY`, `rediss://` with TLS, or `redis:///PATH/OF/SOCKET` with `key`: takes events from a list, subscribes to a channel or reads a stream as a member of a consumer group, as Suricata's eve output to redis writes them. What a list or a stream gives is acknowledged when it is finished; a channel keeps nothing, and what is published while there is no connection is lost. Several servers, separated by commas, are Sentinels or nodes of a cluster.",
	Options: append([]engine.Option{
		lines.MaxLine,
		{Key: "type", Type: engine.String, Default: "list", Enum: []string{"list", "channel", "pattern", "stream"}, Doc: "What KEY is: a list (Suricata's modes list, lpush and rpush), a channel (publish), a pattern of channels (`suricata.*`), or a stream (xadd)."},
		{Key: "pop", Type: engine.String, Default: "right", Enum: []string{"right", "left"}, Doc: "End of the list that is the oldest: right for Suricata's list and lpush, left for rpush."},
		{Key: "processing", Type: engine.Bool, Default: true, Doc: "Elements of a list wait in another one, `{KEY}:dragonfly:CONSUMER`, until they are finished; a crash loses none. false: they are popped, and what a crash finds in flight is lost; nothing else is written to the server."},
		{Key: "group", Type: engine.String, Default: "dragonfly", Doc: "Consumer group of a stream; it is made if there is none, and the stream too."},
		{Key: "consumer", Type: engine.String, Doc: "Name in the group of a stream: host name and tag by default. Processes that run at the same time must have different ones. Those that read a list name themselves."},
		{Key: "start", Type: engine.String, Default: "oldest", Enum: []string{"oldest", "newest"}, Doc: "Where a group that is made begins in its stream."},
		{Key: "field", Type: engine.String, Default: "eve", Doc: "Field of a stream's entry that holds the event; Suricata's is eve. \"\": the event is an object of all fields."},
		{Key: "delete", Type: engine.Bool, Default: false, Doc: "Deletes entries of a stream when they are finished; for streams that only this group reads. Without it whoever writes has to limit the stream (Suricata's stream-maxlen)."},
		{Key: "batch", Type: engine.Int, Default: int64(500), Min: 1, Max: 10000, Doc: "Elements, messages or entries taken at once; so many are in memory before the pipeline has room for them."},
		{Key: "claim_after", Type: engine.Duration, Default: 60 * time.Second, Min: 1, Max: 86400, Doc: "After this time without a sign of life what another process has taken and not finished is taken over. A sign is given in a third of it."},
	}, link.Options...),
	New: New,
}

// source is one type of key.
type source interface {
	// session reads until ctx ends or something fails. works is called when the server has answered.
	session(ctx context.Context, l *link.Link, emit engine.EmitFunc, works func()) error
	// finish is called after the last session, with a connection: what was not acked is given back.
	finish(ctx context.Context, l *link.Link) error
	// rewind forgets what is in flight: it must be read again.
	rewind()
}

type input struct {
	server   *link.Server
	source   source
	channel  bool
	origin   string
	maxLine  int
	log      *slog.Logger
	breaks   *atomic.Int64
	finished bool // by Close
	ran      bool
}

var (
	_ engine.Closer   = (*input)(nil)
	_ engine.Rewinder = (*input)(nil)
	_ engine.PortUser = (*input)(nil)
	_ engine.PathUser = (*input)(nil)
)

// New implements the kind.
func New(p engine.Params) (engine.Input, error) {
	s, err := link.New(p)
	if err != nil {
		return nil, err
	}
	o := p.Options
	in := &input{server: s, origin: fmt.Sprintf("redis %s %s", s.Name, s.Key), maxLine: int(o.Int("max_line")), log: p.Log}
	in.breaks = p.Counter("connection_breaks_total", "Times that the connection to the server broke.")
	consumer := o.String("consumer")
	if consumer == "" {
		host, _ := os.Hostname()
		consumer = host + ":" + p.Tag
	}
	if in.maxLine <= 0 {
		in.maxLine = 16 << 20
	}
	batch := int(max(1, o.Int("batch")))
	claim := max(time.Second, o.Duration("claim_after"))
	switch o.String("type") {
	case "stream":
		if o.String("group") == "" {
			return nil, &engine.ConfigError{Key: "group", Msg: "is empty; a stream is read by a group, such as dragonfly"}
		}
		in.source = &stream{input: in, key: s.Key, group: o.String("group"), consumer: consumer, start: o.String("start"), field: o.String("field"),
			delete: o.Bool("delete"), batch: batch, claim: claim, wake: make(chan struct{}, 1), flying: map[string]bool{},
			claimed: p.Counter("claimed_total", "Entries taken over from consumers that had stopped."),
			gone:    p.Counter("deleted_total", "Entries that were deleted from the stream (MAXLEN) before this group had read or finished them.")}
	case "channel", "pattern":
		in.channel = true
		in.source = &channel{input: in, name: s.Key, pattern: o.String("type") == "pattern", batch: batch,
			dropped: p.Counter("dropped_total", "Messages that were received and found no room in the pipeline before the end.")}
	default:
		if o.Bool("processing") {
			in.source = newList(in, p.Tag, o.String("pop"), batch, claim,
				p.Counter("claimed_total", "Elements given back to the list that other processes had taken and not finished."))
		} else {
			in.source = &popped{input: in, key: s.Key, right: o.String("pop") != "left", batch: batch}
		}
	}
	return in, nil
}

// Paths implements engine.PathUser: connecting needs none.
func (*input) Paths() []engine.PathUse { return nil }

// Ports implements engine.PortUser.
func (in *input) Ports() ([]engine.PortUse, bool) { return in.server.Ports() }

// Rewind implements engine.Rewinder.
func (in *input) Rewind() { in.source.rewind() }

// again is the longest time between two messages about a server that does not answer.
const again = 30 * time.Second

// Run implements engine.Input. It connects again when a connection breaks; the log has that once, and every 30 s.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	in.ran, in.finished = true, false
	var since, told time.Time
	wait := 50 * time.Millisecond
	works := func() {
		wait = 50 * time.Millisecond
		if !since.IsZero() {
			in.log.Info("redis answers again", "server", in.server.Name, "after", time.Since(since).Round(time.Millisecond))
			since = time.Time{}
		}
	}
	for {
		l := in.server.Link()
		stop := context.AfterFunc(ctx, l.Break)
		err := in.source.session(ctx, l, emit, works)
		stop()
		l.Close()
		if ctx.Err() != nil {
			return nil
		}
		in.breaks.Add(1)
		if since.IsZero() {
			since = time.Now()
		}
		if time.Since(told) >= again {
			told = time.Now()
			text := "cannot read from redis, trying again; what it holds waits there"
			if in.channel {
				text = "cannot read from redis, trying again; what is published meanwhile is lost (type = \"stream\" or \"list\" loses nothing)"
			}
			in.log.Error(text, "server", in.server.Name, "key", in.server.Key, "err", in.server.Explain(err))
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// beside runs work with keep beside it. When keep fails the connections break, so that work ends too, and the error is keep's.
func beside(ctx context.Context, c *link.Link, keep func(context.Context, *link.Link) error, work func(context.Context) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	wg.Go(func() {
		if err := keep(ctx, c); err != nil {
			cancel(err)
			c.Break()
		}
	})
	err := work(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		return cause
	}
	return err
}

// Close implements engine.Closer: what is acked is told to the server, and what is not is given back.
func (in *input) Close() error {
	if !in.ran || in.finished {
		return nil
	}
	in.finished = true
	ctx, cancel := context.WithTimeout(context.Background(), in.server.Timeout())
	defer cancel()
	l := in.server.Link()
	defer l.Close()
	defer context.AfterFunc(ctx, l.Break)()
	if err := in.source.finish(ctx, l); err != nil {
		in.log.Warn("redis was not told what is finished: it comes again", "err", in.server.Explain(err))
	}
	return nil
}

// keepLong is how much of a record that is too long is kept, in bytes.
const keepLong = 4 << 10

// record makes a record of a value. Line ends between the tokens of its JSON become blanks.
func (in *input) record(body string) engine.Record {
	if len(body) > in.maxLine {
		return engine.Record{Body: oneLine(body[:min(keepLong, len(body))]), Offset: -1, Reject: engine.ReasonTooLong}
	}
	return engine.Record{Body: oneLine(body), Offset: -1}
}

var lineEnds = strings.NewReplacer("\n", " ", "\r", " ")

func oneLine(body string) string {
	body = strings.TrimRight(body, "\r\n")
	if strings.IndexByte(body, '\n') < 0 && strings.IndexByte(body, '\r') < 0 {
		return body
	}
	return lineEnds.Replace(body)
}

// poke wakes who waits at c, which has room for one token.
func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
