package packet

import "testing"

// TestDecodeKnowsLinkTypes decodes the same packet behind each link layer and tag.
func TestDecodeKnowsLinkTypes(t *testing.T) {
	const v4 = "10.0.0.1 10.0.0.2 udp 1000 53 header 28 \"query\""
	const v6 = "fd00::1 fd00::2 udp 1000 53 header 48 \"query\""
	four, six := ip4(UDP, dns("query")), ip6(UDP, dns("query")) // 33 and 53 bytes
	for _, c := range []struct {
		name  string
		link  LinkType
		frame []byte
		want  string
	}{
		{"ethernet", 1, eth(0x0800, four), "47/33 " + v4},
		{"ethernet v6", 1, eth(0x86dd, six), "67/53 " + v6},
		{"padding", 1, cat(eth(0x0800, four), make([]byte, 13)), "60/33 " + v4},
		{"vlan", 1, eth(0x8100, cat(bytesOf("e064 0800"), four)), "vlan 100 51/33 " + v4},
		{"qinq", 1, eth(0x88a8, cat(bytesOf("0064 8100 2065 86dd"), six)), "vlan 100 vlan 101 75/53 " + v6},
		{"three tags", 1, eth(0x9100, cat(bytesOf("0001 9200 0002 8100 0003 0800"), four)), "vlan 1 vlan 2 vlan 3 59/33 " + v4},
		{"four tags", 1, eth(0x8100, cat(bytesOf("0001 8100 0002 8100 0003 8100 0004 0800"), four)), "- vlan.too_many_layers"},
		{"half a tag", 1, eth(0x8100, bytesOf("0001 08")), "- vlan.header_too_small"},
		{"vn-tag", 1, eth(0x8926, cat(bytesOf("00000000 0800"), four)), "53/33 " + v4},
		{"e-tag", 1, eth(0x893f, cat(bytesOf("000000000000 0800"), four)), "55/33 " + v4},
		{"802.1ah", 1, eth(0x88e7, cat(bytesOf("00000000 020000000002 020000000001 0800"), four)), "65/33 " + v4},
		{"fabricpath", 1, eth(0x8903, cat(bytesOf("0000"), eth(0x0800, four))), "63/33 " + v4},
		{"mpls", 1, eth(0x8847, cat(bytesOf("00010040 00011140"), four)), "55/33 " + v4},
		{"mpls v6 null", 1, eth(0x8848, cat(bytesOf("00002140"), six)), "71/53 " + v6},
		{"mpls pseudo-wire", 1, eth(0x8847, cat(bytesOf("00011140 00000000"), eth(0x0800, four))), "69/33 " + v4},
		{"mpls without end", 1, eth(0x8847, bytesOf("00010040 00010040")), "- mpls.header_too_small"},
		{"mpls reserved", 1, eth(0x8847, cat(bytesOf("00001140"), four)), "- mpls.bad_label"},
		{"mpls unknown", 1, eth(0x8847, bytesOf("00011140 ff000000")), "- mpls.unknown_payload_type"},
		{"pppoe", 1, eth(0x8864, cat(bytesOf("11 00 0001 0023 0021"), four)), "55/33 " + v4},
		{"pppoe short protocol", 1, eth(0x8864, cat(bytesOf("11 00 0001 0036 57"), six)), "74/53 " + v6},
		{"pppoe lcp", 1, eth(0x8864, bytesOf("11 00 0001 0006 c021 01010004")), "- other.ppp"},
		{"pppoe discovery", 1, eth(0x8863, bytesOf("11 09 0000 0000")), "- other.pppoe_discovery"},
		{"pppoe wrong code", 1, eth(0x8863, bytesOf("11 bb 0000 0000")), "- pppoe.wrong_code"},
		{"nsh", 1, eth(0x894f, cat(bytesOf("0002 02 01 00000000"), four)), "55/33 " + v4},
		{"nsh ethernet", 1, eth(0x894f, cat(bytesOf("0006 01 03 00000000"), make([]byte, 16), eth(0x86dd, six))), "105/53 " + v6},
		{"nsh length", 1, eth(0x894f, cat(bytesOf("003f 02 01 00000000"), four)), "- nsh.bad_header_length"},
		{"snap", 1, eth(41, cat(bytesOf("aaaa03 000000 0800"), four)), "55/33 " + v4},
		{"snap cisco", 1, eth(41, cat(bytesOf("aaaa03 00000c 2000"), four)), "- other.llc"},
		{"llc ip", 1, eth(36, cat(bytesOf("060603"), four)), "50/33 " + v4},
		{"spanning tree", 1, eth(38, bytesOf("424203 0000")), "- other.llc"},
		{"arp", 1, eth(0x0806, make([]byte, 28)), "- other.arp"},
		{"lldp", 1, eth(0x88cc, make([]byte, 28)), "- other.lldp"},
		{"unknown ethertype", 1, eth(0x1234, make([]byte, 28)), "- other.ethertype"},
		{"ethernet cut", 1, bytesOf("020000000002 02"), "- ethernet.pkt_too_small"},
		{"empty", 1, nil, "- ethernet.pkt_too_small"},
		{"null little", 0, cat(bytesOf("02000000"), four), "37/33 " + v4},
		{"null big", 0, cat(bytesOf("00000002"), four), "37/33 " + v4},
		{"null v6", 0, cat(bytesOf("1e000000"), six), "57/53 " + v6},
		{"null other", 0, cat(bytesOf("07000000"), six), "- other.family"},
		{"loop", 108, cat(bytesOf("00000018"), six), "57/53 " + v6},
		{"ppp", 9, cat(bytesOf("ff03 0021"), four), "37/33 " + v4},
		{"ppp compressed", 9, cat(bytesOf("57"), six), "54/53 " + v6},
		{"ppp mpls", 9, cat(bytesOf("ff03 0281 00011140"), four), "41/33 " + v4},
		{"ppp lcp", 9, bytesOf("ff03 c021 01010004"), "- other.ppp"},
		{"ppp cut", 9, bytesOf("ff03 00"), "- ppp.pkt_too_small"},
		{"ppp hdlc", 50, cat(bytesOf("ff03 0021"), four), "37/33 " + v4},
		{"ppp hdlc cisco", 50, cat(bytesOf("0f00 86dd"), six), "57/53 " + v6},
		{"ppp ethernet", 51, cat(bytesOf("11 00 0001 0023 0021"), four), "41/33 " + v4},
		{"chdlc", 104, cat(bytesOf("0f00 0800"), four), "37/33 " + v4},
		{"raw v4", 101, four, "33/33 " + v4},
		{"raw v6", 12, six, "53/53 " + v6},
		{"raw openbsd", 14, four, "33/33 " + v4},
		{"ipv4", 228, four, "33/33 " + v4},
		{"ipv6", 229, six, "53/53 " + v6},
		{"raw version", 101, cat(bytesOf("55"), four[1:]), "- ipraw.invalid_ip_version"},
		{"sll", 113, cat(bytesOf("0000 0001 0006 0200000000010000 0800"), four), "49/33 " + v4},
		{"sll vlan", 113, cat(bytesOf("0000 0001 0006 0200000000010000 8100 0005 86dd"), six), "vlan 5 73/53 " + v6},
		{"sll netlink", 113, cat(bytesOf("0004 0338 0000 0000000000000000 0010"), four), "- other.ethertype"},
		{"sll llc", 113, bytesOf("0000 0001 0006 0200000000010000 0004 424203"), "- other.llc"},
		{"sll2", 276, cat(bytesOf("0800 0000 00000002 0001 00 06 0200000000010000"), four), "53/33 " + v4},
		{"sll2 cut", 276, bytesOf("0800 0000 00000002"), "- sll2.pkt_too_small"},
		{"wifi", 105, cat(bytesOf("0802 0000"), make([]byte, 20), bytesOf("aaaa03 000000 0800"), four), "65/33 " + v4},
		{"wifi qos", 105, cat(bytesOf("8801 0000"), make([]byte, 20), bytesOf("0000 aaaa03 000000 86dd"), six), "87/53 " + v6},
		{"wifi four addresses", 105, cat(bytesOf("0803 0000"), make([]byte, 26), bytesOf("aaaa03 000000 0800"), four), "71/33 " + v4},
		{"wifi encrypted", 105, cat(bytesOf("0842 0000"), make([]byte, 60)), "- other.wifi"},
		{"wifi beacon", 105, cat(bytesOf("8000 0000"), make([]byte, 60)), "- other.wifi"},
		{"radiotap", 127, cat(bytesOf("0000 0800 00000000 0801 0000"), make([]byte, 20), bytesOf("aaaa03 000000 0800"), four, make([]byte, 4)),
			"77/33 " + v4},
		{"radiotap length", 127, bytesOf("0000 ffff 00000000 0801 0000"), "- wifi.pkt_too_small"},
		{"unknown", 250, four, "- other.linktype"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := decoded(t, NewDecoder(), c.link, c.frame); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}
