package app

import "dragonfly/engine/packet"

// state of a TCP session as Suricata tracks it, in its order.
type state uint8

const (
	none state = iota
	synSent
	synReceived
	established
	finWait1
	finWait2
	timeWait
	lastAck
	closeWait
	closing
	closed
)

// session is what is known of a TCP connection. It decides which packets count and which streams they move on. Options of TCP
// are not looked at, so windows are taken to be as large as they can be.
type session struct {
	state   state
	reset   bool // closed by RST
	lossy   bool // bytes were missing: less is expected of RST
	early   bool // data came with the SYN
	answer  bool // a SYN of the server crossed that of the client
	streams [2]stream
}

// largest is the largest window that scaling allows.
const largest = 65535 << 14

func before(a, b uint32) bool { return int32(a-b) < 0 }

// update says which streams the application layer may read on after a packet.
type update uint8

const (
	opposite update = 1 << iota // what the packet acknowledges
	own                         // the packet's own
	data                        // the packet's payload counts
)

// packet takes a packet and says what follows from it.
func (s *session) packet(p *packet.Packet, d Dir) update {
	if s.state != none && s.idle(p, d) {
		return 0
	}
	if !s.accept(p, d) {
		return 0
	}
	switch {
	case p.TCPFlags&packet.RST != 0:
		return own
	case p.TCPFlags&packet.FIN != 0 && s.state > timeWait:
		if p.TCPFlags&packet.ACK != 0 {
			return own | opposite | data
		}
		return own | data
	case s.state == closed:
		return own | opposite | data
	}
	return opposite | data
}

// idle reports whether p is a keep-alive, or repeats only what was read.
func (s *session) idle(p *packet.Packet, d Dir) bool {
	me, you := &s.streams[d], &s.streams[1-d]
	if p.PayloadLen <= 1 && p.TCPFlags&(packet.SYN|packet.FIN|packet.RST) == 0 && p.Ack == you.ack && p.Seq == me.next-1 {
		return true
	}
	if s.state >= established && p.TCPFlags == packet.ACK && p.PayloadLen == 0 && p.Seq == me.next && before(p.Ack, you.ack) {
		return true
	}
	return p.PayloadLen > 0 && s.state >= established && me.off > 0 && me.position(p.Seq)+int64(p.PayloadLen) <= me.off
}

// accept moves the session on; it is false for packets that do not belong to it.
func (s *session) accept(p *packet.Packet, d Dir) bool {
	flags := p.TCPFlags
	if flags&packet.RST != 0 && s.state > none && s.state < closed {
		return s.rst(p, d)
	}
	switch s.state {
	case none:
		return s.begin(p, d)
	case synSent:
		return s.answered(p, d)
	case synReceived, established:
		switch {
		case flags&packet.FIN != 0:
			return s.fin(p, d)
		case flags&packet.SYN != 0 || flags&packet.ACK == 0:
			return false
		case s.state == synReceived:
			return s.confirmed(p, d)
		}
		return s.going(p, d)
	case closed:
		return false
	}
	if flags&packet.SYN != 0 && flags&packet.FIN == 0 || flags&(packet.FIN|packet.ACK) == 0 {
		return false
	}
	return s.ending(p, d)
}

// begin takes the first SYN: Suricata without midstream knows no other beginning.
func (s *session) begin(p *packet.Packet, d Dir) bool {
	if p.TCPFlags&(packet.SYN|packet.ACK|packet.RST|packet.FIN) != packet.SYN || d != ToServer {
		return false
	}
	c := &s.streams[ToServer]
	c.isn, c.next, c.ack = p.Seq, p.Seq+1, p.Seq+1
	s.state = synSent
	s.early = p.PayloadLen > 0
	return s.early
}

func (s *session) answered(p *packet.Packet, d Dir) bool {
	c, v := &s.streams[ToServer], &s.streams[ToClient]
	syn := p.TCPFlags & (packet.SYN | packet.ACK)
	switch {
	case syn == packet.SYN|packet.ACK && d == ToClient:
		switch {
		case s.early && len(c.buf) > 0 && (p.Ack == c.isn+1+uint32(c.edge()) || p.Ack == c.isn+1): // taken, or to be sent again
			s.state, c.next = established, p.Ack
		case p.Ack == c.isn+1:
			s.state = synReceived
			c.forget()
		default:
			return false
		}
		v.isn, v.next, v.ack, c.ack = p.Seq, p.Seq+1, p.Seq+1, p.Ack
		return s.state == established
	case syn == packet.SYN|packet.ACK && s.answer && p.Ack == v.isn+1 && p.Seq == c.isn:
		s.state = synReceived
		v.ack = p.Ack
	case syn == packet.SYN && d == ToClient:
		s.answer = true
		v.isn, v.next, v.ack = p.Seq, p.Seq+1, p.Seq+1
	case syn == packet.SYN:
		c.forget()
		c.isn, c.next, c.ack = p.Seq, p.Seq+1, p.Seq+1
		s.early = p.PayloadLen > 0
		return s.early
	}
	return false
}

// confirmed takes what follows SYN and SYN/ACK: the last step of the handshake, or, where that was not seen, what comes after it.
func (s *session) confirmed(p *packet.Packet, d Dir) bool {
	me, you := &s.streams[d], &s.streams[1-d]
	if !you.acks(p.Ack) || before(p.Seq+1, me.next) || before(me.ack+largest, p.Seq+p.PayloadLen) {
		return false
	}
	if end := p.Seq + p.PayloadLen; before(me.next, end) {
		me.next = end
	}
	you.acked(p.Ack)
	s.state = established
	return true
}

