package flow

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sort"
	"strings"
	"testing"
	"time"

	"dragonfly/engine/app"
	"dragonfly/engine/packet"
)

// modelFlow is a flow of the model.
type modelFlow struct {
	proto          uint8
	first          packet.Packet
	ends           [2]string // address, port or what stands for it: client, server
	rest           string    // of the key
	start, last    int64
	packets, bytes [2]uint64
	seen           [2]bool
	state          state
	tcp            session
	used           bool
}

// model is a meter without anything clever: all flows in three lists, in the order of eviction.
type model struct {
	max     int
	active  int64
	lists   [states][]*modelFlow
	events  []string
	counted uint64 // packets not metered
	newest  int64
}

func (m *model) timeout(f *modelFlow) int64 {
	if f.proto == packet.TCP {
		return [states]int64{60, 600, 60}[f.state]
	}
	return [states]int64{30, 300, 300}[f.state]
}

func (m *model) idle(f *modelFlow, now int64) bool {
	return f.last/1e9+m.timeout(f) < now/1e9
}

func (m *model) remove(f *modelFlow, reason string) {
	s := f.state
	m.lists[s] = slices.DeleteFunc(m.lists[s], func(x *modelFlow) bool { return x == f })
	m.report(f, reason)
}

func (m *model) report(f *modelFlow, reason string) {
	p := &f.first
	at := func(ns int64) string { return time.Unix(0, ns).UTC().Format("2006-01-02T15:04:05.000000+0000") }
	sport, dport, typ, code, spi, vlan := "", "", "", "", "", ""
	switch f.proto {
	case packet.TCP, packet.UDP, packet.SCTP:
		sport, dport = fmt.Sprint(p.SrcPort), fmt.Sprint(p.DstPort)
	case packet.ICMP, packet.ICMPv6:
		typ, code = fmt.Sprint(p.ICMPType), fmt.Sprint(p.ICMPCode)
	case packet.ESP:
		spi = fmt.Sprint(p.SPI)
	}
	if p.VLANs > 0 {
		vlan = fmt.Sprintf("[%d]", p.VLAN[0])
	}
	m.events = append(m.events, fmt.Sprint(text(p.Src, p.V6), " ", sport, " ", text(p.Dst, p.V6), " ", dport, " ", protoName(f.proto), " ", typ, " ", code, " ", spi, " ", vlan,
		" ", at(f.start), " ", at(f.last), " ", f.packets[0], " ", f.packets[1], " ", f.bytes[0], " ", f.bytes[1], " ", stateNames[f.state], " ", reason, " "))
}

// text writes an address as Suricata does.
func text(a packet.Addr, v6 bool) string {
	if !v6 {
		return a.Netip().String()
	}
	return a.Netip().StringExpanded()
}

func (m *model) become(f *modelFlow, s state) {
	if f.state != s {
		m.lists[f.state] = slices.DeleteFunc(m.lists[f.state], func(x *modelFlow) bool { return x == f })
		f.state = s
		m.lists[s] = append(m.lists[s], f)
	}
}

func (m *model) find(proto uint8, a, b, rest string) (*modelFlow, app.Dir) {
	for _, l := range m.lists {
		for _, f := range l {
			if f.proto != proto || f.rest != rest {
				continue
			}
			if f.ends == [2]string{a, b} {
				return f, app.ToServer
			}
			if f.ends == [2]string{b, a} && proto != packet.ESP {
				if a[:strings.Index(a, "]")] == b[:strings.Index(b, "]")] && (proto == packet.ICMP || proto == packet.ICMPv6) {
					return f, app.ToServer
				}
				return f, app.ToClient
			}
		}
	}
	return nil, 0
}

