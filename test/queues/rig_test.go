// Package queues tests the inputs and outputs that talk to Redis and NATS against real servers.
package queues

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dragonfly/engine"
)

// redisServer is a redis-server of one test, on a unix socket.
type redisServer struct {
	t    testing.TB
	dir  string
	args []string
	cmd  *exec.Cmd
	done chan struct{}
}

func newRedis(t testing.TB, args ...string) *redisServer {
	t.Helper()
	for _, program := range []string{"redis-server", "redis-cli"} {
		if _, err := exec.LookPath(program); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatalf("%s is missing", program)
			}
			t.Skipf("%s is missing", program)
		}
	}
	dir, err := os.MkdirTemp("", "qr") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	s := &redisServer{t: t, dir: dir, args: append([]string{"--port", "0", "--unixsocket", dir + "/s", "--dir", dir, "--save", ""}, args...)}
	s.start()
	return s
}

func (s *redisServer) socket() string { return s.dir + "/s" }

func (s *redisServer) start() {
	s.t.Helper()
	os.Remove(s.socket())
	var out bytes.Buffer
	cmd := exec.Command("redis-server", s.args...)
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { cmd.Wait(); close(done) }()
	s.cmd, s.done = cmd, done
	s.t.Cleanup(func() { cmd.Process.Kill(); <-done })
	until(s.t, "redis-server answers", func() bool {
		select {
		case <-done:
			s.t.Fatalf("redis-server ended: %s", out.String())
		default:
		}
		c, err := net.Dial("unix", s.socket())
		if err != nil {
			return false
		}
		c.Close()
		return true
	})
}

func (s *redisServer) kill() {
	s.cmd.Process.Kill()
	<-s.done
}

func (s *redisServer) cli(args ...string) string {
	s.t.Helper()
	out, err := exec.Command("redis-cli", append([]string{"-s", s.socket()}, args...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("redis-cli %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// feed carries out commands, one a line, as fast as redis-cli can.
func (s *redisServer) feed(commands string) {
	s.t.Helper()
	cmd := exec.Command("redis-cli", "-s", s.socket())
	cmd.Stdin = strings.NewReader(commands)
	if out, err := cmd.CombinedOutput(); err != nil || strings.Contains(string(out), "ERR") {
		s.t.Fatalf("%v: %.500s", err, out)
	}
}

// until waits for a condition, 60 s at most.
func until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("timed out: %s", what)
		}
	}
}

// row is a row of config.lua and what it logs and counts.
type row struct {
	t    testing.TB
	mu   sync.Mutex
	log  bytes.Buffer
	nums map[string]*atomic.Int64
	p    engine.Params
}

func (r *row) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *row) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.String()
}

func (r *row) count(name string) int64 {
	n, ok := r.nums[name]
	if !ok {
		r.t.Fatalf("no counter %q", name)
	}
	return n.Load()
}

func newRow(t testing.TB, options []engine.Option, uri string, o engine.Values) *row {
	r := &row{t: t, nums: map[string]*atomic.Int64{}}
	values := engine.Values{}
	for _, option := range options {
		values[option.Key] = option.Default
	}
	for k, v := range o {
		values[k] = v
	}
	scheme, address, _ := strings.Cut(uri, "://")
	r.p = engine.Params{Tag: "row", URI: uri, Scheme: scheme, Address: address, Options: values, Log: slog.New(slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Dial: (&net.Dialer{}).DialContext, Read: os.ReadFile,
		Counter: func(name, _ string) *atomic.Int64 {
			r.nums[name] = new(atomic.Int64)
			return r.nums[name]
		}}
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
