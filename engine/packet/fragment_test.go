package packet

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// feed decodes raw IP packets at a time in seconds, and returns the packets.
func feed(t *testing.T, d *Decoder, seconds float64, frames ...[]byte) (out []Packet) {
	t.Helper()
	for _, b := range frames {
		out = d.Decode(&Frame{Time: int64(seconds * 1e9), LinkType: 101, Data: b, Len: len(b)}, out)
		consistent(t, d)
	}
	return out
}

// parts splits a datagram into fragments that begin at the offsets.
func parts(v6 bool, id int, datagram []byte, offsets ...int) (out [][]byte) {
	for i, at := range offsets {
		end, more := len(datagram), false
		if i+1 < len(offsets) {
			end, more = offsets[i+1], true
		}
		if v6 {
			out = append(out, ip6part(UDP, id, at, more, datagram[at:end]))
		} else {
			out = append(out, ip4part(UDP, id, at, more, datagram[at:end]))
		}
	}
	return out
}

// TestFragmentsComeInAnyOrder reassembles datagrams whose fragments are shuffled, and mixed with those of others.
func TestFragmentsComeInAnyOrder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	d := NewDecoder()
	want := map[string]bool{}
	var frames [][]byte
	for id := range 60 {
		payload := strings.Repeat(fmt.Sprintf("%02d ", id), 100+id)
		want[payload] = true
		frames = append(frames, parts(id%2 == 0, id, dns(payload), 0, 8, 64, 200)...)
	}
	random.Shuffle(len(frames), func(i, j int) { frames[i], frames[j] = frames[j], frames[i] })
	for _, frame := range frames {
		for _, p := range feed(t, d, 1, frame) {
			if !want[string(p.Payload)] || p.SrcPort != 1000 || p.DstPort != 53 || p.Fragments != 4 {
				t.Fatalf("got %s", show(&p))
			}
			if int(p.IPBytes) != int(p.HeaderLen)+len(p.Payload) || p.Bytes != p.IPBytes {
				t.Errorf("got %s", show(&p))
			}
			delete(want, string(p.Payload))
		}
	}
	if len(want) != 0 || len(d.frags.table) != 0 {
		t.Errorf("%d datagrams did not come, %d are held", len(want), len(d.frags.table))
	}
}

