// Package app reads the application layer of flows: which protocol it is, and what EVE reports of it. It sees only payloads;
// engine/flow gives them to it and writes the events that it finds. What it reports, and with which packet, is what
// Suricata 7 reports; in particular the bytes of a stream are read when they are acknowledged.
package app

import "dragonfly/engine/packet"

// Dir is the direction of a packet in its flow.
type Dir uint8

// The directions: the sender of the flow's first packet is the client.
const (
	ToServer Dir = iota
	ToClient
)

// Event is one finding, an EVE event without its head.
type Event struct {
	Type   string // of the event: "dns", "http", "tls", "quic", "ssh"
	Time   int64  // of the packet that completed it; nanoseconds since 1970
	Packet uint64 // its number in the capture; 0 if the end of the flow completed it, or if Changes
	Dir    Dir    // of that packet
	// ByPacket: src_ip and dest_ip of the event are those of the packet; else client and server of the flow.
	ByPacket bool
	Changes  bool   // the flow's protocol changes after it: Suricata reports it with pkt_src "stream (detect/log)"
	TxID     int    // number of the transaction in its flow, from 0; -1 where the event has none
	Body     []byte // JSON members: `"dns":{"type":"query"}`; valid during the call
}

// Config says what is wanted. The zero value detects protocols and reports nothing.
type Config struct {
	DNS, HTTP, TLS, QUIC, SSH bool
	DNSVersion                int   // 2 (Suricata 5 to 7) or 3 (Suricata 8); 0 is 2
	JA3, JA4                  bool  // ja3, ja3s; ja4
	JA4QUIC                   bool  // with JA4: in quic events as well, where Suricata leaves it out unless its output asks for it
	SuricataJA                bool  // ja3 and ja4 as Suricata 7.0.10 has them where it deviates from their specifications
	Depth                     int64 // bytes of one direction of a stream that are looked at; 0 is no limit. Suricata: 1 MiB
	Pending                   int   // bytes that may wait, per direction, for a segment before them or an acknowledgement; 0 is 64 KiB
	// Expected are the connections that FTP announces. Shards whose flows come from the same hosts share one. nil: New makes one
	// for this Config, which then belongs to one goroutine.
	Expected *Expectations
	// Memory bounds, in bytes, what all Conns of a Config together keep of streams and hellos that are not complete; 0 is 64 MiB.
	// A flow that needs more loses its application layer, which Memory counts. A Config with Conns belongs to one goroutine.
	Memory Memory

	dnsScratch *dnsScratch
}

// Conn is the application layer of one flow. Its memory is bounded, and it belongs to the goroutine of its flow.
type Conn struct {
	config    *Config
	proto     uint8
	hosts     [2]packet.Addr
	now       int64  // time of the last packet
	client    uint16 // ports
	server    uint16
	found     protocol    // app_proto
	sides     [2]protocol // app_proto_ts, app_proto_tc
	before    protocol    // app_proto_orig
	want      protocol    // app_proto_expected
	probe     uint16      // port that stands for server's in detection after a change of protocol; 0: none
	asked     bool        // the protocol changes with the next bytes
	first     Dir         // of the first bytes of a stream
	any       bool        // first is set
	handed    bool        // bytes were handed to the parser, or are past changing its protocol
	off       bool        // the application layer is given up
	reversed  bool        // the client is the server
	announced bool        // Expected has something of this flow
	flow      uint64      // flow_id
	parent    uint64      // flow_id of the flow that announced this one; 0: none
	expected  [2]bool     // asked of Expected
	broken    bool        // the parser found that its protocol is not spoken
	nested    bool        // a direction's detection has the other looked at
	detector  detector
	parser    parser
	previous  parser // of the protocol before, while it changes
	tcp       *session
	charged   int // bytes that Config.Memory has for it
}

// New returns the application layer of a flow over proto (packet.TCP or packet.UDP; others have none) from a client's port to a
// server's. It keeps c.
func New(c *Config, proto uint8, clientPort, serverPort uint16) *Conn {
	if c.Expected == nil {
		c.Expected = &Expectations{}
	}
	conn := &Conn{config: c, proto: proto, client: clientPort, server: serverPort}
	if proto == packet.TCP {
		conn.tcp = &session{}
	}
	return conn
}

