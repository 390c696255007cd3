package flow

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dragonfly/engine/app"
	"dragonfly/engine/packet"
	"dragonfly/engine/packet/pcap"
)

// TestFlowEventsHaveFeatures meters captures: the vectors are of the same packets as the event's own counts.
func TestFlowEventsHaveFeatures(t *testing.T) {
	files, _ := filepath.Glob("../../../shared/data/ours/pcap/*.pcap")
	more, _ := filepath.Glob("../../../shared/data/reference/flows/*.pcap")
	if files = append(files, more...); len(files) == 0 {
		files, _ = filepath.Glob("../../test/data/pcap/*.pcap")
	}
	flows := 0
	for _, file := range files {
		for _, kind := range []string{"nfstream", "cic"} {
			eventsOf(t, file, Config{Features: kind, VLAN: true}, func(event []byte) {
				var ev struct {
					Type string `json:"event_type"`
					Flow struct {
						ToServer      float64 `json:"pkts_toserver"`
						ToClient      float64 `json:"pkts_toclient"`
						BytesToServer float64 `json:"bytes_toserver"`
						BytesToClient float64 `json:"bytes_toclient"`
					}
					Features map[string]any
				}
				if err := json.Unmarshal(event, &ev); err != nil {
					t.Fatalf("%s: %s: %v", file, event, err)
				}
				if ev.Type != "flow" {
					return
				}
				flows++
				want := map[string]float64{"total_fwd_packet": ev.Flow.ToServer, "total_bwd_packets": ev.Flow.ToClient}
				if kind == "nfstream" {
					want = map[string]float64{"src2dst_packets": ev.Flow.ToServer, "dst2src_packets": ev.Flow.ToClient,
						"src2dst_bytes": ev.Flow.BytesToServer, "dst2src_bytes": ev.Flow.BytesToClient}
				}
				for name, n := range want {
					if ev.Features[name] != n {
						t.Errorf("%s: %s is %v, want %v: %.400s", filepath.Base(file), name, ev.Features[name], n, event)
					}
				}
			})
		}
	}
	if flows < 10 {
		t.Errorf("only %d flows in %d captures", flows, len(files))
	}
}

// eventsOf calls emit with the events of a capture.
func eventsOf(t *testing.T, file string, c Config, emit func(event []byte)) {
	t.Helper()
	src, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	r, err := pcap.New(src)
	if err != nil {
		return
	}
	m, d := New(c, emit), packet.NewDecoder()
	var frame packet.Frame
	var packets []packet.Packet
	for r.Next(&frame) == nil {
		packets = d.Decode(&frame, packets[:0])
		for i := range packets {
			m.Packet(&packets[i])
		}
	}
	m.Close()
}

// tcpPacket is a TCP packet between two hosts; back is from the server.
func tcpPacket(at int64, back bool, flags uint8, seq, ack uint32) *packet.Packet {
	p := &packet.Packet{Time: at, Proto: packet.TCP, Src: packet.IPv4([]byte{10, 0, 0, 1}), Dst: packet.IPv4([]byte{10, 0, 0, 2}), SrcPort: 40000, DstPort: 80,
		Bytes: 54, IPBytes: 40, HeaderLen: 40, TCPFlags: flags, Seq: seq, Ack: ack, Window: 1000}
	if back {
		p.Src, p.Dst, p.SrcPort, p.DstPort = p.Dst, p.Src, p.DstPort, p.SrcPort
	}
	return p
}

// vectors meters packets and returns the features of the flows in their order.
func vectors(t *testing.T, kind string, packets ...*packet.Packet) (list []map[string]any) {
	t.Helper()
	m := New(Config{Features: kind}, func(event []byte) {
		var ev struct{ Features map[string]any }
		if err := json.Unmarshal(event, &ev); err != nil {
			t.Fatalf("%s: %v", event, err)
		}
		list = append(list, ev.Features)
	})
	for _, p := range packets {
		m.Packet(p)
	}
	m.Close()
	return list
}

