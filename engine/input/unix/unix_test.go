package unix

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dragonfly/engine"
)

// rig runs an input on a socket of its own and keeps what it emits.
type rig struct {
	t       *testing.T
	path    string
	in      *input
	counted atomic.Int64
	cancel  context.CancelFunc
	ended   chan error
	emitted chan engine.Record
	gate    chan struct{} // emit waits until it is closed; nil lets all pass
}

func newRig(t *testing.T, clients int64) *rig {
	r := &rig{t: t, path: filepath.Join(t.TempDir(), "s"), emitted: make(chan engine.Record, 1<<17)}
	in, err := New(engine.Params{Tag: "eve", Address: r.path, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Options: engine.Values{"mode": "0660", "max_line": int64(1 << 20), "max_clients": clients},
		Counter: func(string, string) *atomic.Int64 { return &r.counted }})
	if err != nil {
		t.Fatal(err)
	}
	r.in = in.(*input)
	if err := r.in.Open(t.Context()); err != nil {
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
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, rec := range b.Records {
		r.emitted <- rec
	}
	return nil
}

func (r *rig) stop() {
	r.t.Helper()
	r.cancel()
	select {
	case err := <-r.ended:
		if err != nil {
			r.t.Error(err)
		}
	case <-time.After(10 * time.Second):
		r.t.Fatal("does not end with its context")
	}
	if err := r.in.Close(); err != nil {
		r.t.Error(err)
	}
}

func (r *rig) dial() *net.UnixConn {
	r.t.Helper()
	c, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: r.path, Net: "unix"})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	return c
}

// want waits for these records, in any order.
func (r *rig) want(bodies ...string) {
	r.t.Helper()
	var got []string
	for range bodies {
		select {
		case rec := <-r.emitted:
			got = append(got, rec.Body)
		case <-time.After(10 * time.Second):
			r.t.Fatalf("got %q, want %q", got, bodies)
		}
	}
	slices.Sort(got)
	slices.Sort(bodies)
	if !slices.Equal(got, bodies) {
		r.t.Fatalf("got %q, want %q", got, bodies)
	}
}

func TestUnixServesSeveralClients(t *testing.T) {
	r := newRig(t, 64)
	r.start()
	a, b := r.dial(), r.dial()
	io.WriteString(a, `{"a":`)
	io.WriteString(b, "{\"b\":1}\n{\"b\":2}\r\n")
	r.want(`{"b":1}`, `{"b":2}`)
	io.WriteString(a, "1}\n")
	r.want(`{"a":1}`)
	r.stop()
	if _, err := os.Lstat(r.path); err == nil {
		t.Error("the socket file is still there")
	}
}

func TestUnixTakesThePartialLineOfAClientThatGoes(t *testing.T) {
	r := newRig(t, 64)
	r.start()
	c := r.dial()
	io.WriteString(c, "{\"a\":1}\n{\"b\":")
	c.Close()
	r.want(`{"a":1}`, `{"b":`)
	r.stop()
}

func TestUnixSeparatesGluedEvents(t *testing.T) {
	whole, cut := `{"timestamp":"2026-11-20","n":1}`, `{"timestamp":"2026-11-20","pay`
	nested := `{"timestamp":"2026-11-20","x":{"timestamp":"old"}}`
	for name, c := range map[string]struct {
		line string
		want []string
	}{
		"whole":            {whole, []string{whole}},
		"cut and whole":    {cut + whole, []string{cut, whole}},
		"two cut":          {cut + cut + whole, []string{cut + cut, whole}},
		"newline lost":     {whole + whole, []string{whole, whole}},
		"nested":           {nested, []string{nested}},
		"cut and nested":   {cut + nested, []string{cut, nested}},
		"in a string":      {`{"timestamp":"x","s":"{\"timestamp\":1}"}`, []string{`{"timestamp":"x","s":"{\"timestamp\":1}"}`}},
		"nothing to save":  {cut + cut, []string{cut + cut}},
		"not JSON at all":  {"hello", []string{"hello"}},
		"too many to mend": {strings.Repeat(`{"timestamp":`, 50_000), []string{strings.Repeat(`{"timestamp":`, 50_000)}},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, 64)
			r.start()
			io.WriteString(r.dial(), "{\"first\":1}\n"+c.line+"\n{\"last\":1}\n")
			r.want(append(c.want, `{"first":1}`, `{"last":1}`)...)
			r.stop()
			if want := int64(len(c.want) - 1); r.counted.Load() != want {
				t.Errorf("counted %d, want %d", r.counted.Load(), want)
			}
		})
	}
}

func TestUnixLetsFurtherClientsWait(t *testing.T) {
	r := newRig(t, 1)
	r.start()
	a := r.dial()
	io.WriteString(a, "a\n")
	r.want("a")
	b := r.dial()
	io.WriteString(b, "b\n")
	a.Close()
	r.want("b")
	r.stop()
}

// A fault of accept must not leave the clients that are there alone with a listener that is deaf.
func TestUnixGoesOnAfterAFaultOfAccept(t *testing.T) {
	r := newRig(t, 64)
	r.start()
	a := r.dial()
	io.WriteString(a, "a\n")
	r.want("a")
	r.in.listener.SetDeadline(time.Unix(1, 0)) // accept fails
	select {
	case err := <-r.ended:
		if err == nil {
			t.Error("got no error")
		}
		r.start() // as the engine does
	case <-time.After(time.Second): // or it has gone on by itself
	}
	r.in.listener.SetDeadline(time.Time{})
	io.WriteString(r.dial(), "b\n")
	r.want("b")
	r.stop()
}

// What a client has sent when the engine stops under a full pipeline is still delivered.
func TestUnixDeliversWhatWasSentWhenItStops(t *testing.T) {
	r := newRig(t, 64)
	r.gate = make(chan struct{})
	r.start()
	c := r.dial()
	var want []string
	for i := range 1000 {
		want = append(want, fmt.Sprintf(`{"n":%d}`, i))
	}
	io.WriteString(c, strings.Join(want, "\n")+"\n")
	io.WriteString(c, `{"partial":1}`)
	r.cancel()
	close(r.gate) // the pipeline gets free while it drains
	r.want(append(want, `{"partial":1}`)...)
	r.stop()
}

func TestUnixSetsPermissions(t *testing.T) {
	r := newRig(t, 64)
	defer r.in.Close()
	if info, err := os.Lstat(r.path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
}

func BenchmarkResync(b *testing.B) {
	in := &input{}
	line := `{"timestamp":"2026-11-20T10:00:00.000000+0000","flow_id":1598023201615874,` + string(bytes.Repeat([]byte(`"key":{"a":1,"b":"text"},`), 17)) + `"last":1}`
	records := []engine.Record{{Body: line}}
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		in.resync(records)
	}
}
