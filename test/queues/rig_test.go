// Package queues tests the inputs and outputs that talk to Redis and NATS against real servers.
package queues

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/test/parts"
	"dragonfly/test/rig"
)

// redisServer is a redis-server of one test, on a unix socket.
type redisServer struct {
	*parts.Redis
	cmd *exec.Cmd
}

func newRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	s := parts.NewRedis(t, args...)
	return &redisServer{s, s.Cmd}
}

func (s *redisServer) socket() string            { return s.Socket() }
func (s *redisServer) kill()                     { s.Kill() }
func (s *redisServer) start()                    { s.Start(); s.cmd = s.Cmd }
func (s *redisServer) cli(args ...string) string { return s.CLI(args...) }
func (s *redisServer) feed(commands string)      { s.Feed(commands) }

func until(t testing.TB, what string, ok func() bool) { t.Helper(); parts.Until(t, what, ok) }

// row is a row of config.lua and what it logs and counts.
type row struct {
	rig.Row
	t testing.TB
	p engine.Params
}

func (r *row) text() string            { return r.Log.String() }
func (r *row) count(name string) int64 { r.t.Helper(); return r.Count(r.t, name) }

func newRow(t testing.TB, options []engine.Option, uri string, o engine.Values) *row {
	r := &row{t: t}
	r.p = r.Params(options, uri, o)
	return r
}

// reader is an input that runs, and what it emitted.
type reader struct {
	*row
	in      engine.Input
	cancel  context.CancelFunc
	ended   chan struct{}
	hold    bool // batches are not finished
	mu      sync.Mutex
	records []engine.Record
	held    []func()
	sizes   []int // of the batches held
}

func read(t testing.TB, kind engine.InputKind, uri string, o engine.Values, hold bool) *reader {
	t.Helper()
	r := &reader{row: newRow(t, kind.Options, uri, o), hold: hold}
	in, err := kind.New(r.p)
	if err != nil {
		t.Fatal(err)
	}
	r.in = in
	r.run()
	return r
}

func (r *reader) run() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan struct{})
	ended := r.ended
	go func() {
		defer close(ended)
		if err := r.in.Run(ctx, r.emit); err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}()
	r.t.Cleanup(func() { cancel(); <-ended })
}

func (r *reader) emit(ctx context.Context, b engine.Batch) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.mu.Lock()
	r.records = append(r.records, b.Records...)
	hold := r.hold
	if hold && b.Done != nil {
		r.held, r.sizes = append(r.held, b.Done), append(r.sizes, len(b.Records))
	}
	r.mu.Unlock()
	if !hold && b.Done != nil {
		b.Done()
	}
	return nil
}

func (r *reader) len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.records)
}

func (r *reader) bodies() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	list := make([]string, len(r.records))
	for i := range r.records {
		list[i] = r.records[i].Body
	}
	return list
}

// distinct is how many different records were emitted.
func (r *reader) distinct() int {
	seen := map[string]bool{}
	for _, b := range r.bodies() {
		seen[b] = true
	}
	return len(seen)
}

// release finishes what was held, the last first, and from now on all at once.
func (r *reader) release() {
	r.mu.Lock()
	held := r.held
	r.held, r.hold = nil, false
	r.mu.Unlock()
	for i := range held {
		held[len(held)-1-i]()
	}
}

// stop ends Run, and then the input.
func (r *reader) stop() {
	r.t.Helper()
	r.cancel()
	select {
	case <-r.ended:
	case <-time.After(30 * time.Second):
		r.t.Fatal("Run does not end")
	}
	if err := r.in.(engine.Closer).Close(); err != nil {
		r.t.Error(err)
	}
}

// crash ends Run as if the process had died: what is not acked stays so.
func (r *reader) crash() {
	r.cancel()
	<-r.ended
}

func newOutput(t testing.TB, kind engine.OutputKind, uri string, o engine.Values) (engine.Output, *row) {
	t.Helper()
	r := newRow(t, kind.Options, uri, o)
	out, err := kind.New(r.p)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { out.Close() })
	return out, r
}

func makeEvents(from, to int) []engine.Event {
	var list []engine.Event
	for i := from; i < to; i++ {
		ev, err := engine.NewEvent(fmt.Sprintf(`{"event_type":"t%d","n":%d}`, i%3, i))
		if err != nil {
			panic(err)
		}
		list = append(list, ev)
	}
	return list
}

// deliver does what the engine does with an output, until all events are delivered or refused.
func deliver(t testing.TB, out engine.Output, events []engine.Event) (refused []string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); len(events) > 0; {
		n, err := out.Write(context.Background(), events)
		events = events[n:]
		var reject *engine.RejectError
		switch {
		case errors.As(err, &reject):
			refused = append(refused, events[0].Body+": "+err.Error())
			events = events[1:]
		case err != nil:
			if time.Now().After(deadline) {
				t.Fatalf("cannot deliver: %v", err)
			}
			time.Sleep(20 * time.Millisecond)
		}
	}
	return refused
}

func tempFile(t testing.TB, name, text string) string {
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

const (
	stopSignal = syscall.SIGSTOP
	goOnSignal = syscall.SIGCONT
)
