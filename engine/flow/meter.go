// Package flow meters packets into bidirectional flows and writes them as EVE events, in Suricata's shape.
package flow

import (
	"encoding/json"
	"math"
	"time"
	"unsafe"

	"dragonfly/engine/app"
	"dragonfly/engine/packet"
)

// Timeouts are the idle times after which a flow of one protocol has ended, in whole seconds. Zero values are Suricata's
// defaults: TCP 60 s, 600 s, 60 s; all others 30 s, 300 s.
type Timeouts struct {
	New, Established, Closed time.Duration // Closed: TCP only
}

// Config of a meter.
type Config struct {
	TCP, UDP, ICMP, Other Timeouts
	Active                time.Duration // a flow that lasts longer is reported and begins anew; 0 is never, as in Suricata
	VLAN                  bool          // tags are part of the flow key
	MaxFlows              int           // how many are kept at most; above that the least useful is evicted. 0: as many as there is memory for
	Memory                int64         // bytes, see FlowBytes; above that the least useful flow is evicted. 0: without MaxFlows 256 MiB, else no limit
	Interface             string        // in_iface of the events; "" for capture files, whose events have pcap_cnt
	Features              string        // "", "nfstream" or "cic"
	App                   app.Config
	NoApp                 bool   // payloads are not looked at: flow events only, without app_proto
	Seed                  uint16 // of community ids
	EndReason             bool   // flow events have flow.end_reason, a number as in RFC 5102 (flowEndReason)
}

const entryBytes = int(unsafe.Sizeof(entry{}))

// What a flow is taken to need, in bytes, with what the garbage collector leaves lying.
const (
	FlowBytes = 256 // with its place in the index
	AppBytes  = 512 // besides, while its application is looked at
)

const defaultMemory = 256 << 20 // bytes

// Classes of protocols with timeouts of their own.
const (
	classTCP = iota
	classUDP
	classICMP
	classOther
	classes
)

// Meter is one shard of the flow table. It belongs to one goroutine. Time comes from the packets, or from Advance.
type Meter struct {
	config      Config
	emit        func(event []byte)
	table       *table
	queues      [states]queue
	wheel       wheel
	timeouts    [classes][states]int64 // seconds
	now         int64                  // time of the last packet, or of Advance: that of flow events
	newest      int64                  // the latest of all times so far
	ticks       uint64                 // packets, with those of Other
	counts      counts
	sides       []side            // by entry.side; 0 is not used
	sideBytes   int64             // what one is taken to need
	spare       []uint32          // unused sides
	names       []string          // of protocols, by entry.protocols; the first is ""
	parents     map[*entry]uint64 // flow_id of the flow that announced this one, of those whose application layer is gone
	found       func(*app.Event)  // appEvent, made once
	syn         packet.Packet     // of a handshake that is shown later
	asking      *entry            // the flow whose application layer is being asked
	packet      *packet.Packet    // that it is asked about; nil at the end of the flow
	out         []byte            // the event being written
	iface       string            // as a member
	newFeatures func() Features   // nil if none are wanted
	day         daytime

	spareFeatures []Features // empty ones, for the next flows
}

// New returns a meter. emit gets each event, one JSON object without a line end; the slice is valid during the call, and emit
// must not call the meter.
func New(c Config, emit func(event []byte)) *Meter {
	m := &Meter{config: c, emit: emit, table: newTable(), sides: make([]side, 1), names: []string{""}, parents: map[*entry]uint64{}}
	if c.Interface != "" {
		name, _ := json.Marshal(c.Interface)
		m.iface = `,"in_iface":` + string(name)
	}
	if m.config.MaxFlows <= 0 {
		m.config.MaxFlows = math.MaxInt
		if m.config.Memory == 0 {
			m.config.Memory = defaultMemory
		}
	}
	if m.config.Memory <= 0 {
		m.config.Memory = math.MaxInt64
	}
	m.sideBytes = AppBytes + FeatureBytes(c.Features)
	for class, t := range [classes]Timeouts{c.TCP, c.UDP, c.ICMP, c.Other} {
		def := [states]int64{30, 300, 300}
		if class == classTCP {
			def = [states]int64{60, 600, 60}
		}
		for s, d := range [states]time.Duration{t.New, t.Established, t.Closed} {
			if m.timeouts[class][s] = int64((d-1)/time.Second) + 1; d <= 0 {
				m.timeouts[class][s] = def[s]
			}
		}
	}
	m.found, m.newFeatures = m.appEvent, featureKinds[c.Features]
	return m
}

