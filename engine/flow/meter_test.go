package flow

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"dragonfly/engine/app"
	"dragonfly/engine/packet"
)

// bench is a meter with the events that it wrote.
type bench struct {
	*Meter
	t      *testing.T
	events []event
	lines  []string
}

func newBench(t *testing.T, c Config) *bench {
	b := &bench{t: t}
	c.VLAN = true
	b.Meter = New(c, func(line []byte) {
		b.lines = append(b.lines, string(line))
		b.events = append(b.events, decodeEvent(t, line))
	})
	return b
}

// want checks chosen members of the events, each written as "path=value path=value".
func (b *bench) want(events ...string) {
	b.t.Helper()
	if len(b.events) != len(events) {
		b.t.Fatalf("got %d events, want %d:\n%s", len(b.events), len(events), strings.Join(b.lines, "\n"))
	}
	for i, e := range events {
		for pair := range strings.FieldsSeq(e) {
			path, value, _ := strings.Cut(pair, "=")
			if got := strings.Trim(b.events[i].text(path), `"`); got != value {
				b.t.Errorf("event %d: %s is %s, want %s\n%s", i, path, got, value, b.lines[i])
			}
		}
	}
}

const second = int64(time.Second)

// udp is a packet from the end a to the end b at second s.
func udp(s float64, a, b byte) *packet.Packet {
	return &packet.Packet{Time: int64(s * 1e9), Proto: packet.UDP, Src: packet.IPv4([]byte{10, 0, 0, a}), Dst: packet.IPv4([]byte{10, 0, 0, b}),
		SrcPort: uint16(a) * 100, DstPort: uint16(b) * 100, Bytes: 60}
}

// tcp is a segment of the client (1) or the server (2) at second s.
func tcp(s float64, from byte, flags uint8, seq, ack, length uint32) *packet.Packet {
	p := udp(s, from, 3-from)
	p.Proto, p.TCPFlags, p.Seq, p.Ack, p.PayloadLen, p.Window = packet.TCP, flags, seq, ack, length, 8000
	return p
}

func (b *bench) play(packets ...*packet.Packet) *bench {
	for _, p := range packets {
		b.Packet(p)
	}
	return b
}

// handshake is that of a connection whose next numbers are 101 and 501.
func handshake(s float64) []*packet.Packet {
	return []*packet.Packet{
		tcp(s, 1, packet.SYN, 100, 0, 0), tcp(s, 2, packet.SYN|packet.ACK, 500, 101, 0), tcp(s, 1, packet.ACK, 101, 501, 0),
	}
}

func TestFlowEventIsAsInSuricata(t *testing.T) {
	b := newBench(t, Config{})
	p := tcp(1e9+0.25, 1, packet.SYN, 7, 0, 0)
	p.VLANs, p.VLAN = 2, [3]uint16{5, 6}
	p.Bytes = 74
	b.play(p).CloseAt(1e18 + 3500*1e6)
	id := b.events[0].text("flow_id")
	want := `{"timestamp":"2001-09-09T01:46:43.500000+0000","flow_id":` + id + `,"event_type":"flow","vlan":[5,6],"src_ip":"10.0.0.1","src_port":100,` +
		`"dest_ip":"10.0.0.2","dest_port":200,"proto":"TCP","flow":{"pkts_toserver":1,"pkts_toclient":0,"bytes_toserver":74,"bytes_toclient":0,` +
		`"start":"2001-09-09T01:46:40.250000+0000","end":"2001-09-09T01:46:40.250000+0000","age":0,"state":"new","reason":"shutdown","alerted":false},` +
		`"community_id":"1:bVJ3Q/pIoCYwoAoNUy241qPV4e8=","tcp":{"tcp_flags":"02","tcp_flags_ts":"02","tcp_flags_tc":"00","syn":true,"state":"syn_sent",` +
		`"ts_max_regions":1,"tc_max_regions":1}}`
	if b.lines[0] != want {
		t.Errorf("got  %s\nwant %s", b.lines[0], want)
	}
	if n := b.events[0]["flow_id"].(float64); n < 1 || n >= 1<<53 {
		t.Errorf("flow_id %v is not exact as a double", n)
	}
}

func TestFlowIDIsOfKeyAndStart(t *testing.T) {
	ids := map[string]string{}
	for i, p := range []*packet.Packet{udp(1, 1, 2), udp(1, 1, 3), udp(2, 1, 2), udp(1, 1, 2)} {
		b := newBench(t, Config{})
		b.play(p).Close()
		ids[fmt.Sprint(i)] = b.events[0].text("flow_id")
	}
	if ids["0"] != ids["3"] || ids["0"] == ids["1"] || ids["0"] == ids["2"] {
		t.Errorf("got %v, want the first and the last equal", ids)
	}
}