// TestFeaturesAreOfWholeFlows: what follows a FIN belongs to the flow, a long flow is not cut, and the next connection of the
// same ports begins with an empty vector. CICFlowMeter has errors of all three kinds (#40, #174).
func TestFeaturesAreOfWholeFlows(t *testing.T) {
	const base, s = int64(1_700_000_000e9), int64(1e9)
	packets := []*packet.Packet{
		tcpPacket(base, false, packet.SYN, 100, 0), tcpPacket(base+s, true, packet.SYN|packet.ACK, 500, 101), tcpPacket(base+2*s, false, packet.ACK, 101, 501),
		tcpPacket(base+400*s, false, packet.ACK, 101, 501), tcpPacket(base+900*s, false, packet.FIN|packet.ACK, 101, 501),
		tcpPacket(base+901*s, true, packet.FIN|packet.ACK, 501, 102), tcpPacket(base+902*s, false, packet.ACK, 102, 502),
		tcpPacket(base+1000*s, false, packet.SYN, 9000, 0), tcpPacket(base+1001*s, true, packet.SYN|packet.ACK, 7000, 9001),
	}
	got := vectors(t, "cic", packets...)
	if len(got) != 2 {
		t.Fatalf("got %d flows", len(got))
	}
	for name, want := range map[string]float64{"total_fwd_packet": 5, "total_bwd_packets": 2, "fin_flag_count": 2, "flow_duration": 902e6, "syn_flag_count": 2} {
		if got[0][name] != want {
			t.Errorf("%s is %v, want %v", name, got[0][name], want)
		}
	}
	for name, want := range map[string]float64{"total_fwd_packet": 1, "total_bwd_packets": 1, "fin_flag_count": 0, "flow_duration": 1e6, "fwd_init_win_bytes": 1000} {
		if got[1][name] != want {
			t.Errorf("second flow: %s is %v, want %v", name, got[1][name], want)
		}
	}
	got = vectors(t, "nfstream", packets...)
	if got[0]["bidirectional_packets"] != 7.0 || got[1]["bidirectional_packets"] != 2.0 || got[1]["bidirectional_duration_ms"] != 1000.0 {
		t.Errorf("got %v", got)
	}
}

// TestFeaturesOfNewFlowsAllocateNothing lets flows come and go, with features and without.
func TestFeaturesOfNewFlowsAllocateNothing(t *testing.T) {
	allocations := func(kind string) float64 {
		m := New(Config{Features: kind}, func([]byte) {})
		p := *tcpPacket(1_700_000_000e9, false, packet.SYN, 1, 0)
		p.Proto, p.TCPFlags = packet.SCTP, 0 // without an application layer
		next := func() {
			p.SrcPort++
			p.Time += 1e9
			m.Packet(&p)
			m.Advance(p.Time)
		}
		for range 1000 {
			next()
		}
		return testing.AllocsPerRun(1000, next)
	}
	if without, with := allocations(""), allocations("cic"); with > without {
		t.Errorf("%v allocations per flow, %v without features", with, without)
	}
}

// TestFeaturesChangeNothingElse: with features or without, the events of captures are the same but for that member.
func TestFeaturesChangeNothingElse(t *testing.T) {
	files, _ := filepath.Glob("../../../shared/data/ours/pcap/*.pcap")
	if len(files) == 0 {
		files, _ = filepath.Glob("../../test/data/pcap/*.pcap")
	}
	all := app.Config{DNS: true, HTTP: true, TLS: true, QUIC: true, SSH: true, DNSVersion: 2}
	for _, file := range files {
		var plain, with []string
		eventsOf(t, file, Config{App: all}, func(event []byte) { plain = append(plain, string(event)) })
		eventsOf(t, file, Config{App: all, Features: "nfstream"}, func(event []byte) {
			text := string(event)
			if head, rest, ok := strings.Cut(text, `,"features":{`); ok {
				_, tail, _ := strings.Cut(rest, "}")
				text = head + tail
			}
			with = append(with, text)
		})
		if !slices.Equal(plain, with) {
			t.Errorf("%s: the events differ:\n%.3000s\n%.3000s", filepath.Base(file), strings.Join(plain, "\n"), strings.Join(with, "\n"))
		}
	}
}
