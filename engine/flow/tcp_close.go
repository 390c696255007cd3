package flow

import "dragonfly/engine/packet"

// rst handles a RST while a session is being closed.
func (c *session) rst(g *segment) bool {
	if !c.validRST(g) {
		return false
	}
	c.become(tcpClosed)
	c.reset(g)
	return true
}

// usable reports whether a packet that is no RST may be looked at further.
func (c *session) usable(g *segment) bool { return c.flags&timestamps == 0 || c.validTS(g) }

func (c *session) finWait1(g *segment) bool {
	s, o := g.s, g.o
	flags := g.TCPFlags
	switch {
	case flags&packet.RST != 0:
		return c.rst(g)
	case flags&packet.FIN == 0 && flags&packet.SYN != 0, flags&(packet.FIN|packet.ACK) == 0, !c.usable(g):
		return false
	case flags&packet.FIN != 0:
		again := g.retransmitted() || flags&packet.ACK != 0 && !g.ts && g.Seq == s.next-1 && g.Ack == o.lastAck
		if !again && (before(g.Seq, s.next-1) || after(g.Seq, s.lastAck+s.window)) || !c.validAck(g) {
			return false
		}
		if !again {
			if flags&packet.ACK != 0 {
				c.become(tcpTimeWait)
			} else {
				c.become(tcpClosing)
			}
			o.window = uint32(g.Window) << o.wscale
		}
		c.takeTS(g)
		if again && !g.ts && flags&packet.ACK != 0 {
			return true
		}
		if before(o.next-1, g.Ack) {
			o.next = g.Ack
		}
		if at := s.next - 1; g.ts && flags&packet.ACK != 0 {
			if g.Seq == s.next {
				s.next = g.Seq + g.length
			}
		} else if g.Seq == at {
			s.next = g.Seq + g.length
		}
		if flags&packet.ACK != 0 {
			o.acked(g.Ack)
		}
		return true
	}
	again := g.retransmitted()
	if !c.validAck(g) {
		return false
	}
	end := g.Seq + g.length
	if g.ts {
		if !before(g.Ack, o.next) && !again && g.Ack == o.next {
			if after(end, s.nextWin) {
				return false
			}
			if g.Seq == s.next {
				c.become(tcpFinWait2)
			}
			o.window = uint32(g.Window) << o.wscale
		}
	} else if !again {
		if after(end, s.nextWin) {
			return false
		}
		if g.Seq == s.next-1 {
			c.become(tcpFinWait2)
		}
		o.window = uint32(g.Window) << o.wscale
	}
	c.takeTS(g)
	if before(o.next-1, g.Ack) {
		o.next = g.Ack
	}
	if g.ts && g.Seq == s.next || !g.ts && g.Seq == s.next-1 {
		s.next = end
	}
	o.acked(g.Ack)
	o.room(g.sacked)
	return true
}

func (c *session) finWait2(g *segment) bool {
	s, o := g.s, g.o
	flags := g.TCPFlags
	switch {
	case flags&packet.RST != 0:
		return c.rst(g)
	case flags&packet.FIN == 0 && flags&packet.SYN != 0, flags&(packet.FIN|packet.ACK) == 0, !c.usable(g):
		return false
	case flags&packet.FIN != 0:
		again := g.Seq == s.next-1 && g.Ack == o.lastAck || g.retransmitted()
		if !again && (before(g.Seq, s.next) || after(g.Seq, s.lastAck+s.window)) || !c.validAck(g) {
			return false
		}
		if !again {
			c.become(tcpTimeWait)
			if g.ts && s.next == g.Seq {
				s.next += g.length
			}
			o.window = uint32(g.Window) << o.wscale
		}
		c.takeTS(g)
		if before(o.next, g.Ack) {
			o.next = g.Ack
		}
		if flags&packet.ACK != 0 {
			o.acked(g.Ack)
		}
		return true
	}
	again := g.retransmitted()
	if !c.validAck(g) {
		return false
	}
	if !again {
		if after(g.Seq+g.length, s.nextWin) {
			return false
		}
		o.window = uint32(g.Window) << o.wscale
	}
	c.takeTS(g)
	if s.next == g.Seq {
		s.next += g.length
	}
	o.acked(g.Ack)
	o.room(g.sacked)
	return true
}

