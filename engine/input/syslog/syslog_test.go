package syslog

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/test/parts"
	test "dragonfly/test/rig"
)

// rig runs an input, whose batches are finished at once.
type rig struct{ *test.Input }

func newRig(t *testing.T, kind engine.InputKind, scheme, address string, set engine.Values) *rig {
	t.Helper()
	r := test.NewInput(t, kind, scheme+"://"+address, set)
	r.Ack = true
	return &rig{r}
}

func (r *rig) start() *rig {
	r.Start()
	return r
}

func (r *rig) address() string {
	switch in := r.In.(type) {
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
		got := r.Record()
		want := fmt.Sprintf(`"event_type":"syslog","host":%q,"syslog":{"pri":30,"facility":"daemon","severity":"info","app":"a","message":"text"}}`, c.host)
		if !strings.HasSuffix(got.Body, want) {
			t.Errorf("%s: got %s, want ...%s", c.scheme, got.Body, want)
		}
		r.Close()
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
		r.Record()
		for i := 1; i < 200; i++ {
			fmt.Fprintf(conn, "<30>a: %d\n", i)
		}
		r.Close()
		if left := len(r.Left()); left != 199 {
			t.Errorf("%s: got %d of 199 messages", network, left)
		}
	}
}

func TestDatagramsThatDoNotFitAreCounted(t *testing.T) {
	r := newRig(t, UnixgramKind, "syslog+unixgram", filepath.Join(t.TempDir(), "log"), engine.Values{"queue": int64(3), "max_message": int64(480)})
	r.Gate = make(chan struct{}, 1000)
	conn := send(t, "unixgram", r.address(), "<30>a: first")
	const sent = 100
	for range sent - 1 {
		fmt.Fprint(conn, "<30>a: x"+strings.Repeat("y", 1000))
	}
	in := r.In.(*datagrams)
	parts.Until(t, "all are queued or dropped", func() bool { return in.dropped.Load()+int64(len(in.queue)) >= sent })
	close(r.Gate)
	r.start()
	r.Record()
	if got := r.Record(); got.Reject != engine.ReasonTooLong {
		t.Errorf("got %+v", got)
	}
	r.Close()
	if total := in.dropped.Load() + int64(len(r.Left())) + 2; total != sent {
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
	for end := time.Now().Add(parts.Deadline); in.missed.Load() == 0; {
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
		_, err := c.kind.New((&test.Row{}).Params(c.kind.Options, c.scheme+"://"+c.address, c.set))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s://%s: got %v, want %q", c.scheme, c.address, err, c.want)
		}
	}
}

// TestLogger receives what util-linux' logger sends, in all its forms.
func TestLogger(t *testing.T) {
	parts.Needs(t, "logger")
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
		if out, err := exec.Command("logger", args...).CombinedOutput(); err != nil {
			t.Fatalf("logger %s: %v %s", c.args, err, out)
		}
		got := c.r.Record().Body
		for _, want := range []string{`"facility":"local3","severity":"warning"`, `"app":"dragon"`, `"procid":"`, `"message":"it \"flies\""`, `"host":"`} {
			if !strings.Contains(got, want) {
				t.Errorf("logger %s: got %s, want %s", c.args, got, want)
			}
		}
	}
}