func (m *model) evict() {
	for _, s := range []state{stateNew, stateClosed} {
		if len(m.lists[s]) > 0 {
			m.remove(m.lists[s][0], "forced")
			return
		}
	}
	l := &m.lists[stateEstablished]
	var victim *modelFlow
	for range min(16, len(*l)) {
		f := (*l)[0]
		if !f.used {
			victim = f
			break
		}
		f.used = false
		*l = append((*l)[1:], f)
		if victim == nil || f.last < victim.last {
			victim = f
		}
	}
	m.remove(victim, "forced")
}

func (m *model) packet(p *packet.Packet) {
	m.newest = max(m.newest, p.Time)
	rest := fmt.Sprint(p.Depth, p.VLAN, p.V6)
	proto := p.Proto
	a, b := fmt.Sprint(p.Src, " ", p.SrcPort), fmt.Sprint(p.Dst, " ", p.DstPort)
	quoted := false
	switch proto {
	case packet.TCP, packet.UDP, packet.SCTP:
	case packet.ICMP:
		if icmpError(p.ICMPType) {
			q := p.Quoted
			if p.ICMPType != 3 || p.ICMPCode > 15 || !q.Valid || q.Proto != packet.UDP && (q.Proto != packet.TCP || p.PayloadLen < 40) {
				m.counted++
				return
			}
			quoted, proto = true, q.Proto
			a, b = fmt.Sprint(q.Src, " ", q.SrcPort), fmt.Sprint(q.Dst, " ", q.DstPort)
			break
		}
		a, b = fmt.Sprint(p.Src, " ", p.ICMPType), fmt.Sprint(p.Dst, " ", answers.v4[p.ICMPType].typ)
	case packet.ICMPv6:
		a, b = fmt.Sprint(p.Src, " ", int(p.ICMPType)+int(p.ICMPCode)<<8), fmt.Sprint(p.Dst, " ", answers.v6[p.ICMPType].typ)
	case packet.ESP:
		a, b = fmt.Sprint(p.Src, " ", p.SPI>>16), fmt.Sprint(p.Dst, " ", p.SPI&0xffff)
	default:
		m.counted++
		return
	}
	f, dir := m.find(proto, a, b, rest)
	if f != nil && m.idle(f, p.Time) {
		m.remove(f, "timeout")
		f = nil
	}
	if f != nil && !quoted {
		if proto == packet.TCP && p.TCPFlags&(packet.SYN|packet.ACK|packet.RST|packet.FIN) == packet.SYN && f.tcp.reusable(p, dir) {
			m.remove(f, "timeout")
			f = nil
		} else if m.active > 0 && p.Time-f.start > m.active {
			m.report(f, "active")
			f.start, f.last, f.packets, f.bytes = p.Time, p.Time, [2]uint64{}, [2]uint64{}
		}
	}
	if f == nil {
		if quoted {
			m.counted++
			return
		}
		if len(m.lists[0])+len(m.lists[1])+len(m.lists[2]) >= m.max {
			m.evict()
		}
		f, dir = &modelFlow{proto: proto, first: *p, ends: [2]string{a, b}, rest: rest, start: p.Time, last: p.Time}, app.ToServer
		m.lists[stateNew] = append(m.lists[stateNew], f)
	}
	if quoted {
		dir = app.ToClient
		if strings.HasPrefix(f.ends[0], fmt.Sprint(p.Src, " ")) {
			dir = app.ToServer
		}
	}
	f.last = max(f.last, p.Time)
	f.packets[dir]++
	f.bytes[dir] += uint64(p.Bytes)
	f.used = true
	if quoted {
		return
	}
	f.seen[dir] = true
	if proto == packet.TCP {
		f.tcp.packet(p, dir, p.V6)
		m.become(f, f.tcp.flowState(f.state))
	} else if f.seen[0] && f.seen[1] {
		m.become(f, stateEstablished)
	}
}

func (m *model) advance(now int64) {
	m.newest = now
	for s := range m.lists {
		for _, f := range slices.Clone(m.lists[s]) {
			if m.idle(f, now) {
				m.remove(f, "timeout")
			}
		}
	}
}

