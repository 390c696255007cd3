package app

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"dragonfly/engine/packet"
	"dragonfly/engine/packet/pcap"
)

var everything = Config{DNS: true, HTTP: true, TLS: true, QUIC: true, SSH: true, Depth: 1 << 20}

// flowKey tells flows apart, the client first.
type flowKey struct {
	client, server         packet.Addr
	clientPort, serverPort uint16
	proto                  uint8
}

func (k flowKey) turned() flowKey {
	return flowKey{k.server, k.client, k.serverPort, k.clientPort, k.proto}
}

// replay runs a capture through one Conn per flow, without timeouts, and returns its events and flows as JSON.
func replay(t testing.TB, path string, c *Config) (events []string) {
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcap.New(bufio.NewReader(f))
	if err != nil {
		t.Fatal(err)
	}
	type flow struct {
		key  flowKey
		conn *Conn
		open bool
	}
	flows := map[flowKey]*flow{}
	var order []*flow
	var x *flow
	found := func(e *Event) { events = append(events, line(t, x.key, e)) }
	d := packet.NewDecoder()
	var frame packet.Frame
	var packets []packet.Packet
	var now int64
	for {
		if err := r.Next(&frame); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		packets = d.Decode(&frame, packets[:0])
		for i := range packets {
			p := &packets[i]
			if p.Proto != packet.TCP && p.Proto != packet.UDP {
				continue
			}
			now = p.Time
			k, dir := flowKey{p.Src, p.Dst, p.SrcPort, p.DstPort, p.Proto}, ToServer
			if x = flows[k]; x == nil {
				if x = flows[k.turned()]; x != nil {
					dir = ToClient
				}
			}
			if x == nil {
				x = &flow{k, New(c, p.Proto, p.SrcPort, p.DstPort), true}
				flows[k] = x
				order = append(order, x)
			}
			if x.open {
				x.open = x.conn.Packet(p, dir, found)
			}
		}
	}
	for _, x = range order {
		if x.open {
			x.conn.End(now, found)
		}
		events = append(events, flowLine(t, x.key, x.conn))
	}
	return events
}

func line(t testing.TB, k flowKey, e *Event) string {
	if e.ByPacket && e.Dir == ToClient {
		k = k.turned()
	}
	m := ends(k)
	m["event_type"] = e.Type
	if e.TxID >= 0 {
		m["tx_id"] = e.TxID
	}
	if e.Packet != 0 {
		m["pcap_cnt"] = e.Packet
		m["timestamp"] = time.Unix(0, e.Time).UTC().Format("2006-01-02T15:04:05.000000+0000")
	}
	var body map[string]any
	if err := json.Unmarshal([]byte("{"+string(e.Body)+"}"), &body); err != nil {
		t.Fatalf("body of event %q is no JSON: %v: %s", e.Type, err, e.Body)
	}
	for k, v := range body {
		m[k] = v
	}
	return encode(t, m)
}

func ends(k flowKey) map[string]any {
	return map[string]any{"src_ip": k.client.Netip(), "src_port": k.clientPort, "dest_ip": k.server.Netip(), "dest_port": k.serverPort}
}

func flowLine(t testing.TB, k flowKey, c *Conn) string {
	m := ends(k)
	m["event_type"], m["proto"] = "flow", map[uint8]string{packet.TCP: "TCP", packet.UDP: "UDP"}[k.proto]
	proto, toServer, toClient := c.Protocols()
	original, expected := c.Changed()
	for name, v := range map[string]string{"app_proto": proto, "app_proto_ts": toServer, "app_proto_tc": toClient,
		"app_proto_orig": original, "app_proto_expected": expected} {
		if v != "" {
			m[name] = v
		}
	}
	return encode(t, m)
}

func encode(t testing.TB, v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestAsSuricata compares events and protocols with what Suricata 7.0.10 made of the same captures (testdata/*.eve: its events,
// reduced to what package app decides).
func TestAsSuricata(t *testing.T) {
	truths, err := filepath.Glob("testdata/*.eve")
	if err != nil || len(truths) == 0 {
		t.Fatalf("testdata/*.eve: %v, %d files", err, len(truths))
	}
	for _, path := range truths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]int{}
			for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
				var m map[string]any
				if err := json.Unmarshal([]byte(l), &m); err != nil {
					t.Fatal(err)
				}
				want[encode(t, m)]++
			}
			for _, l := range replay(t, "../../test/data/pcap/"+strings.TrimSuffix(filepath.Base(path), ".eve")+".pcap", &everything) {
				var m map[string]any
				if err := json.Unmarshal([]byte(l), &m); err != nil {
					t.Fatal(err)
				}
				if tls := m["event_type"] == "tls" || m["event_type"] == "quic"; !tls {
					want[encode(t, m)]--
				}
			}
			var wrong []string
			for l, n := range want {
				if n > 0 {
					wrong = append(wrong, "missing: "+l)
				} else if n < 0 {
					wrong = append(wrong, "unexpected: "+l)
				}
			}
			sort.Strings(wrong)
			for _, l := range wrong {
				t.Error(l)
			}
		})
	}
}
