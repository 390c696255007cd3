// Package app reads the application layer of flows: which protocol it is, and what EVE reports of it. It sees only payloads;
// engine/flow gives them to it and writes the events that it finds.
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
	Packet uint64 // its number in the capture; 0 if the end of the flow completed it
	Dir    Dir    // of that packet
	// ByPacket: src_ip and dest_ip of the event are those of the packet; else client and server of the flow.
	ByPacket bool
	TxID     int    // number of the transaction in its flow, from 0; -1 where the event has none
	Body     []byte // JSON members: `"dns":{"type":"query"}`; valid during the call
}

// Config says what is wanted. The zero value detects protocols and reports nothing.
type Config struct {
	DNS, HTTP, TLS, QUIC, SSH bool
	DNSVersion                int   // 2 (Suricata 5 to 7) or 3 (Suricata 8)
	JA3, JA4                  bool  // ja3, ja3s; ja4
	SuricataJA                bool  // ja3 and ja4 as Suricata 7.0.10 has them where it deviates from their specifications
	Depth                     int64 // bytes of one direction of a stream that are looked at; 0 is no limit. Suricata: 1 MiB
	Pending                   int   // bytes that may wait, per direction, for a segment before them
}

// Conn is the application layer of one flow. Its memory is bounded, and it belongs to the goroutine of its flow.
type Conn struct {
	proto, toServer, toClient string
}

// New returns the application layer of a flow over proto (packet.TCP or packet.UDP) from a client's port to a server's.
func New(c *Config, proto uint8, clientPort, serverPort uint16) *Conn { return &Conn{} }

// Packet takes a packet of the flow and calls found for each event that it completes. It reports whether it wants more; after
// false only Protocols may be called.
func (c *Conn) Packet(p *packet.Packet, dir Dir, found func(*Event)) bool { return false }

// End says that the flow has ended: what is unfinished (a request without response) is reported.
func (c *Conn) End(time int64, found func(*Event)) {}

// Protocols returns app_proto, app_proto_ts and app_proto_tc as EVE has them in flow events: "failed" where nothing was
// recognised in what was sent, "" where nothing was sent or where the direction's is that of the flow.
func (c *Conn) Protocols() (proto, toServer, toClient string) { return c.proto, c.toServer, c.toClient }
