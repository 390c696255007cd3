// Package unixgram sends each event as one datagram to a unix socket: unixgram://, and ipc:// as dragonfly-mle calls it.
package unixgram

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"dragonfly/engine"
)

// Kind is unixgram:// and ipc://.
var Kind = engine.OutputKind{
	Doc:     "`unixgram://PATH` or `ipc://PATH`: sends each event as one datagram to a unix socket, waits while its queue is full, connects again when the receiver was gone. Relative paths are below the run directory.",
	Options: []engine.Option{{Key: "newline", Type: engine.Bool, Doc: "End each datagram with a line end."}},
	New:     New,
}

type output struct {
	path    string
	newline bool
	conn    *net.UnixConn
	buffer  int // SO_SNDBUF that was asked for
	buf     []byte
}

// New implements the kind.
func New(p engine.Params) (engine.Output, error) {
	path := p.Address
	if path == "" {
		return nil, &engine.ConfigError{Key: "uri", Msg: fmt.Sprintf("%q names no socket", p.URI)}
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(p.RunDir, path)
	}
	return &output{path: path, newline: p.Options.Bool("newline")}, nil
}

// Open implements engine.Output.
func (o *output) Open(context.Context) error {
	if o.conn != nil {
		return nil
	}
	conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: o.path, Net: "unixgram"})
	if err != nil {
		return err
	}
	o.conn, o.buffer = conn, 0
	return nil
}

// Write implements engine.Output.
func (o *output) Write(ctx context.Context, batch []engine.Event) (int, error) {
	for i := range batch {
		if err := o.send(ctx, batch[i].Body); err != nil {
			return i, err
		}
	}
	return len(batch), nil
}

func (o *output) send(ctx context.Context, body string) error {
	if err := o.Open(ctx); err != nil {
		return err
	}
	o.buf = append(o.buf[:0], body...)
	if o.newline {
		o.buf = append(o.buf, '\n')
	}
	conn := o.conn
	conn.SetWriteDeadline(time.Time{})
	stop := context.AfterFunc(ctx, func() { conn.SetWriteDeadline(time.Unix(1, 0)) })
	defer stop()
	_, err := conn.Write(o.buf)
	if errors.Is(err, syscall.EMSGSIZE) && o.raise(len(o.buf)) {
		_, err = conn.Write(o.buf)
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EMSGSIZE):
		return &engine.RejectError{Err: fmt.Errorf("%d bytes do not fit a datagram here (raise net.core.wmem_max)", len(o.buf))}
	}
	o.Close()
	return err
}

// raise enlarges the send buffer for an event of n bytes; false if that was done before.
func (o *output) raise(n int) bool {
	want := 2*n + 64<<10
	if want <= o.buffer {
		return false
	}
	o.buffer = want
	raw, err := o.conn.SyscallConn()
	if err != nil {
		return false
	}
	raw.Control(func(fd uintptr) {
		if err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, want); err != nil {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, want)
		}
	})
	return err == nil
}

// Close implements engine.Output.
func (o *output) Close() error {
	if o.conn == nil {
		return nil
	}
	err := o.conn.Close()
	o.conn = nil
	return err
}

// Paths implements engine.PathUser: connecting needs none.
func (*output) Paths() []engine.PathUse { return nil }
