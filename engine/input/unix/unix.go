// Package unix listens on a unix stream socket for clients that write lines: unix://, Suricata's unix_stream.
package unix

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/input/internal/sock"
	"dragonfly/engine/input/lines"
	"dragonfly/engine/lazyjson"
)

// Kind is unix://.
var Kind = engine.InputKind{
	Doc: "`unix://PATH`: listens on a unix stream socket for any number of clients that write a record per line (Suricata's `filetype: unix_stream`). It reads only what can be queued. Relative paths are below the run directory.",
	Options: append([]engine.Option{
		lines.MaxLine,
		{Key: "max_clients", Type: engine.Int, Default: int64(64), Min: 1, Max: 65536, Doc: "Clients served at a time; further ones wait."},
	}, sock.Options...),
	New: New,
}

type input struct {
	socket   sock.Socket
	max      int64
	clients  chan struct{} // a token per client that is served
	log      *slog.Logger
	resynced *atomic.Int64
	listener *net.UnixListener
}

var _ engine.Opener = (*input)(nil)
var _ engine.Closer = (*input)(nil)

// New implements the kind.
func New(p engine.Params) (engine.Input, error) {
	socket, err := sock.New("unix", p)
	if err != nil {
		return nil, err
	}
	return &input{socket: socket, max: p.Options.Int("max_line"), clients: make(chan struct{}, max(1, p.Options.Int("max_clients"))),
		log: p.Log, resynced: p.Counter("lines_resynchronised_total", "Lines in which an event began behind the cut piece of another.")}, nil
}

// Open implements engine.Opener.
func (in *input) Open(ctx context.Context) error {
	if in.listener != nil {
		return nil
	}
	if err := in.socket.Prepare(); err != nil {
		return err
	}
	l, err := (&net.ListenConfig{}).Listen(ctx, "unix", in.socket.Path)
	if err != nil {
		return err
	}
	in.listener = l.(*net.UnixListener)
	in.listener.SetUnlinkOnClose(true)
	return in.socket.Permit()
}

// Close implements engine.Closer.
func (in *input) Close() error {
	if in.listener == nil {
		return nil
	}
	err := in.listener.Close()
	in.listener = nil
	return err
}

// Run implements engine.Input.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	if err := in.Open(ctx); err != nil {
		return err
	}
	in.listener.SetDeadline(noDeadline)
	stop := context.AfterFunc(ctx, func() { in.listener.SetDeadline(past) })
	defer stop()
	// What is read can not be read again: it may still be emitted for a while after ctx has ended.
	grace, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(5*time.Second, cancel) })()
	var one sync.Mutex // EmitFunc is for one goroutine at a time
	emitOne := func(ctx context.Context, b engine.Batch) error {
		one.Lock()
		defer one.Unlock()
		return emit(ctx, b)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		select {
		case in.clients <- struct{}{}:
		case <-ctx.Done():
			return nil
		}
		conn, err := in.listener.AcceptUnix()
		if err != nil {
			<-in.clients
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		wg.Go(func() {
			in.serve(ctx, grace, conn, emitOne)
			<-in.clients
		})
	}
}

// serve reads one client until it goes or ctx ends, and emits what it has read.
func (in *input) serve(ctx, grace context.Context, conn *net.UnixConn, emit engine.EmitFunc) {
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(past) })
	defer stop()
	in.log.Debug("client connected")
	err := lines.Drain(lines.New(conn, 0, in.max), func(records []engine.Record, _ int64) error {
		return emit(grace, engine.Batch{Origin: "unix://" + in.socket.Path, Records: in.resync(records)})
	})
	if err != nil && ctx.Err() == nil && !errors.Is(err, net.ErrClosed) {
		in.log.Warn("client lost", "err", err)
	}
}

// eventStart is how each of Suricata's events begins.
const eventStart = `{"timestamp":`

// resync separates events that were glued together: a client that could write only a part of an event goes on with the
// next event in the same line. The cut piece stays a record of its own, for the dead letter.
func (in *input) resync(records []engine.Record) []engine.Record {
	for i := range records {
		body := records[i].Body
		if !strings.Contains(body[1:], eventStart) {
			records[i].Offset = -1
			continue
		}
		at := strings.LastIndex(body, eventStart)
		if at <= 0 || lazyjson.Validate(body) == nil || lazyjson.Validate(body[at:]) != nil {
			records[i].Offset = -1
			continue
		}
		in.resynced.Add(1)
		return append(in.resync(append([]engine.Record{}, records[:i]...)), append([]engine.Record{
			{Body: body[:at], Offset: -1}, {Body: body[at:], Offset: -1}}, in.resync(records[i+1:])...)...)
	}
	return records
}
