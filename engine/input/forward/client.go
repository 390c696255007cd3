package forward

import (
	"sync"
	"time"

	"github.com/tinylib/msgp/msgp"

	"dragonfly/engine/input/internal/listen"
)

// ackTimeout is how long a client may not read its acks before it is given up.
const ackTimeout = 30 * time.Second

// client is one connection: a goroutine reads messages, another writes acks. The second outlives the first, and Run, until what
// was read is finished.
type client struct {
	conn *listen.Client
	buf  []byte // read and not taken
	used int    // of buf

	mu      sync.Mutex
	open    int           // messages that are not finished
	acks    []byte        // to be written, encoded
	over    bool          // no more messages come
	changed chan struct{} // 1 token: one of the above changed
	idle    idling
}

func newClient(conn *listen.Client) *client {
	return &client{conn: conn, changed: make(chan struct{}, 1)}
}

// next returns the next whole message, of most bytes at the most. It is valid until the next call.
func (c *client) next(most int) ([]byte, error) {
	c.buf = c.buf[c.used:]
	c.used = 0
	var e extent
	for {
		end, err := e.end(c.buf, most)
		if err != nil {
			return nil, err
		}
		if end > 0 {
			c.used = end
			return c.buf[:end], nil
		}
		if err := c.fill(); err != nil {
			return nil, err
		}
	}
}

// fill reads once into buf.
func (c *client) fill() error {
	const room = 16 << 10
	if cap(c.buf)-len(c.buf) < room {
		grown := make([]byte, len(c.buf), max(4*room, 2*len(c.buf)))
		copy(grown, c.buf)
		c.buf = grown
	}
	n, err := c.Read(c.buf[len(c.buf):cap(c.buf)])
	c.buf = c.buf[:len(c.buf)+n]
	if n > 0 {
		return nil
	}
	return err
}

// first returns the next byte without taking it.
func (c *client) first() (byte, error) {
	c.buf = c.buf[c.used:]
	c.used = 0
	for len(c.buf) == 0 {
		if err := c.fill(); err != nil {
			return 0, err
		}
	}
	return c.buf[0], nil
}

// begin notes a message whose events go into the pipeline.
func (c *client) begin() {
	c.mu.Lock()
	c.open++
	c.mu.Unlock()
}

// finish notes that a message is finished; chunk is acked unless it is "". It does not block: it is called from outputs.
func (c *client) finish(chunk string) {
	c.mu.Lock()
	c.open--
	c.idle.restart()
	if chunk != "" {
		c.acks = msgp.AppendMapHeader(c.acks, 1)
		c.acks = msgp.AppendString(c.acks, "ack")
		c.acks = msgp.AppendString(c.acks, chunk)
	}
	c.mu.Unlock()
	c.change()
}

// end says that no more messages come.
func (c *client) end() {
	c.mu.Lock()
	c.over = true
	c.idle.stop()
	c.mu.Unlock()
	c.change()
}

func (c *client) change() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// writeAcks writes acks until no more messages come and all are finished, or stop is closed. Then it closes the connection.
func (c *client) writeAcks(stop <-chan struct{}) {
	defer c.conn.Close()
	for {
		c.mu.Lock()
		acks, over := c.acks, c.over && c.open == 0
		c.acks = nil
		c.mu.Unlock()
		if len(acks) > 0 {
			c.conn.SetWriteDeadline(time.Now().Add(ackTimeout))
			if _, err := c.conn.Write(acks); err != nil {
				return // it is closed: the reader notices, and the client sends again what is not acked
			}
		}
		if over {
			return
		}
		select {
		case <-c.changed:
		case <-stop:
			c.mu.Lock()
			last := c.acks
			c.mu.Unlock()
			if len(last) > 0 {
				c.conn.SetWriteDeadline(time.Now().Add(time.Second))
				c.conn.Write(last)
			}
			return
		}
	}
}
