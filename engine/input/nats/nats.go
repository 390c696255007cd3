// Package nats reads events from subjects of NATS, with or without JetStream: nats://.
package nats

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"time"

	gonats "github.com/nats-io/nats.go"

	"dragonfly/engine"
	"dragonfly/engine/input/lines"
	link "dragonfly/engine/wire/nats"
)

// Kind is nats://.
var Kind = engine.InputKind{
	Doc: "`nats://HOST:PORT/SUBJECT`: reads the messages of a subject, which may have the wildcards `*` and `>`. With JetStream, the default, through a durable consumer of the stream that has the subject; a message is acknowledged when it is finished. Without, what is published while there is no connection, or faster than it can be handled, is lost. Several servers are separated by commas; others of their cluster are not used. The port is 4222 by default.",
	Options: append([]engine.Option{
		lines.MaxLine,
		{Key: "jetstream", Type: engine.Bool, Default: true, Doc: "Reads a stream of JetStream, and acknowledges. false: subscribes to the subject."},
		{Key: "stream", Type: engine.String, Doc: "Name of the stream; the one that has the subject by default."},
		{Key: "durable", Type: engine.String, Default: "dragonfly", Doc: "Name of the consumer in the stream. If there is none it is made, with the keys that follow; processes with the same share the messages."},
		{Key: "start", Type: engine.String, Default: "oldest", Enum: []string{"oldest", "newest"}, Doc: "Where a consumer that is made begins."},
		{Key: "ack_wait", Type: engine.Duration, Default: 30 * time.Second, Min: 1, Max: 86400, Doc: "For a consumer that is made: after this time without a sign of life the server sends a message again. A sign is given in a third of it."},
		{Key: "max_deliver", Type: engine.Int, Default: int64(0), Max: 1000000, Doc: "For a consumer that is made: how often the server sends a message at most; after that it is lost for this consumer. 0: no limit."},
		{Key: "max_ack_pending", Type: engine.Int, Default: int64(10000), Min: 1, Max: 10000000, Doc: "For a consumer that is made: messages that are sent and not acknowledged."},
		{Key: "batch", Type: engine.Int, Default: int64(500), Min: 1, Max: 10000, Doc: "Messages fetched at once; so many are in memory before the pipeline has room for them."},
		{Key: "queue", Type: engine.String, Doc: "Without JetStream: queue group, whose members share the messages."},
		{Key: "buffer", Type: engine.Int, Default: int64(10000), Min: 1, Max: 1000000, Doc: "Without JetStream: messages in memory before the pipeline has room for them; what comes beyond is lost, and counted."},
	}, link.Options...),
	New: New,
}

// source is a way to read.
type source interface {
	// session reads until ctx ends or something fails.
	session(ctx context.Context, nc *gonats.Conn, emit engine.EmitFunc) error
	// rewind forgets what is in flight: it is wanted again.
	rewind()
}

type input struct {
	server  *link.Server
	source  source
	maxLine int
	batch   int
	log     *slog.Logger
	nc      *gonats.Conn // from the first Run to Close
	faults  chan error   // 1 error of the server against a subscription; the last one counts
}

var (
	_ engine.Closer   = (*input)(nil)
	_ engine.Rewinder = (*input)(nil)
	_ engine.PortUser = (*input)(nil)
	_ engine.PathUser = (*input)(nil)
)

var name = regexp.MustCompile(`^[^\s.*>/\\]+$`)

