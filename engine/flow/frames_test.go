package flow

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"time"

	"dragonfly/engine/app"
	"dragonfly/engine/packet"
	"dragonfly/engine/packet/pcap"
)

// frames returns the first frames of a capture.
func frames(t testing.TB, file string, most int) (list []packet.Frame) {
	t.Helper()
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcap.New(f)
	if err != nil {
		t.Fatal(err)
	}
	var frame packet.Frame
	for len(list) < most && r.Next(&frame) == nil {
		frame.Data = append([]byte(nil), frame.Data...)
		list = append(list, frame)
	}
	return list
}

// FuzzFrames damages the frames of a capture: whatever comes, all events are JSON and no packet is missing from the books.
func FuzzFrames(f *testing.F) {
	captures, _ := filepath.Glob("../../test/data/pcap/*.pcap")
	var all [][]packet.Frame
	for _, file := range captures {
		all = append(all, frames(f, file, 400))
	}
	for n := range 2 * len(all) {
		f.Add(uint64(n), []byte{byte(n), 3, 9, 200, 7})
	}
	f.Fuzz(func(t *testing.T, seed uint64, damage []byte) {
		r := rand.New(rand.NewPCG(seed, 1))
		c := Config{VLAN: r.IntN(2) == 0, MaxFlows: 1 + r.IntN(50), Active: time.Duration(r.IntN(3)) * time.Second,
			App: app.Config{DNS: true, HTTP: true, TLS: true, SSH: true, QUIC: true, Depth: 1 << 20}}
		m := New(c, func(b []byte) {
			if !json.Valid(b) {
				t.Fatalf("no JSON: %s", b)
			}
		})
		d := packet.NewDecoder()
		var packets []packet.Packet
		for _, frame := range all[seed%uint64(len(all))] {
			frame.Data = append([]byte(nil), frame.Data...)
			for range r.IntN(1 + len(damage)) {
				if len(frame.Data) > 0 && len(damage) > 0 {
					frame.Data[r.IntN(min(len(frame.Data), 120))] = damage[r.IntN(len(damage))]
				}
			}
			if r.IntN(20) == 0 {
				frame.Time += int64(r.IntN(2000)-1000) * int64(time.Second)
			}
			packets = d.Decode(&frame, packets[:0])
			for i := range packets {
				m.Packet(&packets[i])
			}
			if r.IntN(100) == 0 {
				m.Advance(frame.Time)
			}
		}
		m.intact(t)
		m.Close()
		if s := m.Stats(); s.Packets != s.OtherProtocol+s.ICMPErrors+s.Reported || s.Active != 0 || len(m.parents) > 0 || len(m.sides) != len(m.spare)+1 {
			t.Errorf("the books: %+v, %d sides, %d free", s, len(m.sides)-1, len(m.spare))
		}
	})
}
