// Package unix writes events to a unix stream socket, one JSON document a line: unix://. It reconnects.
package unix

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"time"

	"dragonfly/engine"
)

// Kind is unix://.
var Kind = engine.OutputKind{
	Doc: "`unix://PATH`: connects to a unix stream socket and writes one JSON document a line; connects again when the other side goes. A socket has no acks: delivered is what the kernel has taken, and what a reader that dies had not read (its buffer, some 200 KiB) is lost; one that shuts down its reading side, reads to the end and closes loses nothing. Relative paths are below the run directory.",
	Options: []engine.Option{
		{Key: "write_timeout", Type: engine.Duration, Default: 30 * time.Second, Min: 0.1, Max: 3600, Doc: "How long the other side may not read before the connection is given up and made anew."},
	},
	New: New,
}

type output struct {
	path    string
	timeout time.Duration
	conn    net.Conn
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
	return &output{path: path, timeout: p.Options.Duration("write_timeout")}, nil
}

// Open implements engine.Output.
func (o *output) Open(ctx context.Context) error {
	if o.conn != nil {
		return nil
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "unix", o.path)
	if err != nil {
		return err
	}
	o.conn = conn
	return nil
}

// Write implements engine.Output. After an error what was not completely written is repeated on a new connection.
func (o *output) Write(ctx context.Context, batch []engine.Event) (int, error) {
	if err := o.Open(ctx); err != nil {
		return 0, err
	}
	if o.hungUp() {
		o.Close()
		return 0, fmt.Errorf("%s: the other side has closed the connection", o.path)
	}
	o.buf = o.buf[:0]
	for i := range batch {
		o.buf = append(o.buf, batch[i].Body...)
		o.buf = append(o.buf, '\n')
	}
	o.conn.SetWriteDeadline(time.Now().Add(o.timeout))
	conn := o.conn
	stop := context.AfterFunc(ctx, func() { conn.SetWriteDeadline(time.Now()) })
	defer stop()
	n, err := o.conn.Write(o.buf)
	if err == nil {
		return len(batch), nil
	}
	o.Close()
	done := 0
	for done < len(batch) && n >= len(batch[done].Body)+1 {
		n -= len(batch[done].Body) + 1
		done++
	}
	return done, err
}

// hungUp reports whether the reader is gone: what is written now would be lost without an error.
func (o *output) hungUp() bool {
	o.conn.SetReadDeadline(time.Unix(1, 0))
	var b [1]byte
	_, err := o.conn.Read(b[:])
	if err == nil {
		return false
	}
	if ne, ok := err.(net.Error); ok && ne.Timeout() {
		return hungUp(o.conn.(*net.UnixConn))
	}
	return true
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
