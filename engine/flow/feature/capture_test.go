package feature

import (
	"os"
	"path/filepath"
	"testing"

	"dragonfly/engine/packet"
	"dragonfly/engine/packet/pcap"
)

// TestFeaturesOfCaptures compares both vectors with the slow reference on what was captured, packets grouped by their ends.
func TestFeaturesOfCaptures(t *testing.T) {
	for _, glob := range []string{"../../../../shared/data/ours/pcap/*.pcap", "../../../../shared/data/reference/flows/*.pcap"} {
		files, _ := filepath.Glob(glob)
		for _, file := range files {
			t.Run(filepath.Base(file), func(t *testing.T) {
				for _, f := range group(t, file) {
					check(t, f.packets, f.back)
				}
			})
		}
		if len(files) == 0 {
			t.Run("captures", func(t *testing.T) { t.Skipf("no %s", filepath.Base(filepath.Dir(glob))) })
		}
	}
}

type ends struct {
	src, dst     packet.Addr
	sport, dport uint16
	proto        uint8
}

type conversation struct {
	packets []packet.Packet
	back    []bool
}

// group reads the packets of a capture, as many as it has, by their ends.
func group(t *testing.T, file string) map[ends]*conversation {
	src, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	r, err := pcap.New(src)
	if err != nil {
		t.Skip(err)
	}
	all := map[ends]*conversation{}
	d := packet.NewDecoder()
	var frame packet.Frame
	var packets []packet.Packet
	for r.Next(&frame) == nil {
		packets = d.Decode(&frame, packets[:0])
		for _, p := range packets {
			p.Payload, p.TCPOptions = nil, append([]byte(nil), p.TCPOptions...)
			key := ends{p.Src, p.Dst, p.SrcPort, p.DstPort, p.Proto}
			other := ends{p.Dst, p.Src, p.DstPort, p.SrcPort, p.Proto}
			c, back := all[key], false
			if c == nil && all[other] != nil {
				c, back = all[other], true
			}
			if c == nil {
				c = &conversation{}
				all[key] = c
			}
			if len(c.packets) < 400 { // the reference takes its time
				c.packets, c.back = append(c.packets, p), append(c.back, back)
			}
		}
	}
	return all
}