// New implements the kind.
func New(p engine.Params) (engine.Input, error) {
	o := p.Options
	stream := o.Bool("jetstream")
	lost := "what is published meanwhile is lost (jetstream = true loses nothing)"
	if stream {
		lost = "the stream keeps what comes"
	}
	s, err := link.New(p, lost)
	if err != nil {
		return nil, err
	}
	for i, part := range strings.Split(s.Subject, ".") {
		if strings.ContainsAny(part, "*>") && len(part) > 1 || part == ">" && i != strings.Count(s.Subject, ".") {
			return nil, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q: a wildcard is a whole part of a subject, and > the last one", s.Subject)}
		}
	}
	in := &input{server: s, maxLine: int(o.Int("max_line")), batch: int(max(1, o.Int("batch"))), log: p.Log, faults: make(chan error, 1)}
	if in.maxLine <= 0 {
		in.maxLine = 16 << 20
	}
	if !stream {
		in.source = &core{input: in, queue: o.String("queue"), buffer: int(max(1, o.Int("buffer"))),
			dropped: p.Counter("dropped_total", "Messages that came faster than the pipeline had room for them.")}
		return in, nil
	}
	if o.String("queue") != "" {
		return nil, &engine.ConfigError{Key: "queue", Msg: "is for jetstream = false; consumers of JetStream share messages by the same durable"}
	}
	for _, key := range []string{"durable", "stream"} {
		if v := o.String(key); v == "" && key == "durable" || v != "" && !name.MatchString(v) {
			return nil, &engine.ConfigError{Key: key, Msg: fmt.Sprintf("%q is no name: want one without blanks, dots, wildcards and slashes", v)}
		}
	}
	in.source = &pull{input: in, stream: o.String("stream"), durable: o.String("durable"), newest: o.String("start") == "newest", ackWait: o.Duration("ack_wait"),
		maxDeliver: int(o.Int("max_deliver")), maxPending: int(o.Int("max_ack_pending")), flying: map[*batch]bool{},
		again: p.Counter("redelivered_total", "Messages that the server had sent before."),
		last:  p.Counter("last_delivery_total", "Messages that the server sends for the last time, because of max_deliver."),
		lost:  p.Counter("acks_lost_total", "Acknowledgements that could not be sent: these messages come again.")}
	return in, nil
}

// Paths implements engine.PathUser: connecting needs none.
func (*input) Paths() []engine.PathUse { return nil }

// Ports implements engine.PortUser.
func (in *input) Ports() ([]engine.PortUse, bool) { return in.server.Ports(), false }

// Rewind implements engine.Rewinder.
func (in *input) Rewind() { in.source.rewind() }

// again is the longest time between two messages about a server that does not answer.
const again = 30 * time.Second

// Run implements engine.Input. It connects again when the connection is lost; the log has that once, and every 30 s.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	var told time.Time
	wait := 50 * time.Millisecond
	for {
		err := in.once(ctx, func(ctx context.Context, b engine.Batch) error {
			wait = 50 * time.Millisecond
			return emit(ctx, b)
		})
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(told) >= again {
			told = time.Now()
			in.log.Error("cannot read from nats, trying again", "server", in.server.Name, "subject", in.server.Subject, "err", err)
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
			return nil
		}
		wait = min(2*wait, 5*time.Second)
	}
}

// once connects, where there is no connection, and reads.
func (in *input) once(ctx context.Context, emit engine.EmitFunc) error {
	if in.nc == nil || in.nc.IsClosed() {
		nc, err := in.server.Connect(ctx, in.fault)
		if err != nil {
			return err
		}
		in.nc = nc
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	ended := make(chan struct{})
	watched := make(chan struct{})
	go func() { // ended below
		defer close(watched)
		select {
		case err := <-in.faults:
			cancel(err)
		case <-ended:
		}
	}()
	err := in.source.session(ctx, in.nc, emit)
	close(ended)
	<-watched
	if cause := context.Cause(ctx); cause != nil && cause != context.Canceled {
		err = cause
	}
	if err != nil {
		err = in.server.Explain(err)
	}
	return err
}

// fault is called by the connection with what the server says against a subscription.
func (in *input) fault(err error) {
	if err == gonats.ErrSlowConsumer {
		return // counted
	}
	select {
	case in.faults <- err:
	default:
	}
}

// Close implements engine.Closer: what is not finished is given back.
func (in *input) Close() error {
	if in.nc == nil {
		return nil
	}
	in.source.rewind()
	err := in.nc.FlushTimeout(in.server.Timeout) // the last acknowledgements
	in.nc.Close()
	in.nc = nil
	if err != nil {
		in.log.Warn("nats was not told what is finished: it comes again", "err", in.server.Explain(err))
	}
	return nil
}

// keepLong is how much of a record that is too long is kept, in bytes.
const keepLong = 4 << 10

// record makes a record of a message. Line ends between the tokens of its JSON become blanks.
func (in *input) record(m []byte) engine.Record {
	if len(m) > in.maxLine {
		return engine.Record{Body: oneLine(m[:min(keepLong, len(m))]), Offset: -1, Reject: engine.ReasonTooLong}
	}
	return engine.Record{Body: oneLine(m), Offset: -1}
}

var lineEnds = strings.NewReplacer("\n", " ", "\r", " ")

func oneLine(m []byte) string {
	body := strings.TrimRight(string(m), "\r\n")
	if strings.ContainsAny(body, "\r\n") {
		return lineEnds.Replace(body)
	}
	return body
}

func (in *input) origin() string { return "nats " + in.server.Name + " " + in.server.Subject }
