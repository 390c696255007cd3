package flow

import (
	"strconv"

	"dragonfly/engine/app"
	"dragonfly/engine/packet"
)

// side is what belongs to a flow and needs pointers.
type side struct {
	conn     *app.Conn // nil when it wants no more
	features Features
}

// A Conn may have more abilities than that it reads.
type (
	// reverser knows that the flow's first packet was an answer, so that its sender is the server.
	reverser interface{ Reversed() bool }
	// changer knows app_proto_orig and app_proto_expected.
	changer interface {
		Changed() (original, expected string)
	}
	// gapper knows in which directions bytes were acknowledged that were not captured.
	gapper interface {
		Gaps() (toServer, toClient bool)
	}
	// relative is told the flow_id of its flow, and knows that of the flow which announced it; 0 is none.
	relative interface {
		SetFlow(id uint64)
		Parent() uint64
	}
)

// show gives a packet of e to its application layer, which begins with the first datagram, or with the handshake or the data of
// a TCP session: a flood of SYNs costs nothing here. settled says that the packet belongs to its session.
func (m *Meter) show(e *entry, p *packet.Packet, dir app.Dir, settled bool) {
	if !settled {
		return
	}
	begins := e.flags&wantsApp != 0
	if begins {
		if e.proto == packet.TCP && (e.tcp.state == tcpNone || e.tcp.state < tcpEstablished && p.PayloadLen == 0) {
			return
		}
		if p.Proto == packet.TCP && p.TCPFlags&packet.SYN != 0 && e.tcp.flags&fastOpen == 0 {
			return // data of a SYN without RFC 7413 do not count
		}
		m.side(e) // may end other flows
	}
	m.asking, m.packet = e, p
	defer m.asked()
	if begins {
		e.flags &^= wantsApp
		conn := app.New(&m.config.App, e.proto, e.sport, e.dport)
		m.side(e).conn = conn
		if r, ok := any(conn).(relative); ok {
			r.SetFlow(e.id())
		}
		if e.proto == packet.TCP && p.TCPFlags&packet.SYN == 0 && !m.handshake(e, p, conn) {
			m.drop(e)
			return
		}
	}
	conn := m.sides[e.side].conn
	if conn == nil || p.Proto == packet.TCP && p.TCPFlags&packet.RST != 0 && e.tcp.doubtful() {
		return
	}
	more := conn.Packet(p, dir, m.found)
	m.turnAround(e, conn)
	if !more {
		m.drop(e)
	}
}

func (m *Meter) asked() { m.asking, m.packet = nil, nil }

// turnAround swaps the ends of e when its application layer found out that the first packet was an answer.
func (m *Meter) turnAround(e *entry, conn *app.Conn) {
	r, ok := any(conn).(reverser)
	if !ok || r.Reversed() == (e.flags&turned != 0) {
		return
	}
	e.flags ^= turned
	e.src, e.dst, e.sport, e.dport = e.dst, e.src, e.dport, e.sport
	e.packets[0], e.packets[1] = e.packets[1], e.packets[0]
	e.bytes[0], e.bytes[1] = e.bytes[1], e.bytes[0]
	seen := e.flags & (seenToServer | seenToClient)
	e.flags = e.flags&^(seenToServer|seenToClient) | seen>>1&seenToServer | seen<<1&seenToClient
	if f, ok := m.sides[e.side].features.(turner); ok {
		f.Turn()
	}
}

// handshake shows conn the SYNs that were not worth a Conn when they came. p is the packet that is now.
func (m *Meter) handshake(e *entry, p *packet.Packet, conn *app.Conn) bool {
	c := &e.tcp
	syn := &m.syn
	*syn = packet.Packet{Time: p.Time, Number: p.Number, Src: e.src, Dst: e.dst, SrcPort: e.sport, DstPort: e.dport, Proto: packet.TCP,
		V6: e.flags&isV6 != 0, Depth: e.depth, Tunnel: e.tunnel, TCPFlags: packet.SYN, Seq: c.client.isn}
	if !conn.Packet(syn, app.ToServer, m.found) {
		return false
	}
	syn.Src, syn.Dst, syn.SrcPort, syn.DstPort = syn.Dst, syn.Src, syn.DstPort, syn.SrcPort
	syn.TCPFlags, syn.Seq, syn.Ack = packet.SYN|packet.ACK, c.server.isn, c.client.isn+1
	return conn.Packet(syn, app.ToClient, m.found)
}

// side returns the side of e, making it, and room for it, if there is none.
func (m *Meter) side(e *entry) *side {
	if e.side == 0 {
		for m.crowded(m.sideBytes) && m.evict(e) {
		}
		if n := len(m.spare); n > 0 {
			e.side, m.spare = m.spare[n-1], m.spare[:n-1]
		} else {
			m.sides = append(m.sides, side{})
			e.side = uint32(len(m.sides) - 1)
		}
	}
	return &m.sides[e.side]
}

// leave frees the side of e.
func (m *Meter) leave(e *entry) {
	if e.side != 0 {
		m.recycle(&m.sides[e.side])
		m.sides[e.side] = side{}
		m.spare = append(m.spare, e.side)
		e.side = 0
	}
}

