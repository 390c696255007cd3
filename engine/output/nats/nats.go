// Package nats publishes events on subjects of NATS, and waits for JetStream's acknowledgement: nats://.
package nats

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	gonats "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"dragonfly/engine"
	"dragonfly/engine/wire"
	link "dragonfly/engine/wire/nats"
	"dragonfly/engine/wire/template"
)

// Kind is nats://.
var Kind = engine.OutputKind{
	Doc: "`nats://HOST:PORT/SUBJECT`: publishes events. With JetStream, the default, an event is delivered when a stream has it; without, when the server has it, which then forgets it. SUBJECT may hold fields of the event: `eve.{event_type}`. Several servers are separated by commas; others of their cluster are not used. The port is 4222 by default.",
	Options: append([]engine.Option{
		{Key: "jetstream", Type: engine.Bool, Default: true, Doc: "Waits until a stream of JetStream has stored the event. The stream must be there. false: who does not listen then never gets the event."},
		{Key: "window", Type: engine.Int, Default: int64(1024), Min: 1, Max: 4096, Doc: "Events that are sent before their acknowledgements are waited for."},
		{Key: "message_id", Type: engine.Bool, Default: true, Doc: "Events have an id (Nats-Msg-Id), by which a stream leaves out what is sent twice within its duplicate window (2 minutes): made of the place that the event came from and its content where the input has such places (files), else by chance, which is good for what is sent again while the process runs. Equal events that a script makes of one record count as one."},
	}, link.Options...),
	New: New,
}

type output struct {
	server *link.Server
	subj   *template.Namer
	stream bool
	window int
	ids    bool

	duplicates *atomic.Int64

	nc    *gonats.Conn // nil: closed
	js    jetstream.JetStream
	ahead wire.Ahead
	seen  error // the last error of nc that was looked at

	mu     sync.Mutex    // guards the following
	faults []error       // what the server said against messages
	told   chan struct{} // closed and made anew when faults grows
}

var _ engine.PortUser = (*output)(nil)
var _ engine.PathUser = (*output)(nil)

// inSubject says which bytes may stand in a part of a subject.
func inSubject(c byte) bool { return c > ' ' && c != '.' && c != '*' && c != '>' && c != 0x7f }

// New implements the kind.
func New(p engine.Params) (engine.Output, error) {
	s, err := link.New(p, "events wait")
	if err != nil {
		return nil, err
	}
	subj, err := template.Name(s.Subject, inSubject)
	if err != nil {
		return nil, &engine.ConfigError{Key: "uri", Msg: err.Error()}
	}
	if strings.ContainsAny(s.Subject, "*>") {
		return nil, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q has a wildcard; an event is published on one subject", s.Subject)}
	}
	return &output{server: s, subj: subj, stream: p.Options.Bool("jetstream"), window: int(max(1, p.Options.Int("window"))), ids: p.Options.Bool("message_id"),
		told:       make(chan struct{}),
		duplicates: p.Counter("duplicates_total", "Events that the stream had already, by their id.")}, nil
}

// Paths implements engine.PathUser: connecting needs none.
func (*output) Paths() []engine.PathUse { return nil }

// Ports implements engine.PortUser.
func (o *output) Ports() ([]engine.PortUse, bool) { return o.server.Ports(), false }

// Open implements engine.Output.
func (o *output) Open(ctx context.Context) error {
	if o.nc != nil && !o.nc.IsClosed() {
		return nil
	}
	nc, err := o.server.Connect(ctx, o.fault, gonats.ReconnectBufSize(-1))
	if err != nil {
		return err
	}
	o.nc, o.seen = nc, nil
	o.js, err = jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(2*o.window))
	if err != nil {
		o.Close()
		return o.server.Explain(err)
	}
	return nil
}

// Close implements engine.Output.
func (o *output) Close() error {
	if o.nc != nil {
		o.nc.Close()
		o.nc = nil
	}
	return nil
}

func (o *output) fault(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.faults = append(o.faults[max(0, len(o.faults)-4*o.window):], err)
	close(o.told)
	o.told = make(chan struct{})
}

// Write implements engine.Output.
func (o *output) Write(ctx context.Context, batch []engine.Event) (int, error) {
	if err := o.Open(ctx); err != nil {
		return 0, err
	}
	if !o.nc.IsConnected() {
		return 0, o.server.Explain(gonats.ErrDisconnected)
	}
	taken, ids := o.ahead.Next(batch)
	if taken == nil {
		taken = make([]bool, len(batch))
	}
	if ids == nil && o.ids && o.stream {
		ids = make([]string, len(batch))
	}
	for from := 0; from < len(batch); {
		to := from
		for to < min(len(batch), from+o.window) && (taken[to] || int64(len(batch[to].Body)) <= o.nc.MaxPayload()-headerRoom) {
			to++
		}
		send := o.publish
		if o.stream {
			send = o.store
		}
		if refused, err := send(ctx, batch[from:to], taken[from:to], tail(ids, from, to)); err != nil {
			n := 0
			for n < len(batch) && taken[n] {
				n++
			}
			return o.ahead.Stop(batch, taken, ids, n, refused, err)
		}
		if to < len(batch) && to < from+o.window {
			err := fmt.Errorf("nats %s: the event has %d bytes, and max_payload of the server is %d", o.server.Name, len(batch[to].Body), o.nc.MaxPayload())
			return o.ahead.Stop(batch, taken, ids, to, true, &engine.RejectError{Err: err})
		}
		from = to
	}
	return len(batch), nil
}

