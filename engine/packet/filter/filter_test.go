package filter

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dragonfly/engine/packet"
	"dragonfly/engine/packet/pcap"
)

// expressions are compared with tcpdump on every capture.
var expressions = []string{
	"", "ip", "ip6", "arp", "rarp", "tcp", "udp", "sctp", "icmp", "icmp6", "igmp", "pim", "ah", "esp", "vrrp", "igrp",
	"host 10.9.0.1", "host 10.9.0.2 or 10.9.0.3", "src host 10.9.0.1", "dst host 10.9.0.1", "src 10.9.0.1", "dst 10.9.0.2",
	"src and dst 10.9.0.1", "src or dst host 10.9.0.1", "not host 10.9.0.1", "! host 10.9.0.1", "ip host 10.9.0.1", "arp host 10.9.0.1",
	"host fd00:9::1", "ip6 host fd00:9::1", "src host 2001:db8::1", "net fd00::/8", "ip6 net 2001:db8::/32", "src net fd00:9::/64", "dst net ::/0",
	"net 10", "net 10.9", "net 10.9.0", "net 10.0.0.0/8", "src net 10.9.0.0/30", "dst net 10.9.0.0 mask 255.255.255.0", "net 0.0.0.0/0", "ip net 192.168",
	"port 80", "tcp port 80", "udp port 53", "src port 443", "dst port 53", "tcp src port 80", "udp dst port 53", "port 80 or 443", "tcp port (80 or 443 or 8080)",
	"port domain", "tcp port http", "tcp dst port ftp or ftp-data or domain", "port ssh", "portrange 1-1024", "tcp portrange 8000-8080", "src portrange 30000-65535", "udp dst portrange 50-60",
	"not tcp portrange 1-100", "sctp port 5000", "src and dst port 53", "not (tcp port 80 or udp port 53)",
	"proto 17", "ip proto 6", "ip6 proto 17", `ip proto \tcp`, `ip proto \udp or \icmp`, "proto 47", "proto 4 or 41", "ip6 proto 44", "ip proto 50",
	`ether proto \ip`, `ether proto \arp`, "ether proto 0x86dd", "ether proto 0x8847", "ether proto 0x42", "ether proto 0x8100",
	"ether host 02:00:00:00:00:01", "ether src 02:00:00:00:00:01", "ether dst 02:00:00:00:00:02", "ether broadcast", "broadcast", "multicast", "ether multicast", "ip multicast", "ip6 multicast",
	"less 100", "greater 100", "len > 200", "len <= 60", "len = 74", "ether[0] & 1 != 0", "ether[12:2] = 0x0800",
	"tcp[tcpflags] & (tcp-syn) != 0", "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0", "tcp[tcpflags] == tcp-syn", "tcp[13] & 2 != 0 and not tcp[13] & 16 != 0", "tcp[13] = 18", "tcp[tcpflags] & tcp-rst != 0",
	"ip[0] & 0xf != 5", "ip[6:2] & 0x1fff != 0", "ip[6:2] & 0x2000 != 0", "ip[8] < 64", "ip[2:2] > 500", "ip[9] = 17", "ip[12:4] = ip[16:4]", "ip[12:4] = 0x0a090001",
	"icmp[icmptype] = icmp-echo", "icmp[icmptype] != icmp-echo and icmp[icmptype] != icmp-echoreply", "icmp[0] = 3 and icmp[1] = 3", "icmp6[icmp6type] = icmp6-echo",
	"udp[4:2] > 100", "udp[8:2] & 0x7fff != 0", "ip6[6] = 6", "ip6[40] = 128", "arp[6:2] = 1",
	"tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420", "tcp[(tcp[12] >> 4) * 4:4] = 0x48545450", "ip[2:2] - ((ip[0] & 0xf) << 2) - ((tcp[12] & 0xf0) >> 2) != 0", "len - 14 = ip[2:2]", "udp[4:2] * 2 + 1 > 200 - 4 / 2 % 3",
	"ip[0] > -1", "-ip[0] & 0xff = 0xbb", "1 + tcp[13] = 3", "ip[0] ^ 0x40 = 5", "1 = 1", "1 = 2", "len % 2 = 0", "1 << 4 = 16",
	"vlan", "vlan 100", "vlan 7", "vlan and ip", "vlan and tcp port 80", "vlan 100 and host 10.9.0.1", "vlan and vlan", "vlan 100 and vlan 200", "vlan and vlan and udp", "ip or vlan", "vlan or ip", "not vlan",
	"port 80 or (vlan and port 80)", "vlan and ip6", "vlan and ether proto 0x86dd", "vlan and arp", "not (vlan 100 and tcp)", "vlan and ip[9] = 6",
	"mpls", "mpls 100", "mpls and ip", "mpls and mpls", "mpls and mpls and tcp port 80", "mpls 16 and host 10.9.0.1", "mpls and tcp[13] = 2", "pppoed", "pppoes", "pppoes and ip", "pppoes 1 and tcp port 80", "pppoes and ip6",
	"ip and not tcp and not udp", "tcp or udp and port 53", "tcp and (port 80 or port 443) and not host 10.9.0.9", "tcp && port 80 || udp", "not not tcp", "host 10.9.0.1 and not port 80 and 443",
	"(tcp)", "((ip) and ((port 53)))", "tcp or (udp or (icmp or (arp)))", "not (not (ip))", "icmp and src host 10.9.0.1", "icmp6 and src net fd00::/8",
	strings.TrimSuffix(strings.Repeat("host 10.9.0.1 or ", 60), " or "), "not (" + strings.TrimSuffix(strings.Repeat("tcp port 1 or ", 40), " or ") + ")",
}

