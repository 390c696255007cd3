package app

import "dragonfly/engine/packet"

// segment takes a packet of a TCP session.
func (c *Conn) segment(p *packet.Packet, d Dir, found func(*Event)) bool {
	if c.off {
		return false
	}
	do := c.tcp.packet(p, d)
	at := at{time: p.Time, packet: p.Number, dir: d}
	if do&opposite != 0 {
		c.read(1-d, false, at, found)
	}
	if do&data != 0 && len(p.Payload) > 0 && !c.off {
		do |= c.keep(p, d, at, found)
	}
	if do&own != 0 && !c.off {
		c.read(d, false, at, found)
	}
	if c.off || c.tcp.state == closed && !c.open() {
		c.release()
		return false
	}
	return true
}

// open reports whether the end of the flow is of interest after its session was closed: a reset leaves the other direction
// unread.
func (c *Conn) open() bool {
	if c.tcp.reset {
		return true
	}
	for i := range c.tcp.streams {
		if s := &c.tcp.streams[i]; c.parser != nil && s.edge() > s.off {
			return true
		}
	}
	w, ok := c.parser.(waiter)
	return c.parser != nil && (!ok || w.waiting())
}

// keep puts the payload of p to what waits. What finds no room pushes out what is there, as if it were acknowledged.
func (c *Conn) keep(p *packet.Packet, d Dir, at at, found func(*Event)) (more update) {
	s := &c.tcp.streams[d]
	if s.full {
		return 0
	}
	if !c.any {
		c.any, c.first = true, d
	}
	seq := p.Seq
	if p.TCPFlags&packet.SYN != 0 {
		seq++
	}
	off := s.position(seq)
	if c.config.Depth > 0 && off+int64(p.PayloadLen) > c.config.Depth {
		s.full = true
		return own
	}
	if c.refuse(at, found) {
		return 0
	}
	s.seen = true
	b := p.Payload
	for !s.insert(off, b, c.pending(), c.skip(d)) {
		if !c.squeeze(d, at, found) {
			return 0
		}
	}
	return 0
}

func (c *Conn) pending() int {
	if c.config.Pending > 0 {
		return c.config.Pending
	}
	return 64 << 10
}

func (c *Conn) skip(d Dir) int64 {
	if k, ok := c.parser.(skipper); ok && c.tcp.streams[d].detected && !c.asked {
		return k.skip(d)
	}
	return 0
}

// squeeze makes room in a direction where too much waits. It is false when there can be none: then the direction is given up.
func (c *Conn) squeeze(d Dir, at at, found func(*Event)) bool {
	s := &c.tcp.streams[d]
	was, off := s.waiting(), s.off
	if len(s.buf) == 0 && len(s.segs) > 0 {
		s.lost = true
	}
	s.acked(s.next)
	c.read(d, false, at, found)
	if c.off {
		return false
	}
	if s.waiting() < was || s.off > off {
		return true
	}
	c.giveUp(at, found)
	return false
}

// giveUp ends the application layer of a flow with the protocols that are known.
func (c *Conn) giveUp(at at, found func(*Event)) {
	if c.parser == nil && c.found == unknown {
		c.disable()
		return
	}
	if c.parser != nil {
		c.parser.end(at.time, func(e *Event) {
			e.Packet, e.Dir = at.packet, at.dir
			found(e)
		})
	}
	c.release()
}

// disable ends the application layer of a flow as unrecognised.
func (c *Conn) disable() {
	c.found = failed
	for d := range c.sides {
		if c.sides[d] == unknown {
			c.sides[d] = failed
		}
	}
	c.release()
}

