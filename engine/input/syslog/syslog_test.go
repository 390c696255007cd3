package syslog

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"dragonfly/engine"
)

// deadline of whatever a test waits for: the machine may be slow.
const deadline = 60 * time.Second

// rig runs an input and keeps what it emits.
type rig struct {
	t        *testing.T
	in       engine.Input
	mu       sync.Mutex
	counters map[string]*atomic.Int64
	log      bytes.Buffer
	cancel   context.CancelFunc
	ended    chan error
	emitted  chan engine.Record
	gate     chan struct{} // emit takes a token first; nil lets all pass
}

func newRig(t *testing.T, kind engine.InputKind, scheme, address string, set engine.Values) *rig {
	t.Helper()
	r := &rig{t: t, counters: map[string]*atomic.Int64{}, emitted: make(chan engine.Record, 1<<17), ended: make(chan error, 1)}
	options := engine.Values{}
	for _, o := range kind.Options {
		if o.Default != nil {
			options[o.Key] = o.Default
		}
	}
	for k, v := range set {
		options[k] = v
	}
	in, err := kind.New(engine.Params{Tag: "s", URI: scheme + "://" + address, Scheme: scheme, Address: address, Options: options, Log: slog.New(slog.NewTextHandler(r, nil)),
		Read: os.ReadFile, Counter: func(name, _ string) *atomic.Int64 { r.counters[name] = new(atomic.Int64); return r.counters[name] }})
	if err != nil {
		t.Fatal(err)
	}
	r.in = in
	if err := in.(engine.Opener).Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.log.Write(b)
}

func (r *rig) start() *rig {
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel = cancel
	go func() { r.ended <- r.in.Run(ctx, r.emit) }()
	r.t.Cleanup(r.stop)
	return r
}

func (r *rig) stop() {
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
	case <-time.After(deadline):
		r.t.Error("Run does not end")
	}
	if err := r.in.(engine.Closer).Close(); err != nil {
		r.t.Errorf("Close: %v", err)
	}
}

