package wire

import (
	"net"
	"sync"
)

// Conns are the open connections of one client. The zero value is none.
type Conns struct {
	mu   sync.Mutex
	open map[*tracked]struct{}
}

// tracked is a connection that its Conns know until it is closed.
type tracked struct {
	net.Conn
	of *Conns
}

// Add returns conn as one of c.
func (c *Conns) Add(conn net.Conn) net.Conn {
	t := &tracked{conn, c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open == nil {
		c.open = map[*tracked]struct{}{}
	}
	c.open[t] = struct{}{}
	return t
}

// Close implements net.Conn.
func (t *tracked) Close() error {
	t.of.mu.Lock()
	delete(t.of.open, t)
	t.of.mu.Unlock()
	return t.Conn.Close()
}

// Break closes all that are open, so that who waits for one of them fails at once. More may be added behind it.
func (c *Conns) Break() {
	c.mu.Lock()
	list := c.open
	c.open = nil
	c.mu.Unlock()
	for t := range list {
		t.Conn.Close()
	}
}
