package unixgram

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"dragonfly/engine"
	test "dragonfly/test/rig"
)

// rig runs an input on a socket of its own.
type rig struct {
	*test.Input
	t       *testing.T
	path    string
	dropped *atomic.Int64
}

func newRig(t *testing.T, queue int64) *rig {
	path := filepath.Join(t.TempDir(), "s")
	r := test.NewInput(t, Kind, "unixgram://"+path, engine.Values{"buffer": int64(8 << 20), "max_datagram": int64(64 << 10), "queue": queue})
	return &rig{r, t, path, r.Counters["datagrams_dropped_total"]}
}

func (r *rig) dial() *net.UnixConn {
	r.t.Helper()
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: r.path, Net: "unixgram"})
	if err != nil {
		r.t.Fatal(err)
	}
	c.SetWriteBuffer(1 << 20)
	r.t.Cleanup(func() { c.Close() })
	return c
}

func TestUnixgramReceives(t *testing.T) {
	r := newRig(t, 100)
	r.Start()
	c := r.dial()
	for _, d := range []string{`{"a":1}`, "{\"b\":2}\n", "{\"c\":3}\r\n\n{\"d\":4}\n", "\n", strings.Repeat("x", 70_000), strings.Repeat("y", 64<<10)} {
		if _, err := io.WriteString(c, d); err != nil {
			t.Fatal(err)
		}
	}
	got := r.Records(6)
	for i, want := range []string{`{"a":1}`, `{"b":2}`, `{"c":3}`, `{"d":4}`} {
		if got[i].Body != want || got[i].Offset != -1 || got[i].Reject != "" {
			t.Errorf("got %+v, want %s", got[i], want)
		}
	}
	if got[4].Reject != engine.ReasonTruncated || len(got[4].Body) != 4096 {
		t.Errorf("got %s with %d bytes, want truncated", got[4].Reject, len(got[4].Body))
	}
	if got[5].Reject != "" || len(got[5].Body) != 64<<10 {
		t.Errorf("got %s with %d bytes", got[5].Reject, len(got[5].Body))
	}
	r.Close()
	if _, err := os.Lstat(r.path); err == nil {
		t.Error("the socket file is still there")
	}
}

// The kernel holds some ten datagrams only; loading scripts takes longer than that.
func TestUnixgramDrainsBeforeItRuns(t *testing.T) {
	r := newRig(t, 5000)
	c := r.dial()
	for i := range 2000 {
		c.SetWriteDeadline(time.Now().Add(60 * time.Second))
		if _, err := fmt.Fprintf(c, `{"n":%d}`, i); err != nil {
			t.Fatalf("datagram %d: %v", i, err)
		}
	}
	r.Start()
	for i, rec := range r.Records(2000) {
		if want := fmt.Sprintf(`{"n":%d}`, i); rec.Body != want {
			t.Fatalf("got %s, want %s", rec.Body, want)
		}
	}
	r.Close()
}

func TestUnixgramCountsWhatTheQueueCannotHold(t *testing.T) {
	r := newRig(t, 10)
	r.Gate = make(chan struct{})
	r.Start()
	c := r.dial()
	const sent = 1000
	for i := range sent {
		if _, err := fmt.Fprintf(c, `{"n":%d}`, i); err != nil {
			t.Fatal(err)
		}
	}
	close(r.Gate) // the pipeline is free again
	var got int64
	deadline := time.After(10 * time.Second)
	for got+r.dropped.Load() < sent {
		select {
		case b := <-r.Emitted:
			got += int64(len(b.Records))
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatalf("received %d + dropped %d of %d", got, r.dropped.Load(), sent)
		}
	}
	r.Close()
	if r.dropped.Load() == 0 || got+r.dropped.Load() != sent {
		t.Errorf("received %d + dropped %d, want %d together", got, r.dropped.Load(), sent)
	}
	if n := r.Log.Count("are lost"); n < 1 || n > 2 {
		t.Errorf("told %d times:\n%s", n, r.Log.String())
	}
}

// What was received when the engine stops under a full pipeline is delivered or counted.
func TestUnixgramAccountsForEverythingWhenItStops(t *testing.T) {
	r := newRig(t, 5000)
	r.Gate = make(chan struct{}, 2)
	r.Start()
	c := r.dial()
	const sent = 1000
	for i := range sent {
		if _, err := fmt.Fprintf(c, `{"n":%d}`, i); err != nil {
			t.Fatal(err)
		}
	}
	r.Gate <- struct{}{}
	got := int64(len(r.Records(1)))
	go func() { // the pipeline gets free while it drains
		for range 100 {
			r.Gate <- struct{}{}
		}
	}()
	r.Close()
	got += int64(len(r.Left()))
	if got+r.dropped.Load() != sent {
		t.Errorf("received %d + dropped %d, want %d together", got, r.dropped.Load(), sent)
	}
	if got < sent {
		t.Errorf("delivered %d of %d although the pipeline got free", got, sent)
	}
}

func TestUnixgramCountsWhatIsLeftAtTheEnd(t *testing.T) {
	r := newRig(t, 5000)
	c := r.dial()
	c.SetWriteDeadline(time.Now().Add(60 * time.Second))
	for i := range 50 {
		if _, err := fmt.Fprintf(c, `{"n":%d}`, i); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(60 * time.Second); len(r.In.(*input).ring) < 50 && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	r.Close()
	if r.dropped.Load() != 50 {
		t.Errorf("counted %d, want 50", r.dropped.Load())
	}
}

func TestUnixgramStaysBoundBetweenRuns(t *testing.T) {
	r := newRig(t, 5000)
	r.Start()
	c := r.dial()
	io.WriteString(c, "1")
	r.Records(1)
	r.Stop()
	io.WriteString(c, "2")
	r.Start()
	io.WriteString(c, "3")
	if got := r.Records(2); got[0].Body != "2" || got[1].Body != "3" {
		t.Errorf("got %+v", got)
	}
	r.Close()
}

func TestUnixgramSaysThatTheKernelsQueueIsShort(t *testing.T) {
	r := newRig(t, 10)
	defer r.Close()
	text, err := os.ReadFile("/proc/sys/net/unix/max_dgram_qlen")
	if err != nil {
		t.Skip(err)
	}
	short := len(strings.TrimSpace(string(text))) < 3
	if told := strings.Contains(r.Log.String(), "net.unix.max_dgram_qlen"); told != short {
		t.Errorf("max_dgram_qlen is %s, told is %v", text, told)
	}
}

func BenchmarkUnixgram(b *testing.B) {
	path := filepath.Join(b.TempDir(), "s")
	var dropped atomic.Int64
	in, err := New(engine.Params{Address: path, Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Counter: func(string, string) *atomic.Int64 { return &dropped },
		Options: engine.Values{"buffer": int64(8 << 20), "max_datagram": int64(1 << 20), "queue": int64(65536), "queue_bytes": int64(64 << 20)}})
	if err != nil {
		b.Fatal(err)
	}
	if err := in.(engine.Opener).Open(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	wg.Go(func() { in.Run(ctx, func(context.Context, engine.Batch) error { return nil }) })
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.Connect(fd, &syscall.SockaddrUnix{Name: path}); err != nil {
		b.Fatal(err)
	}
	line := bytes.Repeat([]byte("x"), 525)
	b.ReportAllocs()
	for b.Loop() {
		syscall.Write(fd, line)
	}
	cancel()
	wg.Wait()
	in.(engine.Closer).Close()
	b.ReportMetric(float64(dropped.Load()), "dropped")
}