func TestFlowEventOfIPv6AndESP(t *testing.T) {
	p := &packet.Packet{Time: 1e18, V6: true, Proto: packet.ESP, SPI: 0xdeadbeef, Bytes: 100}
	p.Src, p.Dst = packet.Addr{0: 0x20, 1: 0x01, 15: 0xf}, packet.Addr{0: 0xfe, 1: 0x80, 14: 0xab, 15: 0xcd}
	back := *p
	back.Src, back.Dst = p.Dst, p.Src
	b := newBench(t, Config{Interface: `eth"0`, EndReason: true})
	b.play(p, &back).Close()
	b.want(`src_ip=2001:0000:0000:0000:0000:0000:0000:000f dest_ip=fe80:0000:0000:0000:0000:0000:0000:abcd proto=ESP spi=3735928559 src_port= flow.end_reason=4`,
		`src_ip=fe80:0000:0000:0000:0000:0000:0000:abcd flow.pkts_toserver=1`)
	if got := b.events[0]["in_iface"]; got != `eth"0` {
		t.Errorf("in_iface is %v", got)
	}
}

func TestIdleFlowsEnd(t *testing.T) {
	for _, v := range []struct {
		name    string
		packets []*packet.Packet
		timeout float64 // after second 10
	}{
		{"udp new", []*packet.Packet{udp(10, 1, 2)}, 30},
		{"udp established", []*packet.Packet{udp(9, 1, 2), udp(10, 2, 1)}, 300},
		{"tcp new", []*packet.Packet{tcp(10, 1, packet.SYN, 1, 0, 0)}, 60},
		{"tcp established", handshake(10), 600},
		{"tcp closed", append(handshake(9), tcp(10, 1, packet.RST, 101, 0, 0)), 60},
	} {
		t.Run(v.name, func(t *testing.T) {
			b := newBench(t, Config{})
			b.play(v.packets...)
			b.Advance(int64((10 + v.timeout + 0.9) * 1e9)) // whole seconds count
			b.want()
			b.Advance(int64((11 + v.timeout) * 1e9))
			b.want("flow.reason=timeout timestamp=1970-01-01T00:" + time.Unix(int64(11+v.timeout), 0).UTC().Format("04:05") + ".000000+0000")
			b.intact(t)

			b = newBench(t, Config{}) // the flow's own packet does it too
			b.play(v.packets...)
			last := *v.packets[len(v.packets)-1]
			last.TCPFlags = packet.ACK
			last.Time = int64((10 + v.timeout + 0.9) * 1e9)
			b.play(&last).want()
			last.Time += int64((v.timeout + 1) * 1e9)
			b.play(&last)
			if v.name == "tcp closed" || v.name == "udp new" || v.name == "tcp new" {
				b.want("flow.reason=timeout")
			}
			b.Close()
		})
	}
}

func TestTimeoutsAreConfigured(t *testing.T) {
	b := newBench(t, Config{UDP: Timeouts{New: 1500 * time.Millisecond, Established: 5 * time.Hour}})
	b.play(udp(10, 1, 2), udp(10, 3, 4), udp(10, 4, 3))
	b.Advance(12 * second)
	b.want()
	b.Advance(13 * second) // 1.5 s are 2
	b.want("src_port=100")
	b.Advance(5*3600*second + 10*second)
	b.want("src_port=100")
	b.Advance(5*3600*second + 11*second)
	b.want("src_port=100", "src_port=300")
}

func TestIdleFlowsEndWithoutAdvance(t *testing.T) {
	b := newBench(t, Config{})
	b.play(udp(1, 1, 2))
	for range checkEvery {
		b.Packet(udp(100, 3, 4))
	}
	b.want("src_port=100 flow.reason=timeout")
}

func TestTimeMayGoBack(t *testing.T) {
	b := newBench(t, Config{})
	b.play(udp(1000, 1, 2), udp(900, 2, 1), udp(1001, 1, 2), udp(-5, 1, 2), udp(1e10, 3, 4), udp(1002, 1, 2))
	b.Advance(-1)
	b.Close()
	b.want("flow.start=1970-01-01T00:16:40.000000+0000 flow.end=1970-01-01T00:16:42.000000+0000 flow.age=2 flow.pkts_toserver=4 flow.pkts_toclient=1", "src_port=300")
	b.intact(t)
}

