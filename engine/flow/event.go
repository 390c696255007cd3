package flow

import (
	"strconv"

	"dragonfly/engine/app"
	"dragonfly/engine/communityid"
	"dragonfly/engine/packet"
)

func addressBytes(a *packet.Addr, v6 bool) []byte {
	if v6 {
		return a[:]
	}
	return a[12:]
}

// id returns the flow_id: the same for the same key and start in every run, below 2^53.
func (e *entry) id() uint64 {
	h := endpoint(&e.src, e.sport, 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f) + endpoint(&e.dst, e.dport, 0x9e3779b97f4a7c15, 0xc2b2ae3d27d4eb4f)
	rest := uint64(e.vlan[0]) | uint64(e.vlan[1])<<16 | uint64(e.vlan[2])<<32 | uint64(e.proto)<<48 | uint64(e.depth)<<56
	return max(1, mum(h^0x165667b19e3779f9, rest^0x27d4eb2f165667c5^mum(uint64(e.start)^0x85ebca77c2b2ae63, 0xff51afd7ed558ccd))>>11)
}

func protoName(proto uint8) string {
	switch proto {
	case packet.TCP:
		return "TCP"
	case packet.UDP:
		return "UDP"
	case packet.ICMP:
		return "ICMP"
	case packet.ICMPv6:
		return "IPv6-ICMP"
	case packet.SCTP:
		return "SCTP"
	}
	return "ESP"
}

func (e *entry) hasPorts() bool {
	return e.proto == packet.TCP || e.proto == packet.UDP || e.proto == packet.SCTP
}

// appendStart appends the head of an event, from timestamp to vlan.
func (m *Meter) appendStart(b []byte, e *entry, at int64, number uint64, kind string) []byte {
	b = append(b, `{"timestamp":"`...)
	b = m.day.append(b, at)
	b = append(b, `","flow_id":`...)
	b = strconv.AppendUint(b, e.id(), 10)
	if id := m.parent(e); id != 0 {
		b = appendNumber(b, "parent_id", id)
	}
	b = append(b, m.iface...)
	if number != 0 && len(m.iface) == 0 {
		b = append(b, `,"pcap_cnt":`...)
		b = strconv.AppendUint(b, number, 10)
	}
	b = append(b, `,"event_type":"`...)
	b = append(b, kind...)
	b = append(b, '"')
	if e.vlans > 0 {
		b = append(b, `,"vlan":[`...)
		for i := range e.vlans {
			if i > 0 {
				b = append(b, ',')
			}
			b = strconv.AppendUint(b, uint64(e.vlan[i]), 10)
		}
		b = append(b, ']')
	}
	return b
}

// appendTuple appends addresses, ports and protocol, from src_ip to proto.
func (e *entry) appendTuple(b []byte, dir app.Dir) []byte {
	src, dst, sport, dport := &e.src, &e.dst, e.sport, e.dport
	if dir == app.ToClient {
		src, dst, sport, dport = dst, src, dport, sport
	}
	v6 := e.flags&isV6 != 0
	b = append(b, `,"src_ip":"`...)
	b = appendAddress(b, src, v6)
	if e.hasPorts() {
		b = append(b, `","src_port":`...)
		b = strconv.AppendUint(b, uint64(sport), 10)
		b = append(b, `,"dest_ip":"`...)
		b = appendAddress(b, dst, v6)
		b = append(b, `","dest_port":`...)
		b = strconv.AppendUint(b, uint64(dport), 10)
		b = append(b, `,"proto":"`...)
	} else {
		b = append(b, `","dest_ip":"`...)
		b = appendAddress(b, dst, v6)
		b = append(b, `","proto":"`...)
	}
	b = append(b, protoName(e.proto)...)
	return append(b, '"')
}

func (m *Meter) appendCommunityID(b []byte, e *entry) []byte {
	sport, dport := e.sport, e.dport
	switch e.proto {
	case packet.ICMP, packet.ICMPv6:
		sport &= 0xff
		if _, ok := communityid.Answer(e.proto, uint8(sport)); !ok {
			dport = e.code()
		}
	}
	v6 := e.flags&isV6 != 0
	b = append(b, `,"community_id":"`...)
	b = communityid.Append(b, m.config.Seed, e.proto, addressBytes(&e.src, v6), addressBytes(&e.dst, v6), sport, dport)
	return append(b, '"')
}

