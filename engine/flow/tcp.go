package flow

import (
	"encoding/binary"

	"dragonfly/engine/app"
	"dragonfly/engine/packet"
)

// tcpState is that of a connection as seen from the middle. The names are EVE's tcp.state.
type tcpState uint8

const (
	tcpNone tcpState = iota // no SYN was seen: the packets are counted and nothing else
	tcpSynSent
	tcpSynRecv
	tcpEstablished
	tcpFinWait1
	tcpFinWait2
	tcpTimeWait
	tcpLastAck
	tcpCloseWait
	tcpClosing
	tcpClosed
)

var tcpStateNames = [...]string{"none", "syn_sent", "syn_recv", "established", "fin_wait1", "fin_wait2", "time_wait", "last_ack", "close_wait", "closing", "closed"}

// Flags of a session.
const (
	timestamps  = 1 << iota // both sides use them
	synWscale               // the SYN had a window scale
	fourWay                 // both sides sent a SYN
	confirmed               // the server sent an ACK after the handshake
	fastOpen                // RFC 7413
	fastIgnored             // the SYN/ACK did not take the data of the SYN
	probeClient             // the last packet of the client probed a zero window
	probeServer             //
	synResent               // with other options
	synAckOther             // the SYN/ACK came again with another sequence number
	gapToServer             // bytes were acknowledged that were not captured
	gapToClient
)

// Flags of a stream.
const (
	keepAlive = 1 << iota
	offersTimestamps
	zeroTimestamp // in the handshake
	gotReset      // one whose signature cannot be checked
)

// stream is one direction of a session. Sequence numbers wrap: compare them with before and after.
type stream struct {
	isn      uint32
	next     uint32 // sequence number after the last segment
	lastAck  uint32 // highest that the other side acknowledged
	nextWin  uint32 // first that the other side has no room for
	window   uint32
	lastTS   uint32 // timestamp option
	wscale   uint8
	flags    uint8
	tcpFlags uint8 // of all packets
}

// session is a TCP connection, followed by the rules of Suricata's stream engine as it is by default: no midstream pickup, no
// asynchronous streams, not inline, the end hosts behave like Windows (IPv4) or BSD (IPv6), which matters for RST.
type session struct {
	client, server stream
	flags          uint16
	state, before  tcpState // before: the last state that was another
}

func before(a, b uint32) bool { return int32(a-b) < 0 }
func after(a, b uint32) bool  { return int32(a-b) > 0 }

// segment is a packet as the functions below see it.
type segment struct {
	*packet.Packet
	options
	length uint32 // of the payload
	v6     bool
	ts     bool // to server
	s, o   *stream
}

// options are those TCP options that decide anything.
type options struct {
	hasTS, hasWscale, hasTFO, hasSACK, signed bool
	wscale                                    uint8
	tsVal, tsEcr                              uint32
	sacked                                    uint32 // bytes
}

// read takes the first of each kind, and stops where the options make no sense.
func (t *options) read(b []byte) {
	for len(b) > 0 {
		switch b[0] {
		case 0:
			return
		case 1:
			b = b[1:]
			continue
		}
		if len(b) < 2 || b[1] < 2 || int(b[1]) > len(b) {
			return
		}
		n := int(b[1])
		switch kind := b[0]; {
		case kind == 3 && n == 3 && !t.hasWscale:
			if t.hasWscale = true; b[2] <= 14 {
				t.wscale = b[2]
			}
		case kind == 8 && n == 10 && !t.hasTS:
			t.hasTS, t.tsVal, t.tsEcr = true, binary.BigEndian.Uint32(b[2:]), binary.BigEndian.Uint32(b[6:])
		case kind == 5 && n >= 10 && n <= 34 && (n-2)%8 == 0 && !t.hasSACK:
			t.hasSACK = true
			for o := 2; o < n; o += 8 {
				t.sacked += binary.BigEndian.Uint32(b[o+4:]) - binary.BigEndian.Uint32(b[o:])
			}
			t.sacked = min(t.sacked, 1<<24) // windows are not larger: else the blocks make no sense
		case kind == 34 && (n == 2 || n >= 4 && n <= 18 && n%2 == 0), (kind == 253 || kind == 254) && (n == 4 || n == 12) && b[2] == 0xf9 && b[3] == 0x89:
			t.hasTFO = true
		case kind == 19 && n == 18, kind == 29 && n >= 4:
			t.signed = true
		}
		b = b[n:]
	}
}