func TestActiveTimeout(t *testing.T) {
	b := newBench(t, Config{Active: 10 * time.Second, EndReason: true})
	b.play(udp(1, 1, 2), udp(5, 2, 1), udp(11, 1, 2), udp(11.5, 1, 2), udp(12, 1, 2)).Close()
	b.want("flow.reason=active flow.end_reason=2 flow.pkts_toserver=2 flow.pkts_toclient=1 flow.end=1970-01-01T00:00:11.000000+0000",
		"flow.reason=shutdown flow.pkts_toserver=2 flow.pkts_toclient=0 flow.start=1970-01-01T00:00:11.500000+0000 flow.state=established")
	if b.events[0].text("flow_id") == b.events[1].text("flow_id") {
		t.Error("both flows have the same flow_id")
	}
	if s := b.Stats(); s.Flows != 2 || s.EndedActive != 1 || s.EndedClosed != 1 || s.Reported != 5 {
		t.Errorf("%+v", s)
	}
}

func TestVLANsAreKeptApart(t *testing.T) {
	tagged := func(tag uint16) *packet.Packet {
		p := udp(1, 1, 2)
		p.VLANs, p.VLAN[0] = 1, tag
		return p
	}
	b := newBench(t, Config{})
	b.play(tagged(5), tagged(6), tagged(5), udp(1, 1, 2)).Close()
	b.want("vlan=[5] flow.pkts_toserver=2", "vlan=[6]", "vlan=")
	b = newBench(t, Config{})
	b.config.VLAN = false
	b.play(tagged(5), tagged(6)).Close()
	b.want("vlan=[5] flow.pkts_toserver=2")
}

func TestICMP(t *testing.T) {
	icmp := func(typ, code, a, b byte) *packet.Packet {
		p := udp(1, a, b)
		p.Proto, p.SrcPort, p.DstPort, p.ICMPType, p.ICMPCode = packet.ICMP, 0, 0, typ, code
		return p
	}
	b := newBench(t, Config{})
	b.play(icmp(8, 3, 1, 2), icmp(0, 0, 2, 1), icmp(8, 0, 1, 2), icmp(13, 0, 1, 2)).Close()
	b.want("proto=ICMP icmp_type=8 icmp_code=3 response_icmp_type=0 response_icmp_code=0 src_port= flow.pkts_toserver=2 flow.pkts_toclient=1 flow.state=established",
		"icmp_type=13 response_icmp_type=")

	unreachable := func(typ, code byte, flow *packet.Packet, quoted uint32) *packet.Packet {
		p := icmp(typ, code, 9, 1)
		p.PayloadLen = quoted
		p.Quoted = packet.Quoted{Valid: true, Proto: flow.Proto, Src: flow.Src, Dst: flow.Dst, SrcPort: flow.SrcPort, DstPort: flow.DstPort}
		return p
	}
	b = newBench(t, Config{})
	u, c := udp(1, 1, 2), tcp(1, 1, packet.SYN, 1, 0, 0)
	b.play(u, c, unreachable(3, 3, u, 28), unreachable(3, 3, c, 40))
	b.play(unreachable(3, 3, c, 28)) // not the whole header
	b.play(unreachable(11, 0, u, 28), unreachable(3, 99, u, 28), unreachable(3, 1, udp(1, 7, 8), 28))
	b.Close()
	b.want("proto=UDP flow.pkts_toclient=1 flow.state=new", "proto=TCP flow.pkts_toclient=1 tcp.tcp_flags_tc=00 flow.state=new")
	if s := b.Stats(); s.ICMPErrors != 4 || s.Reported != 4 {
		t.Errorf("%+v", s)
	}
}

func TestOtherProtocolsAreCounted(t *testing.T) {
	b := newBench(t, Config{})
	p := udp(1, 1, 2)
	p.Proto = 89
	b.play(p, p).Close()
	b.want()
	if s := b.Stats(); s.Packets != 2 || s.OtherProtocol != 2 || s.Flows != 0 {
		t.Errorf("%+v", s)
	}
}

