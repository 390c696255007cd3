package flow

import "dragonfly/engine/packet"

// begin starts a session with a SYN.
func (c *session) begin(g *segment) bool {
	*c = session{state: tcpSynSent}
	cl := &c.client
	cl.tcpFlags = g.TCPFlags
	cl.isn, cl.next = g.Seq, g.Seq+1
	if g.hasTS {
		cl.lastTS = g.tsVal
		cl.flags |= offersTimestamps
		if g.tsVal == 0 {
			cl.flags |= zeroTimestamp
		}
	}
	c.server.window = uint32(g.Window)
	if g.hasWscale {
		c.flags |= synWscale
		c.server.wscale = g.wscale
	}
	if g.hasTFO {
		c.flags |= fastOpen
		cl.next += g.length
		return g.length > 0
	}
	return false
}

// answersSYN checks the echoed timestamp of an answer to the SYN.
func (c *session) answersSYN(g *segment) bool {
	if g.ts || !g.hasTS {
		return true
	}
	cl := &c.client
	if cl.flags&offersTimestamps != 0 {
		return cl.lastTS == 0 || g.tsEcr == 0 || g.tsEcr == cl.lastTS
	}
	return cl.lastTS != 0 || g.tsEcr == 0
}

func (c *session) synSent(g *segment) bool {
	cl, sv := &c.client, &c.server
	switch synAck := g.TCPFlags&(packet.SYN|packet.ACK) == packet.SYN|packet.ACK; {
	case synAck && !g.ts:
		if !g.hasTFO && c.flags&fastOpen == 0 {
			if g.Ack != cl.isn+1 {
				return false
			}
		} else {
			switch g.Ack {
			case cl.next:
			case cl.isn + 1:
				cl.next = cl.isn
				c.flags |= fastIgnored
			default:
				return false
			}
			c.flags |= fastOpen
			c.become(tcpEstablished)
		}
		if !c.answersSYN(g) {
			if c.flags&synResent == 0 {
				return false
			}
			cl.lastTS = g.tsEcr // it answers an earlier SYN
		}
		c.synAck(g)
		return false
	case synAck:
		if c.flags&fourWay == 0 || g.Ack != sv.isn+1 || g.Seq != cl.isn {
			return false
		}
		c.become(tcpSynRecv)
		cl.next = cl.isn + 1
		sv.window = uint32(g.Window)
		if g.hasTS && sv.flags&offersTimestamps != 0 {
			cl.lastTS = g.tsVal
			c.flags |= timestamps
			if g.tsVal == 0 {
				cl.flags |= zeroTimestamp
			}
		} else {
			sv.lastTS, cl.lastTS = 0, 0
			sv.flags &^= zeroTimestamp
		}
		sv.lastAck, cl.lastAck = g.Ack, cl.isn+1
		sv.wscale = 0
		if c.flags&synWscale != 0 && g.hasWscale {
			sv.wscale = g.wscale
		}
		cl.nextWin, sv.nextWin = cl.lastAck+cl.window, sv.lastAck+sv.window
		return false
	}
	if !c.answersSYN(g) {
		return false
	}
	switch {
	case g.TCPFlags&packet.RST != 0:
		if !c.validRST(g) {
			return false
		}
		if !g.ts {
			cl.flags |= gotReset
			c.become(tcpClosed)
		} else if g.Seq == cl.isn && g.Window == 0 && g.Ack == cl.isn+1 {
			sv.flags |= gotReset
			c.become(tcpClosed)
		}
	case g.TCPFlags&packet.FIN != 0:
	case g.TCPFlags&packet.SYN != 0 && !g.ts:
		c.flags |= fourWay
		sv.isn, sv.next = g.Seq, g.Seq+1
		if g.hasTS {
			sv.lastTS = g.tsVal
			if g.tsVal == 0 {
				sv.flags |= zeroTimestamp
			}
			sv.flags |= offersTimestamps
		}
		sv.window, sv.wscale = uint32(g.Window), 0
		c.flags &^= synWscale
		if g.hasWscale {
			c.flags |= synWscale
			sv.wscale = g.wscale
		}
	case g.TCPFlags&packet.SYN != 0: // sent again: the latest is most likely the one that is answered
		c.flags |= synResent
		if g.hasTS {
			cl.lastTS = g.tsVal
			cl.flags |= offersTimestamps
		}
		sv.wscale = 0
		if g.hasWscale {
			c.flags |= synWscale
			sv.wscale = g.wscale
		}
		sv.window = uint32(g.Window)
	}
	return false
}