func (m *Meter) class(proto uint8) int {
	switch proto {
	case packet.TCP:
		return classTCP
	case packet.UDP:
		return classUDP
	case packet.ICMP, packet.ICMPv6:
		return classICMP
	}
	return classOther
}

// checkEvery is after how many packets Packet looks for idle flows. Suricata's flow manager, too, runs beside the packets, so
// that in short captures most flows end with the capture.
const checkEvery = 1 << 12

// Packet meters one packet. A flow that was idle for its timeout before it ends, and p begins another; flows of other packets
// that are idle at its time end soon, see checkEvery. Packets may come with a time before that of others.
func (m *Meter) Packet(p *packet.Packet) {
	m.counts.packets++
	m.tick(p.Time)
	if !meterable(p.Proto) {
		m.counts.otherProtocol++
		return
	}
	var k key
	quoted := p.Proto == packet.ICMP && icmpError(p.ICMPType)
	if !quoted {
		k.of(p, m.config.VLAN)
	} else if !k.ofQuoted(p, m.config.VLAN) {
		m.counts.icmpErrors++
		return
	}
	hash := k.hash(&m.table.seed)
	i, e, dir := m.find(&k, uint32(hash))
	if e != nil {
		switch now := int64(seconds(p.Time)); {
		case m.expires(e) < now:
			m.end(i, e, endIdle)
			e = nil
		case quoted:
		case p.Proto == packet.TCP && p.TCPFlags&(packet.SYN|packet.ACK|packet.RST|packet.FIN) == packet.SYN && e.tcp.reusable(p, dir):
			m.end(i, e, endClosed)
			e = nil
		case m.config.Active > 0 && p.Time-e.start > int64(m.config.Active):
			m.restart(i, e, p.Time)
		}
	}
	if e == nil {
		if quoted {
			m.counts.icmpErrors++
			return
		}
		i, e = m.add(&k, uint32(hash), p)
		dir = app.ToServer
	}
	if quoted {
		dir = app.ToClient
		if p.Src == e.src {
			dir = app.ToServer
		}
	}
	if p.Time > e.last {
		e.last = p.Time
	}
	e.packets[dir]++
	e.bytes[dir] += uint64(p.Bytes)
	e.flags |= used
	if m.newFeatures != nil {
		m.measure(e, p, dir)
	}
	if !quoted {
		m.follow(i, e, p, dir)
	}
}

// follow lets the packet change the state of its flow, and shows it to the application layer.
func (m *Meter) follow(i uint32, e *entry, p *packet.Packet, dir app.Dir) {
	accepted := true
	if p.Proto == packet.TCP {
		if p.TCPFlags&packet.RST != 0 && e.side != 0 && m.sides[e.side].conn != nil {
			e.gaps(m.sides[e.side].conn)
		}
		before := e.tcp.state
		accepted = e.tcp.packet(p, dir, e.flags&isV6 != 0)
		if e.tcp.state != before {
			m.become(i, e, e.tcp.flowState(e.state))
		}
	} else {
		e.flags |= seenToServer << dir
		if e.state == stateNew && e.flags&(seenToServer|seenToClient) == seenToServer|seenToClient {
			m.become(i, e, stateEstablished)
		}
	}
	if e.side != 0 || e.flags&wantsApp != 0 {
		m.show(e, p, dir, accepted || p.Proto == packet.TCP && p.TCPFlags&packet.SYN != 0)
	}
}