// drop forgets the application layer of e, but for the names of its protocols.
func (m *Meter) drop(e *entry) {
	conn := m.sides[e.side].conn
	e.protocols = m.protocols(conn)
	e.gaps(conn)
	if r, ok := any(conn).(relative); ok && r.Parent() != 0 {
		m.parents[e], e.flags = r.Parent(), e.flags|hasParent
	}
	if m.sides[e.side].conn = nil; m.sides[e.side].features == nil {
		m.leave(e)
	}
}

// gaps notes where conn missed bytes. Less is expected of a RST then.
func (e *entry) gaps(conn *app.Conn) {
	g, ok := any(conn).(gapper)
	if !ok {
		return
	}
	toServer, toClient := g.Gaps()
	if toServer {
		e.tcp.flags |= gapToServer
	}
	if toClient {
		e.tcp.flags |= gapToClient
	}
}

// parent returns the flow_id of the flow that announced e; 0 is none.
func (m *Meter) parent(e *entry) uint64 {
	if e.flags&hasParent != 0 {
		return m.parents[e]
	}
	if e.side != 0 {
		if r, ok := any(m.sides[e.side].conn).(relative); ok && m.sides[e.side].conn != nil {
			return r.Parent()
		}
	}
	return 0
}

// name returns the index of a protocol's name.
func (m *Meter) name(s string) uint8 {
	for i, known := range m.names {
		if s == known {
			return uint8(i)
		}
	}
	if len(m.names) > 255 {
		return 0 // package app knows fewer
	}
	m.names = append(m.names, s)
	return uint8(len(m.names) - 1)
}

// endApp tells the application layer of e that the flow has ended.
func (m *Meter) endApp(e *entry) {
	if e.side == 0 || m.sides[e.side].conn == nil {
		return
	}
	conn := m.sides[e.side].conn
	m.asking = e
	conn.End(m.now, m.found)
	m.turnAround(e, conn)
	m.drop(e)
	m.asking = nil
}

var protocolMembers = [...]string{"app_proto", "app_proto_ts", "app_proto_tc", "app_proto_orig", "app_proto_expected"}

func (m *Meter) appendProtocols(b []byte, e *entry) []byte {
	names := e.protocols
	if e.side != 0 && m.sides[e.side].conn != nil { // after an active timeout
		names = m.protocols(m.sides[e.side].conn)
	}
	for i, n := range names {
		if n != 0 {
			b = appendMember(b, protocolMembers[i], m.names[n])
		}
	}
	return b
}

func (m *Meter) protocols(conn *app.Conn) [5]uint8 {
	proto, toServer, toClient := conn.Protocols()
	names := [5]uint8{m.name(proto), m.name(toServer), m.name(toClient)}
	if c, ok := any(conn).(changer); ok {
		original, expected := c.Changed()
		names[3], names[4] = m.name(original), m.name(expected)
	}
	return names
}

// sources are Suricata's pkt_src, by tunnel; it has no ERSPAN of its own.
var sources = map[packet.Tunnel]string{
	packet.NoTunnel: "wire/pcap", packet.TunnelGRE: "gre tunnel", packet.TunnelIPIP: "ipv4 tunnel", packet.TunnelVXLAN: "vxlan encapsulation",
	packet.TunnelGeneve: "geneve encapsulation", packet.TunnelTeredo: "teredo tunnel", packet.TunnelERSPAN: "gre tunnel",
}

// source returns the pkt_src of an event.
func (m *Meter) source(e *entry, ev *app.Event) string {
	switch {
	case ev.Packet == 0 && m.packet == nil:
		return "stream (flow timeout)"
	case ev.Packet == 0:
		return "stream (detect/log)" // the protocol changes, and what was of the old one is finished first
	case m.packet != nil && m.packet.Fragments > 0 && m.packet.Number == ev.Packet:
		return "defrag"
	case e.tunnel == packet.TunnelIPIP && e.flags&isV6 != 0:
		return "ipv6 tunnel"
	}
	return sources[e.tunnel]
}

// appEvent emits what the application layer of m.asking found.
func (m *Meter) appEvent(ev *app.Event) {
	e, number, dir := m.asking, ev.Packet, app.ToServer
	m.turnAround(e, m.sides[e.side].conn)
	source := m.source(e, ev)
	if e.depth > 0 || source == "defrag" {
		number = 0 // Suricata gives a number only to packets that came as they are
	}
	if ev.ByPacket {
		dir = ev.Dir
	}
	b := m.appendStart(m.out[:0], e, ev.Time, number, ev.Type)
	b = e.appendTuple(b, dir)
	b = appendMember(b, "pkt_src", source)
	b = m.appendCommunityID(b, e)
	if ev.TxID >= 0 {
		b = append(b, `,"tx_id":`...)
		b = strconv.AppendInt(b, int64(ev.TxID), 10)
	}
	b = append(b, ',')
	b = append(b, ev.Body...)
	b = append(b, '}')
	m.emit(b)
	m.out = b
}