// Packet takes a packet of the flow and calls found for each event that it completes. It reports whether it wants more; after
// false only Protocols, Changed and Reversed may be called. The caller leaves out what the ends of a TCP connection would not
// accept, as far as it knows better than a Conn, which looks at no options.
func (c *Conn) Packet(p *packet.Packet, dir Dir, found func(*Event)) bool {
	c.now = p.Time
	if c.hosts[0] == (packet.Addr{}) {
		c.hosts = [2]packet.Addr{p.Src, p.Dst}
	}
	switch {
	case uint32(len(p.Payload)) < p.PayloadLen: // cut by the capture: Suricata takes no part of it
		return !c.off
	case c.tcp != nil:
		more := c.segment(p, dir, found)
		c.charge()
		return more
	case c.proto == packet.UDP:
		more := c.datagram(p, dir, found)
		c.charge()
		return more
	}
	return false
}

// End says that the flow has ended: what is unfinished (a request without response) is reported. Only Protocols, Changed and
// Reversed may be called after it.
func (c *Conn) End(time int64, found func(*Event)) {
	at := at{time: time}
	if c.tcp != nil && !c.off {
		for _, at.dir = range [...]Dir{ToServer, ToClient} {
			if c.tcp.state >= established {
				c.read(at.dir, true, at, found)
			}
		}
	}
	if c.parser != nil {
		c.parser.end(time, found)
	}
	c.release()
}

// Protocols returns app_proto, app_proto_ts and app_proto_tc as EVE has them in flow events: "failed" where nothing was
// recognised in what was sent, "" where nothing was sent or where the direction's is that of the flow.
func (c *Conn) Protocols() (proto, toServer, toClient string) {
	proto = c.found.String()
	if c.sides[ToServer] != c.found {
		toServer = c.sides[ToServer].String()
	}
	if c.sides[ToClient] != c.found {
		toClient = c.sides[ToClient].String()
	}
	return proto, toServer, toClient
}

// Changed returns app_proto_orig and app_proto_expected of flow events: the protocol that was spoken before the present one, and
// the one that was announced to follow it; "" where EVE has none.
func (c *Conn) Changed() (original, expected string) {
	if c.before != c.found {
		original = c.before.String()
	}
	if c.want != c.found {
		expected = c.want.String()
	}
	return original, expected
}

// Reversed reports whether the flow's first packet was an answer, so that its sender is the server: Suricata then swaps the two
// ends, and all their counts, in what it reports from then on.
func (c *Conn) Reversed() bool { return c.reversed }

// SetFlow says which flow_id the flow has. It is called before the first packet.
func (c *Conn) SetFlow(id uint64) { c.flow = id }

// Parent returns the flow_id of the flow that announced this one, 0 if none did.
func (c *Conn) Parent() uint64 { return c.parent }

// Gaps reports in which directions bytes were acknowledged that were not captured.
func (c *Conn) Gaps() (toServer, toClient bool) {
	if c.tcp == nil {
		return false, false
	}
	return c.tcp.streams[ToServer].gap, c.tcp.streams[ToClient].gap
}

// newParser returns the parser of a protocol; nil where none of its events are wanted, or it has none.
func (c *Conn) newParser(p protocol) parser {
	switch {
	case p == dns && c.config.DNS:
		return newDNS(c.config)
	case p == http:
		return newHTTP(c.config)
	case p == http2 && c.config.HTTP:
		from, _ := c.previous.(*httpParser)
		return newHTTP2(c.config, from)
	case p == tls && c.config.TLS:
		return newTLS(c.config).after(c.before.String())
	case p == quic && c.config.QUIC:
		return newQUIC(c.config)
	case p == ssh && c.config.SSH:
		return newSSH(c.config)
	case p == smtp:
		return newSMTP()
	case p == ftp:
		return newFTP(c)
	}
	return nil
}

// release gives up what waits, and the parser.
func (c *Conn) release() {
	if c.tcp != nil {
		c.tcp.streams[ToServer].forget()
		c.tcp.streams[ToClient].forget()
	}
	if c.announced {
		c.config.Expected.forget(c)
	}
	c.parser = nil
	c.off = true
	c.charge()
}
