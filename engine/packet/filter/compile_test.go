package filter

import (
	"errors"
	"strings"
	"testing"

	"dragonfly/engine/packet"
)

func TestCompileTellsMistakes(t *testing.T) {
	for expr, want := range map[string]string{
		"tcp prot 80":                       `at character 5, "prot 80"`,
		"host":                              "at its end",
		"host www.example.org":              "names are not looked up",
		"host 10.0.0.0/8":                   "write net 10.0.0.0/...",
		"net 10.0.0.1/8":                    "write 10.0.0.0/8",
		"net 10.0.0.1 mask 255.0.0.0":       "write 10.0.0.0",
		"net 10.0.0.0/33":                   "0 to 32",
		"net 2001:db8::/129":                "0 to 128",
		"port 65536":                        "at most 65535",
		"port nosuchservice":                "no service of this name",
		"icmp port 7":                       `write "icmp and port 7"`,
		"tcp host 10.0.0.1":                 `write "tcp and host 10.0.0.1"`,
		"80":                                "want host, net, port or proto",
		"tcp and":                           "at its end",
		"and tcp":                           "at character 1",
		"(tcp":                              "for the parenthesis at character 1",
		"tcp)":                              `want "and", "or" or the end`,
		"tcp udp":                           `at character 5, "udp"`,
		"tcp[13] & 2":                       "want =, !=",
		"tcp[13:3] = 1":                     "want 1, 2 or 4 bytes",
		"tcp[13 = 1":                        `want "]"`,
		"ip[0] / 0 = 1":                     "division by 0",
		"ip[70000] = 1":                     "at most 65535",
		"vlan 4096":                         "at most 4095",
		"ether 00:11:22:33:44:55 # x":       "no meaning",
		"00:11:22:33:44:55":                 "ether",
		"ether host 10.0.0.1":               "MAC address",
		"ip broadcast":                      "mask is not known",
		"gateway foo":                       "not supported",
		"ip protochain 6":                   "not supported",
		"proto 256":                         "at most 255",
		"inbound":                           "a file does not say",
		"less":                              "want a length",
		"ip6 host 10.0.0.1":                 "no IPv4 addresses",
		"ip host ::1":                       "no IPv6 addresses",
		"len = 99999999999":                 "4294967295",
		"src proto 6":                       "no direction",
		strings.Repeat("(", 200):            "nested more than 100 deep",
		strings.Repeat("not ", 200) + "tcp": "nested more than 100 deep",
		strings.Repeat("a", MaxLength+1):    "longer than 16384 bytes",
		"tcp or " + strings.Repeat("port 1 or ", 1500) + "udp": "join addresses to networks",
	} {
		_, err := Compile(expr, Ethernet, File)
		var e *Error
		if !errors.As(err, &e) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.50q: got %v, want %q", expr, err, want)
		}
	}
	if _, err := Compile("tcp", 105, File); err == nil || !strings.Contains(err.Error(), "link type 105") {
		t.Errorf("link type 105: got %v", err)
	}
	if _, err := Compile("ether host 00:11:22:33:44:55", Raw, File); err == nil {
		t.Error("raw IP has no MAC addresses: want an error")
	}
}

// tag runs a program of the Kernel view as the kernel does for a frame whose tag it has taken off.
func tagged(p *Program, data []byte, tag uint32) bool {
	code := append([]Instruction{}, p.code...)
	for i := range code {
		switch {
		case code[i].Code == ldW|modeAbs && code[i].K == adVLANPresent:
			code[i] = Instruction{Code: ldImm, K: 1}
		case code[i].Code == ldW|modeAbs && code[i].K == adVLAN:
			code[i] = Instruction{Code: ldImm, K: tag}
		}
	}
	return run(code, data, len(data)) != 0
}

func TestKernelViewKnowsTheTagThatWasTakenOff(t *testing.T) {
	frame := make([]byte, 60) // UDP, from port 53
	copy(frame[12:], []byte{8, 0, 0x45})
	frame[23], frame[35] = 17, 53
	inner := append(append([]byte{}, frame[:12]...), append([]byte{0x81, 0, 0, 7}, frame[12:]...)...) // with a second tag
	for expr, want := range map[string][2]bool{                                                       // without, with a second tag; tag 100 was taken off
		"udp":                    {true, false},
		"vlan":                   {true, true},
		"vlan 100":               {true, true},
		"vlan 7":                 {false, false},
		"not vlan":               {false, false},
		"vlan 100 and udp":       {true, false},
		"vlan and port 53":       {true, false},
		"vlan and vlan":          {false, true},
		"vlan 100 and vlan 7":    {false, true},
		"vlan and vlan and udp":  {false, true},
		"vlan and vlan 8":        {false, false},
		"port 53 and vlan 100":   {true, false},
		"udp or (vlan and udp)":  {true, false},
		"vlan and ip[9] = 17":    {true, false},
		"vlan and ether[12] = 8": {true, false},
	} {
		p, err := Compile(expr, Ethernet, Kernel)
		if err != nil {
			t.Errorf("%s: %v", expr, err)
			continue
		}
		if got := [2]bool{tagged(p, frame, 0xe000|100), tagged(p, inner, 100)}; got != want {
			t.Errorf("%s: got %v, want %v", expr, got, want)
		}
	}
}

