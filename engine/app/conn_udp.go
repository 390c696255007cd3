package app

import "dragonfly/engine/packet"

// datagram takes a packet of a UDP flow.
func (c *Conn) datagram(p *packet.Packet, d Dir, found func(*Event)) bool {
	o := 1 - d
	if c.off || c.sides[d] == failed && c.sides[o] == failed {
		c.release()
		return false
	}
	if c.sides[d] == unknown {
		got, reverse := c.recognise(d, p.Payload)
		switch {
		case got == unknown && c.sides[o] == unknown:
			c.sides[d] = failed
		case got == unknown:
			c.sides[d], c.found = c.sides[o], c.sides[o]
		default:
			c.sides[d] = got
			if !c.sides[o].known() {
				c.found = got
				c.parser = c.newParser(got)
			}
		}
		if c.sides[o] == unknown && c.found == unknown {
			c.found = failed
		}
		if reverse && c.found.known() {
			c.reversed = !c.reversed
			c.sides[0], c.sides[1] = c.sides[1], c.sides[0]
			c.client, c.server = c.server, c.client
			d = 1 - d
		}
	}
	if c.parser == nil {
		return c.sides[ToServer] == unknown || c.sides[ToClient] == unknown
	}
	if _, ok := c.parser.(sizer); ok && c.refuse(at{time: p.Time, packet: p.Number, dir: d}, found) {
		return false
	}
	if !c.parser.datagram(d, p.Payload, at{time: p.Time, packet: p.Number, dir: d}, found) {
		c.parser = nil
	}
	return c.parser != nil || c.sides[ToServer] == unknown || c.sides[ToClient] == unknown
}
