package remote

import (
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"
)

// conns are the open connections of a Client.
type conns struct {
	mu  sync.Mutex
	all map[net.Conn]func() error // wrapped connection to the real one's Close
}

// conn is a connection that leaves the list when it is closed.
type conn struct {
	net.Conn
	of *conns
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.of.mu.Lock()
	delete(c.of.all, c)
	c.of.mu.Unlock()
	return c.Conn.Close()
}

// rawConn lets the pool see that the server has closed an idle connection.
type rawConn struct{ *conn }

// SyscallConn implements syscall.Conn.
func (c rawConn) SyscallConn() (syscall.RawConn, error) {
	sc, ok := c.conn.Conn.(syscall.Conn)
	if !ok {
		return nil, errors.New("not a socket")
	}
	return sc.SyscallConn()
}

// add returns c as one of the list.
func (cs *conns) add(c net.Conn) net.Conn {
	w := &conn{c, cs}
	cs.mu.Lock()
	if cs.all == nil {
		cs.all = map[net.Conn]func() error{}
	}
	cs.all[w] = c.Close
	cs.mu.Unlock()
	if _, isTLS := c.(*tls.Conn); !isTLS {
		if _, ok := c.(syscall.Conn); ok {
			return rawConn{w}
		}
	}
	return w
}

// closeAll closes the connections: who reads one fails, and the pool throws it away.
func (cs *conns) closeAll() {
	cs.mu.Lock()
	list := make([]func() error, 0, len(cs.all))
	for _, end := range cs.all {
		list = append(list, end)
	}
	clear(cs.all)
	cs.mu.Unlock()
	for _, end := range list {
		end()
	}
}

// dialError says that there is no connection.
type dialError struct{ err error }

func (e *dialError) Error() string { return e.err.Error() }

// Unwrap returns the cause.
func (e *dialError) Unwrap() error { return e.err }

// failed stands for a connection that could not be made.
type failed struct{ err error }

var _ net.Conn = failed{}

func (f failed) Read([]byte) (int, error)         { return 0, f.err }
func (f failed) Write([]byte) (int, error)        { return 0, f.err }
func (f failed) Close() error                     { return nil }
func (f failed) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (f failed) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (f failed) SetDeadline(time.Time) error      { return nil }
func (f failed) SetReadDeadline(time.Time) error  { return nil }
func (f failed) SetWriteDeadline(time.Time) error { return nil }
