// Package forward receives the Fluent forward protocol, as Fluent Bit and fluentd send it: forward://. It takes all modes
// (Message, Forward, PackedForward, CompressedPackedForward with gzip or zstd), messages in JSON too, and does the handshake with
// a shared key and a user. A client that asks for acks gets one when all events of its message are finished, so it is at least
// once from end to end.
package forward

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/input/internal/listen"
	"dragonfly/engine/wire"
)

// port is what the protocol has by default.
const port = 24224

// Kind is forward://.
var Kind = engine.InputKind{
	Doc: "`forward://[ADDRESS]:PORT` (24224 if left out): receives the Fluent forward protocol (Fluent Bit, fluentd), in all its modes. An event is the record's JSON, with its tag and time; a chunk is acked when all its events are finished.",
	Options: append([]engine.Option{
		{Key: "tag_key", Type: engine.String, Default: "tag", Doc: "Key of the event that gets the message's tag, unless the record has it already; \"\" leaves it out."},
		{Key: "time_key", Type: engine.String, Default: "timestamp", Doc: "Key that gets the record's time, as in EVE, unless the record has it already; \"\" leaves it out."},
		{Key: "unwrap", Type: engine.Strings, Default: []string{"log", "message"}, Doc: "Keys whose text is the event if it is a JSON object: what Fluent Bit's tail has read is then byte for byte as Suricata wrote it, and the record's other keys are left out. \"\" unwraps nothing."},
		{Key: "max_message", Type: engine.Bytes, Default: int64(32 << 20), Min: 4096, Max: 1 << 30, Doc: "Longest message in bytes, as it comes. At a longer one the connection is closed."},
		{Key: "max_unpacked", Type: engine.Bytes, Default: int64(256 << 20), Min: 4096, Max: 1 << 31, Doc: "Most bytes of entries that came compressed; what is beyond goes to the dead letter with its first 4 KiB."},
		{Key: "shared_key", Type: engine.String, Secret: true, Doc: "What clients must know too (`shared_key` of fluentd, `Shared_Key` of Fluent Bit); without it everyone may send."},
		{Key: "username", Type: engine.String, Doc: "User that clients must name as well."},
		{Key: "password", Type: engine.String, Secret: true, Doc: "The user's password."},
		{Key: "hostname", Type: engine.String, Doc: "Our name in the handshake; clients must have another one. By default this machine's."},
		{Key: "udp_heartbeat", Type: engine.Bool, Default: false, Doc: "Answer heartbeats on the UDP port of the same number (`heartbeat_type udp` of fluentd)."},
		{Key: "idle_timeout", Type: engine.Duration, Default: time.Duration(0), Max: 86400, Doc: "Closes the connection of a client that sends nothing for so long, not even heartbeats, and waits for no ack; 0 closes none, as fluentd and Fluent Bit. Make it longer than clients keep idle connections (`net.keepalive_idle_timeout` of Fluent Bit, 30s): one without acks may lose what it sends into a connection that is just closed. Clients whose machine has gone are noticed in any case, by TCP keepalive, after three minutes at most."},
		listen.MaxClients,
	}, wire.ServerOptions...),
	New: New,
}

type input struct {
	*listen.Server
	shape
	security
	maxMessage  int
	maxUnpacked int64
	heartbeat   bool
	idle        time.Duration // 0: clients may be idle for ever
	log         *slog.Logger

	messages, acked, broken, refused, idled *atomic.Int64

	udp  *net.UDPConn
	stop chan struct{}  // made by Open, closed by Close: writers of acks end
	wg   sync.WaitGroup // writers of acks, and beats; waited for by Close
}

var _ engine.Opener = (*input)(nil)
var _ engine.Closer = (*input)(nil)
var _ engine.PortUser = (*input)(nil)

// New implements the kind.
func New(p engine.Params) (engine.Input, error) {
	o := p.Options
	in := &input{
		shape:      shape{tagKey: o.String("tag_key"), timeKey: o.String("time_key"), unwrap: o.Strings("unwrap")},
		security:   security{o.String("shared_key"), o.String("username"), o.String("password"), o.String("hostname")},
		maxMessage: int(o.Int("max_message")), maxUnpacked: o.Int("max_unpacked"), heartbeat: o.Bool("udp_heartbeat"), idle: o.Duration("idle_timeout"), log: p.Log,
	}
	var errs []error
	if in.username != "" && in.sharedKey == "" {
		errs = append(errs, &engine.ConfigError{Key: "username", Msg: "needs shared_key: the protocol has users only with one"})
	}
	if (in.username == "") != (in.password == "") {
		errs = append(errs, &engine.ConfigError{Key: "username", Msg: "username and password go together"})
	}
	if in.security.host == "" {
		in.security.host, _ = os.Hostname()
	}
	server, err := listen.TCP(p, port)
	if err := errors.Join(append(errs, err)...); err != nil {
		return nil, err
	}
	in.Server = server
	in.messages = p.Counter("forward_messages_total", "Messages received, heartbeats too.")
	in.acked = p.Counter("forward_acks_total", "Messages acked after all their events were finished.")
	in.broken = p.Counter("forward_errors_total", "Connections closed because what came was not the protocol.")
	in.refused = p.Counter("forward_refused_total", "Clients that did not know the shared key or the password.")
	in.idled = p.Counter("forward_idle_total", "Connections closed because of idle_timeout.")
	return in, nil
}