// headerRoom is what the headers of a message take at most, in bytes.
const headerRoom = 128

func tail(ids []string, from, to int) []string {
	if ids == nil {
		return nil
	}
	return ids[from:to]
}

// publish sends events without JetStream, and notes which the server took: those that it had before it answered a PING, and said
// nothing against.
func (o *output) publish(ctx context.Context, batch []engine.Event, taken []bool, _ []string) (refused bool, err error) {
	o.mu.Lock()
	o.faults = o.faults[:0]
	o.mu.Unlock()
	for i := range batch {
		if taken[i] {
			continue
		}
		if err := o.nc.Publish(o.subj.Of(&batch[i]), unsafeBytes(batch[i].Body)); err != nil {
			return false, o.server.Explain(err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, o.server.Timeout)
	defer cancel()
	if err := o.nc.FlushWithContext(ctx); err != nil {
		return false, o.server.Explain(err)
	}
	denied, cause, err := o.denied(ctx)
	if err != nil {
		return false, err
	}
	for i := range batch {
		if denied == nil || !denied[o.subj.Of(&batch[i])] {
			taken[i] = true
		} else if err == nil {
			err = cause
		}
	}
	if err == nil {
		return false, nil
	}
	err = o.server.Explain(err)
	if o.subj.Fixed() {
		return false, err
	}
	return true, &engine.RejectError{Err: err} // other events go elsewhere
}

var quoted = regexp.MustCompile(`"([^"]*)"`)

// denied returns the subjects that the server let us not publish on since the last call, and one of its messages. The
// connection's last error is set before a flush returns; the others are told in order, by another goroutine.
func (o *output) denied(ctx context.Context) (subjects map[string]bool, cause, err error) {
	last := o.nc.LastError()
	if last == nil || last == o.seen || !errors.Is(last, gonats.ErrPermissionViolation) {
		return nil, nil, nil
	}
	for {
		o.mu.Lock()
		faults, told := append([]error{}, o.faults...), o.told
		o.mu.Unlock()
		complete := false
		subjects = map[string]bool{}
		for _, f := range faults {
			complete = complete || f == last
			if m := quoted.FindStringSubmatch(f.Error()); m != nil && errors.Is(f, gonats.ErrPermissionViolation) {
				subjects[m[1]] = true
			}
		}
		if complete {
			o.seen = last
			return subjects, last, nil
		}
		select {
		case <-told:
		case <-ctx.Done():
			return nil, nil, o.server.Explain(last)
		}
	}
}

// store sends events to JetStream, and notes which it has stored.
func (o *output) store(ctx context.Context, batch []engine.Event, taken []bool, ids []string) (refused bool, err error) {
	futures := make([]jetstream.PubAckFuture, len(batch))
	for i := range batch {
		if taken[i] {
			continue
		}
		m := &gonats.Msg{Subject: o.subj.Of(&batch[i]), Data: unsafeBytes(batch[i].Body)}
		if ids != nil {
			if ids[i] == "" {
				ids[i] = idOf(&batch[i])
			}
			m.Header = gonats.Header{jetstream.MsgIDHeader: {ids[i]}}
		}
		if futures[i], err = o.js.PublishMsgAsync(m); err != nil {
			break
		}
	}
	first := -1
	silent := time.NewTimer(o.server.Timeout)
	defer silent.Stop()
	for i, f := range futures {
		if f == nil {
			continue
		}
		ack, e := o.await(ctx, f, silent)
		switch {
		case ctx.Err() != nil:
			return false, ctx.Err()
		case e == nil:
			taken[i] = true
			if ack.Duplicate {
				o.duplicates.Add(1)
			}
		case first < 0:
			first, err = i, e
		}
	}
	if err == nil {
		return false, nil
	}
	var api *jetstream.APIError
	tooLong := errors.As(err, &api) && api.ErrorCode == tooLongForStream || errors.Is(err, gonats.ErrMaxPayload)
	if first >= 0 {
		err = fmt.Errorf("subject %q: %w", o.subj.Of(&batch[first]), err)
	}
	err = o.server.Explain(err)
	if first >= 0 && tooLong {
		return true, &engine.RejectError{Err: err}
	}
	return false, err
}

// await waits until the server has said what became of an event. While it acknowledges any, however slowly (a disk that is synced for
// each), those behind are not given up: they would be sent again, and take it longer. After a silence of timeout all are.
func (o *output) await(ctx context.Context, f jetstream.PubAckFuture, silent *time.Timer) (*jetstream.PubAck, error) {
	for {
		select {
		case ack := <-f.Ok():
			silent.Reset(o.server.Timeout)
			return ack, nil
		case err := <-f.Err():
			if errors.Is(err, jetstream.ErrJetStreamPublisherClosed) {
				err = jetstream.ErrAsyncPublishTimeout
			}
			return nil, err
		case <-silent.C:
			o.js.CleanupPublisher() // all that wait get an error
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// tooLongForStream is the server's code of "message size exceeds maximum allowed".
const tooLongForStream = jetstream.ErrorCode(10054)

// idOf makes the id of an event.
func idOf(ev *engine.Event) string {
	origin := ev.Origin()
	if !strings.Contains(origin, " offset ") {
		return nuid.Next()
	}
	h := sha256.New()
	fmt.Fprintf(h, "%s\n", origin)
	h.Write(unsafeBytes(ev.Body))
	return hex.EncodeToString(h.Sum(nil)[:16])
}
