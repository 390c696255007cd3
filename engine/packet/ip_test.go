package packet

import (
	"strings"
	"testing"
)

// TestDecodeReadsIPAndTransport covers headers, options, extensions, and what is wrong with them.
func TestDecodeReadsIPAndTransport(t *testing.T) {
	ext := func(next int, units int) []byte { return cat([]byte{byte(next), byte(units)}, make([]byte, 6+8*units)) }
	short := func(b []byte, at int, v ...byte) []byte { b = cat(b); copy(b[at:], v); return b }
	const a4, a6 = "10.0.0.1 10.0.0.2 ", "fd00::1 fd00::2 "
	for _, c := range []struct {
		name  string
		frame []byte
		want  string
	}{
		{"tcp", ip4(TCP, tcp("GET")), "43/43 " + a4 + "tcp 1000 80 flags 0x18 seq 16 ack 32 win 16384 header 40 \"GET\""},
		{"tcp options", ip4(TCP, short(cat(tcp(""), bytesOf("01010101"), []byte("x")), 12, 0x60)),
			"45/45 " + a4 + "tcp 1000 80 flags 0x18 seq 16 ack 32 win 16384 header 44 \"x\""},
		{"tcp offset 4", ip4(TCP, short(tcp("GET"), 12, 0x40)), "- tcp.invalid_optlen"},
		{"tcp offset beyond", ip4(TCP, short(tcp("GET"), 12, 0x60)), "- tcp.hlen_too_small"},
		{"tcp cut", ip4(TCP, tcp("")[:19]), "- tcp.pkt_too_small"},
		{"udp length below ip", ip4(UDP, short(dns("query"), 4, 0, 10)), "33/33 " + a4 + "udp 1000 53 header 28 \"qu\""},
		{"udp length beyond", ip4(UDP, short(dns("query"), 4, 0, 14)), "- udp.pkt_too_small"},
		{"udp length 7", ip4(UDP, short(dns("query"), 4, 0, 7)), "- udp.len_invalid"},
		{"udp cut", ip4(UDP, dns("")[:7]), "- udp.hlen_too_small"},
		{"udp empty", ip4(UDP, dns("")), "28/28 " + a4 + "udp 1000 53 header 28"},
		{"sctp", ip4(SCTP, cat(u16(7), u16(8), make([]byte, 8), []byte("ab"))), "34/34 " + a4 + "sctp 7 8 header 32 \"ab\""},
		{"sctp cut", ip4(SCTP, make([]byte, 11)), "- sctp.pkt_too_small"},
		{"esp", ip4(ESP, cat(bytesOf("00000100 00000001"), []byte("ab"))), "30/30 " + a4 + "esp 256 header 28 \"ab\""},
		{"esp cut", ip4(ESP, make([]byte, 7)), "- esp.pkt_too_small"},
		{"icmp", ip4(ICMP, bytesOf("0800 0000 00010002 41")), "29/29 " + a4 + "icmp 8.0 header 28 \"A\""},
		{"icmp cut", ip4(ICMP, bytesOf("0800 0000 000100")), "- icmpv4.pkt_too_small"},
		{"icmpv6 in ipv4", ip4(ICMPv6, bytesOf("8000 0000 00010002")), "- ipv4.icmpv6"},
		{"icmp in ipv6", ip6(ICMP, bytesOf("0800 0000 00010002")), "- ipv6.icmpv4"},
		{"icmpv6", ip6(ICMPv6, bytesOf("8000 0000 00010002")), "48/48 " + a6 + "icmp 128.0 header 48"},
		{"igmp", ip4(2, []byte("ab")), "22/22 " + a4 + "proto 2 header 20 \"ab\""},
		{"ipv4 options", ip4options(UDP, bytesOf("94040000"), dns("query")), "37/37 " + a4 + "udp 1000 53 header 32 \"query\""},
		{"ipv4 option beyond", ip4options(UDP, bytesOf("94050000"), dns("query")), "- ipv4.opt_invalid_len"},
		{"ipv4 option 1 long", ip4options(UDP, bytesOf("94010000"), dns("query")), "- ipv4.opt_invalid_len"},
		{"ipv4 option end", ip4options(UDP, bytesOf("00ffffff"), dns("")), "32/32 " + a4 + "udp 1000 53 header 32"},
		{"ipv4 header 16", short(ip4(UDP, dns("query")), 0, 0x44), "- ipv4.hlen_too_small"},
		{"ipv4 header beyond", short(ip4(UDP, dns("query")), 0, 0x4f), "- ipv4.iplen_smaller_than_hlen"},
		{"ipv4 length below header", short(ip4(UDP, dns("query")), 2, 0, 19), "- ipv4.iplen_smaller_than_hlen"},
		{"ipv4 length beyond", short(ip4(UDP, dns("query")), 2, 0, 34), "- ipv4.trunc_pkt"},
		{"ipv4 length 0", short(ip4(TCP, tcp("GET")), 2, 0, 0), "43/43 " + a4 + "tcp 1000 80 flags 0x18 seq 16 ack 32 win 16384 header 40 \"GET\""},
		{"ipv4 cut", ip4(UDP, nil)[:19], "- ipv4.pkt_too_small"},
		{"ipv6 cut", ip6(UDP, nil)[:39], "- ipv6.pkt_too_small"},
		{"ipv6 length beyond", short(ip6(UDP, dns("query")), 5, 14), "- ipv6.trunc_pkt"},
		{"extensions", ip6(0, cat(ext(43, 0), ext(60, 1), ext(135, 0), ext(139, 0), ext(140, 0), ext(51, 0),
			bytesOf("11 02 0000 00000000 00000000 00000000"), dns("query"))), "125/125 " + a6 + "udp 1000 53 header 120 \"query\""},
		{"extension beyond", ip6(0, cat([]byte{17, 9}, make([]byte, 30))), "- ipv6.trunc_exthdr"},
		{"extension cut", ip6(0, []byte{17}), "- ipv6.trunc_exthdr"},
		{"nothing behind an extension", ip6(60, ext(6, 0)), "- ipv6.trunc_exthdr"},
		{"no next header", ip6(59, []byte("ab")), "42/42 " + a6 + "proto 59 header 40 \"ab\""},
		{"atomic fragment", ip6part(UDP, 1, 0, false, dns("query")), "61/61 " + a6 + "udp 1000 53 header 56 \"query\""},
		{"repeated fragment header", ip6part(44, 1, 0, false, fragmentHeader(UDP, 2, 800, true, dns("query"))),
			"69/69 " + a6 + "udp 1000 53 header 64 \"query\""},
		{"unreachable", ip4(ICMP, cat(bytesOf("0301 0000 00000000"), ip4(UDP, dns("query")))),
			"61/61 " + a4 + "icmp 3.1 about 17 10.0.0.1 1000 10.0.0.2 53 header 28"},
		{"unreachable, options", ip4(ICMP, cat(bytesOf("0301 0000 00000000"), ip4options(TCP, bytesOf("01010101"), tcp(""))[:28])),
			"56/56 " + a4 + "icmp 3.1 about 6 10.0.0.1 1000 10.0.0.2 80 header 28"},
		{"unreachable, without ports", ip4(ICMP, cat(bytesOf("0301 0000 00000000"), ip4(UDP, dns(""))[:23])), "51/51 " + a4 + "icmp 3.1 header 28"},
		{"unreachable, later fragment", ip4(ICMP, cat(bytesOf("0301 0000 00000000"), ip4part(UDP, 1, 8, true, dns("")))),
			"56/56 " + a4 + "icmp 3.1 header 28"},
		{"unreachable, not IPv4", ip4(ICMP, cat(bytesOf("0301 0000 00000000"), ip6(UDP, dns("")))), "76/76 " + a4 + "icmp 3.1 header 28"},
		{"time exceeded", ip4(ICMP, cat(bytesOf("0b00 0000 00000000"), ip4(ICMP, make([]byte, 8)))),
			"56/56 " + a4 + "icmp 11.0 about 1 10.0.0.1 0 10.0.0.2 0 header 28"},
		{"too big", ip6(ICMPv6, cat(bytesOf("0200 0000 00000500"), ip6(0, cat(ext(44, 0), fragmentHeader(TCP, 1, 0, true, tcp("")))))),
			"124/124 " + a6 + "icmp 2.0 about 6 fd00::1 1000 fd00::2 80 header 48"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := decoded(t, NewDecoder(), 101, c.frame); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestDecodeReadsWhatWasCaptured cuts frames as a snapshot length does: as long as the ports are there, there is a packet,
// with the lengths that it had on the wire.
func TestDecodeReadsWhatWasCaptured(t *testing.T) {
	whole := eth(0x0800, ip4(TCP, tcp("0123456789")))
	tunnel := eth(0x0800, ip4(UDP, udp(5, 4789, cat(bytesOf("08000000 00000100"), eth(0x0800, ip4(TCP, tcp("0123456789")))))))
	for _, c := range []struct {
		name  string
		frame []byte
		keep  int
		want  string
	}{
		{"payload", whole, 57, "64/50 10.0.0.1 10.0.0.2 tcp 1000 80 flags 0x18 seq 16 ack 32 win 16384 header 40 \"012\" 3 of 10"},
		{"flags", whole, 48, "64/50 10.0.0.1 10.0.0.2 tcp 1000 80 flags 0x18 seq 16 ack 32 win 0 header 40 0 of 10"},
		{"ports", whole, 38, "64/50 10.0.0.1 10.0.0.2 tcp 1000 80 flags 0x0 seq 0 ack 0 win 0 header 40 0 of 10"},
		{"half the ports", whole, 37, "- tcp.pkt_too_small"},
		{"half of ip", whole, 33, "- ipv4.pkt_too_small"},
		{"udp", eth(0x86dd, ip6(UDP, dns("0123456789"))), 60, "72/58 fd00::1 fd00::2 udp 1000 53 header 48 0 of 10"},
		{"fragment", eth(0x0800, ip4part(UDP, 1, 0, true, dns("0123456789"))), 50, "- ipv4.fragments fragments.dropped fragments.cut"},
		{"vxlan", tunnel, 110, "114/100 10.0.0.1 10.0.0.2 udp 5 4789 header 28 68 of 72\n" +
			"[1 tunnel 3] 50/50 10.0.0.1 10.0.0.2 tcp 1000 80 flags 0x18 seq 16 ack 32 win 16384 header 40 \"012345\" 6 of 10"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := NewDecoder()
			before := d.counts
			out := d.Decode(&Frame{LinkType: 1, Data: c.frame[:c.keep], Len: len(c.frame)}, nil)
			var lines []string
			for i := range out {
				lines = append(lines, show(&out[i]))
			}
			if len(out) == 0 {
				lines = append(lines, changed(&before, &d.counts))
			}
			if got := strings.Join(lines, "\n"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			consistent(t, d)
		})
	}
}