func TestFilterMatchesFramesOfSeveralLinkTypes(t *testing.T) {
	f, err := New("udp and not ether broadcast")
	if err != nil {
		t.Fatal(err)
	}
	eth := make([]byte, 60)
	copy(eth[12:], []byte{8, 0, 0x45})
	eth[23] = 17
	if ok, err := f.Match(&packet.Frame{Data: eth, Len: 60, LinkType: Ethernet}); !ok || err != nil {
		t.Errorf("got %v, %v", ok, err)
	}
	if _, err := f.Match(&packet.Frame{Data: eth[14:], Len: 46, LinkType: Raw}); err == nil {
		t.Error("raw IP has no MAC addresses: want an error")
	}
	if f, err = New("udp"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if ok, err := f.Match(&packet.Frame{Data: eth[14:], Len: 46, LinkType: Raw}); !ok || err != nil {
			t.Errorf("got %v, %v", ok, err)
		}
	}
}

func TestInstructionsKeepSnaplen(t *testing.T) {
	p, err := Compile("tcp or udp", Ethernet, Kernel)
	if err != nil {
		t.Fatal(err)
	}
	if got := Run(p.Instructions(96), append(make([]byte, 12), 8, 0, 0x45, 0, 0, 0, 0, 0, 0, 0, 64, 6), 24); got != 96 {
		t.Errorf("got %d, want 96", got)
	}
}

// check says what the kernel would refuse in a program.
func check(code []Instruction) string {
	if len(code) == 0 || len(code) > MaxInstructions || code[len(code)-1].Code != retK {
		return "length or end"
	}
	for pc, i := range code {
		switch {
		case i.Code == jump && pc+1+int(i.K) >= len(code), i.Code&7 == jump && i.Code != jump && pc+1+int(max(i.Jt, i.Jf)) >= len(code):
			return "jump"
		case i.Code == alu|opDiv && i.K == 0, i.Code == alu|opMod && i.K == 0, (i.Code == alu|opLsh || i.Code == alu|opRsh) && i.K > 31:
			return "operand"
		case (i.Code == stA || i.Code == ldMem || i.Code == ldxMem) && i.K > 15:
			return "memory"
		}
	}
	return ""
}

// FuzzFilter: what compiles is a program that the kernel takes, takes or refuses each frame, and "not" turns that around unless
// the program looks behind the frame's end; what does not compile has an error with a place.
func FuzzFilter(f *testing.F) {
	for _, expr := range expressions {
		f.Add(expr, []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00\x45\x00\x00\x28\x00\x01\x00\x00\x40\x06\x00\x00\x0a\x09\x00\x01\x0a\x09\x00\x02\x00\x50\x01\xbb"), uint16(1))
	}
	f.Fuzz(func(t *testing.T, expr string, data []byte, link uint16) {
		for _, view := range []View{File, Kernel} {
			p, err := Compile(expr, packet.LinkType(link), view)
			if err != nil {
				var e *Error
				if !errors.As(err, &e) || e.Pos < 0 || e.Pos > len(expr) || e.Msg == "" {
					t.Fatalf("%q: %#v", expr, err)
				}
				continue
			}
			if bad := check(p.code); bad != "" {
				t.Fatalf("%q: %s: %v", expr, bad, p.code)
			}
			yes := p.Match(&packet.Frame{Data: data, Len: len(data)})
			if opposite, err := Compile("not ("+expr+")", packet.LinkType(link), view); err == nil && yes && opposite.Match(&packet.Frame{Data: data, Len: len(data)}) {
				t.Fatalf("%q and its opposite both take % x", expr, data)
			}
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	p, err := Compile("tcp port 443 and not net 10.0.0.0/8", Ethernet, File)
	if err != nil {
		b.Fatal(err)
	}
	f := packet.Frame{Data: []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x08\x00\x45\x00\x00\x28\x00\x01\x00\x00\x40\x06\x00\x00\xc0\xa8\x00\x01\xc0\xa8\x00\x02\x01\xbb\x01\xbb"), Len: 54}
	b.ReportAllocs()
	for b.Loop() {
		p.Match(&f)
	}
}
