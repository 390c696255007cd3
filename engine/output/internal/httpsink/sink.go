package httpsink

import (
	"context"

	"dragonfly/engine"
)

// Sink is the part of an engine.Output that all have whose requests hold events: they embed it.
type Sink struct {
	Client *Client
	Bulk   Bulk
}

var _ engine.Output = (*Sink)(nil)
var _ engine.PathUser = (*Sink)(nil)
var _ engine.PortUser = (*Sink)(nil)

// Open implements engine.Output: it connects with the first request.
func (*Sink) Open(context.Context) error { return nil }

// Write implements engine.Output.
func (s *Sink) Write(ctx context.Context, batch []engine.Event) (int, error) {
	return s.Bulk.Write(ctx, batch)
}

// Close implements engine.Output.
func (s *Sink) Close() error {
	s.Client.Close()
	return nil
}

// Paths implements engine.PathUser.
func (*Sink) Paths() []engine.PathUse { return nil }

// Ports implements engine.PortUser.
func (s *Sink) Ports() ([]engine.PortUse, bool) { return s.Client.Ports() }