func TestFloodSparesEstablishedFlows(t *testing.T) {
	const established, flood, most = 300, 60000, 1000
	forced := map[string]int{}
	m := New(Config{MaxFlows: most}, func(b []byte) {
		if strings.Contains(string(b), `"reason":"forced"`) {
			if strings.Contains(string(b), `"state":"new"`) {
				forced["new"]++
			} else {
				forced["other"]++
			}
		}
	})
	at := int64(1e18)
	send := func(p *packet.Packet, n uint32) {
		p.Src[12], p.Src[13], p.Time = byte(n>>8), byte(n), at
		at += 1000
		m.Packet(p)
	}
	for n := range uint32(established) {
		for _, p := range handshake(0) {
			if p.TCPFlags&packet.SYN != 0 && p.TCPFlags&packet.ACK != 0 {
				p.Dst[12], p.Dst[13], p.Time = byte(n>>8), byte(n), at
				m.Packet(p)
				continue
			}
			send(p, n)
		}
	}
	for n := range uint32(flood) {
		p := tcp(0, 1, packet.SYN, n, 0, 0)
		p.SrcPort = 7777
		send(p, n)
	}
	s := m.Stats()
	if s.Active != most || s.EvictedNew != established+flood-most || s.EvictedEstablished != 0 || s.EvictedClosed != 0 || forced["new"] != int(s.EvictedNew) || forced["other"] != 0 {
		t.Errorf("%+v, forced: %v", s, forced)
	}
	if n := m.queues[stateEstablished].count; n != established {
		t.Errorf("%d established flows survive, want %d", n, established)
	}
	m.intact(t)
	m.Close()
	if s = m.Stats(); s.Active != 0 || s.Reported != s.Packets || s.Packets != 3*established+flood {
		t.Errorf("%+v", s)
	}
}

func TestLongestIdleEstablishedFlowIsEvicted(t *testing.T) {
	b := newBench(t, Config{MaxFlows: 3})
	b.play(udp(1, 1, 2), udp(1, 2, 1), udp(2, 3, 4), udp(2, 4, 3), udp(3, 5, 6), udp(3, 6, 5), udp(4, 1, 2), udp(5, 7, 8))
	b.want("src_port=300 flow.reason=forced flow.state=established")
	if s := b.Stats(); s.EvictedEstablished != 1 || s.EndedEvicted != 1 {
		t.Errorf("%+v", s)
	}
}

func TestEntriesAreSmall(t *testing.T) {
	if entryBytes > 200 {
		t.Errorf("an entry has %d bytes, want 200 at most", entryBytes)
	}
	m := New(Config{}, func([]byte) {})
	for n := range uint32(100000) {
		p := udp(1, 1, 2)
		p.Proto = packet.SCTP // no application layer
		p.Src[13], p.Src[14], p.SrcPort = byte(n>>8), byte(n), uint16(n>>16)
		m.Packet(p)
	}
	if s := m.Stats(); s.Active != 100000 || s.Bytes > 220*s.Active {
		t.Errorf("%d flows take %d bytes", s.Active, s.Bytes)
	}
	m.intact(t)
}

func TestPacketsAllocateNothing(t *testing.T) {
	f := newFeeder(Config{VLAN: true})
	frames := make([][]byte, 0, 4000)
	for n := range uint32(1000) {
		for step := range 3 {
			f.feed(frame(n, step))
		}
		frames = append(frames, frame(n, 2), frame(n, 3))
	}
	i := 0
	if n := testing.AllocsPerRun(20000, func() {
		f.feed(frames[i%len(frames)])
		i++
	}); n != 0 {
		t.Errorf("a packet allocates %v times, want 0", n)
	}
}

func TestFeatures(t *testing.T) {
	featureKinds["count"] = func() Features { return &counter{} }
	defer delete(featureKinds, "count")
	b := newBench(t, Config{Features: "count", Active: 10 * time.Second})
	b.play(udp(1, 1, 2), udp(2, 2, 1), udp(3, 1, 2), udp(30, 1, 2)).Close()
	b.want("features.ts=2 features.tc=1", "features.ts=1 features.tc=0")
}

type counter [2]int

func (c *counter) Add(p *packet.Packet, toClient bool) {
	if toClient {
		c[1]++
	} else {
		c[0]++
	}
}

func (c *counter) Append(b []byte) []byte {
	return fmt.Appendf(b, `"features":{"ts":%d,"tc":%d}`, c[0], c[1])
}