// read hands on what of a direction is acknowledged; final: all there is, as the flow has ended.
func (c *Conn) read(d Dir, final bool, at at, found func(*Event)) {
	s := &c.tcp.streams[d]
	eof := final || c.tcp.state == closed
	if s.edge() <= s.off && len(s.segs) == 0 {
		if c.tcp.state >= closing || final {
			c.hand(d, nil, eof, at, found)
		}
		c.cut(d, at, found)
		return
	}
	for !c.off {
		limit := s.position(s.ack)
		all := final && (c.tcp.state < closed || c.tcp.reset)
		if s.edge() == s.off { // a gap
			n := c.missing(s, limit, all)
			if n == 0 {
				break
			}
			c.tcp.lossy, s.gap = true, true
			if !c.gap(d, n, at, found) {
				break
			}
			continue
		}
		n := s.edge() - s.off
		if !all {
			n = min(n, limit-s.off)
		}
		if n < 0 {
			n = 0
		}
		if n == 0 && !eof {
			break
		}
		if s.hole > 0 && n > 0 {
			n = min(n, int64(s.hole))
			s.drop(int(n))
			c.skipped(d, int(n), at, found)
			continue
		}
		used, again := c.hand(d, s.buf[:n], eof && n == int64(len(s.buf)), at, found)
		if used > 0 && !c.off {
			s.drop(used)
		}
		if c.off || !again {
			break
		}
		if used == 0 {
			if len(s.segs) > 0 && limit > s.edge() && s.detected { // what it waits for is lost
				s.drop(len(s.buf))
				continue
			}
			break
		}
	}
	c.cut(d, at, found)
}

// missing is how many bytes are lost at the place where reading goes on; 0 if they may still come.
func (c *Conn) missing(s *stream, limit int64, all bool) int64 {
	n := int64(0)
	if len(s.segs) > 0 {
		n = s.segs[0].off - s.off
	}
	if s.lost {
		return n
	}
	fin := int64(0)
	if c.tcp.state >= finWait1 {
		fin = 1
	}
	if n == 0 || limit-fin <= s.off {
		return 0
	}
	if !all {
		n = min(n, limit-s.off)
	}
	return n
}

// gap reports n lost bytes.
func (c *Conn) gap(d Dir, n int64, at at, found func(*Event)) bool {
	s := &c.tcp.streams[d]
	if c.sides[d] == unknown {
		s.detected = true
		if c.found == unknown {
			return false // the other direction may still say what it is
		}
	}
	if c.asked || c.found.gapless() {
		c.giveUp(at, found)
		return false
	}
	s.pass(n)
	if c.parser != nil && !c.parser.gap(d, int(n)) {
		c.quit(at, found)
	}
	return !c.off
}

// skipped reports n bytes that came and were not kept.
func (c *Conn) skipped(d Dir, n int, at at, found func(*Event)) {
	k, ok := c.parser.(skipper)
	if ok && !k.skipped(d, n, at, found) {
		c.quit(at, found)
	}
}

// cut tells the parser that a direction is beyond the depth.
func (c *Conn) cut(d Dir, at at, found func(*Event)) {
	s := &c.tcp.streams[d]
	if c.off || !s.full || s.told {
		return
	}
	s.told = true
	if k, ok := c.parser.(closer); ok {
		k.cut(d, at, found)
	}
	if c.tcp.streams[1-d].full {
		c.giveUp(at, found)
	}
}

// quit is called when the parser wants no more: only what the other direction is may still be open.
func (c *Conn) quit(at at, found func(*Event)) {
	if q, ok := c.parser.(quitter); ok && q.broken() {
		c.broken = true
		c.release()
		return
	}
	c.parser = nil
	if c.sides[ToServer] != unknown && c.sides[ToClient] != unknown {
		c.release()
	}
}

// hand gives the next bytes of a direction to whoever is to have them. It returns how many are used up, and whether to go on.
func (c *Conn) hand(d Dir, b []byte, eof bool, at at, found func(*Event)) (used int, again bool) {
	s := &c.tcp.streams[d]
	switch {
	case c.sides[d] == unknown && !s.detected:
		return c.detect(d, b, eof, at, found)
	case c.sides[d] != unknown && c.asked:
		return c.change(d, b, eof, at, found)
	case c.found != unknown:
		return c.parse(d, b, eof, at, found)
	}
	return 0, false
}

