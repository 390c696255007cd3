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
)

// rig runs an input on a socket of its own and keeps what it emits.
type rig struct {
	t       *testing.T
	path    string
	in      engine.Input
	dropped atomic.Int64
	log     bytes.Buffer
	cancel  context.CancelFunc
	ended   chan error
	emitted chan []engine.Record
	gate    chan struct{} // emit takes a token first; nil lets all pass
}

func newRig(t *testing.T, queue int64) *rig {
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "s"), emitted: make(chan []engine.Record, 1<<16)}
	in, err := New(engine.Params{Tag: "eve", Address: r.path, Log: slog.New(slog.NewTextHandler(&r.log, nil)),
		Options: engine.Values{"mode": "0660", "buffer": int64(8 << 20), "max_datagram": int64(64 << 10), "queue": queue, "queue_bytes": int64(64 << 20)},
		Counter: func(string, string) *atomic.Int64 { return &r.dropped }})
	if err != nil {
		t.Fatal(err)
	}
	r.in = in
	if err := in.(engine.Opener).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) start() {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	go func() { r.ended <- r.in.Run(ctx, r.emit) }()
}

func (r *rig) emit(ctx context.Context, b engine.Batch) error {
	if r.gate != nil {
		select {
		case <-r.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	r.emitted <- append([]engine.Record{}, b.Records...)
	return nil
}

func (r *rig) stop() {
	r.t.Helper()
	r.cancel()
	if err := <-r.ended; err != nil {
		r.t.Error(err)
	}
}

func (r *rig) close() {
	r.t.Helper()
	if err := r.in.(engine.Closer).Close(); err != nil {
		r.t.Error(err)
	}
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

// next returns n records.
func (r *rig) next(n int) (records []engine.Record) {
	r.t.Helper()
	for len(records) < n {
		select {
		case batch := <-r.emitted:
			records = append(records, batch...)
		case <-time.After(10 * time.Second):
			r.t.Fatalf("got %d records, want %d", len(records), n)
		}
	}
	return records
}

func TestUnixgramReceives(t *testing.T) {
	r := newRig(t, 100)
	r.start()
	c := r.dial()
	for _, d := range []string{`{"a":1}`, "{\"b\":2}\n", "{\"c\":3}\r\n\n{\"d\":4}\n", "\n", strings.Repeat("x", 70_000), strings.Repeat("y", 64<<10)} {
		if _, err := io.WriteString(c, d); err != nil {
			t.Fatal(err)
		}
	}
	got := r.next(6)
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
	r.stop()
	r.close()
	if _, err := os.Lstat(r.path); err == nil {
		t.Error("the socket file is still there")
	}
}

// The kernel holds some ten datagrams only; loading scripts takes longer than that.
func TestUnixgramDrainsBeforeItRuns(t *testing.T) {
	r := newRig(t, 5000)
	c := r.dial()
	for i := range 2000 {
		c.SetWriteDeadline(time.Now().Add(5 * time.Second))
		if _, err := fmt.Fprintf(c, `{"n":%d}`, i); err != nil {
			t.Fatalf("datagram %d: %v", i, err)
		}
	}
	r.start()
	for i, rec := range r.next(2000) {
		if want := fmt.Sprintf(`{"n":%d}`, i); rec.Body != want {
			t.Fatalf("got %s, want %s", rec.Body, want)
		}
	}
	r.stop()
	r.close()
}

func TestUnixgramCountsWhatTheQueueCannotHold(t *testing.T) {
	r := newRig(t, 10)
	r.gate = make(chan struct{})
	r.start()
	c := r.dial()
	const sent = 1000
	for i := range sent {
		if _, err := fmt.Fprintf(c, `{"n":%d}`, i); err != nil {
			t.Fatal(err)
		}
	}
	close(r.gate) // the pipeline is free again
	var got int64
	deadline := time.After(10 * time.Second)
	for got+r.dropped.Load() < sent {
		select {
		case b := <-r.emitted:
			got += int64(len(b))
		case <-time.After(time.Millisecond):
		case <-deadline:
			t.Fatalf("received %d + dropped %d of %d", got, r.dropped.Load(), sent)
		}
	}
	r.stop()
	r.close()
	if r.dropped.Load() == 0 || got+r.dropped.Load() != sent {
		t.Errorf("received %d + dropped %d, want %d together", got, r.dropped.Load(), sent)
	}
	if n := strings.Count(r.log.String(), "are lost"); n < 1 || n > 2 {
		t.Errorf("told %d times:\n%s", n, r.log.String())
	}
}

// What was received when the engine stops under a full pipeline is delivered or counted.
func TestUnixgramAccountsForEverythingWhenItStops(t *testing.T) {
	r := newRig(t, 5000)
	r.gate = make(chan struct{}, 2)
	r.start()
	c := r.dial()
	const sent = 1000
	for i := range sent {
		if _, err := fmt.Fprintf(c, `{"n":%d}`, i); err != nil {
			t.Fatal(err)
		}
	}
	r.gate <- struct{}{}
	got := int64(len(r.next(1)))
	go func() { // the pipeline gets free while it drains
		for range 100 {
			r.gate <- struct{}{}
		}
	}()
	r.stop()
	r.close()
	close(r.emitted)
	for b := range r.emitted {
		got += int64(len(b))
	}
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
	c.SetWriteDeadline(time.Now().Add(5 * time.Second))
	for i := range 50 {
		if _, err := fmt.Fprintf(c, `{"n":%d}`, i); err != nil {
			t.Fatal(err)
		}
	}
	for deadline := time.Now().Add(5 * time.Second); len(r.in.(*input).ring) < 50 && time.Now().Before(deadline); {
		runtime.Gosched()
	}
	r.close()
	if r.dropped.Load() != 50 {
		t.Errorf("counted %d, want 50", r.dropped.Load())
	}
}

func TestUnixgramStaysBoundBetweenRuns(t *testing.T) {
	r := newRig(t, 5000)
	r.start()
	c := r.dial()
	io.WriteString(c, "1")
	r.next(1)
	r.stop()
	io.WriteString(c, "2")
	r.start()
	io.WriteString(c, "3")
	if got := r.next(2); got[0].Body != "2" || got[1].Body != "3" {
		t.Errorf("got %+v", got)
	}
	r.stop()
	r.close()
}

func TestUnixgramSaysThatTheKernelsQueueIsShort(t *testing.T) {
	r := newRig(t, 10)
	defer r.close()
	text, err := os.ReadFile("/proc/sys/net/unix/max_dgram_qlen")
	if err != nil {
		t.Skip(err)
	}
	short := len(strings.TrimSpace(string(text))) < 3
	if told := strings.Contains(r.log.String(), "net.unix.max_dgram_qlen"); told != short {
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