func (m *model) close() {
	for s := range m.lists {
		for _, f := range slices.Clone(m.lists[s]) {
			m.remove(f, "shutdown")
		}
	}
}

// describe writes what the model knows of a flow event.
func (e event) describe() string {
	var b strings.Builder
	for _, path := range []string{"src_ip", "src_port", "dest_ip", "dest_port", "proto", "icmp_type", "icmp_code", "spi", "vlan", "flow.start", "flow.end",
		"flow.pkts_toserver", "flow.pkts_toclient", "flow.bytes_toserver", "flow.bytes_toclient", "flow.state", "flow.reason"} {
		fmt.Fprint(&b, strings.Trim(e.text(path), `"`), " ")
	}
	return b.String()
}

// intact checks that each flow is in its bucket, its queue and its slot exactly once, and that nothing else is.
func (m *Meter) intact(t *testing.T) {
	t.Helper()
	inBuckets, inQueues, inSlots := 0, 0, 0
	for i, head := range append(slices.Clone(m.table.buckets), m.table.old...) {
		for j := head; j != 0; j = m.table.at(j).next {
			if e := m.table.at(j); e.flags&alive == 0 {
				t.Fatalf("bucket %d has flow %d, which is dead", i, j)
			}
			inBuckets++
		}
	}
	for s, q := range m.queues {
		last, n := uint32(0), 0
		for j := q.head; j != 0; j = m.table.at(j).classNext {
			if e := m.table.at(j); int(e.state) != s || e.classPrev != last {
				t.Fatalf("queue %d: flow %d has state %d and comes after %d, not %d", s, j, e.state, e.classPrev, last)
			}
			last = j
			n++
		}
		if q.tail != last || q.count != n {
			t.Fatalf("queue %d ends with %d, not %d, and has %d flows, not %d", s, q.tail, last, q.count, n)
		}
		inQueues += n
	}
	for s, head := range m.wheel.heads {
		last := uint32(0)
		for j := head; j != 0; j = m.table.at(j).timerNext {
			if e := m.table.at(j); e.due%slots != uint32(s) || e.timerPrev != last {
				t.Fatalf("slot %d: flow %d is due in slot %d and comes after %d, not %d", s, j, e.due%slots, e.timerPrev, last)
			}
			last = j
			inSlots++
		}
	}
	if n := m.table.count; inBuckets != n || inQueues != n || inSlots != n {
		t.Fatalf("%d flows: %d in buckets, %d in queues, %d in slots", n, inBuckets, inQueues, inSlots)
	}
}

// script makes packets of bytes: few addresses, ports and times, so that they meet.
type script struct {
	b   []byte
	now int64
}

func (s *script) next(n int) int {
	if len(s.b) == 0 {
		return 0
	}
	v := int(s.b[0]) % n
	s.b = s.b[1:]
	return v
}

func (s *script) address(v6 bool) packet.Addr {
	if v6 {
		return packet.Addr{0: 0x20, 15: byte(s.next(3))}
	}
	return packet.IPv4([]byte{10, 0, 0, byte(s.next(3))})
}

