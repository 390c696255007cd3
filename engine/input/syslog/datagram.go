package syslog

import (
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
	"dragonfly/engine/input/internal/listen"
	"dragonfly/engine/input/internal/sock"
)

// datagrams receives on a socket whose senders do not wait: a goroutine of its own empties it into a queue.
type datagrams struct {
	address string       // UDP
	socket  *sock.Socket // nil: UDP
	buffer  int
	max     int
	bytes   int64
	decoder *decoder
	counters
	dropped, missed *atomic.Int64 // by us; by the kernel
	log             *slog.Logger

	conn   packetConn
	queue  chan datagram // written by receive, read by Run and Close; never closed
	held   atomic.Int64  // bytes in queue
	told   atomic.Int64  // Unix time in ns of the last line about drops
	broken chan error    // why receive ended, written once by it
	wg     sync.WaitGroup
}

type packetConn interface {
	net.PacketConn
	SyscallConn() (syscall.RawConn, error)
}

type datagram struct {
	text string
	peer string // address of the sender
	cut  bool   // longer than max_message
}

var _ engine.Opener = (*datagrams)(nil)
var _ engine.Closer = (*datagrams)(nil)
var _ engine.PortUser = (*datagrams)(nil)

func newDatagram(p engine.Params) (engine.Input, error) {
	in := &datagrams{buffer: int(p.Options.Int("buffer")), max: int(p.Options.Int("max_message")), bytes: p.Options.Int("queue_bytes"), log: p.Log,
		queue: make(chan datagram, max(1, p.Options.Int("queue")))}
	var err, err2 error
	if p.Scheme == "syslog+unixgram" {
		var socket sock.Socket
		socket, err = sock.New("unixgram", p)
		in.socket = &socket
	} else {
		in.address, err = listen.HostPort(p, 514)
	}
	in.decoder, err2 = newDecoder(p, in.socket != nil)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	in.counters = newCounters(p)
	in.dropped = p.Counter("datagrams_dropped_total", "Datagrams lost because the pipeline and the queue were full.")
	in.missed = p.Counter("datagrams_dropped_by_kernel_total", "Datagrams that the kernel dropped because the socket's buffer was full; known with the next one that arrives.")
	return in, nil
}

// Open implements engine.Opener: from now on the socket is emptied.
func (in *datagrams) Open(ctx context.Context) error {
	if in.conn != nil {
		return nil
	}
	if err := in.bind(ctx); err != nil {
		return err
	}
	raw, err := in.conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, in.buffer) != nil {
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, in.buffer)
			}
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RXQ_OVFL, 1)
		})
	}
	if err != nil {
		return errors.Join(err, in.unbind())
	}
	in.broken = make(chan error, 1)
	in.wg.Go(in.receive)
	return nil
}

func (in *datagrams) bind(ctx context.Context) error {
	if in.socket == nil {
		c, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", in.address)
		if err == nil {
			in.conn = c.(*net.UDPConn)
		}
		return err
	}
	c, err := in.socket.ListenPacket()
	if err == nil {
		in.conn = c
	}
	return err
}

func (in *datagrams) unbind() error {
	err := in.conn.Close()
	in.conn = nil
	if in.socket != nil {
		err = errors.Join(err, in.socket.Remove())
	}
	return err
}

// Close implements engine.Closer. What nobody has taken is counted as lost.
func (in *datagrams) Close() error {
	if in.conn == nil {
		return nil
	}
	in.conn.SetReadDeadline(time.Unix(1, 0))
	in.wg.Wait()
	err := in.unbind()
	for len(in.queue) > 0 {
		in.held.Add(-int64(len((<-in.queue).text)))
		in.drop(in.dropped, 1)
	}
	return err
}

const (
	settle   = 50 * time.Millisecond // how long the end waits for what the kernel still holds
	patience = 5 * time.Second       // how long the end waits for room in the pipeline
)

// Run implements engine.Input. When ctx ends it still emits what has been received: its senders cannot send it again.
func (in *datagrams) Run(ctx context.Context, emit engine.EmitFunc) error {
	if err := in.Open(ctx); err != nil {
		return err
	}
	late, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var quiet <-chan time.Time // set at the end
	ending := ctx.Done()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(patience, cancel) })()
	for {
		var first datagram
		select {
		case first = <-in.queue:
		default:
			select {
			case first = <-in.queue:
			case err := <-in.broken:
				return errors.Join(err, in.Close()) // the next Run binds anew
			case <-ending:
				ending, quiet = nil, time.After(settle)
				continue
			case <-quiet:
				if late.Err() != nil || !listen.Readable(in.conn) {
					return nil
				}
				quiet = time.After(settle) // receive has not come to it yet
				continue
			}
		}
		records, size, raw := in.more(first)
		err := error(nil)
		if len(records) > 0 {
			err = emit(late, engine.Batch{Origin: in.origin(), Records: records})
		}
		in.held.Add(-size)
		if err != nil { // what is in the queue waits for the next Run, or Close
			in.drop(in.dropped, raw)
			return nil
		}
	}
}

