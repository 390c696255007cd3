package luabind

import (
	"encoding/base32"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
)

var noon = time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC)

// conn is a flow as Suricata reports it.
type conn struct {
	src      string
	port     int // of the source
	dest     string
	service  int // port of the destination
	proto    string
	out, in  int // packets
	outBytes int64
	inBytes  int64
	state    string
	rst      bool
	at       time.Time
	age      time.Duration
}

func (c conn) event() string {
	if c.proto == "" {
		c.proto = "TCP"
	}
	tcp := ""
	if c.proto == "TCP" {
		tcp = fmt.Sprintf(`,"tcp":{"tcp_flags":"1f","syn":true,"rst":%v}`, c.rst)
	}
	end := c.at.Add(c.age)
	return fmt.Sprintf(`{"timestamp":%q,"event_type":"flow","flow_id":1,"src_ip":%q,"src_port":%d,"dest_ip":%q,"dest_port":%d,"proto":%q,"flow":{"pkts_toserver":%d,"pkts_toclient":%d,`+
		`"bytes_toserver":%d,"bytes_toclient":%d,"start":%q,"end":%q,"age":%d,"state":%q}%s}`, eveTime(end), c.src, c.port, c.dest, c.service, c.proto, c.out, c.in,
		c.outBytes, c.inBytes, eveTime(c.at), eveTime(end), int(c.age.Seconds()), c.state, tcp)
}

// refused and served are flows to a closed port and to a web server.
func refused(src, dest string, port int, at time.Time) conn {
	return conn{src: src, port: 40000, dest: dest, service: port, out: 1, in: 1, outBytes: 60, inBytes: 54, state: "closed", rst: true, at: at}
}

func served(src, dest string, port int, at time.Time) conn {
	return conn{src: src, port: 40000, dest: dest, service: port, out: 10, in: 12, outBytes: 1500, inBytes: 9000, state: "closed", at: at}
}

func lost(src, dest string, port int, proto string, at time.Time) conn {
	return conn{src: src, port: 40000, dest: dest, service: port, proto: proto, out: 3, outBytes: 180, state: "new", at: at}
}

// feed hands flows to an analyzer and returns its findings.
func (s *shipped) feed(flows ...conn) (list []map[string]any) {
	s.t.Helper()
	for _, c := range flows {
		_, other := s.handle(c.event())
		list = append(list, findings(s.t.(*testing.T), other)...)
	}
	return list
}

func TestPortScanFindsScans(t *testing.T) {
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Second) }
	s := loadShipped(t, "..", "port-scan")
	for i := range 29 {
		if got := s.feed(refused("192.0.2.7", "192.0.2.80", 1000+i, at(i)), refused("192.0.2.7", "192.0.2.80", 1000+i, at(i))); len(got) != 0 {
			t.Fatalf("after %d ports: %v", i+1, got)
		}
	}
	got := s.feed(refused("192.0.2.7", "192.0.2.80", 1029, at(29)))
	if len(got) != 1 || got[0]["kind"] != "vertical" || got[0]["ports"] != 30.0 || got[0]["failed"] != 59.0 || got[0]["dest_ip"] != "192.0.2.80" || got[0]["seconds"] != 29.0 ||
		fmt.Sprint(got[0]["examples"]) != "[1000 1001 1002 1003 1004 1005 1006 1007 1008 1009]" {
		t.Errorf("got %v", got)
	}
	for i := range 100 { // other hosts: the same scan
		if got := s.feed(refused("192.0.2.7", "192.0.2.81", 1000+i, at(30+i))); len(got) != 0 {
			t.Fatalf("told again: %v", got)
		}
	}
	for i := range 40 {
		got = s.feed(lost("192.0.2.9", fmt.Sprintf("198.51.100.%d", i), 445, "TCP", at(i)))
	}
	if len(got) != 1 || got[0]["kind"] != "horizontal" || got[0]["hosts"] != 40.0 || got[0]["dest_port"] != 445.0 {
		t.Errorf("got %v", got)
	}
	for i := range 40 {
		got = s.feed(lost("192.0.2.10", fmt.Sprintf("198.51.100.%d", i), 161, "UDP", at(i)))
	}
	if len(got) != 1 || got[0]["kind"] != "horizontal" || got[0]["proto"] != "UDP" {
		t.Errorf("got %v", got)
	}
	for i := range 30 { // a day later
		got = s.feed(refused("192.0.2.7", "192.0.2.80", 1000+i, at(86400+i)))
	}
	if len(got) != 1 {
		t.Errorf("a new scan: got %v", got)
	}
}

