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
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
	"dragonfly/engine/input/internal/listen"
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
	ring    chan []engine.Record // written by receive, read by Run and Close; never closed
	held    atomic.Int64         // bytes in ring
	told    atomic.Int64         // Unix time in ns of the last line about drops
	broken  chan error           // why receive ended, written once by it
	wg      sync.WaitGroup       // receive; waited for by Close
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

// Open implements engine.Opener: from now on the socket is emptied into the ring.
func (in *input) Open(context.Context) error {
	if in.conn != nil {
		return nil
	}
	conn, err := in.socket.ListenPacket()
	if err != nil {
		return err
	}
	if err := enlarge(conn, in.buffer); err != nil {
		return errors.Join(err, conn.Close(), in.socket.Remove())
	}
	in.warnShort()
	in.conn, in.broken = conn, make(chan error, 1)
	in.wg.Go(in.receive)
	return nil
}

// enlarge sets the receive buffer, beyond net.core.rmem_max if we may.
func enlarge(conn *net.UnixConn, bytes int) error {
	raw, err := conn.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, bytes) != nil {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, bytes)
		}
	})
}

// warnShort tells the operator if the kernel's own queue, which was fixed when the socket was made, is short.
func (in *input) warnShort() {
	const file, want = "/proc/sys/net/unix/max_dgram_qlen", 512
	text, err := os.ReadFile(file)
	if err != nil {
		return
	}
	if n, _ := strconv.Atoi(strings.TrimSpace(string(text))); n < want {
		in.log.Warn("the kernel queues few datagrams per socket, a burst is lost before it can be counted; raise it and start again: sysctl -w net.unix.max_dgram_qlen=512", "max_dgram_qlen", n)
	}
}

// Close implements engine.Closer. What nobody has taken is counted as lost.
func (in *input) Close() error {
	if in.conn == nil {
		return nil
	}
	err := in.conn.Close()
	in.wg.Wait()
	in.conn = nil
	for len(in.ring) > 0 {
		records := <-in.ring
		in.held.Add(-size(records))
		in.drop(len(records))
	}
	return errors.Join(err, in.socket.Remove())
}

// Run implements engine.Input.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	if err := in.Open(ctx); err != nil {
		return err
	}
	for {
		select {
		case records := <-in.ring:
			records = in.more(records)
			if in.emit(ctx, records, emit) != nil {
				in.flush(records, emit)
				return nil
			}
		case err := <-in.broken:
			return errors.Join(err, in.Close()) // the next Run binds anew
		case <-ctx.Done():
			in.flush(nil, emit)
			return nil
		}
	}
}

const (
	settle   = 50 * time.Millisecond // how long flush waits for what the kernel still holds
	patience = 5 * time.Second       // how long flush waits for room in the pipeline
)

// flush emits records, and what else has been received when the input is told to end: its senders cannot send it again.
func (in *input) flush(records []engine.Record, emit engine.EmitFunc) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	quiet := time.After(settle)
	for {
		if len(records) > 0 && in.emit(ctx, records, emit) != nil {
			in.held.Add(-size(records))
			in.drop(len(records))
			return // what is in the ring waits for the next Run, or Close
		}
		select {
		case records = <-in.ring:
			records = in.more(records)
			continue
		default:
		}
		select {
		case records = <-in.ring:
			records = in.more(records)
		case <-quiet:
			if ctx.Err() != nil || !listen.Readable(in.conn) {
				return
			}
			quiet = time.After(settle) // receive has not come to it yet
		}
	}
}

// more adds to records what else is in the ring, up to a good batch.
func (in *input) more(records []engine.Record) []engine.Record {
	const most = 256
	for len(records) < most {
		select {
		case next := <-in.ring:
			records = append(records, next...)
		default:
			return records
		}
	}
	return records
}

func size(records []engine.Record) (bytes int64) {
	for i := range records {
		bytes += int64(len(records[i].Body))
	}
	return bytes
}

func (in *input) emit(ctx context.Context, records []engine.Record, emit engine.EmitFunc) error {
	err := emit(ctx, engine.Batch{Origin: "unixgram://" + in.socket.Path, Records: records})
	if err == nil {
		in.held.Add(-size(records))
	}
	return err
}

// receive empties the socket into the ring until it is closed.
func (in *input) receive() {
	buf := make([]byte, in.most)
	for {
		n, _, flags, _, err := in.conn.ReadMsgUnix(buf, nil)
		switch {
		case err == nil:
			in.put(buf[:n], flags&syscall.MSG_TRUNC != 0)
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM):
		default:
			in.broken <- err
			return
		}
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
	bytes := size(records)
	in.held.Add(bytes)
	select {
	case in.ring <- records:
	default: // the ring is full: counted, and told to the operator
		in.held.Add(-bytes)
		in.drop(1)
	}
}

// drop counts n losses and says so, once a second at most. It is called by receive and Run.
func (in *input) drop(n int) {
	total := in.dropped.Add(int64(n))
	now, told := time.Now().UnixNano(), in.told.Load()
	if now-told >= int64(time.Second) && in.told.CompareAndSwap(told, now) {
		in.log.Warn("datagrams are lost: the pipeline does not keep up and the queue is full", "lost_so_far", total)
	}
}

// Paths implements engine.PathUser.
func (in *input) Paths() []engine.PathUse { return in.socket.Paths() }