// captures returns our captures.
func captures(t *testing.T) []string {
	t.Helper()
	list, _ := filepath.Glob("../../../test/data/pcap/*.pcap")
	if len(list) == 0 {
		t.Fatal("no captures")
	}
	return list
}

// frames reads a capture, also one that is cut off.
func frames(t *testing.T, path string) []packet.Frame {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err := pcap.New(f)
	if err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var list []packet.Frame
	for {
		var fr packet.Frame
		if err := r.Next(&fr); err != nil {
			return list
		}
		fr.Data = slices.Clone(fr.Data)
		list = append(list, fr)
	}
}

// byTcpdump returns the program that tcpdump makes of expr for a capture.
func byTcpdump(t *testing.T, path, expr string) ([]Instruction, error) {
	t.Helper()
	text, err := exec.Command("tcpdump", "-r", path, "-ddd", "--", expr).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		if strings.Contains(string(exit.Stderr), "rejects all packets") {
			return []Instruction{{Code: retK}}, nil
		}
		return nil, errors.New(string(exit.Stderr))
	}
	var code []Instruction
	for line := range strings.Lines(string(text)) {
		var i Instruction
		if n, _ := fmt.Sscan(line, &i.Code, &i.Jt, &i.Jf, &i.K); n == 4 {
			code = append(code, i)
		}
	}
	if len(code) == 0 {
		t.Fatalf("tcpdump -ddd printed %q, %v", text, err)
	}
	return code, nil
}

func needTcpdump(t *testing.T) {
	if _, err := exec.LookPath("tcpdump"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// The same frames of every capture as libpcap's program for the expression takes.
func TestFilterTakesWhatLibpcapTakes(t *testing.T) {
	needTcpdump(t)
	byLink := map[packet.LinkType][]string{}
	content := map[string][]packet.Frame{}
	for _, path := range captures(t) {
		content[path] = frames(t, path)
		link := content[path][0].LinkType
		byLink[link] = append(byLink[link], path)
	}
	taken := map[string]int{}
	for link, paths := range byLink {
		for _, expr := range expressions {
			theirs, bad := byTcpdump(t, paths[0], expr)
			ours, err := Compile(expr, link, File)
			if link == Raw && strings.Contains(expr, "pppoes") {
				continue // libpcap compiles it, with places that are not there
			}
			if (err == nil) != (bad == nil) {
				t.Errorf("link type %d, %q: got error %v, tcpdump's is %v", link, expr, err, bad)
			}
			if err != nil || bad != nil {
				continue
			}
			for _, path := range paths {
				for i := range content[path] {
					f := &content[path][i]
					got, want := ours.Match(f), run(theirs, f.Data, f.Len) != 0
					if got != want {
						t.Errorf("%s %q: frame %d: got %v, want %v", filepath.Base(path), expr, f.Number, got, want)
						break
					}
					if got {
						taken[expr]++
					}
				}
			}
		}
	}
	t.Logf("%d expressions, %d of them took frames", len(expressions), len(taken))
	if len(taken) < len(expressions)/2 {
		t.Error("most expressions took no frame: the captures are too poor for this test")
	}
}

// And the same that tcpdump itself writes, so that libpcap's and our machine agree, too.
func TestFilterTakesWhatTcpdumpWrites(t *testing.T) {
	needTcpdump(t)
	path := "../../../test/data/pcap/own-proto.pcap"
	all := frames(t, path)
	for _, expr := range []string{"", "tcp port 80", "icmp or icmp6", "not ip", "udp[8:2] & 0x7fff != 0", "tcp[((tcp[12] & 0xf0) >> 2):4] = 0x47455420", "greater 100", "len % 2 = 0"} {
		out := filepath.Join(t.TempDir(), "out.pcap")
		if text, err := exec.Command("tcpdump", "-r", path, "-w", out, "--", expr).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		p, err := Compile(expr, all[0].LinkType, File)
		if err != nil {
			t.Fatal(err)
		}
		want := frames(t, out)
		got := slices.DeleteFunc(slices.Clone(all), func(f packet.Frame) bool { return !p.Match(&f) })
		same := func(a, b packet.Frame) bool { return a.Time == b.Time && string(a.Data) == string(b.Data) }
		if !slices.EqualFunc(got, want, same) {
			t.Errorf("%q: got %d frames, want %d", expr, len(got), len(want))
		}
	}
}
