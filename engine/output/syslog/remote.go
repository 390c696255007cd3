package syslog

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"
	"time"

	"dragonfly/engine"
	"dragonfly/engine/output/internal/peer"
	"dragonfly/engine/wire"
)

// options of messages.
var options = []engine.Option{
	{Key: "format", Type: engine.String, Default: "rfc5424", Enum: []string{"rfc5424", "rfc3164"}, Doc: "Of the header. That of RFC 3164 has seconds without year and zone, in local time."},
	{Key: "message", Type: engine.String, Default: "json", Enum: []string{"json", "cee", "cef"}, Doc: "What follows the header: the event; the event after the cookie `@cee:`; or a line of ArcSight's CEF made of its EVE fields."},
	{Key: "facility", Type: engine.String, Default: "local0", Enum: append([]string{"auto"}, facilityNames[:]...), Doc: "Facility; \"auto\" is the event's syslog.facility, or local0."},
	{Key: "severity", Type: engine.String, Default: "auto", Enum: append([]string{"auto"}, severityNames[:]...), Doc: "Severity; \"auto\" is the event's syslog.severity; else alert, warning, notice for alert.severity 1, 2, 3; else info."},
	{Key: "hostname", Type: engine.String, Doc: "Host in the header; by default the event's `host`, or this machine's name."},
	{Key: "app", Type: engine.String, Default: "dragonfly", Doc: "Program in the header, 48 bytes at most."},
	{Key: "max_message", Type: engine.Bytes, Default: int64(0), Max: 1 << 30, Doc: "Longest message in bytes; a longer one goes to the dead letter. 0: not limited. Receivers have a limit of their own and cut what is longer (rsyslog: 8 KiB, unless its `maxMessageSize` is raised)."},
	{Key: "cef_vendor", Type: engine.String, Default: "OISF", Doc: "Device vendor of CEF."},
	{Key: "cef_product", Type: engine.String, Default: "Suricata", Doc: "Device product of CEF."},
	{Key: "cef_version", Type: engine.String, Doc: "Device version of CEF."},
}

var streamOptions = append([]engine.Option{
	{Key: "framing", Type: engine.String, Default: "octets", Enum: []string{"octets", "lines"}, Doc: "How messages are told apart (RFC 6587): the length before each, or a line end after it."},
	{Key: "write_timeout", Type: engine.Duration, Default: 30 * time.Second, Min: 0.1, Max: 3600, Doc: "How long the other side may not take what is sent before the connection is given up and made anew."},
}, options...)

// The kinds of remote servers, by scheme.
var (
	UDPKind = engine.OutputKind{
		Doc:     "`syslog+udp://HOST:PORT` (514 if left out): each event a syslog message to a server, over UDP: nothing says whether it arrives.",
		Options: options, New: newRemote}
	TCPKind = engine.OutputKind{
		Doc:     "`syslog+tcp://HOST:PORT` (514 if left out): each event a syslog message to a server, over TCP, or TLS with one of the tls_ keys. Syslog has no acks: delivered is what the kernel has taken on a connection that the other side had not closed; what was on its way when a server dies is lost.",
		Options: append(append([]engine.Option{}, streamOptions...), wire.ClientOptions...), New: newRemote}
	TLSKind = engine.OutputKind{
		Doc:     "`syslog+tls://HOST:PORT` (6514 if left out): like syslog+tcp, over TLS (RFC 5425).",
		Options: append(append([]engine.Option{}, streamOptions...), wire.ClientOptions...), New: newRemote}
)

type remote struct {
	*peer.Server
	network string // "udp" or "tcp"
	format  format
	octets  bool
	most    int // bytes of a message; 0: not limited
	timeout time.Duration
	dial    func(ctx context.Context, network, address string) (net.Conn, error)
	conn    net.Conn
	buf     []byte
	ends    []int // of each message in buf
	number  []byte
}

var _ engine.PortUser = (*remote)(nil)

func newRemote(p engine.Params) (engine.Output, error) {
	o := p.Options
	out := &remote{network: "tcp", octets: o.String("framing") == "octets", most: int(o.Int("max_message")), timeout: o.Duration("write_timeout"), dial: p.Dial}
	port := 514
	switch p.Scheme {
	case "syslog+udp":
		out.network, out.timeout = "udp", 5*time.Second
	case "syslog+tls":
		port = 6514
	}
	config, err := wire.ClientTLS(p, p.Scheme == "syslog+tls")
	server, err2 := peer.New(p, port, config)
	if err := errors.Join(err, err2); err != nil {
		return nil, err
	}
	server.Silent, server.Timeout, out.Server = true, out.timeout, server
	out.format, err = newFormat(o)
	return out, err
}