func TestPortScanIsNotFooled(t *testing.T) {
	at := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Second) }
	host := func(i int) string { return fmt.Sprintf("198.51.%d.%d", i/250, i%250+1) }
	var nat, resolver, retries, answers, p2p, slow, groups, ended []conn
	for i := range 400 {
		nat = append(nat, served("192.0.2.1", host(i), 443, at(i)))
		resolver = append(resolver, conn{src: "192.0.2.2", port: 40000 + i, dest: host(i % 300), service: 53, proto: "UDP", out: 1, in: 1, outBytes: 80, inBytes: 200, state: "established", at: at(i)})
		if i%4 == 0 { // a quarter does not answer
			nat = append(nat, lost("192.0.2.1", host(1000+i), 443, "TCP", at(i)))
			resolver = append(resolver, lost("192.0.2.2", host(1000+i), 53, "UDP", at(i)))
		}
		retries = append(retries, refused("192.0.2.3", "192.0.2.80", 8080, at(i)))
		answers = append(answers, conn{src: "192.0.2.4", port: 53, dest: "192.0.2.99", service: 30000 + i, proto: "UDP", out: 1, outBytes: 200, state: "new", at: at(i)})
		p2p = append(p2p, lost("192.0.2.5", host(i), 51413, "UDP", at(i)))
		slow = append(slow, refused("192.0.2.6", "192.0.2.80", 1000+i, at(i*120)))
		groups = append(groups, lost("192.0.2.8", fmt.Sprintf("239.1.%d.%d", i/250, i%250), 5000, "UDP", at(i)))
		c := lost("192.0.2.9", "192.0.2.99", 30000+i, "TCP", at(i))
		ended = append(ended, c)
	}
	for name, flows := range map[string][]conn{"NAT": nat, "resolver": resolver, "retries": retries, "late answers": answers, "peer to peer": p2p, "slow": slow, "multicast": groups} {
		if got := loadShipped(t, "..", "port-scan").feed(flows...); len(got) != 0 {
			t.Errorf("%s: got %v", name, got[0])
		}
	}
	s := loadShipped(t, "..", "port-scan")
	for _, c := range ended {
		if _, other := s.handle(strings.Replace(c.event(), `"syn":true`, `"syn":false`, 1)); len(other) != 0 {
			t.Fatalf("connections from before the capture: %v", other)
		}
	}
}

func TestBeaconBearsJitterAndGaps(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	calls := func(next func(i int) float64) (list []conn) {
		at := noon
		for i := range 60 {
			list = append(list, served("10.0.0.1", "203.0.113.9", 443, at))
			at = at.Add(time.Duration(next(i) * float64(time.Second)))
		}
		return list
	}
	f := func(name string, want int, next func(i int) float64) {
		t.Helper()
		if got := loadShipped(t, "..", "beacon").feed(calls(next)...); len(got) != want {
			t.Errorf("%s: got %d notices, want %d: %v", name, len(got), want, got)
		}
	}
	f("even", 1, func(int) float64 { return 300 })
	f("jitter of a half", 1, func(int) float64 { return 300 * (1 - 0.5*r.Float64()) })
	f("a host that sleeps", 1, func(i int) float64 { return map[bool]float64{true: 5400, false: 60}[i%10 == 3] })
	f("by chance", 0, func(int) float64 { return 6 + 300*r.ExpFloat64() })
	f("bursts", 0, func(i int) float64 { return []float64{1, 2, 700, 40, 3, 1100, 90}[i%7] })
}