// Open implements engine.Opener.
func (in *input) Open(ctx context.Context) error {
	if in.stop != nil {
		return nil
	}
	if err := in.Server.Open(ctx); err != nil {
		return err
	}
	if in.heartbeat {
		c, err := (&net.ListenConfig{}).ListenPacket(ctx, "udp", in.Addr().String())
		if err != nil {
			return errors.Join(err, in.Server.Close())
		}
		in.udp = c.(*net.UDPConn)
		in.wg.Go(in.beats)
	}
	in.stop = make(chan struct{})
	return nil
}

// Close implements engine.Closer.
func (in *input) Close() error {
	if in.stop == nil {
		return nil
	}
	err := in.Server.Close()
	close(in.stop)
	if in.udp != nil {
		err = errors.Join(err, in.udp.Close())
	}
	in.wg.Wait()
	in.stop, in.udp = nil, nil
	return err
}

// beats answers heartbeats until the socket is closed.
func (in *input) beats() {
	buf := make([]byte, 512)
	for {
		_, from, err := in.udp.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			in.udp.WriteToUDPAddrPort([]byte{0}, from)
		}
	}
}

// Run implements engine.Input. When ctx ends it still reads and emits what its clients have sent: some want no acks and cannot
// send it again. Acks are written until Close.
func (in *input) Run(ctx context.Context, emit engine.EmitFunc) error {
	if err := in.Open(ctx); err != nil {
		return err
	}
	var one sync.Mutex // EmitFunc is for one goroutine at a time; and only one message at a time is unpacked
	r := &reader{shape: in.shape, maxUnpacked: in.maxUnpacked}
	return in.Server.Run(ctx, func(ctx context.Context, conn *listen.Client) {
		c := newClient(conn)
		c.watch(in.idle)
		in.wg.Go(func() { c.writeAcks(in.stop) })
		defer c.end()
		origin := "forward://" + conn.Peer
		err := in.serve(c, func(read func() (content, error)) error {
			one.Lock()
			defer one.Unlock()
			chunk := "" // until all of the message is taken: what is not acked the client sends again
			var open atomic.Int64
			open.Store(1) // parts that are not finished, and the reading
			done := func() {
				if open.Add(-1) > 0 {
					return
				}
				if chunk != "" {
					in.acked.Add(1)
				}
				c.finish(chunk)
			}
			r.part = func(records []engine.Record) error {
				open.Add(1)
				if emit(conn.Late, engine.Batch{Origin: origin, Records: records, Done: done}) != nil {
					open.Add(-1)
					return errEnded
				}
				return nil
			}
			c.begin()
			defer done()
			message, err := read()
			if err != nil {
				return err
			}
			in.messages.Add(1)
			if err := r.part(message.records); err != nil {
				return err
			}
			chunk = message.chunk
			return nil
		}, r)
		if c.wasIdle() {
			err = errIdle
			if n := len(c.buf) - c.used; n > 0 {
				err = fmt.Errorf("%w in the middle of a message, %d bytes of which had come", errIdle, n)
			}
		}
		in.tell(ctx, conn.Peer, err)
	})
}

var (
	errEnded = errors.New("the engine has ended")
	errIdle  = errors.New("it has sent nothing for idle_timeout")
)

// tell says why a connection has ended, if an operator should know.
func (in *input) tell(ctx context.Context, peer string, err error) {
	var broken net.Error
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, errEnded), ctx.Err() != nil:
	case errors.Is(err, errIdle):
		in.idled.Add(1)
		in.log.Info("the connection of an idle client is closed", "peer", peer, "err", err)
	case errors.Is(err, errRefused):
		in.refused.Add(1)
		in.log.Warn("a client was refused: it has another shared_key, username or password than this row", "peer", peer, "err", err)
	case errors.As(err, &broken):
		in.log.Warn("client lost", "peer", peer, "err", err)
	default:
		in.broken.Add(1)
		in.log.Warn("the connection is closed: what the client sent cannot be read", "peer", peer, "err", err)
	}
}

// serve reads one client until it goes, or a little longer than Run's context. handle reads a message under a lock and emits it.
func (in *input) serve(c *client, handle func(read func() (content, error)) error, r *reader) error {
	const handshake = 10 * time.Second
	if in.sharedKey != "" {
		timer := time.AfterFunc(handshake, func() { c.conn.Close() })
		err := in.greet(c)
		if !timer.Stop() {
			return fmt.Errorf("no handshake within %v: the client may not know that a shared key is wanted", handshake)
		}
		if err != nil {
			return err
		}
	}
	first, err := c.first()
	if err != nil {
		return err
	}
	if first == '[' || first == '{' {
		return in.serveText(c, handle)
	}
	for {
		b, err := c.next(in.maxMessage)
		if err != nil {
			return whole(err, len(c.buf))
		}
		if err := handle(func() (content, error) { return r.read(b, time.Now()) }); err != nil {
			return err
		}
	}
}

// whole tells an end between messages from one within.
func whole(err error, pending int) error {
	if errors.Is(err, io.EOF) && pending > 0 {
		return fmt.Errorf("it went away within a message, %d bytes of which had come", pending)
	}
	return err
}

func (in *input) serveText(c *client, handle func(read func() (content, error)) error) error {
	t := newTexts(io.MultiReader(bytes.NewReader(c.buf), c), in.maxMessage, in.shape)
	c.used = len(c.buf)
	for {
		message, err := t.next()
		if err != nil {
			return err
		}
		if err := handle(func() (content, error) { return message, nil }); err != nil {
			return err
		}
	}
}