// Open implements engine.Output.
func (o *remote) Open(ctx context.Context) error {
	if o.conn != nil {
		return nil
	}
	var conn net.Conn
	var err error
	if o.network == "udp" {
		conn, err = o.dial(ctx, "udp", o.Address)
	} else {
		conn, err = o.Dial(ctx)
	}
	if err != nil {
		return err
	}
	o.conn = conn
	return nil
}

// Write implements engine.Output. After an error what was not completely written is repeated on a new connection.
func (o *remote) Write(ctx context.Context, batch []engine.Event) (int, error) {
	if err := o.Open(ctx); err != nil {
		return 0, err
	}
	conn := o.conn
	defer context.AfterFunc(ctx, func() { conn.SetWriteDeadline(time.Unix(1, 0)) })()
	if o.network == "udp" {
		return o.send(ctx, batch)
	}
	if peer.HungUp(conn) {
		o.Close()
		return 0, fmt.Errorf("%s has closed the connection", o.Address)
	}
	o.buf, o.ends = o.buf[:0], o.ends[:0]
	var tooLong error
	for i := range batch {
		if tooLong = o.append(&batch[i]); tooLong != nil {
			break
		}
	}
	if len(o.ends) > 0 {
		if n, err := o.write(ctx); err != nil {
			return n, err
		}
	}
	return len(o.ends), tooLong
}

// append appends the message of an event, framed, to buf.
func (o *remote) append(ev *engine.Event) error {
	start := len(o.buf)
	o.buf = o.format.append(o.buf, ev)
	length := len(o.buf) - start
	if o.most > 0 && length > o.most {
		o.buf = o.buf[:start]
		return &engine.RejectError{Err: fmt.Errorf("a message of %d bytes is longer than max_message, %d", length, o.most)}
	}
	if o.octets {
		o.number = append(strconv.AppendInt(o.number[:0], int64(length), 10), ' ')
		o.buf = append(o.buf, o.number...)
		copy(o.buf[start+len(o.number):], o.buf[start:start+length])
		copy(o.buf[start:], o.number)
	} else {
		o.buf = append(o.buf, '\n')
	}
	o.ends = append(o.ends, len(o.buf))
	return nil
}

// write writes buf and returns how many messages were written whole. If the connection breaks these are the messages that the
// other side's kernel has confirmed: what waits in ours may be lost with the connection, or may yet arrive and then comes twice.
func (o *remote) write(ctx context.Context) (int, error) {
	o.conn.SetWriteDeadline(time.Now().Add(o.timeout))
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	n, err := o.conn.Write(o.buf)
	if err == nil {
		return len(o.ends), nil
	}
	n -= peer.Unconfirmed(o.conn)
	o.Close()
	done := 0
	for done < len(o.ends) && o.ends[done] <= n {
		done++
	}
	return done, err
}

// send sends each event as a datagram.
func (o *remote) send(ctx context.Context, batch []engine.Event) (int, error) {
	for i := range batch {
		o.conn.SetWriteDeadline(time.Now().Add(o.timeout))
		if ctx.Err() != nil {
			return i, ctx.Err()
		}
		o.buf = o.format.append(o.buf[:0], &batch[i])
		if o.most > 0 && len(o.buf) > o.most {
			return i, &engine.RejectError{Err: fmt.Errorf("a message of %d bytes is longer than max_message, %d", len(o.buf), o.most)}
		}
		_, err := o.conn.Write(o.buf)
		switch {
		case errors.Is(err, syscall.EMSGSIZE):
			return i, &engine.RejectError{Err: fmt.Errorf("a message of %d bytes does not fit a datagram, syslog+tcp has no such limit", len(o.buf))}
		case errors.Is(err, syscall.ECONNREFUSED):
			return i, fmt.Errorf("nobody listens on %s (UDP): %w", o.Address, err)
		case err != nil:
			o.Close()
			return i, err
		}
	}
	return len(batch), nil
}

// Close implements engine.Output.
func (o *remote) Close() error {
	if o.conn == nil {
		return nil
	}
	err := peer.Close(o.conn)
	o.conn = nil
	return err
}

// Paths implements engine.PathUser: connecting needs none.
func (*remote) Paths() []engine.PathUse { return nil }

// Ports implements engine.PortUser.
func (o *remote) Ports() ([]engine.PortUse, bool) {
	if o.network == "udp" {
		return nil, false
	}
	return o.Server.Ports()
}