// parse gives bytes to the parser.
func (c *Conn) parse(d Dir, b []byte, eof bool, at at, found func(*Event)) (used int, again bool) {
	c.handed = true
	used, more := len(b), true
	if c.parser != nil && len(b) > 0 {
		used, more = c.parser.stream(d, b, at, found)
	}
	if more && eof && c.parser != nil {
		if k, ok := c.parser.(closer); ok {
			k.close(d, at, found)
		}
	}
	if !more {
		c.quit(at, found)
		return used, false
	}
	if c.parser == nil && c.sides[ToServer] != unknown && c.sides[ToClient] != unknown && !c.nested {
		c.release()
		return used, false
	}
	if k, ok := c.parser.(changer); ok && !c.asked {
		if port, want, ok := k.change(); ok {
			c.asked, c.probe, c.want, c.before = true, port, want, c.found
			c.parser.end(at.time, func(e *Event) {
				e.Dir, e.Changes = at.dir, true
				found(e)
			})
			for i := range c.sides {
				if c.sides[i] == unknown {
					c.sides[i] = c.found
				}
			}
			return used, false
		}
	}
	return used, true
}

// detect looks at the first bytes of a direction.
func (c *Conn) detect(d Dir, b []byte, eof bool, at at, found func(*Event)) (used int, again bool) {
	s, o := &c.tcp.streams[d], 1-d
	p, _ := c.recognise(d, b)
	c.sides[d] = p
	if !p.known() {
		c.sides[d] = unknown
		return c.unrecognised(d, b, eof, at, found)
	}
	was := c.found
	switch {
	case c.sides[o] == unknown || c.sides[o] == p:
		c.found = p
	case c.handed || d == ToServer:
		c.found = c.sides[o]
	default:
		c.found = p
	}
	if c.found != was {
		c.parser = c.newParser(c.found)
	}
	s.detected = true
	if c.any && !c.handed && c.first != d && !c.nested {
		c.nested = true
		c.read(o, false, at, found)
		c.nested = false
		if c.off {
			return 0, false
		}
	}
	if !c.handed && c.found.clientFirst() {
		if c.any && c.first != ToServer {
			c.disable()
			return 0, false
		}
		if d != ToServer { // the client's bytes are there and not acknowledged
			s.detected = false
			c.detector.again(d)
			return 0, false
		}
	}
	return c.parse(d, b, eof, at, found)
}

// unrecognised decides what becomes of a direction whose bytes say nothing, so far or at all.
func (c *Conn) unrecognised(d Dir, b []byte, eof bool, at at, found func(*Event)) (used int, again bool) {
	s, o := &c.tcp.streams[d], 1-d
	if c.sides[o] != unknown {
		if !c.handed && c.sides[o].clientFirst() && d != ToServer {
			c.disable()
			return 0, false
		}
		if c.detector.done(d) {
			if len(b) > 0 {
				c.handed = true
			}
			s.detected = true
			c.sides[d] = c.sides[o]
			f, _ := c.parser.(failer)
			if c.sides[o] != failed {
				used, again = c.parse(d, b, eof, at, found)
			}
			if !c.broken && (f == nil || !f.senseless()) {
				c.sides[d] = failed
			}
			return used, again
		} else if eof {
			c.sides[d] = c.found
			s.detected = true
		}
		return 0, false
	}
	if c.asked {
		if len(b) >= changeDepth || eof {
			c.disable()
		}
		return 0, false
	}
	if c.tcp.state >= established && (s.detected || c.detector.done(d)) && (c.tcp.streams[o].detected || c.detector.done(o)) {
		c.disable()
	}
	return 0, false
}

// changeDepth is how many bytes after a change of protocol may say nothing.
const changeDepth = 4096

// change looks at the bytes after which the protocol is another.
func (c *Conn) change(d Dir, b []byte, eof bool, at at, found func(*Event)) (used int, again bool) {
	was, parser, sides := c.found, c.parser, c.sides
	c.found, c.parser, c.sides = unknown, nil, [2]protocol{}
	c.detector = detector{}
	c.tcp.streams[ToServer].detected, c.tcp.streams[ToClient].detected = false, false
	c.previous = parser
	used, again = c.detect(d, b, eof, at, found)
	c.previous = nil
	if c.found == unknown && !c.off {
		c.found, c.parser, c.sides = was, parser, sides
		return 0, false
	}
	c.asked = false
	return used, again
}
