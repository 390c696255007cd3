package packet_test

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"dragonfly/engine/packet"
)

// betterThanSuricata says in which captures we see packets that Suricata 7.0.10 does not.
var betterThanSuricata = map[string]string{
	"own-snap96": "cut packets are invalid for it",
	"sv-sll2":    "it does not know the link type",
}

// sums are the packets and bytes from one end to another.
type sums struct{ packets, bytes uint64 }

// TestDecodeCountsAsSuricata compares packets and bytes, summed over all flows between two ends, with Suricata's.
func TestDecodeCountsAsSuricata(t *testing.T) {
	var files []string
	for _, dir := range []string{ours, reference} {
		found, _ := filepath.Glob(dir + "*.suricata.json")
		files = append(files, found...)
	}
	for _, file := range files {
		base := strings.TrimSuffix(file, ".suricata.json")
		name := filepath.Base(base)
		t.Run(name, func(t *testing.T) {
			want := suricata(t, file)
			capture, _ := filepath.Glob(base + ".pcap*")
			eachFrame(t, capture[0], func(_ uint64, got []packet.Packet) {
				for i := range got {
					if way := between(&got[i]); way != "" {
						s := want[way]
						want[way] = sums{s.packets - 1, s.bytes - uint64(got[i].Bytes)}
					}
				}
			})
			more := false // than Suricata
			for way, s := range want {
				if int64(s.packets) < 0 && betterThanSuricata[name] != "" {
					more = true
				} else if s != (sums{}) {
					t.Errorf("%s: Suricata has %d packets and %d bytes more", way, int64(s.packets), int64(s.bytes))
				}
			}
			if !more && betterThanSuricata[name] != "" {
				t.Error("Suricata sees as much")
			}
		})
	}
}

// between names the ends of a packet, if Suricata makes flows of its kind.
func between(p *packet.Packet) string {
	src, dst := p.Src.Netip(), p.Dst.Netip()
	switch p.Proto {
	case packet.TCP:
		return fmt.Sprint("TCP ", netip.AddrPortFrom(src, p.SrcPort), " ", netip.AddrPortFrom(dst, p.DstPort))
	case packet.UDP:
		return fmt.Sprint("UDP ", netip.AddrPortFrom(src, p.SrcPort), " ", netip.AddrPortFrom(dst, p.DstPort))
	case packet.ICMP:
		return fmt.Sprint("ICMP ", src, " ", dst)
	case packet.ICMPv6:
		return fmt.Sprint("IPv6-ICMP ", src, " ", dst)
	}
	return ""
}

// suricata reads the flows that Suricata made of a capture.
func suricata(t *testing.T, file string) map[string]sums {
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var all struct {
		Flows []struct {
			Proto    string
			Src, Dst netip.Addr
			Sport    uint16
			Dport    uint16
			PktsFwd  uint64 `json:"pkts_fwd"`
			PktsRev  uint64 `json:"pkts_rev"`
			BytesFwd uint64 `json:"bytes_fwd"`
			BytesRev uint64 `json:"bytes_rev"`
		}
	}
	if err := json.Unmarshal(data, &all); err != nil {
		t.Fatal(err)
	}
	out := map[string]sums{}
	for _, f := range all.Flows {
		a, b := f.Src.String(), f.Dst.String()
		if f.Proto == "TCP" || f.Proto == "UDP" {
			a, b = netip.AddrPortFrom(f.Src, f.Sport).String(), netip.AddrPortFrom(f.Dst, f.Dport).String()
		}
		there, back := f.Proto+" "+a+" "+b, f.Proto+" "+b+" "+a
		s := out[there]
		out[there] = sums{s.packets + f.PktsFwd, s.bytes + f.BytesFwd}
		s = out[back]
		out[back] = sums{s.packets + f.PktsRev, s.bytes + f.BytesRev}
	}
	return out
}