// find returns the entry that k belongs to, nil if there is none.
func (m *Meter) find(k *key, hash uint32) (uint32, *entry, app.Dir) {
	for i := *m.table.head(hash); i != 0; {
		e := m.table.at(i)
		if e.hash == hash {
			if dir, ok := e.matches(k); ok {
				return i, e, dir
			}
		}
		i = e.next
	}
	return 0, nil, 0
}

// add makes a flow that begins with p.
func (m *Meter) add(k *key, hash uint32, p *packet.Packet) (uint32, *entry) {
	for (m.table.count >= m.config.MaxFlows || m.crowded(FlowBytes)) && m.evict(nil) {
	}
	i, e := m.table.insert(hash)
	e.src, e.dst, e.sport, e.dport, e.proto, e.depth = *k.src, *k.dst, k.sport, k.dport, k.proto, k.depth
	e.vlan, e.vlans, e.tunnel, e.icmpCode = p.VLAN, min(p.VLANs, packet.MaxVLANs), p.Tunnel, p.ICMPCode
	e.start, e.last = p.Time, p.Time
	if k.v6 {
		e.flags |= isV6
	}
	if !m.config.NoApp && (e.proto == packet.UDP || e.proto == packet.TCP) {
		e.flags |= wantsApp
	}
	m.counts.flows++
	m.enqueue(i, e)
	m.arm(i, e)
	return i, e
}

// restart reports e as it is, and lets it go on as a flow that begins at now.
func (m *Meter) restart(i uint32, e *entry, now int64) {
	m.counts.ended[endActive]++
	m.counts.flows++
	m.flowEvent(e, endActive)
	m.counts.reported += e.packets[0] + e.packets[1]
	e.start, e.last, e.packets, e.bytes = now, now, [2]uint64{}, [2]uint64{}
	if e.side != 0 {
		m.recycle(&m.sides[e.side])
	}
	m.disarm(e)
	m.arm(i, e)
}

// end reports a flow and forgets it.
func (m *Meter) end(i uint32, e *entry, why ending) {
	m.endApp(e)
	m.counts.ended[why]++
	m.counts.reported += e.packets[0] + e.packets[1]
	m.flowEvent(e, why)
	if e.flags&hasParent != 0 {
		delete(m.parents, e)
	}
	m.leave(e)
	m.disarm(e)
	m.dequeue(e)
	m.table.remove(i)
}

// Other tells the meter of a packet that another meter of the same source takes, by its time: idle flows then end just as if
// one meter had all packets.
func (m *Meter) Other(now int64) { m.tick(now) }

// tick takes the time of a packet.
func (m *Meter) tick(now int64) {
	m.now = now
	m.newest = max(m.newest, now)
	if m.ticks++; m.ticks%checkEvery == 0 || !m.wheel.begun {
		m.turn(seconds(m.newest))
	}
}

// Advance ends the flows that are idle at now, nanoseconds since 1970. A capture from an interface calls it by its clock, at
// least once a second. A time before the latest is ignored.
func (m *Meter) Advance(now int64) {
	if now < m.newest {
		return
	}
	m.now, m.newest = now, now
	m.turn(seconds(now))
}

// Close reports all flows that are left, with the reason "shutdown", oldest places of the table first. The meter can be used
// again.
func (m *Meter) Close() {
	for i := uint32(1); i < m.table.top; i++ {
		if e := m.table.at(i); e.flags&alive != 0 {
			m.end(i, e, endClose)
		}
	}
}

// Release gives the memory of the table back. The meter cannot be used then.
func (m *Meter) Release() {
	m.table.mem.release()
	m.table = nil
}

// CloseAt is Close for a capture file whose last frame, with or without a packet, is of time now: the events have that time, as
// Suricata's have.
func (m *Meter) CloseAt(now int64) {
	m.now = now
	m.Close()
}
