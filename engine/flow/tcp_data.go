package flow

import "dragonfly/engine/packet"

func (c *session) established(g *segment) bool {
	switch {
	case g.TCPFlags&packet.RST != 0:
		if !c.validRST(g) {
			return false
		}
		c.become(tcpClosed)
		g.o.next = g.Ack
		if g.s.next = g.Seq + g.length; !g.ts {
			g.s.next++
		}
		g.s.window = uint32(g.Window) << g.s.wscale
		c.reset(g)
		return true
	case g.TCPFlags&packet.FIN != 0:
		return (c.flags&timestamps == 0 || c.validTS(g)) && c.fin(g)
	case g.TCPFlags&packet.SYN != 0 || g.TCPFlags&packet.ACK == 0:
		return false
	case c.flags&timestamps != 0 && !c.validTS(g):
		return false
	}
	if !g.ts {
		c.flags |= confirmed
	}
	return c.data(g)
}

// reset takes the numbers of a RST.
func (c *session) reset(g *segment) {
	if g.TCPFlags&packet.ACK != 0 && c.validAck(g) {
		g.o.acked(g.Ack)
	}
	g.s.acked(g.Seq)
	c.takeTS(g)
}

// data takes a segment of an established session.
func (c *session) data(g *segment) bool {
	s, o, end := g.s, g.o, g.Seq+g.length
	probes, probed := uint16(probeClient), uint16(probeServer)
	if !g.ts {
		probes, probed = probed, probes
	}
	if g.TCPFlags&packet.ACK != 0 && !(c.flags&probed != 0 && g.Ack == o.next+1) && !c.validAck(g) {
		return false
	}
	if !(g.length <= 1 && g.Seq == s.next-1) && before(end, s.lastAck) && !(after(s.lastAck, s.next) && after(end, s.next)) {
		return false
	}
	if g.length == 1 && g.Seq == s.next && s.window == 0 {
		c.flags |= probes
		return true
	}
	if !before(end, s.next) {
		s.next = end
	}
	if after(end, s.nextWin) {
		return false
	}
	o.window = uint32(g.Window) << o.wscale
	if g.TCPFlags&packet.ACK != 0 {
		o.acked(g.Ack)
	}
	c.takeTS(g)
	o.room(g.sacked)
	return true
}

// fin takes the first FIN.
func (c *session) fin(g *segment) bool {
	s, o, end := g.s, g.o, g.Seq+g.length
	if !c.validAck(g) || before(g.Seq, s.lastAck) || after(end, s.nextWin) || g.ts && g.TCPFlags&packet.SYN != 0 {
		return false
	}
	if g.ts {
		c.become(tcpCloseWait)
		s.next = end
	} else {
		c.become(tcpFinWait1)
		s.next = end + 1
	}
	o.window = uint32(g.Window) << o.wscale
	c.takeTS(g)
	if before(o.next, g.Ack) {
		o.next = g.Ack
	}
	if g.TCPFlags&packet.ACK != 0 {
		o.acked(g.Ack)
	}
	return true
}