func (r *rig) emit(ctx context.Context, b engine.Batch) error {
	if r.gate != nil {
		select {
		case <-r.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	for _, rec := range b.Records {
		r.emitted <- rec
	}
	if b.Done != nil {
		b.Done()
	}
	return nil
}

func (r *rig) next() engine.Record {
	r.t.Helper()
	select {
	case rec := <-r.emitted:
		return rec
	case <-time.After(deadline):
		r.mu.Lock()
		defer r.mu.Unlock()
		r.t.Fatalf("nothing is emitted; log: %s", r.log.String())
		panic("unreachable")
	}
}

func (r *rig) address() string {
	switch in := r.in.(type) {
	case *streams:
		return in.Addr().String()
	case *datagrams:
		return in.conn.LocalAddr().String()
	}
	panic("BUG")
}

func send(t *testing.T, network, address, text string) net.Conn {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if _, err := conn.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func TestEachTransportReceives(t *testing.T) {
	path := filepath.Join(t.TempDir(), "log")
	for _, c := range []struct {
		kind            engine.InputKind
		scheme, address string
		network         string
		text            string
		host            string
	}{
		{UDPKind, "syslog+udp", "127.0.0.1:0", "udp", "<30>Nov 21 10:00:00 a: text", "127.0.0.1"},
		{TCPKind, "syslog+tcp", "127.0.0.1:0", "tcp", "27 <30>Nov 21 10:00:00 a: text", "127.0.0.1"},
		{TCPKind, "syslog+tcp", "[::1]:0", "tcp", "<30>Nov 21 10:00:00 a: text\n", "::1"},
		{UnixKind, "syslog+unix", path, "unix", "<30>Nov 21 10:00:00 a: text\n", ""},
		{UnixgramKind, "syslog+unixgram", path + "2", "unixgram", "<30>Nov 21 10:00:00 a: text", ""},
	} {
		if c.host == "" {
			c.host, _ = os.Hostname()
		}
		r := newRig(t, c.kind, c.scheme, c.address, nil).start()
		send(t, c.network, r.address(), c.text)
		got := r.next()
		want := fmt.Sprintf(`"event_type":"syslog","host":%q,"syslog":{"pri":30,"facility":"daemon","severity":"info","app":"a","message":"text"}}`, c.host)
		if !strings.HasSuffix(got.Body, want) {
			t.Errorf("%s: got %s, want ...%s", c.scheme, got.Body, want)
		}
		r.stop()
	}
}

func TestWhatWasSentBeforeTheEndIsEmitted(t *testing.T) {
	for _, network := range []string{"udp", "tcp"} {
		kind := UDPKind
		if network == "tcp" {
			kind = TCPKind
		}
		r := newRig(t, kind, "syslog+"+network, "127.0.0.1:0", nil)
		conn := send(t, network, r.address(), "<30>a: 0\n")
		r.start()
		r.next()
		for i := 1; i < 200; i++ {
			fmt.Fprintf(conn, "<30>a: %d\n", i)
		}
		r.stop()
		if len(r.emitted) != 199 {
			t.Errorf("%s: got %d of 199 messages", network, len(r.emitted))
		}
	}
}

func TestDatagramsThatDoNotFitAreCounted(t *testing.T) {
	r := newRig(t, UnixgramKind, "syslog+unixgram", filepath.Join(t.TempDir(), "log"), engine.Values{"queue": int64(3), "max_message": int64(480)})
	r.gate = make(chan struct{}, 1000)
	conn := send(t, "unixgram", r.address(), "<30>a: first")
	const sent = 100
	for range sent - 1 {
		fmt.Fprint(conn, "<30>a: x"+strings.Repeat("y", 1000))
	}
	in := r.in.(*datagrams)
	for end := time.Now().Add(deadline); in.dropped.Load()+int64(len(in.queue)) < sent; {
		if time.Now().After(end) {
			t.Fatalf("%d dropped, %d queued of %d", in.dropped.Load(), len(in.queue), sent)
		}
		time.Sleep(time.Millisecond)
	}
	close(r.gate)
	r.start()
	r.next()
	if got := r.next(); got.Reject != engine.ReasonTooLong {
		t.Errorf("got %+v", got)
	}
	r.stop()
	if total := in.dropped.Load() + int64(len(r.emitted)) + 2; total != sent {
		t.Errorf("%d dropped and emitted, want %d", total, sent)
	}
}

func TestKernelDropsAreCounted(t *testing.T) {
	in := &datagrams{dropped: new(atomic.Int64), missed: new(atomic.Int64), log: slog.New(slog.DiscardHandler)}
	in.address, in.buffer, in.max, in.bytes, in.queue = "127.0.0.1:0", 4096, 1<<16, 1<<30, make(chan datagram, 1<<16)
	if err := in.bind(t.Context()); err != nil {
		t.Fatal(err)
	}
	conn := send(t, "udp", in.conn.LocalAddr().String(), "<30>a: 0")
	addr := in.conn.LocalAddr().String()
	in.conn.Close()
	in.conn, in.address = nil, addr
	conn.Write(nil) // clears the error that the closed socket left
	if err := in.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	for end := time.Now().Add(deadline); in.missed.Load() == 0; {
		if time.Now().After(end) {
			t.Fatal("the kernel has dropped nothing")
		}
		for range 2000 {
			conn.Write(bytes.Repeat([]byte("x"), 1400))
		}
		for len(in.queue) > 0 {
			<-in.queue
		}
	}
}

func TestMistakesInRows(t *testing.T) {
	for _, c := range []struct {
		kind            engine.InputKind
		scheme, address string
		set             engine.Values
		want            string
	}{
		{UDPKind, "syslog+udp", "fw1.example:514", nil, "want the address to listen on"},
		{UDPKind, "syslog+udp", ":70000", nil, "want the address to listen on"},
		{TLSKind, "syslog+tls", ":6514", nil, "needs tls_cert"},
		{TCPKind, "syslog+tcp", ":514", engine.Values{"zone": "Mars"}, "no time zone"},
		{UnixKind, "syslog+unix", "", nil, "names no socket"},
	} {
		set := engine.Values{}
		for k, v := range c.set {
			set[k] = v
		}
		_, err := c.kind.New(engine.Params{URI: c.scheme + "://" + c.address, Scheme: c.scheme, Address: c.address, Options: set, Log: slog.New(slog.DiscardHandler),
			Counter: func(string, string) *atomic.Int64 { return new(atomic.Int64) }})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s://%s: got %v, want %q", c.scheme, c.address, err, c.want)
		}
	}
}

// TestLogger receives what util-linux' logger sends, in all its forms.
func TestLogger(t *testing.T) {
	logger, err := exec.LookPath("logger")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("logger (util-linux) is not installed")
	}
	tcp := newRig(t, TCPKind, "syslog+tcp", "127.0.0.1:0", nil).start()
	udp := newRig(t, UDPKind, "syslog+udp", "127.0.0.1:0", nil).start()
	gram := newRig(t, UnixgramKind, "syslog+unixgram", filepath.Join(t.TempDir(), "log"), nil).start()
	_, tcpPort, _ := net.SplitHostPort(tcp.address())
	_, udpPort, _ := net.SplitHostPort(udp.address())
	for _, c := range []struct {
		r    *rig
		args string
	}{
		{tcp, "-n 127.0.0.1 -T -P " + tcpPort + " --rfc5424 --octet-count"}, {tcp, "-n 127.0.0.1 -T -P " + tcpPort + " --rfc3164"}, {tcp, "-n 127.0.0.1 -T -P " + tcpPort + " --rfc5424"},
		{udp, "-n 127.0.0.1 -d -P " + udpPort + " --rfc5424 --sd-id zoo@123 --sd-param tiger=\"x\""}, {udp, "-n 127.0.0.1 -d -P " + udpPort + " --rfc3164"},
		{gram, "-u " + gram.address()},
	} {
		args := append(strings.Fields(c.args), "-t", "dragon", "-i", "-p", "local3.warning", "--", `it "flies"`)
		if out, err := exec.Command(logger, args...).CombinedOutput(); err != nil {
			t.Fatalf("logger %s: %v %s", c.args, err, out)
		}
		got := c.r.next().Body
		for _, want := range []string{`"facility":"local3","severity":"warning"`, `"app":"dragon"`, `"procid":"`, `"message":"it \"flies\""`, `"host":"`} {
			if !strings.Contains(got, want) {
				t.Errorf("logger %s: got %s, want %s", c.args, got, want)
			}
		}
	}
}