// TestFragmentsCountTheLinkLayer: Bytes of a reassembled packet is its link layer once, and the whole datagram.
func TestFragmentsCountTheLinkLayer(t *testing.T) {
	datagram := dns(strings.Repeat("x", 92)) // 100 bytes
	for _, c := range []struct {
		name   string
		frames [][]byte
		want   string
	}{
		{"ethernet", [][]byte{eth(0x0800, ip4part(UDP, 1, 0, true, datagram[:48])), eth(0x0800, ip4part(UDP, 1, 48, false, datagram[48:]))},
			"- ipv4.fragments fragments.held\nof 2 134/120 10.0.0.1 10.0.0.2 udp 1000 53 header 28"},
		{"vlan, last first", [][]byte{eth(0x8100, cat(bytesOf("0005 86dd"), ip6part(UDP, 1, 48, false, datagram[48:]))),
			eth(0x8100, cat(bytesOf("0005 86dd"), ip6part(UDP, 1, 0, true, datagram[:48])))},
			"- ipv6.fragments fragments.held\nvlan 5 of 2 158/140 fd00::1 fd00::2 udp 1000 53 header 48"},
		{"in a tunnel", [][]byte{eth(0x0800, ip4(IPIP, ip4part(UDP, 1, 0, true, datagram[:48]))), eth(0x0800, ip4(IPIP, ip4part(UDP, 1, 48, false, datagram[48:])))},
			"- ipv4.fragments fragments.held\n[1 tunnel 2] of 2 120/120 10.0.0.1 10.0.0.2 udp 1000 53 header 28"},
		{"a tunnel in fragments", [][]byte{eth(0x0800, ip4part(IPIP, 1, 0, true, ip4(UDP, datagram)[:48])), eth(0x0800, ip4part(IPIP, 1, 48, false, ip4(UDP, datagram)[48:]))},
			"- ipv4.fragments fragments.held\n[1 tunnel 2] 120/120 10.0.0.1 10.0.0.2 udp 1000 53 header 28"},
		{"extensions", [][]byte{eth(0x86dd, ip6(0, cat(bytesOf("2c 00 000000000000"), fragmentHeader(60, 1, 0, true, cat(bytesOf("11 00 000000000000"), datagram[:40]))))),
			eth(0x86dd, ip6(0, cat(bytesOf("2c 00 000000000000"), fragmentHeader(60, 1, 48, false, datagram[40:]))))},
			"- ipv6.fragments fragments.held\nof 2 170/156 fd00::1 fd00::2 udp 1000 53 header 64"},
		{"other tags", [][]byte{eth(0x8100, cat(bytesOf("0005 0800"), ip4part(UDP, 1, 0, true, datagram[:48]))),
			eth(0x8100, cat(bytesOf("0006 0800"), ip4part(UDP, 1, 48, false, datagram[48:])))},
			"- ipv4.fragments fragments.held\n- ipv4.fragments fragments.held"},
		{"malformed when whole", [][]byte{eth(0x0800, ip4part(TCP, 1, 0, true, datagram[:16])), eth(0x0800, ip4part(TCP, 1, 16, false, datagram[16:18]))},
			"- ipv4.fragments fragments.held\n- ipv4.fragments fragments.used fragments.held ipv4.reassembled tcp.pkt_too_small"},
		{"empty", [][]byte{eth(0x0800, ip4part(UDP, 1, 0, true, nil)), eth(0x86dd, ip6part(UDP, 1, 8, false, nil))},
			"- ipv4.fragments fragments.dropped\n- ipv6.fragments fragments.dropped"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := decoded(t, NewDecoder(), 1, c.frames...); got != c.want {
				t.Errorf("got\n%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestFragmentsOverlap checks the policies: Windows for IPv4, BSD for IPv6. A letter is 8 bytes of a fragment; "A0 B1!" is a
// fragment of As at 0, then the last one of one B at 8.
func TestFragmentsOverlap(t *testing.T) {
	for _, c := range []struct{ name, fragments, windows, bsd string }{
		{"the end of the first", "AA0 BB1 C3!", "AABC", "AABC"},
		{"the beginning of the first", "AA1 BB0 C3!", "BAAC", "BBAC"},
		{"inside", "AAA0 B1 C3!", "AAAC", "AAAC"},
		{"beyond both ends", "A1 BBB0 C3!", "BBBC", "BBBC"},
		{"the same twice", "AA0 BB0 C2!", "AAC", "AAC"},
		{"longer at the same place", "A0 BB0 C2!", "ABC", "ABC"},
		{"the first again, when whole", "AA0 C2! BB0", "AAC", "AAC"},
		{"a hole", "A0 C2!", "", ""},
		{"the last one is inside", "AA0 D1! BB2", "", ""},
		{"behind the last one", "BB2 A0 D1!", "AD", "AD"},
		{"teardrop", "AAA0 B1!", "", ""},
	} {
		for _, v6 := range []bool{false, true} {
			want := c.windows
			if v6 {
				want = c.bsd
			}
			t.Run(fmt.Sprintf("%s v6 %v", c.name, v6), func(t *testing.T) {
				d := NewDecoder()
				var got string
				for _, f := range strings.Fields(c.fragments) {
					f, last := strings.CutSuffix(f, "!")
					letters := f[:len(f)-1]
					at, data := int(f[len(f)-1]-'0')*8, []byte(strings.Repeat(letters[:1], 8*len(letters)))
					frame := ip4part(200, 1, at, !last, data)
					if v6 {
						frame = ip6part(200, 1, at, !last, data)
					}
					for _, p := range feed(t, d, 1, frame) {
						got = ""
						for i := 0; i < len(p.Payload); i += 8 {
							got += string(p.Payload[i])
						}
					}
				}
				if got != want {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
}

// TestFragmentsEnd: after a minute without one, or when others need the room.
func TestFragmentsEnd(t *testing.T) {
	d := NewDecoder()
	f := parts(false, 1, dns(strings.Repeat("x", 92)), 0, 48, 64)
	feed(t, d, 100, f[0])
	feed(t, d, 159.9, f[1]) // each one prolongs
	if got := feed(t, d, 218.9, f[2]); len(got) != 1 || got[0].Fragments != 3 {
		t.Errorf("in time: got %d packets", len(got))
	}
	feed(t, d, 300, f[0], f[1])
	if got := feed(t, d, 360, f[2]); len(got) != 0 || d.counts[fragmentsTimeout] != 1 || d.counts[fragmentsLost] != 2 {
		t.Errorf("too late: got %d packets, %d timeouts", len(got), d.counts[fragmentsTimeout])
	}
	if len(d.frags.table) != 1 {
		t.Errorf("%d datagrams are held, want that of the last fragment", len(d.frags.table))
	}
	// Time that goes back loses nothing.
	feed(t, d, 50, f[0])
	if got := feed(t, d, 40, f[1]); len(got) != 1 {
		t.Errorf("got %d packets of a capture out of order", len(got))
	}
}

// TestFragmentsFlood sends fragments that nothing completes: bytes and datagrams stay bounded, the oldest go, and the newest
// still comes together.
func TestFragmentsFlood(t *testing.T) {
	for _, size := range []int{8, 4096} {
		d := NewDecoder()
		frame := Frame{LinkType: 101}
		var out []Packet
		b := ip4part(UDP, 0, 0, true, make([]byte, size))
		for i := range 70000 {
			binary.BigEndian.PutUint32(b[12:], uint32(i)) // the source
			frame.Data, frame.Len = b, len(b)
			out = d.Decode(&frame, out[:0])
			if len(out) != 0 {
				t.Fatal("got a packet")
			}
		}
		consistent(t, d)
		if d.counts[datagramsEvicted] == 0 || d.counts[datagramsEvicted] != d.counts[fragmentsLost] {
			t.Errorf("size %d: %d datagrams evicted, %d fragments lost", size, d.counts[datagramsEvicted], d.counts[fragmentsLost])
		}
		last := ip4part(UDP, 0, size, false, make([]byte, 8))
		binary.BigEndian.PutUint32(last[12:], 69999)
		copy(b[20:], dns(""))
		if got := feed(t, d, 0, last); len(got) != 0 || d.counts[ipv4Reassembled] != 1 { // its UDP length is 0
			t.Errorf("size %d: the newest is gone", size)
		}
	}
}

// TestFragmentsTooLarge: the ping of death, and datagrams that are too large only with their headers, or by what overlaps.
func TestFragmentsTooLarge(t *testing.T) {
	d := NewDecoder()
	if got := decoded(t, d, 101, ip4part(ICMP, 1, 65528, false, make([]byte, 100))); !strings.Contains(got, "ipv4.frag_pkt_too_large") {
		t.Errorf("got %s", got)
	}
	if got := decoded(t, d, 101, ip6part(ICMPv6, 1, 65528, false, make([]byte, 100))); !strings.Contains(got, "ipv6.frag_pkt_too_large") {
		t.Errorf("got %s", got)
	}
	head := ip4part(UDP, 2, 0, true, cat(bytes.Repeat([]byte{1}, 40), make([]byte, 32000)))
	head[0] = 0x4f // 40 bytes of options
	feed(t, d, 1, head, ip4part(UDP, 2, 32000, true, make([]byte, 32000)))
	if got := feed(t, d, 1, ip4part(UDP, 2, 64000, false, make([]byte, 1510))); len(got) != 0 || d.counts[datagramsTooLarge] != 1 {
		t.Errorf("got %d packets, %d too large", len(got), d.counts[datagramsTooLarge])
	}
	for i := range 40 { // each reaches beyond both ends of those before
		feed(t, d, 1, ip4part(UDP, 3, 32000-8*i, true, make([]byte, 8000+16*i)))
	}
	if d.counts[datagramsTooLarge] != 2 {
		t.Errorf("%d too large, want the one of 40 fragments", d.counts[datagramsTooLarge])
	}
}

// TestFragmentsNest puts a fragment into a datagram of fragments, with the payload of the outer one still to be read.
func TestFragmentsNest(t *testing.T) {
	inner := parts(false, 9, dns(strings.Repeat("in", 100)), 0, 104)
	d := NewDecoder()
	var got []Packet
	for i, part := range inner {
		outer := udp(5, 4789, cat(bytesOf("08000000 00000100"), eth(0x0800, part)))
		got = feed(t, d, 1, parts(true, i, outer, 0, 48, 96)...)
	}
	if len(got) != 2 || got[0].DstPort != 4789 || got[1].DstPort != 53 || string(got[1].Payload) != strings.Repeat("in", 100) {
		t.Fatalf("got %d packets", len(got))
	}
	if !bytes.Contains(got[0].Payload, inner[1]) {
		t.Error("the payload of the outer packet was written over")
	}
}

// TestDecodeAllocatesNothing in the steady state, with fragments and tunnels.
func TestDecodeAllocatesNothing(t *testing.T) {
	d := NewDecoder()
	all := parts(false, 1, dns(strings.Repeat("x", 3000)), 0, 1480, 2960)
	all = append(all, parts(true, 1, dns(strings.Repeat("x", 3000)), 0, 1480, 2960)...)
	all = append(all, ip4(TCP, tcp("GET")), ip4(UDP, udp(5, 4789, cat(bytesOf("08000000 00000100"), eth(0x0800, ip4(TCP, tcp("GET")))))))
	var frame Frame
	var out []Packet
	run := func() {
		for _, b := range all {
			frame = Frame{LinkType: 101, Data: b, Len: len(b)}
			out = d.Decode(&frame, out[:0])
		}
	}
	run()
	if n := testing.AllocsPerRun(100, run); n != 0 {
		t.Errorf("got %v allocations for %d frames", n, len(all))
	}
	if d.counts[ipv4Reassembled] == 0 || d.counts[ipv6Reassembled] == 0 {
		t.Error("nothing was reassembled")
	}
}
