package rig

import (
	"context"
	"slices"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/test/parts"
)

// Input runs an input and keeps the batches that it emits.
type Input struct {
	*Row
	In      engine.Input
	Ack     bool              // a batch is finished when it is emitted; else the test does that
	Gate    chan struct{}     // emit takes a token first; nil lets all pass
	Emitted chan engine.Batch // that Next and Record have not returned

	t      testing.TB
	rest   []engine.Record // of a batch, for Record
	cancel context.CancelFunc
	ended  chan error
	closed bool
}

// NewInput makes an input and opens it.
func NewInput(t testing.TB, kind engine.InputKind, uri string, set engine.Values) *Input {
	t.Helper()
	r := &Input{Row: &Row{}, t: t, Emitted: make(chan engine.Batch, 1<<17)}
	in, err := kind.New(r.Params(kind.Options, uri, set))
	if err != nil {
		t.Fatal(err)
	}
	r.In = in
	if err := in.(engine.Opener).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// Start begins a Run.
func (r *Input) Start() *Input {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	r.cancel, r.ended = cancel, ended
	go func() { ended <- r.In.Run(ctx, r.emit) }()
	return r
}

// emit is the engine's side, which takes whatever it can until ctx is done.
func (r *Input) emit(ctx context.Context, b engine.Batch) error {
	if r.Gate != nil {
		select {
		case <-r.Gate:
		case <-ctx.Done():
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	b.Records = slices.Clone(b.Records)
	r.Emitted <- b
	if r.Ack && b.Done != nil {
		b.Done()
	}
	return nil
}

// Cancel tells Run to end, and does not wait for it.
func (r *Input) Cancel() { r.cancel() }

// Ended is what Run returns.
func (r *Input) Ended() <-chan error { return r.ended }

// Wait waits until Run ends by itself, and returns what it returns.
func (r *Input) Wait() error {
	r.t.Helper()
	defer func() { r.cancel(); r.cancel = nil }()
	select {
	case err := <-r.ended:
		return err
	case <-time.After(parts.Deadline):
		r.t.Fatalf("Run does not end; log: %s", r.Log.String())
		panic("unreachable")
	}
}

// Stop ends Run if there is one.
func (r *Input) Stop() {
	r.t.Helper()
	if r.cancel == nil {
		return
	}
	r.cancel()
	r.cancel = nil
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Errorf("Run: %v", err)
		}
	case <-time.After(parts.Deadline):
		r.t.Error("Run does not end")
	}
}

// Close ends Run, and the input.
func (r *Input) Close() {
	r.t.Helper()
	r.Stop()
	if r.closed {
		return
	}
	r.closed = true
	if err := r.In.(engine.Closer).Close(); err != nil {
		r.t.Errorf("Close: %v", err)
	}
}

// Next waits for a batch.
func (r *Input) Next() engine.Batch {
	r.t.Helper()
	select {
	case b := <-r.Emitted:
		return b
	case <-time.After(parts.Deadline):
		r.t.Fatalf("nothing is emitted; log: %s", r.Log.String())
		panic("unreachable")
	}
}

// Record waits for a record.
func (r *Input) Record() engine.Record {
	r.t.Helper()
	for len(r.rest) == 0 {
		r.rest = r.Next().Records
	}
	rec := r.rest[0]
	r.rest = r.rest[1:]
	return rec
}

// Records waits for n records.
func (r *Input) Records(n int) (list []engine.Record) {
	r.t.Helper()
	for range n {
		list = append(list, r.Record())
	}
	return list
}

// Left returns the records that are emitted and not taken, without waiting.
func (r *Input) Left() []engine.Record {
	list := r.rest
	for r.rest = nil; len(r.Emitted) > 0; {
		list = append(list, (<-r.Emitted).Records...)
	}
	return list
}

// Bodies returns what a batch holds: the bodies, behind the reason of what is rejected.
func Bodies(b engine.Batch) (list []string) {
	for _, rec := range b.Records {
		list = append(list, rec.Reject+rec.Body)
	}
	return list
}
