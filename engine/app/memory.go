package app

// Memory is what the Conns of one Config keep.
type Memory struct {
	Limit   int64 // bytes; 0 is 64 MiB
	Used    int64 // bytes
	Refused int64 // flows that lost their application layer because Limit was reached
}

const defaultMemory = 64 << 20 // bytes

// segmentCost is what a segment that waits costs besides its bytes: its place in a list, and what the allocator rounds up.
const segmentCost = 64 // bytes

// sizer is a parser that keeps much between two calls.
type sizer interface {
	size() int // bytes
}

func (t *tlsStream) size() int {
	n := 0
	for i := range t.side {
		n += cap(t.side[i].msg)
	}
	return n
}

func (q *quicFlow) size() int { return cap(q.side[ToServer].crypto) + cap(q.side[ToClient].crypto) }

func (p *http2Parser) size() int { return p.kept }

// full reports whether there is no room for more.
func (m *Memory) full() bool {
	limit := m.Limit
	if limit == 0 {
		limit = defaultMemory
	}
	return m.Used > limit
}

// charge brings the books up to what c keeps now.
func (c *Conn) charge() {
	n := 0
	if c.tcp != nil {
		for i := range c.tcp.streams {
			s := &c.tcp.streams[i]
			if s.mem != nil {
				n += cap(*s.mem)
			}
			n += s.kept + len(s.segs)*segmentCost
		}
	}
	if p, ok := c.parser.(sizer); ok {
		n += p.size()
	}
	if n != c.charged {
		c.config.Memory.Used += int64(n - c.charged)
		c.charged = n
	}
}

// refuse gives up the application layer when c would need memory and there is none; more reports whether it may go on.
func (c *Conn) refuse(at at, found func(*Event)) bool {
	if !c.config.Memory.full() {
		return false
	}
	c.config.Memory.Refused++
	c.giveUp(at, found)
	return true
}