func (s *session) going(p *packet.Packet, d Dir) bool {
	me, you := &s.streams[d], &s.streams[1-d]
	if !you.acks(p.Ack) {
		return false
	}
	end := p.Seq + p.PayloadLen
	if before(end, me.ack) && p.Seq != me.next-1 && !(before(me.next, me.ack) && before(me.next, end)) {
		return false
	}
	if before(me.ack+largest, end) {
		return false
	}
	if !before(end, me.next) {
		me.next = end
	}
	you.acked(p.Ack)
	return true
}

func (s *session) fin(p *packet.Packet, d Dir) bool {
	me, you := &s.streams[d], &s.streams[1-d]
	end := p.Seq + p.PayloadLen
	if p.TCPFlags&packet.ACK != 0 && !you.acks(p.Ack) || before(p.Seq, me.ack) || before(me.ack+largest, end) || p.TCPFlags&packet.SYN != 0 {
		return false
	}
	s.state, me.next = closeWait, end
	if d == ToClient {
		s.state, me.next = finWait1, end+1
	}
	s.took(p, you, 0)
	return true
}

// took notes what p acknowledges of the other side's stream, seen or not.
func (s *session) took(p *packet.Packet, you *stream, less uint32) {
	if p.TCPFlags&packet.ACK == 0 {
		return
	}
	if before(you.next-less, p.Ack) {
		you.next = p.Ack
	}
	you.acked(p.Ack)
}

// ending is all that follows the first FIN.
func (s *session) ending(p *packet.Packet, d Dir) bool {
	me, you := &s.streams[d], &s.streams[1-d]
	fin := p.TCPFlags&packet.FIN != 0
	again := me.repeats(p)
	if p.TCPFlags&packet.ACK != 0 && !you.acks(p.Ack) {
		return false
	}
	end := p.Seq + p.PayloadLen
	switch s.state {
	case finWait1:
		shift := uint32(0) // next of the server's stream counts its FIN
		if d == ToClient {
			shift = 1
		}
		switch {
		case fin:
			again = again || d == ToClient && p.Seq == me.next-1 && p.Ack == you.ack
			if !again && before(p.Seq, me.next-1) {
				return false
			}
			if !again && p.TCPFlags&packet.ACK != 0 {
				s.state = timeWait
			} else if !again {
				s.state = closing
			}
		case !again && d == ToServer:
			if p.Ack == you.next && p.Seq == me.next {
				s.state = finWait2
			}
		case !again && p.Seq == me.next-1:
			s.state = finWait2
		}
		if p.Seq == me.next-shift {
			me.next = end
		}
		s.took(p, you, 1)
	case finWait2:
		if fin {
			again = again || p.Seq == me.next-1 && p.Ack == you.ack
			if !again && before(p.Seq, me.next) {
				return false
			}
			if !again {
				s.state = timeWait
			}
		}
		if p.Seq == me.next && (!fin || d == ToServer) {
			me.next = end
		}
		if fin {
			s.took(p, you, 0)
		} else {
			you.acked(p.Ack)
		}
	case closing:
		if fin && p.TCPFlags&packet.ACK == 0 || p.Seq != me.next {
			return false
		}
		if !again {
			s.state = timeWait
		}
		s.took(p, you, 0)
	case closeWait:
		switch {
		case fin && !again && before(p.Seq, me.next), !fin && p.PayloadLen > 0 && !before(me.ack, end):
			return false
		case fin && !again && d == ToClient:
			s.state = lastAck
		case !fin && p.Seq == me.next:
			me.next = end
		}
		s.took(p, you, 0)
	case lastAck:
		if fin || d != ToServer {
			return false
		}
		if !again && !before(p.Seq, me.next) {
			if p.Seq != me.next && p.Seq != me.next+1 {
				return false
			}
			s.state = closed
		}
		s.took(p, you, 0)
	case timeWait:
		if fin {
			return false
		}
		if !again {
			if p.Seq != me.next && (d == ToServer && p.Seq != me.next+1 || d == ToClient && p.Seq != me.next-1) {
				return false
			}
			s.state = closed
		}
		s.took(p, you, 0)
	}
	return true
}

// rst closes the session, if it is plausible: its place must be exact.
func (s *session) rst(p *packet.Packet, d Dir) bool {
	me, you := &s.streams[d], &s.streams[1-d]
	if s.state == synSent {
		if d == ToClient && p.Ack == me.next || d == ToClient && p.Ack == you.isn+1 {
			s.state, s.reset = closed, true
		}
		return false
	}
	if !s.lossy && (p.TCPFlags&packet.ACK != 0 && p.Ack != 0 && !you.acks(p.Ack) || p.Seq != me.next) {
		return false
	}
	first := s.state == synReceived
	s.state, s.reset = closed, true
	if first {
		return false
	}
	if p.TCPFlags&packet.ACK != 0 && you.acks(p.Ack) {
		you.acked(p.Ack)
	}
	me.acked(p.Seq)
	return true
}

// acks reports whether an acknowledgement of the stream is believable.
func (s *stream) acks(ack uint32) bool {
	return !before(s.ack+largest, ack) && !before(ack, s.ack-largest)
}

func (s *stream) acked(ack uint32) {
	if before(s.ack, ack) {
		s.ack = ack
	}
}

// repeats reports whether all or the beginning of p came before.
func (s *stream) repeats(p *packet.Packet) bool {
	if p.PayloadLen == 0 {
		return false
	}
	end := p.Seq + p.PayloadLen
	return before(p.Seq, s.ack) && before(s.ack, end) || !before(s.ack, end) || !before(s.next, end)
}