func appendMember(b []byte, name string, value string) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":"`...)
	b = append(b, value...)
	return append(b, '"')
}

func appendNumber(b []byte, name string, n uint64) []byte {
	b = append(b, `,"`...)
	b = append(b, name...)
	b = append(b, `":`...)
	return strconv.AppendUint(b, n, 10)
}

// flowEvent emits the event of e as it is.
func (m *Meter) flowEvent(e *entry, why ending) {
	b := m.appendStart(m.out[:0], e, m.now, 0, "flow")
	b = e.appendTuple(b, app.ToServer)
	switch e.proto {
	case packet.ICMP, packet.ICMPv6:
		b = appendNumber(b, "icmp_type", uint64(e.sport&0xff))
		b = appendNumber(b, "icmp_code", uint64(e.code()))
		if e.packets[app.ToClient] > 0 {
			b = appendNumber(b, "response_icmp_type", uint64(e.dport&0xff))
			b = appendNumber(b, "response_icmp_code", 0)
		}
	case packet.ESP:
		b = appendNumber(b, "spi", uint64(e.sport)<<16|uint64(e.dport))
	}
	b = m.appendProtocols(b, e)
	b = append(b, `,"flow":{"pkts_toserver":`...)
	b = strconv.AppendUint(b, e.packets[app.ToServer], 10)
	b = appendNumber(b, "pkts_toclient", e.packets[app.ToClient])
	b = appendNumber(b, "bytes_toserver", e.bytes[app.ToServer])
	b = appendNumber(b, "bytes_toclient", e.bytes[app.ToClient])
	b = append(b, `,"start":"`...)
	b = m.day.append(b, e.start)
	b = append(b, `","end":"`...)
	b = m.day.append(b, e.last)
	b = append(b, `","age":`...)
	b = strconv.AppendUint(b, uint64(seconds(e.last)-seconds(e.start)), 10)
	b = appendMember(b, "state", stateNames[e.state])
	b = appendMember(b, "reason", reasons[why])
	if m.config.EndReason {
		b = appendNumber(b, "end_reason", uint64(why.rfc5102(e)))
	}
	b = append(b, `,"alerted":false}`...)
	b = m.appendCommunityID(b, e)
	if e.proto == packet.TCP {
		b = e.tcp.append(b)
	}
	b = m.appendFeatures(b, e)
	b = append(b, '}')
	m.emit(b)
	m.out = b
}

const hexDigits = "0123456789abcdef"

func appendHexMember(b []byte, name string, v uint8) []byte {
	b = append(b, name...)
	return append(b, hexDigits[v>>4], hexDigits[v&15], '"')
}

var tcpFlagNames = [8]string{`,"syn":true`, `,"fin":true`, `,"rst":true`, `,"psh":true`, `,"ack":true`, `,"urg":true`, `,"ecn":true`, `,"cwr":true`}
var tcpFlagOrder = [8]uint8{packet.SYN, packet.FIN, packet.RST, packet.PSH, packet.ACK, packet.URG, packet.ECE, packet.CWR}

// append appends the tcp object of a flow event.
func (c *session) append(b []byte) []byte {
	all := c.client.tcpFlags | c.server.tcpFlags
	b = appendHexMember(b, `,"tcp":{"tcp_flags":"`, all)
	b = appendHexMember(b, `,"tcp_flags_ts":"`, c.client.tcpFlags)
	b = appendHexMember(b, `,"tcp_flags_tc":"`, c.server.tcpFlags)
	for i, f := range tcpFlagOrder {
		if all&f != 0 {
			b = append(b, tcpFlagNames[i]...)
		}
	}
	if c.state != tcpNone {
		b = appendMember(b, "state", tcpStateNames[c.state])
		if c.flags&gapToClient != 0 {
			b = append(b, `,"tc_gap":true`...)
		}
		if c.flags&gapToServer != 0 {
			b = append(b, `,"ts_gap":true`...)
		}
		// Regions of Suricata's stream buffers. There is one, and more only while 256 KiB of a stream are missing; the meter
		// has no such buffers.
		b = append(b, `,"ts_max_regions":1,"tc_max_regions":1`...)
	}
	return append(b, '}')
}

// code returns the code of the first packet of an ICMP or ICMPv6 flow.
func (e *entry) code() uint16 {
	return uint16(e.icmpCode)
}
