// Package unix listens on a unix stream socket for clients that write lines: unix://, Suricata's unix_stream.
package unix

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"

	"dragonfly/engine"
	"dragonfly/engine/input/internal/listen"
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
	*listen.Server
	max      int64
	log      *slog.Logger
	resynced *atomic.Int64
}

var _ engine.Opener = (*input)(nil)
var _ engine.Closer = (*input)(nil)

// New implements the kind.
func New(p engine.Params) (engine.Input, error) {
	server, err := listen.Unix(p)
	if err != nil {
		return nil, err
	}
	return &input{Server: server, max: p.Options.Int("max_line"), log: p.Log,
		resynced: p.Counter("lines_resynchronised_total", "Lines in which an event began behind the cut piece of another.")}, nil
}

// Run implements engine.Input. When ctx ends it still reads and emits what its clients have sent: they cannot send it again.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	var one sync.Mutex // EmitFunc is for one goroutine at a time
	return in.Server.Run(ctx, func(ctx context.Context, c *listen.Client) {
		in.serve(ctx, c, func(records []engine.Record, _ int64) error {
			one.Lock()
			defer one.Unlock()
			return emit(c.Late, engine.Batch{Origin: "unix://" + in.Address, Records: in.resync(records)})
		})
	})
}

// serve reads one client until it goes, or a little longer than ctx. A line that it leaves unfinished is a record.
func (in *input) serve(ctx context.Context, c *listen.Client, emit func([]engine.Record, int64) error) {
	defer c.Close()
	in.log.Debug("client connected")
	r := lines.New(c, 0, in.max)
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