func TestEventsOfTheApplicationLayer(t *testing.T) {
	b := newBench(t, Config{})
	p := udp(1e9, 1, 2)
	b.play(p)
	b.asking, b.packet = b.table.at(1), p
	b.appEvent(&app.Event{Type: "dns", Time: 1e18, Packet: 3, Dir: app.ToClient, ByPacket: true, TxID: -1, Body: []byte(`"dns":{"id":7}`)})
	b.packet = nil
	b.appEvent(&app.Event{Type: "http", Time: 1e18, Dir: app.ToClient, TxID: 2, Body: []byte(`"http":{}`)})
	b.asking, b.packet = nil, nil
	b.Close()
	id := b.events[2].text("flow_id")
	const ports = `"src_ip":"10.0.0.2","src_port":200,"dest_ip":"10.0.0.1","dest_port":100`
	want := []string{
		`{"timestamp":"2001-09-09T01:46:40.000000+0000","flow_id":` + id + `,"pcap_cnt":3,"event_type":"dns",` + ports + `,"proto":"UDP","pkt_src":"wire/pcap",` +
			`"community_id":` + b.events[2].text("community_id") + `,"dns":{"id":7}}`,
		`{"timestamp":"2001-09-09T01:46:40.000000+0000","flow_id":` + id + `,"event_type":"http","src_ip":"10.0.0.1","src_port":100,"dest_ip":"10.0.0.2","dest_port":200,` +
			`"proto":"UDP","pkt_src":"stream (flow timeout)","community_id":` + b.events[2].text("community_id") + `,"tx_id":2,"http":{}}`,
	}
	for i, w := range want {
		if b.lines[i] != w {
			t.Errorf("got  %s\nwant %s", b.lines[i], w)
		}
	}
}

func TestFirstPacketMayBeAnAnswer(t *testing.T) {
	if _, ok := any(&app.Conn{}).(reverser); !ok {
		t.Skip("needs a package app that knows answers")
	}
	b := newBench(t, Config{})
	answer, query := udp(1, 2, 1), udp(2, 1, 2)
	answer.SrcPort, answer.DstPort = 4000, 53
	query.SrcPort, query.DstPort = 53, 4000
	answer.Payload = []byte("\x12\x34\x81\x80\x00\x01\x00\x01\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x09\x00\x04\x01\x02\x03\x04")
	query.Payload = []byte("\x12\x35\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x00\x00\x01\x00\x01")
	answer.PayloadLen, query.PayloadLen = uint32(len(answer.Payload)), uint32(len(query.Payload))
	answer.Bytes = 99
	b.play(answer, query).Close()
	b.want("src_ip=10.0.0.1 src_port=53 dest_ip=10.0.0.2 dest_port=4000 app_proto=dns flow.pkts_toserver=1 flow.pkts_toclient=1 flow.bytes_toclient=99 flow.state=established")
}

// TestMemoryIsShared: flows whose application is looked at need more, and flows that are there make room for them.
func TestMemoryIsShared(t *testing.T) {
	const room = 1000
	m := New(Config{Memory: room * FlowBytes}, func([]byte) {})
	check := func(flows int) {
		t.Helper()
		m.intact(t)
		used := int64(m.table.count)*FlowBytes + int64(len(m.sides)-1-len(m.spare))*m.sideBytes
		if m.table.count != flows || used > m.config.Memory {
			t.Fatalf("%d flows with %d bytes, want %d and at most %d", m.table.count, used, flows, m.config.Memory)
		}
	}
	send := func(n int, proto uint8, payload []byte) {
		p := udp(1, 1, 2)
		p.Proto, p.Payload, p.PayloadLen = proto, payload, uint32(len(payload))
		p.Src[13], p.Src[14] = byte(n>>8), byte(n)
		m.Packet(p)
	}
	for n := range room + 10 {
		send(n, packet.SCTP, nil)
	}
	check(room)
	hello := []byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x04test\x00\x00\x01\x00\x01")
	for n := range 2 * room {
		send(n, packet.UDP, hello)
	}
	check(room / 3)
	if s := m.Stats(); s.EndedEvicted != 3*room+10-room/3 || s.EvictedNew != s.EndedEvicted {
		t.Errorf("%+v", s)
	}
	m.Close()
	check(0)
}

// TestLargeTablesAreGivenBack also looks at the memory beside Go's heap.
func TestLargeTablesAreGivenBack(t *testing.T) {
	const flows = 600_000
	m := New(Config{}, func([]byte) {})
	for round := range 2 {
		for n := range uint32(flows) {
			p := udp(1, 1, 2)
			p.Proto = packet.SCTP
			p.Src[13], p.Src[14], p.SrcPort = byte(n>>8), byte(n), uint16(n>>16)
			m.Packet(p)
		}
		if s := m.Stats(); s.Active != flows || s.Bytes > 216*flows || s.Packets != uint64(round+1)*flows {
			t.Fatalf("%+v", s)
		}
		m.intact(t)
	}
	if n := len(m.table.mem.mapped); n < 8 {
		t.Errorf("%d pieces are mapped", n)
	}
	m.Close()
	m.intact(t)
	mem := m.table.mem
	m.Release()
	if len(mem.mapped) > 0 {
		t.Errorf("%d pieces are left", len(mem.mapped))
	}
}
