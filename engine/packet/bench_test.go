package packet_test

import (
	"io"
	"os"
	"testing"

	"dragonfly/engine/packet"
	"dragonfly/engine/packet/pcap"
)

// frames reads at most limit frames of a capture into memory.
func frames(b testing.TB, file string, limit int) (out []packet.Frame) {
	f, err := os.Open(file)
	if err != nil {
		b.Skip(err)
	}
	defer f.Close()
	src, err := pcap.New(f)
	if err != nil {
		b.Fatal(err)
	}
	for len(out) < limit {
		var frame packet.Frame
		if err := src.Next(&frame); err == io.EOF {
			break
		} else if err != nil {
			b.Fatal(err)
		}
		frame.Data = append([]byte(nil), frame.Data...)
		out = append(out, frame)
	}
	return out
}

// BenchmarkDecode decodes captures out of memory; the time is that of one frame. gen is not in the tree: make it with
// gen-pcap -n 200000, and name it in GEN_PCAP.
func BenchmarkDecode(b *testing.B) {
	const dir = "../../test/data/pcap/"
	for name, files := range map[string][]string{
		"many": {dir + "own-many.pcap"}, "gen": {os.Getenv("GEN_PCAP")},
		"mix": {dir + "own-many.pcap", dir + "own-proto.pcap", ours + "own-geneve.pcap", ours + "own-gre.pcap", ours + "own-frag.pcap",
			ours + "own-mpls.pcap", ours + "own-vlan.pcap", ours + "own-icmp.pcap"},
	} {
		b.Run(name, func(b *testing.B) {
			var all []packet.Frame
			for _, file := range files {
				all = append(all, frames(b, file, 4000)...)
			}
			d := packet.NewDecoder()
			var out []packet.Packet
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				out = d.Decode(&all[i], out[:0])
				if i++; i == len(all) {
					i = 0
				}
			}
		})
	}
}
