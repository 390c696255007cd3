package packet

import (
	"encoding/binary"
	"reflect"
	"testing"
)

// FuzzDecode decodes a capture: every two bytes of data, a length, and that many bytes are a frame of the link type; cut is
// how many bytes of each were not captured. Nothing panics, nothing disappears from the counters, the packets are what they
// say, and the fast way agrees with the slow one.
func FuzzDecode(f *testing.F) {
	capture := func(frames ...[]byte) (b []byte) {
		for _, frame := range frames {
			b = cat(b, u16(len(frame)), frame)
		}
		return b
	}
	four, six := ip4(TCP, tcp("GET")), ip6(UDP, dns("query"))
	overIP := [][]byte{four, six}
	overIP = append(overIP, parts(false, 1, dns("01234567890123456789"), 0, 8, 16)...)
	overIP = append(overIP, parts(true, 1, dns("01234567890123456789"), 0, 8, 16)...)
	overIP = append(overIP,
		ip4(IPIP, four), ip4(IPv6IP, six), ip6(IPIP, four), ip4(GRE, cat(bytesOf("b000 0800 000000000000000000000000"), four)),
		ip4(GRE, cat(bytesOf("1000 88be 00000001 1005 0000 00000000"), eth(0x0800, four))),
		ip4(GRE, cat(bytesOf("1000 22eb 00000001 2005 0000 00000000 0000 0001 0000000000000000"), eth(0x0800, four))),
		ip4(GRE, cat(bytesOf("3081 880b 0024 0001 00000001 00000002 ff03 0021"), four)),
		ip4(UDP, udp(9, 4789, cat(bytesOf("08000000 00000100"), eth(0x0800, four)))),
		ip4(UDP, udp(9, 4790, cat(bytesOf("0c000002 00000100"), six))),
		ip4(UDP, udp(9, 6081, cat(bytesOf("0240 86dd 00000100 0102 80 01 00000000"), six))), ip4(UDP, udp(9, 3544, six)),
		ip4(ICMP, cat(bytesOf("0301 0000 00000000"), four)), ip6(ICMPv6, cat(bytesOf("0200 0000 00000500"), six)),
		ip6(0, cat(bytesOf("2b 00 000000000000 33 00 000000000000 3c 01 00000000 00000000 06 00 000000000000"), tcp("GET"))),
		ip4(SCTP, make([]byte, 20)), ip4(ESP, make([]byte, 20)), ip4options(TCP, bytesOf("94040000"), tcp("")),
	)
	f.Add(uint16(101), uint16(0), capture(overIP...))
	f.Add(uint16(101), uint16(7), capture(overIP...))
	var overEthernet [][]byte
	for i, b := range overIP {
		switch b[0] >> 4 {
		case 4:
			overEthernet = append(overEthernet, eth(0x0800, b), eth(0x8100, cat(u16(i), u16(0x0800), b)))
		case 6:
			overEthernet = append(overEthernet, eth(0x86dd, b), eth(0x88a8, cat(u16(i), u16(0x86dd), b)))
		}
	}
	f.Add(uint16(1), uint16(0), capture(overEthernet...))
	f.Add(uint16(1), uint16(0), capture(eth(0x8847, cat(bytesOf("00010040 00011140"), four)), eth(0x8864, cat(bytesOf("11 00 0001 0023 0021"), four)),
		eth(0x894f, cat(bytesOf("0002 02 01 00000000"), four)), eth(41, cat(bytesOf("aaaa03 000000 0800"), four)), eth(0x8926, cat(bytesOf("00000000 0800"), four)),
		eth(0x0806, make([]byte, 28)), eth(0x8863, bytesOf("11 09 0000 0000")), eth(0x88e7, cat(make([]byte, 16), u16(0x0800), four))))
	for link, head := range map[LinkType]string{
		0: "02000000", 9: "ff03 0021", 12: "", 14: "", 50: "0f00 0800", 51: "11 00 0001 0023 0021", 104: "0f00 0800", 108: "00000002",
		105: "0802 00000000000000000000000000000000000000000000 aaaa03 000000 0800", 113: "0000 0001 0006 0200000000010000 0800",
		127: "0000 0800 00000000 0802 00000000000000000000000000000000000000000000 aaaa03 000000 0800",
		228: "", 229: "", 276: "0800 0000 00000002 0001 00 06 0200000000010000",
	} {
		f.Add(uint16(link), uint16(0), capture(cat(bytesOf(head), four), cat(bytesOf(head), four[:30])))
	}
	f.Fuzz(func(t *testing.T, link, cut uint16, data []byte) {
		d := NewDecoder()
		var out []Packet
		for n := int64(1); len(data) >= 2; n++ {
			size := min(int(binary.BigEndian.Uint16(data)), len(data)-2)
			b := data[2 : 2+size]
			data = data[2+size:]
			frame := Frame{Time: n * second, Number: uint64(n), Data: b, Len: size + int(cut), LinkType: LinkType(link)}
			var quick Packet
			if frame.LinkType == linkEthernet && fast(&frame, &quick) {
				if slow := NewDecoder().slow(&frame, nil); len(slow) != 1 || !reflect.DeepEqual(slow[0], quick) {
					t.Fatalf("fast: %+v\nslow: %+v", quick, slow)
				}
			}
			out = d.Decode(&frame, out[:0])
			for i := range out {
				sound(t, &out[i], &frame)
			}
			consistent(t, d)
		}
	})
}

// sound checks a packet against itself and its frame.
func sound(t *testing.T, p *Packet, f *Frame) {
	t.Helper()
	switch {
	case p.Time != f.Time || p.Number != f.Number:
		t.Errorf("time %d, number %d of frame %d", p.Time, p.Number, f.Number)
	case len(p.Payload) > int(p.PayloadLen):
		t.Errorf("%d bytes of payload, at most %d are there: %+v", len(p.Payload), p.PayloadLen, p)
	case int(p.HeaderLen)+int(p.PayloadLen) > int(p.IPBytes):
		t.Errorf("headers of %d bytes and %d of payload in %d: %+v", p.HeaderLen, p.PayloadLen, p.IPBytes, p)
	case p.Bytes < p.IPBytes:
		t.Errorf("%d bytes with IP's %d: %+v", p.Bytes, p.IPBytes, p)
	case p.Fragments == 0 && int(p.Bytes) > max(f.Len, len(f.Data)) && p.Depth == 0:
		t.Errorf("%d bytes in a frame of %d: %+v", p.Bytes, f.Len, p)
	case p.Depth > maxDepth || p.VLANs > MaxVLANs || (p.Depth == 0) != (p.Tunnel == NoTunnel):
		t.Errorf("depth %d, tunnel %d, tags %d", p.Depth, p.Tunnel, p.VLANs)
	case !p.V6 && (!p.Src.Is4() || !p.Dst.Is4()):
		t.Errorf("IPv4 from %v to %v", p.Src, p.Dst)
	}
}
