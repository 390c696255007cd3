// Package flow meters packets into bidirectional flows and writes them as EVE events, in Suricata's shape.
package flow

import (
	"time"

	"dragonfly/engine/app"
	"dragonfly/engine/packet"
)

// Timeouts are the idle times after which a flow of one protocol has ended.
type Timeouts struct {
	New, Established, Closed time.Duration // Closed: TCP only
}

// Config of a meter.
type Config struct {
	TCP, UDP, ICMP, Other Timeouts
	Active                time.Duration // a flow that lasts longer is reported and begins anew; 0 is never, as in Suricata
	VLAN                  bool          // tags are part of the flow key
	MaxFlows              int           // how many are kept at most; above that the least useful is evicted
	Interface             string        // in_iface of the events; "" for capture files, whose events have pcap_cnt
	Features              string        // "", "nfstream" or "cic"
	App                   app.Config
	Seed                  uint16 // of community ids
}

// Meter is one shard of the flow table. It belongs to one goroutine. Time comes from the packets, or from Advance.
type Meter struct{}

// New returns a meter. emit gets each event, one JSON object without a line end; the slice is valid during the call.
func New(c Config, emit func(event []byte)) *Meter { return &Meter{} }

// Packet meters one packet.
func (m *Meter) Packet(p *packet.Packet) {}

// Advance ends the flows that are idle at now, nanoseconds since 1970. Packet does so too, with the time of its packet.
func (m *Meter) Advance(now int64) {}

// Close reports all flows that are left, with the reason "shutdown".
func (m *Meter) Close() {}