func (s *script) packet(p *packet.Packet) {
	*p = packet.Packet{Bytes: uint32(60 + s.next(4)*100), V6: s.next(8) == 7}
	switch s.next(8) {
	case 0:
		s.now += int64(s.next(200)) * int64(10*time.Second)
	case 1:
		s.now -= int64(s.next(50)) * int64(time.Second)
	default:
		s.now += int64(s.next(100)) * int64(10*time.Millisecond)
	}
	s.now = max(s.now, 0)
	p.Time = s.now
	p.Src, p.Dst = s.address(p.V6), s.address(p.V6)
	p.Proto = []uint8{packet.TCP, packet.TCP, packet.TCP, packet.UDP, packet.ICMP, packet.ICMPv6, packet.ESP, packet.SCTP, 89}[s.next(9)]
	if s.next(6) == 5 {
		p.VLANs, p.VLAN[0] = 1, uint16(s.next(2))
	}
	p.Depth = uint8(s.next(8) / 7)
	switch p.Proto {
	case packet.TCP:
		p.TCPFlags = []uint8{packet.SYN, packet.SYN | packet.ACK, packet.ACK, packet.FIN | packet.ACK, packet.RST, packet.RST | packet.ACK}[s.next(6)]
		p.Seq, p.Ack, p.Window, p.PayloadLen = uint32(s.next(4)), uint32(s.next(4)), 1000, uint32(s.next(3))
		p.SrcPort, p.DstPort = uint16(s.next(2)), uint16(s.next(2))
	case packet.UDP, packet.SCTP:
		p.SrcPort, p.DstPort = uint16(s.next(2)), uint16(s.next(2))
	case packet.ICMP:
		p.ICMPType, p.ICMPCode = []uint8{8, 0, 3, 11, 77}[s.next(5)], uint8(s.next(20))
		p.PayloadLen = uint32(28 + 12*s.next(2))
		p.Quoted = packet.Quoted{Valid: s.next(4) > 0, Proto: []uint8{packet.TCP, packet.UDP}[s.next(2)], Src: s.address(false), Dst: s.address(false),
			SrcPort: uint16(s.next(2)), DstPort: uint16(s.next(2))}
	case packet.ICMPv6:
		p.ICMPType, p.ICMPCode = []uint8{128, 129, 1, 135}[s.next(4)], uint8(s.next(2))
	case packet.ESP:
		p.SPI = uint32(s.next(2))<<16 | uint32(s.next(2))
	}
}

// FuzzFlowTable plays packets to a meter and to the model: both make the same flows, and no packet is missing from the books.
func FuzzFlowTable(f *testing.F) {
	r := rand.New(rand.NewPCG(1, 2))
	for n := range 12 {
		b := make([]byte, 200*(n+1))
		for i := range b {
			b[i] = byte(r.Uint32())
		}
		f.Add(b)
	}
	f.Fuzz(againstModel)
}

func againstModel(t *testing.T, b []byte) {
	s := script{b: b}
	slow := &model{max: 1 + s.next(24), active: int64(s.next(3)) * int64(100*time.Second)}
	var got []string
	fast := New(Config{VLAN: true, MaxFlows: slow.max, Active: time.Duration(slow.active)}, func(b []byte) {
		got = append(got, decodeEvent(t, b).describe())
	})
	for packets := 0; len(s.b) > 0 && packets < checkEvery-1; packets++ {
		if s.next(20) == 19 {
			now := max(fast.newest, slow.newest) + int64(1+s.next(100))*int64(time.Second)
			fast.Advance(now)
			slow.advance(now)
			s.now = now
		}
		var p packet.Packet
		s.packet(&p)
		fast.Packet(&p)
		slow.packet(&p)
		if packets%64 == 0 {
			fast.intact(t)
		}
	}
	fast.intact(t)
	fast.Close()
	fast.intact(t)
	slow.close()
	sort.Strings(got)
	sort.Strings(slow.events)
	if !slices.Equal(got, slow.events) {
		t.Errorf("got %d flows\n%s\nwant %d\n%s", len(got), strings.Join(got, "\n"), len(slow.events), strings.Join(slow.events, "\n"))
	}
	st := fast.Stats()
	if st.Active != 0 || st.Packets != st.Reported+st.OtherProtocol+st.ICMPErrors || st.OtherProtocol+st.ICMPErrors != slow.counted ||
		st.Flows != st.EndedIdle+st.EndedActive+st.EndedReused+st.EndedEvicted+st.EndedClosed || st.Flows != uint64(len(got)) ||
		st.EndedEvicted != st.EvictedNew+st.EvictedEstablished+st.EvictedClosed {
		t.Errorf("the books: %+v", st)
	}
}
