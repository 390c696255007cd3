package forward

import (
	"time"

	"dragonfly/engine/input/internal/listen"
)

// idling is how long a client has been idle: nothing is read from it although it could be, and it waits for no ack. The client's
// mu guards it. While the pipeline is full nobody is idle: then it is we who do not read, or do not ack.
type idling struct {
	limit time.Duration // 0: not watched
	since time.Time     // a read waits for the client since then, or its last message is finished since then; zero: no read waits
	timer *time.Timer
	over  bool // the connection was closed for it
}

func (i *idling) restart() {
	if !i.since.IsZero() {
		i.since = time.Now()
	}
}

func (i *idling) stop() {
	if i.timer != nil {
		i.timer.Stop()
	}
}

// watch closes the connection when the client is idle for limit, until end is called; 0 is never.
func (c *client) watch(limit time.Duration) {
	if limit <= 0 {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.idle.limit = limit
	c.idle.timer = time.AfterFunc(limit, c.look)
}

// look closes an idle client's connection, or sets the timer again.
func (c *client) look() {
	c.mu.Lock()
	busy := c.idle.since.IsZero() || c.open > 0 || len(c.acks) > 0
	left := c.idle.limit / 8
	if !busy {
		left = c.idle.limit - time.Since(c.idle.since)
	}
	if c.over {
		c.mu.Unlock()
		return
	}
	if busy || left > 0 || listen.Readable(c.conn.Conn) {
		c.idle.timer.Reset(max(left, c.idle.limit/8, 10*time.Millisecond))
		c.mu.Unlock()
		return
	}
	c.idle.over = true
	c.mu.Unlock()
	c.conn.Close()
}

// wasIdle reports whether the connection was closed for idleness.
func (c *client) wasIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.idle.over
}

// Read reads what the client sends. It implements io.Reader.
func (c *client) Read(b []byte) (int, error) {
	if c.idle.limit == 0 {
		return c.conn.Read(b)
	}
	c.mu.Lock()
	c.idle.since = time.Now()
	c.mu.Unlock()
	n, err := c.conn.Read(b)
	c.mu.Lock()
	c.idle.since = time.Time{}
	c.mu.Unlock()
	return n, err
}