// Pieces of a connection that active_timeout cuts are no calls; nor is what is sent to everybody.
func TestBeaconIsNotFooled(t *testing.T) {
	f := func(name string, want int, c conn, rest string) {
		t.Helper()
		s, got := loadShipped(t, "..", "beacon"), 0
		for i := range 40 {
			c.at = noon.Add(time.Duration(i) * time.Minute)
			event := c.event()
			if i > 0 {
				event = strings.Replace(event, `"syn":true`, rest, 1)
			}
			_, other := s.handle(event)
			got += len(findings(t, other))
		}
		if got != want {
			t.Errorf("%s: got %d notices, want %d", name, got, want)
		}
	}
	tcp := served("10.0.0.1", "203.0.113.9", 443, noon)
	tcp.age = 55 * time.Second
	f("a connection in pieces", 0, tcp, `"syn":false`)
	f("a port that is used again", 1, tcp, `"syn":true`)
	udp := tcp
	udp.proto = "UDP"
	f("a UDP flow in pieces", 0, udp, "")
	udp.dest = "255.255.255.255"
	udp.age = 0
	f("broadcast", 0, udp, "")
	idle := tcp
	idle.age = -1000 * time.Second // the last packet was long before the next flow
	f("a connection that is idle in between", 1, idle, `"syn":false`)
}

func TestLongFlowJoinsThePieces(t *testing.T) {
	s := loadShipped(t, "..", "long-flow")
	piece := func(i int) conn {
		return conn{src: "10.0.0.1", port: 50000, dest: "203.0.113.9", service: 443, out: 100, in: 100, outBytes: 1000, inBytes: 1000, state: "established",
			at: noon.Add(time.Duration(i) * 10 * time.Minute), age: 10 * time.Minute}
	}
	var told []float64
	for i := range 26 {
		for _, got := range s.feed(piece(i)) {
			told = append(told, got["seconds"].(float64))
			if got["timestamp"] != eveTime(piece(i).at.Add(10*time.Minute)) || got["dest_port"] != 443.0 || got["proto"] != "TCP" || got["flows"] != got["seconds"].(float64)/600 || got["bytes_out"] != 1000*got["flows"].(float64) {
				t.Errorf("got %v", got)
			}
		}
	}
	if !slices.Equal(told, []float64{3600, 7200, 14400}) {
		t.Errorf("told at %v", told)
	}
	later := piece(60)
	if got := s.feed(later); len(got) != 0 {
		t.Errorf("another connection: got %v", got)
	}
}

// sending is an upload.
func sending(src, dest string, bytes int64, at time.Time) conn {
	return conn{src: src, port: 40000, dest: dest, service: 443, out: int(bytes / 1400), in: int(bytes / 2800), outBytes: bytes, inBytes: bytes / 50, state: "closed", at: at}
}

func TestExfilLearnsWhatIsUsual(t *testing.T) {
	s := loadShipped(t, "..", "exfil")
	hour := func(i int) time.Time { return noon.Add(time.Duration(i) * time.Hour) }
	for i := range 72 { // 2 GB an hour would be too much for a host that nobody knows
		if got := s.feed(sending("10.0.0.1", "203.0.113.1", 40e6+int64(i%7)*1e6, hour(i)), sending("10.0.0.2", "203.0.113.1", 5e6, hour(i))); len(got) != 0 {
			t.Fatalf("hour %d: %v", i, got)
		}
	}
	if got := s.feed(sending("10.0.0.1", "203.0.113.7", 150e6, hour(72)), sending("10.0.0.1", "203.0.113.8", 60e6, hour(72))); len(got) != 0 {
		t.Errorf("less than five times the usual: got %v", got)
	}
	got := s.feed(sending("10.0.0.1", "203.0.113.7", 30e6, hour(72)), sending("10.0.0.1", "203.0.113.7", 30e6, hour(72)))
	if len(got) != 1 || got[0]["host"] != "10.0.0.1" || got[0]["bytes_out"] != 240e6 || got[0]["bound"] != "baseline" || got[0]["usual"] != 46e6 || got[0]["hours"] != 72.0 ||
		fmt.Sprint(got[0]["destinations"]) != "[map[bytes:1.8e+08 dest_ip:203.0.113.7] map[bytes:6e+07 dest_ip:203.0.113.8]]" {
		t.Errorf("got %v", got)
	}
	if got := s.feed(sending("10.0.0.2", "203.0.113.7", 99e6, hour(72))); len(got) != 0 {
		t.Errorf("below the floor: got %v", got)
	}
	down := sending("10.0.0.3", "203.0.113.7", 3e9, hour(72))
	down.inBytes = 4e9
	if got := s.feed(down, sending("10.0.0.4", "10.0.0.5", 3e9, hour(72)), sending("203.0.113.7", "10.0.0.5", 3e9, hour(72)), sending("203.0.113.7", "198.51.100.1", 3e9, hour(72))); len(got) != 0 {
		t.Errorf("downloads and other directions: got %v", got)
	}
	if got := s.feed(sending("10.0.0.6", "203.0.113.7", 2e9, hour(72))); len(got) != 1 || got[0]["bound"] != "unknown" {
		t.Errorf("an unknown host: got %v", got)
	}
	for i := range 30 {
		s.feed(sending("10.0.0.8", "203.0.113.7", 15e9, hour(100+i)))
	}
	if got := s.feed(sending("10.0.0.8", "203.0.113.7", 19e9, hour(200)), sending("10.0.0.8", "203.0.113.7", 2e9, hour(200))); len(got) != 1 || got[0]["bound"] != "absolute" {
		t.Errorf("above the absolute bound: got %v", got)
	}
	for _, key := range storeOf(s).do(t, "KEYS", "df:exfil:*").Elems {
		if n := storeOf(s).do(t, "TTL", key.Str).Int; n <= 0 || n > 14*86400 {
			t.Errorf("%s lives %d s", key.Str, n)
		}
	}
}

