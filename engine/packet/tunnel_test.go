package packet

import (
	"bytes"
	"strings"
	"testing"
)

// TestDecodeLooksIntoTunnels checks which packets a tunnel gives, and what they count.
func TestDecodeLooksIntoTunnels(t *testing.T) {
	const a4, a6 = "10.0.0.1 10.0.0.2 ", "fd00::1 fd00::2 "
	four, six := ip4(UDP, dns("query")), ip6(UDP, dns("query")) // 33 and 53 bytes
	const inner4, inner6 = "33/33 " + a4 + "udp 1000 53 header 28 \"query\"", "53/53 " + a6 + "udp 1000 53 header 48 \"query\""
	gre := func(header string, payload []byte) []byte { return ip4(GRE, cat(bytesOf(header), payload)) }
	vxlan := func(kind int, payload []byte) []byte {
		return ip4(UDP, udp(9, 4789, cat(bytesOf("08000000 00000100"), eth(kind, payload))))
	}
	geneve := func(header string, payload []byte) []byte {
		return ip4(UDP, udp(9, 6081, cat(bytesOf(header), payload)))
	}
	teredo := func(payload []byte) []byte { return ip4(UDP, udp(9, 3544, payload)) }
	for _, c := range []struct {
		name  string
		frame []byte
		want  string // without the outer packet, which is the first where there are two
	}{
		{"4in4", ip4(IPIP, four), "[1 tunnel 2] " + inner4},
		{"4in6", ip6(IPIP, four), "[1 tunnel 2] " + inner4},
		{"6in6", ip6(IPv6IP, six), "[1 tunnel 2] " + inner6},
		{"6in4", ip4(IPv6IP, six), "73/73 " + a4 + "proto 41 header 20\n[1 tunnel 2] " + inner6},
		{"4in6, not 4", ip6(IPIP, six), "- ipv6.ipv4_in_ipv6_wrong_version"},
		{"6in6, not 6", ip6(IPv6IP, cat(four, make([]byte, 20))), "- ipv6.ipv6_in_ipv6_wrong_version"},
		{"4in6, short", ip6(IPIP, four[:19]), "- ipv6.ipv4_in_ipv6_too_small"},
		{"gre", gre("0000 0800", four), "[1 tunnel 1] " + inner4},
		{"gre trailer", gre("0000 0800", cat(four, make([]byte, 5))), "[1 tunnel 1] 38" + inner4[2:]},
		{"gre checksum, key, sequence", gre("b000 86dd 00000000 00000001 00000002", six), "[1 tunnel 1] " + inner6},
		{"gre routing", gre("4000 0800 00000000 0800 00 04 01020304 0000 00 00", four), "[1 tunnel 1] " + inner4},
		{"gre endless routing", gre("4000 0800 00000000 0800 00 ff", four), "- gre.version0_malformed_sre_hdr"},
		{"gre recursion", gre("0100 0800", four), "- gre.version0_recur"},
		{"gre flags", gre("0008 0800", four), "- gre.version0_flags"},
		{"gre version", gre("0002 0800", four), "- gre.wrong_version"},
		{"gre cut", gre("b000 0800", nil), "- gre.version0_hdr_too_big"},
		{"gre vlan", gre("0000 8100 0007 0800", four), "[1 tunnel 1] vlan 7 37" + inner4[2:]},
		{"gre mpls", gre("0000 8847 00011140", four), "[1 tunnel 1] 37" + inner4[2:]},
		{"gre ethernet", gre("2000 6558 00000001", eth(0x0800, four)), "[1 tunnel 1] 47" + inner4[2:]},
		{"gre arp", gre("2000 6558 00000001", eth(0x0806, nil)), "- other.arp"},
		{"gre other", gre("0000 0001", four), "- other.gre"},
		{"pptp", gre("3081 880b 0024 0001 00000001 00000002 ff03 0021", four), "[1 tunnel 1] 37" + inner4[2:]},
		{"pptp acknowledgement", gre("2081 880b 0000 0001 00000002", nil), "- other.gre"},
		{"pptp without key", gre("0001 880b", nil), "- gre.version1_no_key"},
		{"pptp of ip", gre("2001 0800 00000000", nil), "- gre.version1_wrong_protocol"},
		{"erspan 1", gre("0000 88be", eth(0x0800, four)), "[1 tunnel 6] 47" + inner4[2:]},
		{"erspan 2", gre("1000 88be 00000001 1005 0000 00000000", eth(0x0800, four)), "[1 tunnel 6] vlan 5 55" + inner4[2:]},
		{"erspan 2, version 2", gre("1000 88be 00000001 2005 0000 00000000", eth(0x0800, four)), "- erspan.unsupported_version"},
		{"erspan 3", gre("1000 22eb 00000001 2005 0000 00000000 0000 0000", eth(0x8100, cat(bytesOf("0006 0800"), four))),
			"[1 tunnel 6] vlan 5 vlan 6 63" + inner4[2:]},
		{"erspan 3 with a subheader", gre("1000 22eb 00000001 2000 0000 00000000 0000 0001 0000000000000000", eth(0x0800, four)),
			"[1 tunnel 6] 67" + inner4[2:]},
		{"erspan 3 of ip", gre("1000 22eb 00000001 2000 0000 00000000 0000 0800", six), "[1 tunnel 6] 65" + inner6[2:]},
		{"vxlan", vxlan(0x0800, four), "OUTER 83/83 4789 header 28\n[1 tunnel 3] " + inner4},
		{"vxlan vlan", vxlan(0x8100, cat(bytesOf("0005 86dd"), six)), "OUTER 107/107 4789 header 28\n[1 tunnel 3] vlan 5 57" + inner6[2:]},
		{"vxlan arp", vxlan(0x0806, make([]byte, 28)), "OUTER 78/78 4789 header 28"},
		{"vxlan to linux", ip4(UDP, udp(9, 8472, cat(bytesOf("08000000 00000100"), eth(0x0800, four)))), "OUTER 83/83 8472 header 28\n[1 tunnel 3] " + inner4},
		{"vxlan without flag", ip4(UDP, udp(9, 4789, cat(bytesOf("00000000 00000100"), eth(0x0800, four)))), "OUTER 83/83 4789 header 28"},
		{"vxlan gpe", ip4(UDP, udp(9, 4790, cat(bytesOf("0c000002 00000100"), six))), "OUTER 89/89 4790 header 28\n[1 tunnel 3] " + inner6},
		{"geneve", geneve("0000 6558 00000100", eth(0x0800, four)), "OUTER 83/83 6081 header 28\n[1 tunnel 4] 47" + inner4[2:]},
		{"geneve options", geneve("0340 86dd 00000100 0102 80 01 00000000 0102 80 00", six), "OUTER 101/101 6081 header 28\n[1 tunnel 4] " + inner6},
		{"geneve options beyond", geneve("0140 86dd 00000100 0102 80 01", six), "OUTER 93/93 6081 header 28"},
		{"geneve version", geneve("4000 6558 00000100", eth(0x0800, four)), "OUTER 83/83 6081 header 28"},
		{"teredo", teredo(six), "OUTER 81/81 3544 header 28\n[1 tunnel 5] " + inner6},
		{"teredo with an origin", teredo(cat(bytesOf("0000 1234 01020304"), six)), "OUTER 89/89 3544 header 28\n[1 tunnel 5] " + inner6},
		{"teredo, another length", teredo(cat(six, []byte{0})), "OUTER 82/82 3544 header 28"},
		{"teredo, malformed inside", teredo(ip6(UDP, []byte("abc"))), "OUTER 71/71 3544 header 28"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := decoded(t, NewDecoder(), 101, c.frame)
			want := c.want
			if rest, ok := strings.CutPrefix(want, "OUTER "); ok {
				size, rest, _ := strings.Cut(rest, " ")
				want = size + " " + a4 + "udp 9 " + rest
			}
			if got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}

// TestDecodeBoundsNesting packs IP into IP, GRE and VLAN tags until it is too much. Nothing is lost: there is a counter.
func TestDecodeBoundsNesting(t *testing.T) {
	inner := ip4(UDP, dns("query"))
	for i := range 7 {
		inner = ip4(IPIP, inner)
		d := NewDecoder()
		out := d.Decode(&Frame{LinkType: 101, Data: inner, Len: len(inner)}, nil)
		if len(out) != 1 || int(out[0].Depth) != i+1 {
			t.Fatalf("%d tunnels: got %d packets", i+1, len(out))
		}
	}
	for range 20 {
		inner = ip4(IPIP, inner)
	}
	if got := decoded(t, NewDecoder(), 101, inner); got != "- too_many_layers" {
		t.Errorf("27 tunnels: got %s", got)
	}
	deep := bytes.Repeat(bytesOf("0002 02 03 00000000"), 1)
	frame := eth(0x0800, ip4(UDP, dns("query")))
	for range 40 {
		frame = eth(0x894f, cat(deep, frame))
	}
	if got := decoded(t, NewDecoder(), 1, frame); got != "- too_many_layers" {
		t.Errorf("40 service headers: got %s", got)
	}
}

// TestDecodeAppends leaves what is in out, and uses its capacity.
func TestDecodeAppends(t *testing.T) {
	d := NewDecoder()
	first := eth(0x0800, ip4(TCP, tcp("GET")))
	second := eth(0x0800, ip4(UDP, udp(9, 4789, cat(bytesOf("08000000 00000100"), first))))
	out := make([]Packet, 0, 2)
	out = d.Decode(&Frame{LinkType: 1, Data: first, Len: len(first), Number: 1}, out)
	out = d.Decode(&Frame{LinkType: 1, Data: second, Len: len(second), Number: 2}, out)
	if len(out) != 3 || out[0].Number != 1 || out[0].Proto != TCP || out[1].Proto != UDP || out[2].Proto != TCP || out[2].Number != 2 {
		t.Fatalf("got %d packets: %+v", len(out), out)
	}
	if out[2].Src != out[0].Src || out[2].SrcPort != out[0].SrcPort || string(out[2].Payload) != "GET" {
		t.Errorf("got %+v in the tunnel", out[2])
	}
}
