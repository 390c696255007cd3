// Package unixgram receives datagrams on a unix socket: unixgram://, and ipc:// as dragonfly-mle calls it (Suricata's
// unix_dgram). A sender does not wait: what the kernel's short queue cannot hold is lost to us without a trace. So a
// goroutine of its own empties the socket into a ring, and what the ring cannot hold is counted.
package unixgram

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
	"dragonfly/engine/input/internal/sock"
)

// Kind is unixgram:// and ipc://.
var Kind = engine.InputKind{
	Doc: "`unixgram://PATH` or `ipc://PATH`: receives datagrams on a unix socket, a record each or one per line (Suricata's `filetype: unix_dgram`). Relative paths are below the run directory. Senders do not wait: what does not fit in the queue is lost and counted.",
	Options: append([]engine.Option{
		{Key: "buffer", Type: engine.Bytes, Default: int64(8 << 20), Min: 4096, Max: 1 << 30, Doc: "Receive buffer of the socket in bytes."},
		{Key: "max_datagram", Type: engine.Bytes, Default: int64(1 << 20), Min: 1024, Max: 64 << 20, Doc: "Longest datagram in bytes; the beginning of a longer one goes to the dead letter."},
		{Key: "queue", Type: engine.Int, Default: int64(65536), Min: 1, Max: 1 << 24, Doc: "Datagrams held while the pipeline is full."},
		{Key: "queue_bytes", Type: engine.Bytes, Default: int64(64 << 20), Min: 1 << 20, Max: 1 << 40, Doc: "Their bytes together."},
	}, sock.Options...),
	New: New,
}

type input struct {
	socket  sock.Socket
	buffer  int
	most    int
	bytes   int64
	log     *slog.Logger
	dropped *atomic.Int64
	conn    *net.UnixConn
	ring    chan []engine.Record // written by receive, read by Run; never closed
	held    atomic.Int64         // bytes in ring
	told    atomic.Int64         // second of the last line about drops
}

var _ engine.Opener = (*input)(nil)
var _ engine.Closer = (*input)(nil)

// New implements the kind.
func New(p engine.Params) (engine.Input, error) {
	socket, err := sock.New("unixgram", p)
	if err != nil {
		return nil, err
	}
	return &input{socket: socket, buffer: int(p.Options.Int("buffer")), most: int(p.Options.Int("max_datagram")), bytes: p.Options.Int("queue_bytes"),
		log: p.Log, ring: make(chan []engine.Record, max(1, p.Options.Int("queue"))),
		dropped: p.Counter("datagrams_dropped_total", "Datagrams lost because the pipeline and the queue were full.")}, nil
}

// Open implements engine.Opener.
func (in *input) Open(context.Context) error {
	if in.conn != nil {
		return nil
	}
	if err := in.socket.Prepare(); err != nil {
		return err
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: in.socket.Path, Net: "unixgram"})
	if err != nil {
		return err
	}
	in.conn = conn
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, in.buffer) != nil {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, in.buffer)
		}
	})
	const file = "/proc/sys/net/unix/max_dgram_qlen"
	if text, err := os.ReadFile(file); err == nil {
		if n, _ := strconv.Atoi(strings.TrimSpace(string(text))); n < 512 {
			in.log.Warn("the kernel queues few datagrams per socket, a burst is lost before it can be counted; raise it: sysctl -w net.unix.max_dgram_qlen=512", "max_dgram_qlen", n)
		}
	}
	return in.socket.Permit()
}

// Close implements engine.Closer.
func (in *input) Close() error {
	if in.conn == nil {
		return nil
	}
	err := in.conn.Close()
	in.conn = nil
	return errors.Join(err, os.Remove(in.socket.Path))
}

// Run implements engine.Input.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	if err := in.Open(ctx); err != nil {
		return err
	}
	received := make(chan error, 1) // written by the receiving goroutine when it ends
	rctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() { received <- in.receive(rctx) }()
	for {
		select {
		case records := <-in.ring:
			if err := in.emit(ctx, records, emit); err != nil {
				cancel()
				<-received
				return nil
			}
		case err := <-received:
			if ctx.Err() != nil {
				return in.flush(emit)
			}
			return err
		}
	}
}

// flush emits what is in the ring when the input is told to end: its senders cannot send it again.
func (in *input) flush(emit engine.EmitFunc) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	for {
		select {
		case records := <-in.ring:
			if err := in.emit(ctx, records, emit); err != nil {
				return nil
			}
		default:
			return nil
		}
	}
}

// emit hands records to the engine, together with what else is in the ring.
func (in *input) emit(ctx context.Context, records []engine.Record, emit engine.EmitFunc) error {
	const most = 256
	for more := true; more && len(records) < most; {
		select {
		case next := <-in.ring:
			records = append(records, next...)
		default:
			more = false
		}
	}
	var bytes int64
	for i := range records {
		bytes += int64(len(records[i].Body))
	}
	err := emit(ctx, engine.Batch{Origin: "unixgram://" + in.socket.Path, Records: records})
	in.held.Add(-bytes)
	if err != nil {
		in.drop(len(records))
	}
	return err
}

// receive empties the socket into the ring until ctx ends; then it takes what the kernel still holds.
func (in *input) receive(ctx context.Context) error {
	conn := in.conn
	conn.SetReadDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)) })
	defer stop()
	buf := make([]byte, in.most)
	for {
		n, _, flags, _, err := conn.ReadMsgUnix(buf, nil)
		if err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && ctx.Err() != nil {
				return nil
			}
			return err
		}
		in.put(buf[:n], flags&syscall.MSG_TRUNC != 0)
	}
}

// put queues the records of one datagram, or counts it as lost.
func (in *input) put(datagram []byte, truncated bool) {
	if in.held.Load()+int64(len(datagram)) > in.bytes {
		in.drop(1)
		return
	}
	body := bytes.Clone(bytes.TrimSpace(datagram))
	if len(body) == 0 {
		return
	}
	text := unsafe.String(&body[0], len(body))
	var records []engine.Record
	if truncated {
		records = []engine.Record{{Body: text[:min(len(text), 4096)], Offset: -1, Reject: engine.ReasonTruncated}}
	} else {
		for line := range strings.SplitSeq(text, "\n") {
			if line = strings.TrimSpace(line); line != "" {
				records = append(records, engine.Record{Body: line, Offset: -1})
			}
		}
	}
	var size int64
	for i := range records {
		size += int64(len(records[i].Body))
	}
	in.held.Add(size)
	select {
	case in.ring <- records:
	default: // the ring is full: counted, and told to the operator
		in.held.Add(-size)
		in.drop(1)
	}
}

func (in *input) drop(n int) {
	total := in.dropped.Add(int64(n))
	if now := time.Now().Unix(); in.told.Swap(now) != now {
		in.log.Warn("datagrams are lost: the pipeline does not keep up and the queue is full", "lost_so_far", total)
	}
}
