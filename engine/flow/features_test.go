package flow

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

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
			meterFile(t, file, Config{Features: kind, VLAN: true}, func(event []byte) {
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

// meterFile calls emit with the events of a capture.
func meterFile(t *testing.T, file string, c Config, emit func(event []byte)) {
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