// flowState returns the state of the flow, which is old before.
func (c *session) flowState(old state) state {
	switch c.state {
	case tcpEstablished, tcpFinWait1, tcpFinWait2, tcpClosing, tcpCloseWait:
		return stateEstablished
	case tcpLastAck, tcpTimeWait, tcpClosed:
		return stateClosed
	case tcpSynRecv:
		if c.before == tcpEstablished { // TCP fast open
			return stateEstablished
		}
	}
	return old
}

func (c *session) become(s tcpState) {
	if s != c.state {
		c.before, c.state = c.state, s
	}
}

// reusable reports whether p, a SYN, begins another connection on the same addresses and ports.
func (c *session) reusable(p *packet.Packet, dir app.Dir) bool {
	done := c.state == tcpNone || c.state >= tcpLastAck // by number: not in time_wait, so does Suricata
	if dir == app.ToServer && c.state != tcpNone {
		if c.flags&fastIgnored != 0 {
			return true
		}
		if p.Seq == c.client.isn {
			return false
		}
	}
	return done
}

// packet follows one packet and reports whether its payload belongs to the stream.
func (c *session) packet(p *packet.Packet, dir app.Dir, v6 bool) bool {
	g := segment{Packet: p, length: p.PayloadLen, v6: v6, ts: dir == app.ToServer}
	if g.s, g.o = &c.client, &c.server; !g.ts {
		g.s, g.o = g.o, g.s
	}
	if c.state == tcpNone {
		if p.TCPFlags&(packet.RST|packet.FIN|packet.SYN|packet.ACK) != packet.SYN {
			return false
		}
		g.read(p.TCPOptions)
		return c.begin(&g)
	}
	g.s.tcpFlags |= p.TCPFlags
	if len(p.TCPOptions) > 0 {
		g.read(p.TCPOptions)
	}
	ok := c.follow(&g)
	if p.TCPFlags&packet.RST == 0 && c.state != tcpClosed {
		g.o.flags &^= gotReset
	}
	return ok
}

// follow handles what all states have in common, and then the state.
func (c *session) follow(g *segment) bool {
	special := g.TCPFlags & (packet.SYN | packet.FIN | packet.RST)
	s, o := g.s, g.o
	if g.length <= 1 && special == 0 && g.Ack == o.lastAck && g.Seq == s.next-1 {
		s.flags |= keepAlive
		return false
	}
	if g.length == 0 && special == 0 && g.Window != 0 && uint32(g.Window)<<o.wscale == o.window &&
		o.flags&keepAlive != 0 && g.Ack == o.lastAck && g.Seq == s.next {
		o.flags &^= keepAlive
		s.flags &^= keepAlive
		return false
	}
	s.flags &^= keepAlive
	probed := uint16(probeServer)
	if !g.ts {
		probed = probeClient
	}
	answersProbe := c.flags&probed != 0 && c.state >= tcpEstablished && g.length == 0 && special == 0 && g.TCPFlags&packet.ACK != 0 &&
		g.Window == 0 && o.window == 0 && g.Seq == s.next && g.Ack == o.lastAck
	c.flags &^= probed
	if answersProbe {
		return false
	}
	if !c.lastOfShutdown(g) && !c.windowUpdate(g) && (c.badWindow(g) || c.outdated(g)) {
		return false
	}
	return c.dispatch(g, c.state)
}

func (c *session) dispatch(g *segment, s tcpState) bool {
	switch s {
	case tcpSynSent:
		return c.synSent(g)
	case tcpSynRecv:
		return c.synRecv(g)
	case tcpEstablished:
		return c.established(g)
	case tcpFinWait1:
		return c.finWait1(g)
	case tcpFinWait2:
		return c.finWait2(g)
	case tcpClosing:
		return c.closing(g)
	case tcpCloseWait:
		return c.closeWait(g)
	case tcpLastAck:
		return c.lastAck(g)
	case tcpTimeWait:
		return c.timeWait(g)
	case tcpClosed:
		return c.closed(g)
	}
	return false
}

// lastOfShutdown reports whether g is the ACK that ends a close.
func (c *session) lastOfShutdown(g *segment) bool {
	return (c.state == tcpTimeWait || c.state == tcpCloseWait || c.state == tcpLastAck) && g.TCPFlags == packet.ACK && g.length == 0 &&
		g.Seq == g.s.next+1 && g.Ack == g.o.next+1
}

