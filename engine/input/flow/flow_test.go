package flow

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
	common "dragonfly/test/parts"
	test "dragonfly/test/rig"
)

// rig runs an input on the loopback interface of a network namespace that only its thread is in. The rings are bound to it by
// what they were opened in, so workers may run on other threads.
type rig struct {
	t        *testing.T
	in       *input
	send     net.Conn
	mu       sync.Mutex
	counters map[string]*atomic.Int64
	events   []string
	log      text
}

func newRig(t *testing.T, options engine.Values) *rig {
	t.Helper()
	runtime.LockOSThread() // for good: the thread ends with the test
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("no network namespace: %v", err)
	}
	r := &rig{t: t, counters: map[string]*atomic.Int64{}}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	ifr, _ := unix.NewIfreq("lo")
	ifr.SetUint16(unix.IFF_UP | unix.IFF_RUNNING)
	if err := unix.IoctlIfreq(fd, unix.SIOCSIFFLAGS, ifr); err != nil {
		t.Fatal(err)
	}
	made, err := New(engine.Params{Tag: "net", Address: "lo", Options: test.Values(Kind.Options, options), Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		Counter: r.counter})
	if err != nil {
		t.Fatal(err)
	}
	r.in = made.(*input)
	if err := r.in.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.in.Close() })
	server, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	if r.send, err = net.DialUDP("udp4", nil, server.LocalAddr().(*net.UDPAddr)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.send.Close() })
	return r
}

func (r *rig) counter(name, _ string) *atomic.Int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.counters[name] == nil {
		r.counters[name] = new(atomic.Int64)
	}
	return r.counters[name]
}

func (r *rig) emit(_ context.Context, b engine.Batch) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rec := range b.Records {
		r.events = append(r.events, rec.Body)
	}
	return nil
}

// run runs the input until the context of the returned function ends it; that returns when Run has.
func (r *rig) run() (end func(cause error)) {
	ctx, cancel := context.WithCancelCause(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.in.Run(ctx, r.emit) }()
	return func(cause error) {
		cancel(cause)
		if err := <-ended; err != nil {
			r.t.Errorf("Run: %v", err)
		}
	}
}

// wait waits for a condition.
func (r *rig) wait(what string, ok func() bool) {
	r.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			r.t.Fatalf("timed out: %s", what)
		}
	}
}

// text is a log.
type text = common.Log

func (r *rig) datagrams(n int) {
	r.t.Helper()
	for range n {
		if _, err := r.send.Write([]byte("hello")); err != nil {
			r.t.Fatal(err)
		}
	}
}

// want wants one event so far, a flow of n packets.
func (r *rig) want(n int, reason string) {
	r.t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.events) != 1 || !strings.Contains(r.events[0], fmt.Sprintf(`"pkts_toserver":%d,`, n)) || !strings.Contains(r.events[0], `"reason":"`+reason+`"`) {
		r.t.Errorf("got %q, want one flow of %d packets, %s", r.events, n, reason)
	}
}

func TestInputReportsAllFlowsAtItsEnd(t *testing.T) {
	r := newRig(t, engine.Values{"meters": int64(3)})
	end := r.run()
	r.datagrams(10) // some may be in the ring when it ends
	end(nil)
	r.want(10, "shutdown")
	if got := r.counter("frames_total", "").Load(); got != 10 {
		t.Errorf("got %d frames, want 10", got)
	}
}

func TestInputRunsAgain(t *testing.T) {
	r := newRig(t, nil)
	end := r.run()
	r.datagrams(10)
	end(nil)
	r.want(10, "shutdown")
	r.datagrams(10) // nobody captures
	r.events = nil
	end = r.run()
	r.wait("the ring takes frames again", func() bool { return strings.Count(r.log.String(), "msg=capturing") == 2 })
	r.datagrams(7)
	end(nil)
	r.want(7, "shutdown")
	if frames, flows := r.counter("frames_total", "").Load(), r.counter("flows_total", "").Load(); frames != 17 || flows != 2 {
		t.Errorf("got %d frames and %d flows, want 17 and 2", frames, flows)
	}
}

func TestInputKeepsFlowsThatAreHandedOver(t *testing.T) {
	r := newRig(t, nil)
	end := r.run()
	r.datagrams(5)
	end(&engine.Handover{Kept: map[any]bool{engine.Input(r.in): true}})
	if len(r.events) > 0 {
		t.Errorf("got %q, want nothing yet", r.events)
	}
	r.datagrams(5) // between two engines
	end = r.run()
	r.datagrams(5)
	end(&engine.Handover{Kept: map[any]bool{}}) // to an engine without this input
	r.want(15, "shutdown")
}

// Idle flows end by the clock when no packet comes.
func TestInputEndsIdleFlows(t *testing.T) {
	r := newRig(t, engine.Values{"udp_new": time.Second})
	end := r.run()
	r.datagrams(3)
	r.wait("an event", func() bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return len(r.events) > 0
	})
	r.want(3, "timeout")
	end(nil)
}

func TestInputFilters(t *testing.T) {
	r := newRig(t, engine.Values{"filter": "tcp", "meters": int64(2)})
	end := r.run()
	r.datagrams(10)
	end(nil)
	if len(r.events) > 0 || r.counter("frames_total", "").Load() > 0 {
		t.Errorf("got %q", r.events)
	}
}
