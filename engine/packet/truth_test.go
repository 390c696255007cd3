package packet_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"dragonfly/engine/packet"
	"dragonfly/engine/packet/pcap"
)

const (
	ours      = "../../../shared/data/ours/pcap/"
	reference = "../../../shared/data/reference/flows/"
)

// exceptions says which frames of a capture tshark and we see differently, and why.
var exceptions = map[string]string{
	"sv-teredo 6":  "behind Teredo's authentication, which Suricata does not look into either",
	"sv-teredo 7":  "the same",
	"sv-teredo 31": "UDP without a byte inside, which is no Teredo for Suricata either",
	"sv-trunc4 1":  "not cut by the capture, and shorter than IP says: malformed for Suricata",
}

// TestDecodeAgreesWithTshark compares the innermost packet of every frame with what tshark dissected.
func TestDecodeAgreesWithTshark(t *testing.T) {
	var files []string
	for _, dir := range []string{ours, reference} {
		found, _ := filepath.Glob(dir + "*.packets.tsv")
		files = append(files, found...)
	}
	if len(files) == 0 {
		t.Skip("needs ../shared/data/ours/pcap or ../shared/data/reference/flows")
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".packets.tsv")
		t.Run(name, func(t *testing.T) { againstTshark(t, name, file) })
	}
}

func againstTshark(t *testing.T, name, file string) {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows := bufio.NewScanner(f)
	rows.Buffer(nil, 1<<20)
	rows.Scan()
	columns := map[string]int{}
	for i, column := range strings.Split(rows.Text(), "\t") {
		columns[column] = i
	}
	capture, _ := filepath.Glob(strings.TrimSuffix(file, ".packets.tsv") + ".pcap*")
	compared := 0
	eachFrame(t, capture[0], func(number uint64, got []packet.Packet) {
		if !rows.Scan() {
			t.Fatalf("frame %d: tshark has no such frame", number)
		}
		compared++
		r := row{columns, strings.Split(rows.Text(), "\t")}
		key := fmt.Sprintf("%s %d", name, number)
		if why := exceptions[key]; why != "" {
			t.Logf("frame %d left out: %s", number, why)
			return
		}
		want := r.innermost()
		have := "none"
		if len(got) > 0 {
			have = describe(&got[len(got)-1])
		}
		if have != want {
			t.Errorf("frame %d (%s):\n got %s\nwant %s", number, r.all("frame.protocols"), have, want)
		}
	})
	if compared == 0 {
		t.Error("no frame was compared")
	}
}

// eachFrame decodes a capture, and calls visit with the packets of each frame.
func eachFrame(t testing.TB, file string, visit func(number uint64, got []packet.Packet)) *packet.Decoder {
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	d := packet.NewDecoder()
	src, err := pcap.New(f)
	if err != nil {
		t.Skipf("the reader does not know this format: %v", err)
	}
	var frame packet.Frame
	var out []packet.Packet
	for {
		err := src.Next(&frame)
		if err != nil {
			if err != io.EOF && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatal(err)
			}
			return d
		}
		out = d.Decode(&frame, out[:0])
		visit(frame.Number, out)
	}
}

// row is a line of packets.tsv: the fields of tshark, each with its values from the outermost header to the innermost.
type row struct {
	columns map[string]int
	fields  []string
}

func (r row) all(name string) string {
	if i := r.columns[name]; i < len(r.fields) {
		return r.fields[i]
	}
	return ""
}

// nth is the value of a field in its n-th header, from 0.
func (r row) nth(name string, n int) string {
	values := strings.Split(r.all(name), ";")
	return values[min(n, len(values)-1)]
}

func (r row) number(name string, n int) int64 {
	v, _ := strconv.ParseInt(r.nth(name, n), 0, 64)
	return v
}

// innermost describes the innermost packet as describe does. What an ICMP error quotes is no packet.
func (r row) innermost() string {
	seen := map[string]int{}
	ip, transport := "", ""
walk:
	for _, protocol := range strings.Split(r.all("frame.protocols"), ":") {
		seen[protocol]++
		switch protocol {
		case "ip", "ipv6":
			ip, transport = protocol, ""
		case "tcp", "udp", "sctp":
			transport = protocol
		case "icmp", "icmpv6": // the rest is quoted
			transport = protocol
			break walk
		}
	}
	n := seen[ip] - 1
	switch {
	case ip == "", ip == "ip" && r.nth("ip.proto", n) == "47": // GRE without IP inside
		return "none"
	case ip == "ip" && transport == "" && (r.number("ip.flags.mf", n) != 0 || r.number("ip.frag_offset", n) != 0),
		ip == "ipv6" && transport == "" && r.all("ipv6.fraghdr.offset") != "":
		return "none"
	}
	s := r.nth(ip+".src", n) + " " + r.nth(ip+".dst", n)
	m := seen[transport] - 1
	switch transport {
	case "tcp":
		s += fmt.Sprintf(" tcp %s %s %#x %s %s", r.nth("tcp.srcport", m), r.nth("tcp.dstport", m), r.number("tcp.flags", m)&0xff,
			r.nth("tcp.seq_raw", m), r.nth("tcp.len", m))
	case "udp":
		s += fmt.Sprintf(" udp %s %s %d", r.nth("udp.srcport", m), r.nth("udp.dstport", m), r.number("udp.length", m)-8)
	case "sctp":
		s += fmt.Sprintf(" sctp %s %s", r.nth("sctp.srcport", m), r.nth("sctp.dstport", m))
	case "icmp", "icmpv6":
		s += fmt.Sprintf(" %s %s %s", transport, r.nth(transport+".type", m), r.nth(transport+".code", m))
	default:
		s += " " + r.nth("ip.proto", n)
	}
	if seen["ip"]+seen["ipv6"] == 1 { // inside of a tunnel only its own tags count
		s += fmt.Sprintf(" vlan %s", r.all("vlan.id"))
	}
	return s
}

func describe(p *packet.Packet) string {
	s := p.Src.Netip().String() + " " + p.Dst.Netip().String()
	switch p.Proto {
	case packet.TCP:
		s += fmt.Sprintf(" tcp %d %d %#x %d %d", p.SrcPort, p.DstPort, p.TCPFlags, p.Seq, p.PayloadLen)
	case packet.UDP:
		s += fmt.Sprintf(" udp %d %d %d", p.SrcPort, p.DstPort, p.PayloadLen)
	case packet.SCTP:
		s += fmt.Sprintf(" sctp %d %d", p.SrcPort, p.DstPort)
	case packet.ICMP:
		s += fmt.Sprintf(" icmp %d %d", p.ICMPType, p.ICMPCode)
	case packet.ICMPv6:
		s += fmt.Sprintf(" icmpv6 %d %d", p.ICMPType, p.ICMPCode)
	default:
		s += fmt.Sprintf(" %d", p.Proto)
	}
	if p.Depth == 0 {
		var tags []string
		for _, id := range p.VLAN[:p.VLANs] {
			tags = append(tags, strconv.Itoa(int(id)))
		}
		s += " vlan " + strings.Join(tags, ";")
	}
	return s
}