func (c *session) windowUpdate(g *segment) bool {
	return c.state >= tcpEstablished && g.length == 0 && g.TCPFlags&(packet.SYN|packet.FIN|packet.RST) == 0 && g.Window != 0 &&
		uint32(g.Window)<<g.o.wscale != g.o.window && g.Ack == g.o.lastAck && g.Seq == g.s.next
}

// badWindow reports whether g shrinks the window by more than it acknowledges, while it acknowledges what was not seen.
func (c *session) badWindow(g *segment) bool {
	if c.state < tcpEstablished || c.state == tcpClosed || g.TCPFlags&(packet.SYN|packet.FIN|packet.RST) != 0 {
		return false
	}
	win := uint32(g.Window) << g.o.wscale
	if win >= g.o.window {
		return false
	}
	shrinks := g.o.window - win
	if shrinks <= g.length || !after(g.Ack, g.o.next) || !after(g.Seq, g.s.next) {
		return false
	}
	acks := g.Ack - g.o.lastAck
	if win > 1024 {
		acks += 32
	}
	return shrinks > acks
}

// outdated reports whether g only repeats an old ACK.
func (c *session) outdated(g *segment) bool {
	return c.state >= tcpEstablished && g.length == 0 && g.TCPFlags&(packet.ACK|packet.SYN|packet.FIN|packet.RST) == packet.ACK &&
		g.Seq == g.s.next && before(g.Ack, g.o.lastAck) && !g.hasSACK
}

// validAck reports whether what g acknowledges of the other stream may be.
func (c *session) validAck(g *segment) bool {
	o, ack := g.o, g.Ack
	switch {
	case g.TCPFlags&packet.ACK == 0, ack == o.lastAck, after(ack, o.lastAck) && !after(ack, o.nextWin):
		return true
	case before(ack, o.lastAck):
		return o.window == 0 || !before(ack, o.lastAck-o.window)
	}
	return c.state == tcpSynSent && !g.ts && g.TCPFlags&packet.RST != 0 && ack == o.isn+1
}

// validRST reports whether a RST is one that the receiver would believe.
func (c *session) validRST(g *segment) bool {
	if c.flags&(gapToServer|gapToClient) != 0 {
		return true
	}
	if c.flags&timestamps != 0 && !c.validTS(g) {
		return false
	}
	if g.Ack != 0 && !c.validAck(g) {
		return false
	}
	if g.signed {
		g.o.flags |= gotReset
	}
	return g.Seq == g.s.next
}

// doubtful reports whether the session was closed by a RST that may turn out to be forged.
func (c *session) doubtful() bool { return (c.client.flags|c.server.flags)&gotReset != 0 }

// validTS checks the timestamp of g against the last one of its stream (RFC 7323).
func (c *session) validTS(g *segment) bool {
	if !g.hasTS {
		return true
	}
	if g.tsVal == 0 && g.v6 {
		return false // BSD drops it, Windows does not
	}
	if g.s.flags&zeroTimestamp != 0 && !g.v6 && g.s.next == g.Seq {
		return true
	}
	return int32(g.tsVal-g.s.lastTS)+1 >= 0
}

// takeTS remembers the timestamp of g.
func (c *session) takeTS(g *segment) {
	if c.flags&timestamps == 0 || !g.hasTS || g.tsVal == 0 && g.v6 {
		return
	}
	s := g.s
	if s.flags&zeroTimestamp != 0 && !g.v6 {
		s.flags &^= zeroTimestamp
		if s.next == g.Seq {
			s.lastTS = g.tsVal
			return
		}
	}
	if int32(g.tsVal-s.lastTS)+1 >= 0 && s.next == g.Seq {
		s.lastTS = g.tsVal
	}
}

func (s *stream) acked(ack uint32) {
	if after(ack, s.lastAck) {
		s.lastAck = ack
	}
}

// room updates how far the other side lets s go.
func (s *stream) room(sacked uint32) {
	if w := s.lastAck + s.window + sacked; after(w, s.nextWin) {
		s.nextWin = w
	}
}

// retransmitted reports whether the data of g was seen before.
func (g *segment) retransmitted() bool {
	if g.length == 0 {
		return false
	}
	end := g.Seq + g.length
	return before(g.Seq, g.s.lastAck) && after(end, g.s.lastAck) || !after(end, g.s.lastAck) || !after(end, g.s.next)
}