func (in *datagrams) origin() string {
	if in.socket != nil {
		return "syslog+unixgram://" + in.socket.Path
	}
	return "syslog+udp://" + in.address
}

// more makes records of d and of what else is queued, up to a good batch. size is what they take in the queue, raw their number.
func (in *datagrams) more(d datagram) (records []engine.Record, size int64, raw int) {
	const most = 256
	for {
		size += int64(len(d.text))
		raw++
		one := [1]engine.Record{{Body: d.text}}
		if d.cut {
			one[0] = engine.Record{Body: d.text[:min(len(d.text), keepLong)], Reject: engine.ReasonTooLong}
		}
		records = append(records, in.decoder.decode(one[:], d.peer, in.counters)...)
		if raw == most {
			return records, size, raw
		}
		select {
		case d = <-in.queue:
		default:
			return records, size, raw
		}
	}
}

// receive empties the socket into the queue until it is closed.
func (in *datagrams) receive() {
	buf, oob := make([]byte, min(in.max, 64<<10)+1), make([]byte, 64)
	if in.socket != nil {
		buf = make([]byte, in.max+1) // datagrams of unix sockets may be longer
	}
	kernel := uint32(0)
	peers := peers{}
	for {
		var n, noob, flags int
		var peer string
		var err error
		switch c := in.conn.(type) {
		case *net.UDPConn:
			var from netip.AddrPort
			n, noob, flags, from, err = c.ReadMsgUDPAddrPort(buf, oob)
			peer = peers.name(from.Addr())
		case *net.UnixConn:
			n, noob, flags, _, err = c.ReadMsgUnix(buf, oob)
		}
		switch {
		case err == nil:
			in.put(datagram{text: string(buf[:n]), peer: peer, cut: n > in.max || flags&syscall.MSG_TRUNC != 0})
			in.count(oob[:noob], &kernel)
		case errors.Is(err, syscall.EINTR), errors.Is(err, syscall.ENOBUFS), errors.Is(err, syscall.ENOMEM), errors.Is(err, syscall.ECONNREFUSED):
		default:
			in.broken <- err
			return
		}
	}
}

// peers remembers how senders are written: there are few.
type peers map[netip.Addr]string

func (p peers) name(a netip.Addr) string {
	if name, ok := p[a]; ok {
		return name
	}
	if len(p) >= 4096 {
		clear(p)
	}
	name := a.Unmap().WithZone("").String()
	p[a] = name
	return name
}

// count reads how many datagrams the kernel has dropped (SO_RXQ_OVFL).
func (in *datagrams) count(oob []byte, last *uint32) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return
	}
	for _, m := range messages {
		if m.Header.Level != unix.SOL_SOCKET || m.Header.Type != unix.SO_RXQ_OVFL || len(m.Data) < 4 {
			continue
		}
		now := binary.NativeEndian.Uint32(m.Data)
		if n := now - *last; n > 0 {
			in.drop(in.missed, int(n))
		}
		*last = now
	}
}

// put queues one datagram, or counts it as lost.
func (in *datagrams) put(d datagram) {
	size := int64(len(d.text))
	if in.held.Add(size) <= in.bytes {
		select {
		case in.queue <- d:
			return
		default:
		}
	}
	in.held.Add(-size)
	in.drop(in.dropped, 1)
}

// drop counts n losses and says so, once a second at most.
func (in *datagrams) drop(c *atomic.Int64, n int) {
	total := c.Add(int64(n))
	now, told := time.Now().UnixNano(), in.told.Load()
	if now-told < int64(time.Second) || !in.told.CompareAndSwap(told, now) {
		return
	}
	if c == in.missed {
		in.log.Warn("datagrams are lost: the kernel's buffer was full; raise the row's option buffer (net.core.rmem_max, without privileges)", "lost_so_far", total)
		return
	}
	in.log.Warn("datagrams are lost: the pipeline does not keep up and the queue is full", "lost_so_far", total)
}

// Paths implements engine.PathUser.
func (in *datagrams) Paths() []engine.PathUse {
	if in.socket == nil {
		return nil
	}
	return in.socket.Paths()
}

// Ports implements engine.PortUser: no TCP.
func (*datagrams) Ports() ([]engine.PortUse, bool) { return nil, false }
