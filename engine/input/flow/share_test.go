package flow

import (
	"encoding/binary"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"dragonfly/engine/packet"
	"dragonfly/engine/packet/filter"
	"dragonfly/engine/packet/pcap"
)

// parts returns which of n shares take a frame.
func parts(data []byte, n int, link packet.LinkType) (list []int) {
	for i := range n {
		code := append(share(i, n, link), filter.Instruction{Code: ret, K: 1})
		if filter.Run(code, data, len(data)) != 0 {
			list = append(list, i)
		}
	}
	return list
}

// Every frame belongs to one part, also one that is cut off or nonsense.
func TestShareTakesEachFrameOnce(t *testing.T) {
	found, _ := filepath.Glob("../../../test/data/pcap/*.pcap")
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, path := range found {
		f, err := os.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		r, err := pcap.New(f)
		if err != nil {
			t.Fatal(err)
		}
		for range 300 {
			var fr packet.Frame
			if r.Next(&fr) != nil {
				break
			}
			data := append([]byte{}, fr.Data...)
			for range 4 {
				for _, link := range []packet.LinkType{filter.Ethernet, filter.Raw} {
					if got := parts(data, 5, link); len(got) != 1 {
						t.Fatalf("%s frame %d: parts %v take % x", filepath.Base(path), fr.Number, got, data)
					}
				}
				data = data[:rnd.IntN(len(data))+1]
				data[rnd.IntN(len(data))] = byte(rnd.Uint32())
			}
		}
	}
}

func ethernet(kind uint16, b []byte) []byte {
	return append(binary.BigEndian.AppendUint16(make([]byte, 12), kind), b...)
}

// ip4 is an IPv4 packet with 28 bytes of payload at least.
func ip4(proto byte, from, to uint32, payload ...byte) []byte {
	b := make([]byte, 20, 48)
	b[0], b[9] = 0x45, proto
	binary.BigEndian.PutUint32(b[12:], from)
	binary.BigEndian.PutUint32(b[16:], to)
	return append(append(b, payload...), make([]byte, 28)...)
}

// Both directions, fragments, tags and ICMP errors about a packet are in one part.
func TestShareKeepsFlowsTogether(t *testing.T) {
	const n = 7
	used := map[int]bool{}
	for i := range uint32(200) {
		a, b := 0x0a000001+i, 0xc0a80101+i*3
		there, back := ip4(6, a, b), ip4(6, b, a)
		fragment := ip4(17, a, b)
		fragment[6], fragment[7] = 0x20, 1
		tag := func(b []byte) []byte { return append([]byte{0, 100, 8, 0}, b...) }
		two := append([]byte{0, 100, 0x81, 0}, tag(there)...)
		unreachable := ip4(1, 0x0b0b0b0b, a, append([]byte{3, 1, 0, 0, 0, 0, 0, 0}, ip4(6, a, b)...)...)
		frames := map[string][]byte{"there": ethernet(0x800, there), "back": ethernet(0x800, back), "fragment": ethernet(0x800, fragment),
			"tag": ethernet(0x8100, tag(back)), "two tags": ethernet(0x88a8, two), "unreachable": ethernet(0x800, unreachable)}
		want := parts(ethernet(0x800, there), n, filter.Ethernet)[0]
		used[want] = true
		for name, f := range frames {
			if got := parts(f, n, filter.Ethernet); len(got) != 1 || got[0] != want {
				t.Fatalf("%s of %x %x: parts %v, want %d", name, a, b, got, want)
			}
		}
		if got := parts(there, n, filter.Raw); len(got) != 1 || got[0] != want {
			t.Fatalf("raw: parts %v, want %d", got, want)
		}
		v6 := func(from, to byte) []byte {
			p := make([]byte, 60)
			p[0], p[6], p[8], p[23], p[24], p[39] = 0x60, 17, 0xfd, from, 0xfd, to
			return ethernet(0x86dd, p)
		}
		if x, y := parts(v6(byte(i), byte(i+9)), n, filter.Ethernet), parts(v6(byte(i+9), byte(i)), n, filter.Ethernet); x[0] != y[0] {
			t.Fatalf("IPv6: parts %v and %v", x, y)
		}
	}
	if len(used) != n {
		t.Errorf("200 pairs of addresses came to %d of %d parts", len(used), n)
	}
}

// The kernel takes the programs that we make.
func TestKernelTakesThePrograms(t *testing.T) {
	r, err := openRing(1<<20, 100)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	defer r.close()
	for _, expr := range []string{"", "tcp", "vlan 100 and host 10.0.0.1", "not (tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420 and len % 3 != 1)",
		"inbound and -ip[0] + ip[1] * ip[2] / ip[3] - (ip[4] ^ ip[5] | 7 << ip[6] >> ip[7]) > len", "net 2001:db8::/33 or portrange 1-5 or mpls and ip6", "1 = 1", "1 = 2"} {
		for _, link := range []packet.LinkType{filter.Ethernet, filter.Raw} {
			p, err := filter.Compile(expr, link, filter.Kernel)
			if err != nil {
				if link != filter.Raw {
					t.Errorf("%q: %v", expr, err)
				}
				continue
			}
			if err := r.attach(append(share(1, 4, link), p.Instructions(65535)...)); err != nil {
				t.Errorf("%q: %v", expr, err)
			}
		}
	}
	if err := r.shut(); err != nil {
		t.Error(err)
	}
}