func (c *session) closing(g *segment) bool {
	switch {
	case g.TCPFlags&packet.RST != 0:
		return c.rst(g)
	case g.TCPFlags&packet.SYN != 0 || g.TCPFlags&packet.ACK == 0 || !c.usable(g):
		return false
	}
	again := g.retransmitted()
	if g.Seq != g.s.next || !c.validAck(g) {
		return false
	}
	if !again {
		c.become(tcpTimeWait)
		c.client.window = uint32(g.Window) << c.client.wscale
	}
	c.late(g)
	return true
}

// late takes timestamp and acknowledgement of a packet near the end of a session.
func (c *session) late(g *segment) {
	c.takeTS(g)
	if before(g.o.next, g.Ack) {
		g.o.next = g.Ack
	}
	if g.TCPFlags&packet.ACK != 0 {
		g.o.acked(g.Ack)
	}
}

func (c *session) closeWait(g *segment) bool {
	s, o := g.s, g.o
	switch {
	case g.TCPFlags&packet.RST != 0:
		return c.rst(g)
	case g.TCPFlags&packet.FIN != 0:
		if !c.usable(g) {
			return false
		}
		again := g.retransmitted()
		if !again && (before(g.Seq, s.next) || after(g.Seq, s.lastAck+s.window)) || !c.validAck(g) {
			return false
		}
		if !again {
			if !g.ts { // it takes the server's FIN
				c.become(tcpLastAck)
			}
			o.window = uint32(g.Window) << o.wscale
		}
		c.late(g)
		return true
	case g.TCPFlags&packet.SYN != 0 || g.TCPFlags&packet.ACK == 0 || !c.usable(g):
		return false
	}
	again := g.retransmitted()
	if g.length > 0 && !after(g.Seq+g.length, s.lastAck) || after(g.Seq, s.lastAck+s.window) || !c.validAck(g) {
		return false
	}
	if !again {
		o.window = uint32(g.Window) << o.wscale
	}
	c.late(g)
	if g.Seq == s.next {
		s.next += g.length
	}
	return true
}

func (c *session) lastAck(g *segment) bool {
	switch {
	case g.TCPFlags&packet.RST != 0:
		return c.rst(g)
	case g.TCPFlags&(packet.FIN|packet.SYN) != 0 || g.TCPFlags&packet.ACK == 0 || !c.usable(g) || !g.ts:
		return false
	}
	again := g.retransmitted()
	if !c.validAck(g) {
		return false
	}
	if !again {
		if !before(g.Seq, g.s.next) {
			if g.Seq != g.s.next && g.Seq != g.s.next+1 {
				return false
			}
			c.become(tcpClosed)
		}
		g.o.window = uint32(g.Window) << g.o.wscale
	}
	c.late(g)
	return true
}

func (c *session) timeWait(g *segment) bool {
	switch {
	case g.TCPFlags&packet.RST != 0:
		return c.rst(g)
	case g.TCPFlags&(packet.FIN|packet.SYN) != 0 || g.TCPFlags&packet.ACK == 0 || !c.usable(g):
		return false
	}
	again := g.retransmitted()
	if !again && g.Seq != g.s.next {
		if g.ts && g.Seq != g.s.next+1 || !g.ts && g.Seq != g.s.next-1 {
			return false
		}
	}
	if !c.validAck(g) {
		return false
	}
	if !again {
		c.become(tcpClosed)
		g.o.window = uint32(g.Window) << g.o.wscale
	}
	c.late(g)
	return true
}

// closed looks at what comes after a RST: if the side that sent it goes on, it was somebody else who sent it.
func (c *session) closed(g *segment) bool {
	if g.TCPFlags&packet.RST != 0 || g.s.flags&gotReset != 0 || g.o.flags&gotReset == 0 {
		return false
	}
	ok := c.dispatch(g, c.before)
	if c.state == tcpClosed && (ok || c.before == tcpSynSent && c.ignoredByOpening(g)) {
		c.state = c.before
	}
	return ok
}

// ignoredByOpening reports whether g, which changes nothing after a SYN, is not wrong either.
func (c *session) ignoredByOpening(g *segment) bool {
	return g.TCPFlags&(packet.SYN|packet.ACK) != packet.SYN|packet.ACK && c.answersSYN(g)
}
