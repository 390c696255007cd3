package app

import "encoding/binary"

// dnsParser reads DNS (RFC 1035) over UDP and TCP. Each message is a transaction of its own, as in Suricata.
type dnsParser struct {
	config *Config
	count  int     // of transactions
	lost   [2]bool // bytes are missing: the next message must be found again
	bad    bool
}

// dnsScratch is what a message needs while it is read. All flows of a Config use one.
type dnsScratch struct {
	buf   []byte // of the event
	msg   dnsMessage
	event Event // the last one
}

var _ parser = (*dnsParser)(nil)

func newDNS(c *Config) parser {
	if c.dnsScratch == nil {
		c.dnsScratch = &dnsScratch{}
	}
	return &dnsParser{config: c}
}

func (p *dnsParser) datagram(d Dir, b []byte, at at, found func(*Event)) bool {
	p.message(d, b, at, found)
	return true
}

func (p *dnsParser) stream(d Dir, b []byte, at at, found func(*Event)) (n int, more bool) {
	if p.lost[d] {
		var from Dir
		if len(b) >= 2 && probeDNS(b, false, &from) != yes && d == ToClient {
			return len(b), true
		}
		p.lost[d] = false
	}
	for len(b)-n >= 2 {
		size := int(binary.BigEndian.Uint16(b[n:]))
		if len(b)-n-2 < size {
			break
		}
		if size > 0 && !p.message(d, b[n+2:n+2+size], at, found) {
			p.bad = true
			return n, false
		}
		n += 2 + size
	}
	return n, true
}

func (p *dnsParser) gap(d Dir, n int) bool {
	p.lost[ToServer], p.lost[ToClient] = true, true
	return true
}

func (p *dnsParser) end(int64, func(*Event)) {}

func (p *dnsParser) waiting() bool { return false }

func (p *dnsParser) broken() bool { return p.bad }

// message reports one message; it is false if it is none.
func (p *dnsParser) message(d Dir, b []byte, at at, found func(*Event)) bool {
	m := &p.config.dnsScratch.msg
	if !m.head(b) {
		return false
	}
	ok := m.questions() && (d == ToServer || m.records(m.counts[1], &m.answers) && m.records(m.counts[2], &m.authorities))
	if !ok || d == ToServer && m.flags&0x8000 != 0 {
		return false
	}
	id := p.count
	p.count++
	p.config.dnsScratch.event = Event{Type: "dns", Time: at.time, Packet: at.packet, Dir: at.dir, TxID: -1}
	e := &p.config.dnsScratch.event
	switch {
	case p.config.DNSVersion == 3:
		if d == ToClient {
			// additionals are not needed to make sense of the message: what cannot be read is left out
			m.options = true
			if !m.records(m.counts[3], &m.additionals) {
				m.additionals = m.additionals[:0]
			}
		}
		p.config.dnsScratch.buf = m.json3(p.config.dnsScratch.buf[:0], d, id)
		e.Body, e.Dir, e.ByPacket = p.config.dnsScratch.buf, d, true
		found(e)
	case d == ToServer:
		for i := range m.queries {
			p.config.dnsScratch.buf = m.query(p.config.dnsScratch.buf[:0], i, id)
			e.Body = p.config.dnsScratch.buf
			found(e)
		}
	case len(m.queries) > 0: // Suricata 7 reports no answer to nothing
		p.config.dnsScratch.buf = m.answer(p.config.dnsScratch.buf[:0])
		e.Body = p.config.dnsScratch.buf
		found(e)
	}
	m.done()
	return true
}

// probeDNS takes a message whose questions can be read. from is set to who sends such messages.
func probeDNS(b []byte, udp bool, from *Dir) answer {
	size := len(b)
	if !udp {
		if len(b) < 14 {
			return maybe
		}
		size = int(binary.BigEndian.Uint16(b))
		b = b[2:]
	}
	if len(b) < 12 {
		return maybe
	}
	if len(b) > size {
		b = b[:size]
	}
	var m dnsMessage
	if len(b) < 12 || !m.counted(b, size) {
		return maybe
	}
	m.msg = b
	m.at = 12
	if len(b) == size && !m.questions() && !m.short {
		return maybe
	}
	if m.flags&0x8000 != 0 {
		*from = ToClient
	} else {
		*from = ToServer
	}
	return yes
}
