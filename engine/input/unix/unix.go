// Package unix listens on a unix stream socket for clients that write lines: unix://, Suricata's unix_stream.
package unix

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/input/internal/sock"
	"dragonfly/engine/input/lines"
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
func (in *input) Open(context.Context) error {
	if in.listener != nil {
		return nil
	}
	l, err := in.socket.Listen()
	if err != nil {
		return err
	}
	in.listener = l
	return nil
}

// Close implements engine.Closer.
func (in *input) Close() error {
	if in.listener == nil {
		return nil
	}
	err := in.listener.Close()
	in.listener = nil
	return errors.Join(err, in.socket.Remove())
}

// Run implements engine.Input. When ctx ends it still reads and emits what its clients have sent: they cannot send it again.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	if err := in.Open(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx) // a fault of accept ends the clients too
	late, cancelLate := context.WithCancel(context.WithoutCancel(ctx))
	defer cancelLate()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(patience, cancelLate) })()
	var one sync.Mutex // EmitFunc is for one goroutine at a time
	emitLate := func(records []engine.Record, _ int64) error {
		one.Lock()
		defer one.Unlock()
		return emit(late, engine.Batch{Origin: "unix://" + in.socket.Path, Records: in.resync(records)})
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	in.listener.SetDeadline(time.Time{})
	defer context.AfterFunc(ctx, func() { in.listener.SetDeadline(time.Now().Add(settle)) })() // some may wait to be accepted
	for {
		select {
		case in.clients <- struct{}{}:
		default:
			select {
			case in.clients <- struct{}{}:
			case <-ctx.Done():
				return nil
			}
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
			in.serve(ctx, conn, emitLate)
			<-in.clients
		})
	}
}

const (
	settle   = 50 * time.Millisecond // how long a client is still read when ctx ends
	patience = 5 * time.Second       // how long its records may then wait for room in the pipeline
)

// serve reads one client until it goes, or a little longer than ctx. A line that it leaves unfinished is a record.
func (in *input) serve(ctx context.Context, conn *net.UnixConn, emit func([]engine.Record, int64) error) {
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now().Add(settle)) })()
	in.log.Debug("client connected")
	r := lines.New(conn, 0, in.max)
	err := lines.Drain(r, emit)
	if last := r.Last(); len(last) > 0 {
		emit(last, 0) // only an end of late refuses it
	}
	if err != nil && ctx.Err() == nil {
		in.log.Warn("client lost", "err", err)
	}
}

// resync separates events that were glued together. The cut piece stays a record of its own, for the dead letter.
func (in *input) resync(records []engine.Record) []engine.Record {
	for i := 0; i < len(records); i++ {
		records[i].Offset = -1
		if records[i].Reject != "" {
			continue
		}
		broken, rest := lines.Resync(records[i].Body)
		if rest == "" {
			continue
		}
		in.resynced.Add(1)
		records[i].Body = broken
		records = slices.Insert(records, i+1, engine.Record{Body: rest, Offset: -1})
		i++
	}
	return records
}

// Paths implements engine.PathUser.
func (in *input) Paths() []engine.PathUse { return in.socket.Paths() }