// synAck takes the SYN/ACK of a handshake of three packets.
func (c *session) synAck(g *segment) {
	cl, sv := &c.client, &c.server
	c.become(tcpSynRecv)
	sv.isn, sv.next = g.Seq, g.Seq+1
	cl.window = uint32(g.Window)
	if g.hasTS && cl.flags&offersTimestamps != 0 {
		sv.lastTS = g.tsVal
		c.flags |= timestamps
		if g.tsVal == 0 {
			sv.flags |= zeroTimestamp
		}
	} else {
		cl.lastTS, sv.lastTS = 0, 0
		cl.flags &^= zeroTimestamp
	}
	cl.lastAck, sv.lastAck = g.Ack, sv.isn+1
	cl.wscale = 0
	if c.flags&synWscale != 0 && g.hasWscale {
		cl.wscale = g.wscale
	}
	sv.nextWin, cl.nextWin = sv.lastAck+sv.window, cl.lastAck+cl.window
	c.flags &^= fourWay
}

func (c *session) synRecv(g *segment) bool {
	cl, sv := &c.client, &c.server
	switch {
	case g.TCPFlags&packet.RST != 0:
		if c.validRST(g) {
			c.become(tcpClosed)
			c.takeTS(g)
		}
		return false
	case g.TCPFlags&packet.FIN != 0:
		return (c.flags&timestamps == 0 || c.validTS(g)) && c.fin(g)
	case g.TCPFlags&(packet.SYN|packet.ACK) == packet.SYN|packet.ACK:
		if !g.ts && g.Ack == cl.lastAck && g.Seq != sv.isn {
			c.flags |= synAckOther
		}
		return false
	case g.TCPFlags&packet.SYN != 0 || g.TCPFlags&packet.ACK == 0:
		return false
	}
	if c.flags&synAckOther != 0 && g.ts && g.Seq == cl.lastAck && g.Ack != sv.isn+1 {
		sv.isn, sv.next, sv.lastAck = g.Ack-1, g.Ack, g.Ack // the client took the other SYN/ACK
		sv.nextWin = sv.lastAck + sv.window
	}
	if c.flags&timestamps != 0 && !c.validTS(g) {
		return false
	}
	if c.flags&fourWay != 0 && !g.ts {
		if g.Seq != sv.next || !c.validAck(g) {
			return false
		}
		c.takeTS(g)
		cl.acked(g.Ack)
		sv.next += g.length
		cl.window = uint32(g.Window) << cl.wscale
		cl.nextWin = cl.lastAck + cl.window
		c.become(tcpEstablished)
		return true
	}
	missed := !g.ts && c.flags&fastOpen == 0 // the ACK of the client
	// The comparisons with the client's numbers are made for packets of the server too: so does Suricata.
	switch {
	case g.Seq == cl.next && g.Ack == sv.next:
		c.takeTS(g)
		sv.acked(g.Ack)
		cl.next += g.length
		sv.window = uint32(g.Window) << sv.wscale
		sv.nextWin = sv.lastAck + sv.window
	case g.Seq == cl.next:
		return false
	case !g.ts && after(g.Seq, cl.next) && after(g.Ack, cl.lastAck):
		c.takeTS(g)
		cl.acked(g.Ack)
		sv.next = g.Seq + g.length
		cl.nextWin = cl.lastAck + uint32(g.Window)<<cl.wscale
		cl.window = uint32(g.Window)
		sv.nextWin = sv.lastAck + sv.window
	case after(g.Seq, cl.next) && !after(g.Seq, cl.nextWin) && g.Ack == sv.next:
		c.takeTS(g)
		cl.next = g.Seq + g.length
		sv.acked(g.Ack)
		sv.window = uint32(g.Window) << sv.wscale
		sv.nextWin = sv.lastAck + sv.window
	case (missed || c.flags&fastOpen != 0) && g.Ack == cl.lastAck && g.Seq == sv.next:
		sv.next = g.Seq + g.length
		sv.window = uint32(g.Window) << sv.wscale
		sv.nextWin = sv.lastAck + sv.window
	default:
		return false
	}
	c.become(tcpEstablished)
	return true
}