func TestExfilKeepsFewDestinations(t *testing.T) {
	s := loadShipped(t, "..", "exfil")
	for i := range 500 {
		s.feed(sending("10.0.0.1", fmt.Sprintf("203.0.%d.%d", 100+i/250, i%250), 2000+int64(i), noon))
	}
	for _, key := range storeOf(s).do(t, "KEYS", "df:exfil:to:*").Elems {
		if n := storeOf(s).do(t, "ZCARD", key.Str).Int; n != 100 {
			t.Errorf("%s has %d destinations", key.Str, n)
		}
	}
}

func dnsQuery(src, name, kind string, at time.Time) string {
	return fmt.Sprintf(`{"timestamp":%q,"event_type":"dns","src_ip":%q,"src_port":40000,"dest_ip":"10.0.0.53","dest_port":53,"proto":"UDP","dns":{"type":"query","id":1,"rrname":%q,"rrtype":%q,"tx_id":0}}`,
		eveTime(at), src, name, kind)
}

// secret returns n bytes in base32, as tunnels put them into labels of at most 60.
func secret(r *rand.Rand, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	s := strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(b))
	var labels []string
	for part := range slices.Chunk([]byte(s), 60) {
		labels = append(labels, string(part))
	}
	return strings.Join(labels, ".")
}

func TestDNSTunnelIsFound(t *testing.T) {
	for _, kind := range []string{"A", "TXT", "NULL", "CNAME"} {
		r := rand.New(rand.NewPCG(7, 7))
		s := loadShipped(t, "..", "dns-tunnel")
		length := 40
		if kind != "A" {
			length = 10
		}
		var got []map[string]any
		for i := range 200 {
			at := noon.Add(time.Duration(i) * time.Second)
			name := secret(r, length) + ".t.example.com"
			_, other := s.handle(dnsQuery("10.0.0.1", name, kind, at))
			got = append(got, findings(t, other)...)
			s.handle(fmt.Sprintf(`{"timestamp":%q,"event_type":"dns","src_ip":"10.0.0.53","dest_ip":"10.0.0.1","dns":{"version":2,"type":"answer","rrname":%q,"answers":[{"rrtype":"TXT","rdata":"0123456789"}]}}`, eveTime(at), name))
		}
		if len(got) != 1 || got[0]["domain"] != "example.com" || got[0]["names"] != 50.0 || got[0]["bytes_down"] != 490.0 || got[0]["types"].(map[string]any)[kind] != 50.0 || len(got[0]["examples"].([]any)) != 3 {
			t.Errorf("%s: got %v", kind, got)
		}
	}
}

