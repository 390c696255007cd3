package syslog

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"

	"dragonfly/engine"
	"dragonfly/engine/input/internal/listen"
)

// streams serves senders that connect.
type streams struct {
	*listen.Server
	scheme  string
	max     int
	decoder *decoder
	counters
	log *slog.Logger
}

var _ engine.Opener = (*streams)(nil)
var _ engine.Closer = (*streams)(nil)
var _ engine.PortUser = (*streams)(nil)

func newStream(p engine.Params) (engine.Input, error) {
	in := &streams{scheme: p.Scheme, max: int(p.Options.Int("max_message")), log: p.Log}
	var err, err2 error
	switch p.Scheme {
	case "syslog+unix":
		in.Server, err = listen.Unix(p)
	case "syslog+tls":
		if in.Server, err = listen.TCP(p, 6514); err == nil && !in.TLS() {
			err = &engine.ConfigError{Key: "tls_cert", Msg: "syslog+tls needs tls_cert and tls_key; syslog+tcp goes without"}
		}
	default:
		in.Server, err = listen.TCP(p, 514)
	}
	in.decoder, err2 = newDecoder(p, p.Scheme == "syslog+unix")
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	in.counters = newCounters(p)
	return in, nil
}

// Run implements engine.Input. When ctx ends it still reads and emits what its clients have sent: they cannot send it again.
func (in *streams) Run(ctx context.Context, emit engine.EmitFunc) error {
	var one sync.Mutex // EmitFunc is for one goroutine at a time
	return in.Server.Run(ctx, func(ctx context.Context, c *listen.Client) {
		origin := in.scheme + "://" + in.Address
		if c.Peer != "" {
			origin = in.scheme + "://" + c.Peer
		}
		in.serve(ctx, c, func(raw []engine.Record) error {
			records := in.decoder.decode(raw, c.Peer, in.counters)
			if len(records) == 0 {
				return nil
			}
			one.Lock()
			defer one.Unlock()
			return emit(c.Late, engine.Batch{Origin: origin, Records: records})
		})
	})
}

// serve reads one client until it goes, or a little longer than ctx.
func (in *streams) serve(ctx context.Context, c *listen.Client, emit func([]engine.Record) error) {
	defer c.Close()
	f := newFrames(c, in.max)
	for {
		raw, err := f.next()
		if emit(raw) != nil {
			return // the engine has ended
		}
		if err == nil {
			continue
		}
		emit(f.last())
		switch {
		case errors.Is(err, errFraming):
			in.log.Warn("the connection is closed: where its next message begins is not known; the sender must frame all messages alike", "peer", c.Peer, "err", err)
		case !errors.Is(err, io.EOF) && ctx.Err() == nil:
			in.log.Warn("client lost", "peer", c.Peer, "err", err)
		}
		return
	}
}
