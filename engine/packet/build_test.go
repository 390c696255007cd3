package packet

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// What follows builds headers around a payload.

func cat(parts ...[]byte) (b []byte) {
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

// bytesOf reads hex digits, with blanks between them.
func bytesOf(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}

func u16(v int) []byte { return binary.BigEndian.AppendUint16(nil, uint16(v)) }

func eth(kind int, payload []byte) []byte {
	return cat(bytesOf("020000000002 020000000001"), u16(kind), payload)
}

// ip4 goes from 10.0.0.1 to 10.0.0.2.
func ip4(proto int, payload []byte) []byte { return ip4part(proto, 7, 0, false, payload) }

func ip4part(proto, id, offset int, more bool, payload []byte) []byte {
	part := offset / 8
	if more {
		part |= 0x2000
	}
	return cat(bytesOf("45 00"), u16(20+len(payload)), u16(id), u16(part), []byte{64, byte(proto), 0, 0}, bytesOf("0a000001 0a000002"), payload)
}

// ip4options has options, which are a multiple of 4 bytes.
func ip4options(proto int, options, payload []byte) []byte {
	b := ip4(proto, cat(options, payload))
	b[0] += byte(len(options) / 4)
	return b
}

// ip6 goes from fd00::1 to fd00::2.
func ip6(next int, payload []byte) []byte {
	return cat(bytesOf("60000000"), u16(len(payload)), []byte{byte(next), 64},
		bytesOf("fd000000000000000000000000000001 fd000000000000000000000000000002"), payload)
}

// ip6part is a fragment; the payload of the datagram begins with a header of the kind next.
func ip6part(next, id, offset int, more bool, payload []byte) []byte {
	return ip6(44, fragmentHeader(next, id, offset, more, payload))
}

func fragmentHeader(next, id, offset int, more bool, payload []byte) []byte {
	part := offset
	if more {
		part |= 1
	}
	return cat([]byte{byte(next), 0}, u16(part), u16(0), u16(id), payload)
}

func tcp(payload string) []byte {
	return cat(u16(1000), u16(80), bytesOf("00000010 00000020 50 18 4000 0000 0000"), []byte(payload))
}

func udp(src, dst int, payload []byte) []byte {
	return cat(u16(src), u16(dst), u16(8+len(payload)), u16(0), payload)
}

func dns(payload string) []byte { return udp(1000, 53, []byte(payload)) }

// show is a packet in short: where it is, what Bytes and IPBytes are, the addresses, and the transport.
func show(p *Packet) string {
	var s strings.Builder
	if p.Depth > 0 {
		fmt.Fprintf(&s, "[%d tunnel %d] ", p.Depth, p.Tunnel)
	}
	for _, id := range p.VLAN[:p.VLANs] {
		fmt.Fprintf(&s, "vlan %d ", id)
	}
	if p.Fragments > 0 {
		fmt.Fprintf(&s, "of %d ", p.Fragments)
	}
	fmt.Fprintf(&s, "%d/%d %s %s ", p.Bytes, p.IPBytes, p.Src.Netip(), p.Dst.Netip())
	switch p.Proto {
	case TCP:
		fmt.Fprintf(&s, "tcp %d %d flags %#x seq %d ack %d win %d", p.SrcPort, p.DstPort, p.TCPFlags, p.Seq, p.Ack, p.Window)
	case UDP:
		fmt.Fprintf(&s, "udp %d %d", p.SrcPort, p.DstPort)
	case SCTP:
		fmt.Fprintf(&s, "sctp %d %d", p.SrcPort, p.DstPort)
	case ESP:
		fmt.Fprintf(&s, "esp %d", p.SPI)
	case ICMP, ICMPv6:
		fmt.Fprintf(&s, "icmp %d.%d", p.ICMPType, p.ICMPCode)
		if q := p.Quoted; q.Valid {
			fmt.Fprintf(&s, " about %d %s %d %s %d", q.Proto, q.Src.Netip(), q.SrcPort, q.Dst.Netip(), q.DstPort)
		}
	default:
		fmt.Fprintf(&s, "proto %d", p.Proto)
	}
	fmt.Fprintf(&s, " header %d", p.HeaderLen)
	if len(p.Payload) > 0 && len(p.Payload) < 20 {
		fmt.Fprintf(&s, " %q", p.Payload)
	}
	if int(p.PayloadLen) != len(p.Payload) {
		fmt.Fprintf(&s, " %d of %d", len(p.Payload), p.PayloadLen)
	}
	return s.String()
}

// decoded decodes frames of one link type, and returns show of all packets, or the counters if there are none.
func decoded(t *testing.T, d *Decoder, link LinkType, frames ...[]byte) string {
	t.Helper()
	var lines []string
	var out []Packet
	for i, b := range frames {
		before := d.counts
		out = d.Decode(&Frame{Time: int64(i), Number: uint64(i + 1), LinkType: link, Data: b, Len: len(b)}, out[:0])
		for i := range out {
			lines = append(lines, show(&out[i]))
		}
		if len(out) == 0 {
			lines = append(lines, changed(&before, &d.counts))
		}
		consistent(t, d)
	}
	return strings.Join(lines, "\n")
}

// changed names the counters of kinds that differ.
func changed(before, after *[lastCounter]uint64) string {
	var found []string
	for i := ipv4Fragments; i < lastMalformed; i++ {
		if before[i] != after[i] {
			found = append(found, names[i])
		}
	}
	return "- " + strings.Join(found, " ")
}

// consistent checks what holds for the counters at any time: nothing disappears.
func consistent(t *testing.T, d *Decoder) {
	t.Helper()
	c := &d.counts
	if c[noOutcome] != 0 {
		t.Errorf("%d frames without packets are not counted by a reason", c[noOutcome])
	}
	if sum := c[framesDecoded] + c[framesOther] + c[framesFragment] + c[framesMalformed]; sum != c[frames] {
		t.Errorf("%d frames, %d in the classes", c[frames], sum)
	}
	var other, malformed uint64
	for i := firstOther; i < lastOther; i++ {
		other += c[i]
	}
	for i := firstMalformed; i < lastMalformed; i++ {
		malformed += c[i]
	}
	if c[framesOther] > other || malformed != c[lastMalformed] || c[framesMalformed] > malformed {
		t.Errorf("kinds: %d other of %d frames, %d malformed (sum %d) of %d frames", other, c[framesOther], malformed, c[lastMalformed],
			c[framesMalformed])
	}
	if got := c[fragmentsUsed] + c[fragmentsHeld] + c[fragmentsLost] + c[fragmentsDropped]; got != c[ipv4Fragments]+c[ipv6Fragments] {
		t.Errorf("fragments: %d + %d received, but %d used, %d held, %d lost, %d dropped", c[ipv4Fragments], c[ipv6Fragments],
			c[fragmentsUsed], c[fragmentsHeld], c[fragmentsLost], c[fragmentsDropped])
	}
	var held uint64
	bytes, n := 0, 0
	for g := d.frags.oldest; g != nil; g = g.newer {
		held += uint64(g.count)
		bytes += g.size
		n++
		if d.frags.table[g.key] != g {
			t.Errorf("a datagram of the list is not in the table")
		}
	}
	if held != c[fragmentsHeld] || n != len(d.frags.table) || bytes != d.frags.bytes {
		t.Errorf("held: %d fragments in %d datagrams, %d bytes; counted %d, %d, %d", held, n, bytes, c[fragmentsHeld], len(d.frags.table),
			d.frags.bytes)
	}
	if bytes > maxFragmentBytes+2*maxDatagramBytes || n > maxDatagrams {
		t.Errorf("%d datagrams with %d bytes are held", n, bytes)
	}
}