func TestDNSTunnelLeavesUsualNamesAlone(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 7))
	s := loadShipped(t, "..", "dns-tunnel")
	repeated := secret(r, 40)
	words := strings.Fields("www mail api static images cdn news shop login docs support status blog assets video")
	for i := range 2000 {
		at := noon.Add(time.Duration(i) * time.Second)
		for _, name := range []string{
			words[i%15] + ".example.org", words[i%15] + fmt.Sprint(i) + ".example.net", // many, but short
			repeated + ".example.com",                                                                            // long, but one
			secret(r, 30) + ".mcafee.com",                                                                        // allowed
			fmt.Sprintf("%d.%d.0.192.in-addr.arpa", i%250, i/250), secret(r, 30) + fmt.Sprintf(".site%d.com", i), // one name of each
			fmt.Sprintf("%s.cache.content.network.segment.example.edu", words[i%15]),
		} {
			if _, other := s.handle(dnsQuery("10.0.0.1", name, "A", at)); len(other) != 0 {
				t.Fatalf("%s: %v", name, other)
			}
		}
	}
}

func TestCaptureHealthTellsLosses(t *testing.T) {
	frames, dropped, evicted := int64(1000), int64(500), int64(0)
	s := loadWith(t, "..", "analyzers/capture-health.lua", func() []engine.InputStatistics {
		return []engine.InputStatistics{{Tag: "eve"}, {Tag: "wire", Counters: []engine.Count{{Name: "frames_total", N: frames}, {Name: "kernel_dropped_total", N: dropped},
			{Name: "flows_total", N: frames / 10}, {Name: "flows_evicted_total", N: evicted}}}}
	})
	if len(s.out.Timers) != 1 || !s.out.Timers[0].Every || s.out.Timers[0].After != time.Minute || s.tags.byRoute[s.out.Timers[0].Route] != "capture-health" {
		t.Fatalf("timers: %+v", s.out.Timers)
	}
	body := s.out.Timers[0].Body
	tick := func(moreFrames, moreDropped, moreEvicted int64) []map[string]any {
		t.Helper()
		frames, dropped, evicted = frames+moreFrames, dropped+moreDropped, evicted+moreEvicted
		next, other := s.handle(body)
		if len(next) != 0 {
			t.Errorf("the timer's event went on")
		}
		return findings(t, other)
	}
	if got := tick(1000, 0, 0); len(got) != 0 { // what was dropped before the start is not ours
		t.Errorf("got %v", got)
	}
	if got := tick(9_999, 1, 0); len(got) != 0 {
		t.Errorf("one in 10,000: got %v", got)
	}
	if got := tick(900, 100, 0); len(got) != 1 || got[0]["finding"] != "packets dropped" || got[0]["input"] != "wire" || got[0]["dropped"] != 100.0 || got[0]["share"] != 0.1 || !strings.Contains(got[0]["remedy"].(string), "ring_size") {
		t.Errorf("got %v", got)
	}
	if got := tick(1000, 0, 50); len(got) != 1 || got[0]["finding"] != "flows evicted" || got[0]["flows"] != 100.0 {
		t.Errorf("got %v", got)
	}
	if got := tick(1000, 0, 0); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

// TestDNSTunnelInRealTraffic: a capture among these has one, and nothing else is reported.
func TestDNSTunnelInRealTraffic(t *testing.T) {
	s := loadShipped(t, "..", "dns-tunnel")
	var got []map[string]any
	eachEvent(t, "reference/eve/eve-mixed.json", func(line string) {
		_, other := s.handle(strings.TrimSpace(line))
		got = append(got, findings(t, other)...)
	})
	if len(got) != 1 || got[0]["domain"] != "tunnel.com" || got[0]["src_ip"] != "10.30.28.90" {
		t.Errorf("got %v", got)
	}
}

// TestNoScansInUsualTraffic: nothing in these events scans.
func TestNoScansInUsualTraffic(t *testing.T) {
	for _, name := range []string{"port-scan", "beacon"} {
		s := loadShipped(t, "..", name)
		eachEvent(t, "reference/eve/eve-mixed.json", func(line string) {
			if _, other := s.handle(strings.TrimSpace(line)); len(other) != 0 {
				t.Errorf("%s: %s", name, other[0])
			}
		})
	}
}
