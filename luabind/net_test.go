package luabind

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"dragonfly/engine"
)

// communityVectors are those of the specification: baseline_deflt.json and baseline_seed1.json of corelight/community-id-spec.
var communityVectors = []struct {
	proto          uint8
	src, dest      string
	sport, dport   int
	seed0, seed1   string
	oneWay, noPort bool
}{
	{58, "fe80::200:86ff:fe05:80da", "fe80::260:97ff:fe07:69ea", 135, 136, "dGHyGvjMfljg6Bppwm3bg0LO8TY=", "kHa1FhMYIT6Ym2Vm2AOtoOARDzY=", false, false},
	{58, "fe80::260:97ff:fe07:69ea", "fe80::200:86ff:fe05:80da", 135, 136, "zavyT/cezQr1fmImYCwYnMXbgck=", "2hSqmsDZ2kdcY9kbiUzOEBic0iM=", false, false},
	{58, "3ffe:501:1800:2345::2", "3ffe:507:0:1:200:86ff:fe05:80da", 3, 0, "2ObVBgIn28oZvibYZhZMBgh7WdQ=", "lVEtCZpYu84Xqaa++3lXFyuu2n4=", true, false},
	{58, "3ffe:501:410:0:2c0:dfff:fe47:33e", "3ffe:507:0:1:200:86ff:fe05:80da", 1, 4, "hLZd0XGWojozrvxqE0dWB1iM6R0=", "W8MHwXpWzpoSTD+cGcaJr4u0ys8=", true, false},
	{58, "3ffe:507:0:1:200:86ff:fe05:80da", "3ffe:501:0:1001::2", 128, 129, "+TW+HtLHvV1xnGhV1lv7XoJrqQg=", "GfZxjAkDk2MkegpBYHV6tadtFXQ=", false, false},
	{58, "fe80::200:86ff:fe05:80da", "ff02::2", 133, 134, "hO+sN4H+MG5MY/8hIrXPqc4ZQz0=", "L7Ka0ZMYu+J3bL4ulW2PrqyXNo8=", false, false},
	{58, "fe80::260:97ff:fe07:69ea", "ff02::1", 134, 133, "pkvHqCL88/tg1k4cPigmZXUtL00=", "K/ee5UCqAMAQXDorP5nSa2CGLjc=", false, false},
	{1, "192.168.0.89", "192.168.0.1", 8, 0, "X0snYXpgwiv9TZtqg64sgzUn6Dk=", "03g6IloqVBdcZlPyX8r0hgoE7kA=", false, false},
	{1, "10.0.0.1", "10.0.0.2", 11, 0, "YHxtAirCG//0OzkcVAukqKQN9xM=", "XjUibYHaafLQ3pxQeiMI8g25q20=", true, false},
	{6, "2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a", 63943, 25, "/qFaeAR+gFe1KYjMzVDsMv+wgU4=", "eJYTW6AOzFLlSUoESovMjnu7rMw=", false, false},
	{132, "192.168.170.8", "192.168.170.56", 7, 7, "MP2EtRCAUIZvTw6MxJHLV7N7JDs=", "5w3ZRjeKBzqT3zsaEECDGjUbYeg=", false, false},
	{6, "128.232.110.120", "66.35.250.204", 34855, 80, "LQU9qZlK+B5F3KDmev6m5PMibrg=", "3V71V58M3Ksw/yuFALMcW0LAHvc=", false, false},
	{17, "192.168.1.52", "8.8.8.8", 54585, 53, "d/FP5EW3wiY1vCndhwleRRKHowQ=", "Q9We8WO3piVF8yEQBNJF4uiSVrI=", false, false},
	{46, "10.1.12.1", "10.1.12.2", -1, -1, "KHlLkgoJW7ifUTyTSgyVfkFHzKw=", "rYir8gphR31noO9iDRQmF/BteEI=", false, true},
}

func TestCommunityIDAgreesWithTheSpecification(t *testing.T) {
	id := func(src, dest string, sport, dport int, proto uint8, seed uint16) string {
		f := flowTuple{proto: proto, seed: seed, srcPort: sport, destPort: dport}
		if !f.addresses(src, dest) {
			t.Fatal(src, dest)
		}
		got, ok := f.communityID()
		if !ok {
			return "none"
		}
		return got
	}
	for _, v := range communityVectors {
		for seed, want := range []string{v.seed0, v.seed1} {
			if got := id(v.src, v.dest, v.sport, v.dport, v.proto, uint16(seed)); got != "1:"+want {
				t.Errorf("%+v: got %s", v, got)
			}
			if got := id(v.dest, v.src, v.dport, v.sport, v.proto, uint16(seed)); (got == "1:"+want) == v.oneWay {
				t.Errorf("the other direction of %+v: got %s", v, got)
			}
		}
	}
	if a, b := id("127.0.0.1", "127.0.0.1", 1, 2, 6, 0), id("127.0.0.1", "127.0.0.1", 2, 1, 6, 0); a != b {
		t.Errorf("an address to itself: got %s and %s", a, b)
	}
	if got := id("10.0.0.1", "10.0.0.2", -1, 80, 6, 0); got != "none" {
		t.Errorf("got %s without a port", got)
	}
}

// TestCommunityIDAgreesWithSuricata asks for the IDs of real events. Suricata hashes ICMP of one direction, protocols
// without ports and, before 8.0.1, flows from an address to itself in its own way, so those are left out.
func TestCommunityIDAgreesWithSuricata(t *testing.T) {
	for _, name := range []string{"ours/eve-own.json", "reference/eve/eve-mixed.json"} {
		t.Run(name, func(t *testing.T) {
			seen, n := map[string]bool{}, 0
			eachEvent(t, name, func(line string) {
				var ev struct {
					ID       string `json:"community_id"`
					Src      string `json:"src_ip"`
					Dest     string `json:"dest_ip"`
					Sport    *int   `json:"src_port"`
					Dport    *int   `json:"dest_port"`
					Proto    string
					ICMPType *int `json:"icmp_type"`
				}
				if strings.Contains(line, "BUG: IPv6 reused IPv4 flow") { // Suricata took it for a flow of IPv4
					return
				}
				if json.Unmarshal([]byte(line), &ev) != nil || ev.ID == "" || seen[ev.ID] || ev.Sport == nil || ev.Dport == nil {
					return
				}
				seen[ev.ID] = true
				f := flowTuple{srcPort: *ev.Sport, destPort: *ev.Dport}
				if !f.addresses(ev.Src, ev.Dest) || !f.protocol(ev.Proto) || f.isICMP() || !f.hasPorts() || f.src == f.dest {
					return
				}
				n++
				if got, _ := f.communityID(); got != ev.ID {
					t.Errorf("%.200s: got %s, want %s", line, got, ev.ID)
				}
			})
			if n < 50 {
				t.Errorf("only %d flows", n)
			}
			t.Logf("%d flows", n)
		})
	}
}

// eachEvent calls f for each line of a file of ../shared/data. The test is skipped where that is missing.
func eachEvent(t testing.TB, name string, f func(line string)) {
	t.Helper()
	file, err := os.Open("../../shared/data/" + name)
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skipf("shared/data/%s is missing", name)
	}
	defer file.Close()
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		f(lines.Text())
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// The classes of both ends of each range and of what lies beside it, from the IANA special-purpose registries.
func TestAddressClass(t *testing.T) {
	for class, list := range map[string]string{
		"unspecified":   "0.0.0.0 ::",
		"loopback":      "127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1",
		"private":       "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 fc00:: fdff::1 fec0::1 64:ff9b:1::5",
		"cgnat":         "100.64.0.0 100.127.255.255",
		"link-local":    "169.254.0.1 fe80::1 febf::1 fe80::1%eth0",
		"multicast":     "224.0.0.1 239.255.255.255 ff02::1 ff0e::1",
		"broadcast":     "255.255.255.255",
		"documentation": "192.0.2.1 198.51.100.255 203.0.113.0 2001:db8::1 3fff::1 3fff:fff::1",
		"benchmark":     "198.18.0.0 198.19.255.255 2001:2::1",
		"reserved":      "0.0.0.1 0.255.255.255 192.0.0.1 192.88.99.1 240.0.0.0 255.255.255.254 100::1 2001::1 2002::1 4000::1 fe00::1 ::2",
		"global": "1.0.0.0 8.8.8.8 9.255.255.255 11.0.0.0 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 169.253.255.255 169.255.0.0 172.15.255.255 " +
			"172.32.0.0 192.0.0.9 192.0.1.0 192.0.3.0 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 203.0.112.255 203.0.114.0 223.255.255.255 " +
			"2600::1 2a00:1450:4001:830::200e 2001:200::1 2001:20::1 2001:db7::1 64:ff9b::1 ::ffff:8.8.8.8",
	} {
		for text := range strings.FieldsSeq(list) {
			ip, ok := parseAddress(text)
			if got := addressClass(ip); !ok || got != class {
				t.Errorf("%s: got %s, want %s", text, got, class)
			}
		}
	}
}

func TestParsePrefix(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got, ok := parsePrefix(text)
		if s := got.String(); !ok && want != "" || ok && s != want {
			t.Errorf("%q: got %s, want %q", text, s, want)
		}
	}
	f("10.0.0.0/8", "10.0.0.0/8")
	f("10.1.2.3/8", "10.0.0.0/8")
	f("10.1.2.3", "10.1.2.3/32")
	f("0.0.0.0/0", "0.0.0.0/0")
	f("10.0.0.0/255.0.0.0", "10.0.0.0/8")
	f("10.0.0.0/0.0.0.0", "0.0.0.0/0")
	f("10.0.0.1/255.255.255.255", "10.0.0.1/32")
	f("10.0.0.0/255.0.255.0", "")
	f("10.0.0.0/33", "")
	f("10.0.0.0/08", "")
	f("10.0.0.0/+8", "")
	f("10.0.0.0/", "")
	f("/8", "")
	f("010.0.0.1", "")
	f("10.0.0", "")
	f("fe80::1%eth0", "fe80::1/128")
	f("fd00::/8", "fd00::/8")
	f("::/0", "::/0")
	f("::ffff:10.0.0.0/104", "10.0.0.0/8")
	f("::ffff:10.0.0.1", "10.0.0.1/32")
	f("::ffff:0:0/90", "::ffc0:0:0/90")
	f("fd00::/129", "")
	f("", "")
	f(strings.Repeat("1", 200), "")
}

// FuzzRange checks that the prefixes of a range cover it without gap or overlap.
func FuzzRange(f *testing.F) {
	f.Add(uint64(0), uint64(0), uint64(0), uint64(0xffffffff), true)
	f.Add(uint64(0), uint64(0), ^uint64(0), ^uint64(0), false)
	f.Add(uint64(1), ^uint64(0), uint64(2), uint64(0), false)
	f.Add(uint64(0), uint64(1), uint64(0), uint64(0xfffffffe), true)
	f.Fuzz(func(t *testing.T, ahi, alo, bhi, blo uint64, v4 bool) {
		limit, a, b := 128, u128{ahi, alo}, u128{bhi, blo}
		if v4 {
			limit, a, b = 32, u128{0, alo & 0xffffffff}, u128{0, blo & 0xffffffff}
		}
		if a.above(b) {
			a, b = b, a
		}
		first, last := a.addr(limit), b.addr(limit)
		next, n := first, 0
		rangePrefixes(first, last, func(p netip.Prefix) {
			if n++; p != p.Masked() || p.Addr() != next {
				t.Fatalf("%s - %s: %s does not begin at %s", first, last, p, next)
			}
			end := u128Of(p.Addr()).fill(limit - p.Bits()).addr(limit)
			if last.Less(end) {
				t.Fatalf("%s - %s: %s goes beyond", first, last, p)
			}
			next = end.Next()
		})
		if next != last.Next() || n > 254 {
			t.Fatalf("%s - %s: %d prefixes end before %s", first, last, n, next)
		}
	})
}

func networksOf(t *testing.T, text string) *networkSet {
	t.Helper()
	return parseNetworks("list.txt", []byte(text))
}

func TestNetworkFiles(t *testing.T) {
	f := func(name, text, ip, want string) {
		t.Helper()
		set := networksOf(t, text)
		got := "none"
		if row, ok := set.find(netip.MustParseAddr(ip)); ok {
			var cols []string
			for _, v := range row {
				cols = append(cols, v.String())
			}
			got = set.network(netip.MustParseAddr(ip)).String() + " " + strings.Join(cols, "|")
		}
		if set.problem != "" {
			got += " ! " + set.problem
		}
		if got != want {
			t.Errorf("%s: %s: got %s, want %s", name, ip, got, want)
		}
	}
	f("plain", "# list\n\n10.0.0.0/8\r\n192.0.2.1 # one\n", "10.2.3.4", "10.0.0.0/8 ")
	f("plain", "# list\n\n10.0.0.0/8\r\n192.0.2.1 # one\n", "192.0.2.1", "192.0.2.1/32 ")
	f("no newline", "10.0.0.0/8", "10.2.3.4", "10.0.0.0/8 ")
	f("byte order mark", "\xef\xbb\xbf10.0.0.0/8", "10.2.3.4", "10.0.0.0/8 ")
	f("longest wins", "10.0.0.0/8 lab\n10.1.0.0/16 door\n", "10.1.9.9", "10.1.0.0/16 door")
	f("longest wins", "10.1.0.0/16 door\n10.0.0.0/8 lab\n", "10.2.9.9", "10.0.0.0/8 lab")
	f("last of equal wins", "10.0.0.0/8 a\n10.0.0.0/8 b\n", "10.2.9.9", "10.0.0.0/8 b")
	f("words", "10.0.0.0/8  the old lab # comment", "10.0.0.1", "10.0.0.0/8 the old lab")
	f("drop list", "1.10.16.0/20 ; SBL256894", "1.10.16.1", "1.10.16.0/20 ")
	f("tab", "10.0.0.0/8\tlab\tsecond, floor # 2", "10.0.0.1", "10.0.0.0/8 lab|second, floor # 2")
	f("csv", `10.0.0.0/8,lab,"second, ""upper"" floor"`, "10.0.0.1", `10.0.0.0/8 lab|second, "upper" floor`)
	f("csv with spaces", `10.0.0.0/8 , lab , floor`, "10.0.0.1", `10.0.0.0/8 lab|floor`)
	f("semicolons", `10.0.0.0/8;lab;floor`, "10.0.0.1", `10.0.0.0/8 lab|floor`)
	f("quoted", `"10.0.0.0/8","lab"`, "10.0.0.1", `10.0.0.0/8 lab`)
	f("quoted semicolons", `"10.0.0.0/8";"lab"`, "10.0.0.1", `10.0.0.0/8 lab`)
	f("address and number", "10.0.0.1,10", "10.0.0.1", "10.0.0.1/32 10")
	f("range", "10.0.0.0-10.0.0.9", "10.0.0.9", "10.0.0.8/31 ")
	f("range with spaces", "10.0.0.0 - 10.0.0.9 lab", "10.0.0.9", "10.0.0.8/31 lab")
	f("range in columns", "10.0.0.0,10.0.0.9,lab", "10.0.0.8", "10.0.0.8/31 lab")
	f("range of IPv6", "fd00::1\tfd00::2\tlab", "fd00::2", "fd00::2/128 lab")
	f("ip2asn-v4-u32", "16777216\t16777471\t13335\tUS\tCLOUDFLARENET - Cloudflare, Inc.\n16777472\t16778239\t0\tNone\tNot routed\n", "1.0.0.1",
		"1.0.0.0/24 13335|US|CLOUDFLARENET - Cloudflare, Inc.")
	f("ip2asn-v4-u32", "16777216\t16777471\t13335\tUS\tX\n16777472\t16778239\t0\tNone\tNot routed\n", "1.0.3.255", "1.0.2.0/23 0|None|Not routed")
	f("ip2asn-v6", "2001:200::\t2001:200:5ff:ffff:ffff:ffff:ffff:ffff\t2500\tJP\tWIDE", "2001:200:500::1", "2001:200:400::/39 2500|JP|WIDE")
	f("IP2LOCATION", "\"0\",\"16777215\",\"-\",\"-\"\n\"16777216\",\"16777471\",\"US\",\"United States of America\"\n", "1.0.0.255", "1.0.0.0/24 US|United States of America")
	f("IP2LOCATION, top", "\"3758096384\",\"4294967295\",\"-\",\"-\"", "255.255.255.255", "224.0.0.0/3 -|-")
	f("IP2LOCATION IPv6", "\"281470681743360\",\"281470698520575\",\"-\",\"-\"", "0.1.2.3", "0.0.0.0/8 -|-")
	f("IP2LOCATION IPv6", "\"42540528726795050063891204319802818560\",\"42540528806023212578155541913346768895\",\"JP\",\"Japan\"", "2001:200::1", "2001:200::/32 JP|Japan")
	f("header", "first,last,country\n1.0.0.0,1.0.0.255,AU\n", "1.0.0.1", "1.0.0.0/24 AU")
	f("bad line", "10.0.0.0/8\nnonsense 1\n10.0.0.9,10.0.0.1\n\"\n", "10.0.0.1", `10.0.0.0/8  ! list.txt:2: "nonsense 1" is no address, prefix or range (and 2 more lines)`)
	f("number alone", "12345", "0.0.48.57", `none ! list.txt:1: "12345" is no address, prefix or range`)
	f("too large a number", "1,340282366920938463463374607431768211456,x", "0.0.0.1", `none ! list.txt:1: "1,340282366920938463463374607431768211456,x" is no address, prefix or range`)
}

// FuzzNetworks parses files; every network that is found must have a row.
func FuzzNetworks(f *testing.F) {
	for _, s := range []string{"10.0.0.0/8 lab\n", "1,2,a\n\"1\",\"2\",\"b\"\"c\"", "a - b - c", "10.0.0.1 - 10.0.0.2", "1 \t,", "\"", "\"a\"b", "fd00::/8;x", "1.1.1.1 -  ", "1 - 2 - 3\t4", "- - -"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		set := parseNetworks("f", []byte(text))
		for p, row := range set.table.All() {
			if int(row) >= len(set.rows) || p != p.Masked() {
				t.Fatalf("%q: %s has row %d of %d", text, p, row, len(set.rows))
			}
			if _, ok := set.find(p.Addr()); !ok {
				t.Fatalf("%q: %s is not found", text, p)
			}
		}
	})
}

// TestNetworkSetAgreesWithASearch looks random addresses up in random networks.
func TestNetworkSetAgreesWithASearch(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 8))
	var text strings.Builder
	type network struct {
		first, last netip.Addr
		name        string
	}
	var list []network
	for i := range 300 {
		base := netip.AddrFrom4([4]byte{10, byte(r.IntN(4)), byte(r.IntN(256)), byte(r.IntN(256))})
		p, _ := base.Prefix(12 + r.IntN(21))
		n := network{p.Addr(), u128Of(p.Addr()).fill(32 - p.Bits()).addr(32), fmt.Sprint(i)}
		list = append(list, n)
		fmt.Fprintf(&text, "%s,n%s\n", p, n.name)
	}
	set := networksOf(t, text.String())
	for range 20_000 {
		ip := netip.AddrFrom4([4]byte{10, byte(r.IntN(8)), byte(r.IntN(256)), byte(r.IntN(256))})
		want, size := "", uint64(1<<33)
		for _, n := range list {
			if s := u128Of(n.last).lo - u128Of(n.first).lo; !ip.Less(n.first) && !n.last.Less(ip) && s <= size {
				want, size = "n"+n.name, s // of equal networks the last
			}
		}
		got := ""
		if row, ok := set.find(ip); ok {
			got = row[0].String()
		}
		if got != want {
			t.Fatalf("%s: got %q, want %q", ip, got, want)
		}
	}
}

func TestNetworkFilesAreSharedAndReadAgain(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string, age time.Duration) {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		os.Chtimes(path, time.Now().Add(-age), time.Now().Add(-age))
	}
	l, err := NewLoader(dir, Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	load := func(name string) *networkSet {
		t.Helper()
		set, err := l.networks.load(l, name)
		if err != nil {
			t.Fatal(err)
		}
		return set
	}
	write("a.txt", "10.0.0.0/8", time.Hour)
	a := load("a.txt")
	if load("a.txt") != a || load(filepath.Join(dir, "a.txt")).table.Size() != 1 {
		t.Error("a file that has not changed is parsed again")
	}
	if _, ok := l.networks.byPath["a.txt"]; !ok {
		t.Error("a settled file is not remembered")
	}
	write("a.txt", "11.0.0.0/8", 0) // of the same size
	b := load("a.txt")
	if b == a || !b.table.Contains(netip.MustParseAddr("11.0.0.1")) {
		t.Error("a change is not seen")
	}
	write("a.txt", "12.0.0.0/8", 0) // perhaps in the same tick of the clock
	if c := load("a.txt"); !c.table.Contains(netip.MustParseAddr("12.0.0.1")) {
		t.Error("a quick change is not seen")
	}
	write("a.txt", "10.0.0.0/8", 0)
	if load("a.txt") != a {
		t.Error("equal content is parsed again")
	}
	runtime.KeepAlive(a)
	if _, err := l.networks.load(l, "none.txt"); err == nil {
		t.Error("a missing file is loaded")
	}
	if _, err := l.networks.load(l, "../../etc/hosts"); err == nil {
		t.Error("a path leads out of ROOT")
	}
}

func TestNetFromLua(t *testing.T) {
	s, out, err := load(t, "a.lua", `
		local set, lab, list
		function setup()
			set = net.cidr("10.0.0.0/8 192.168.0.0/16", {"fd00::/8", "198.51.100.1-198.51.100.9"})
			lab = net.cidr({["10.0.0.0/8"] = {name = "lab"}, ["10.1.0.0/16"] = false, [1] = "127.0.0.1"})
			local message
			list, message = net.load_cidr("list.txt")
			assert(list:size() == 2 and message:find("list.txt:3: \"bad\" is no address", 1, true), message)
			local none, why = net.load_cidr("bad.txt")
			assert(none == nil and why:find("bad.txt:1:", 1, true), why)
			assert(select("#", net.load_cidr("good.txt")) == 1)
		end
		function loop(e)
			assert(set:contains(e.src_ip) == true and set:contains(e.dest_ip) == false)
			for _, f in ipairs({"class", "is_private", "is_internal", "version", "normalize", "number", "reverse", "parse"}) do
				assert(net[f](e.missing) == nil and net[f](e.null) == nil and net[f](e.bad) == nil and net[f](5) == nil and net[f]("") == nil, f)
				for _, wrong in ipairs({true, {}, print}) do assert(not pcall(net[f], wrong), f) end
				assert(not pcall(net[f]), f)
			end
			assert(set:contains(e.missing) == false and set:contains(e.null) == false and set:contains("x") == false and set:lookup(e.missing) == nil)
			assert(not pcall(set.contains, set, {}) and not pcall(set.contains, set) and not pcall(set.contains, "10.0.0.1") and not pcall(set.contains))
			assert(not pcall(net.cidr, "10.0.0.0/99") and not pcall(net.cidr, {true}) and not pcall(net.cidr) and not pcall(net.cidr, nil))
			local v, prefix = lab:lookup("10.2.0.1")
			assert(v.name == "lab" and prefix == "10.0.0.0/8" and lab:lookup("10.1.0.1") == false and lab:lookup("127.0.0.1") == true)
			assert(lab:columns("127.0.0.1") == nil and select("#", lab:columns("127.0.0.1")) == 0 and lab:columns("8.8.8.8") == nil)
			local asn, name = list:columns("192.0.2.9")
			assert(asn == "64500" and name == "TEST, net" and list:lookup("192.0.2.9") == "64500" and list:lookup("192.0.3.9") == true)
			assert(net.is_internal(e.src_ip) and net.is_internal("8.8.8.8", net.cidr("8.0.0.0/8")) and net.is_internal("10.0.0.1", list) == false)
			local i = net.internal(e.src_ip, e.dest_ip)
			assert(#i.internal_ips == 1 and i.internal_ips[1] == e.src_ip and i.internal_ip_code == 0)
			assert(cjson.encode(net.internal(nil, e.null)) == '{"internal_ips":[],"internal_ip_code":3}')
			assert(cjson.encode(net.internal("10.0.0.1", "10.0.0.2", set)) == '{"internal_ips":["10.0.0.1","10.0.0.2"],"internal_ip_code":2}')
			assert(cjson.encode(net.internal("8.8.8.8", 'fe80::1%"x')) == '{"internal_ips":["fe80::1%\\"x"],"internal_ip_code":1}')
			i.internal_ips[2] = "x"
			i.more = 1
			assert(cjson.encode(i) == '{"internal_ips":["' .. e.src_ip .. '","x"],"internal_ip_code":0,"more":1}')
			assert(net.mask(e.src_ip, 8) == "10.0.0.0" and net.mask(e.bad, 8) == nil and net.mask("10.1.1.1", 64) == "10.1.1.1")
			assert(not pcall(net.mask, "10.0.0.1", -1) and not pcall(net.mask, "10.0.0.1", 1.5) and not pcall(net.mask, "10.0.0.1", "x") and not pcall(net.mask, "10.0.0.1"))
			assert(net.reverse("2001:db8::567:89ab") == "b.a.9.8.7.6.5.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa")
			assert(net.community_id(e) == "1:LQU9qZlK+B5F3KDmev6m5PMibrg=" or e.event_type)
			assert(net.community_id(nil, 1, "10.0.0.1", 2, "TCP") == nil and net.community_id("x", 1, "10.0.0.1", 2, "TCP") == nil)
			assert(net.community_id("10.0.0.1", nil, "10.0.0.1", 2, "TCP") == nil and net.community_id("10.0.0.1", 1, "fd00::1", 2, "TCP") == nil)
			assert(net.community_id("10.0.0.1", 1, "10.0.0.1", 2, "X25") == nil and not pcall(net.community_id, "10.0.0.1", 1, "10.0.0.1", 2, "TCP", 70000))
			assert(net.community_id("10.1.12.1", nil, "10.1.12.2", nil, 46) == "1:KHlLkgoJW7ifUTyTSgyVfkFHzKw=")
			local t = {src_ip = "192.168.0.89", dest_ip = "192.168.0.1", proto = "ICMP", icmp_type = 8, icmp_code = 0}
			assert(net.community_id(t) == "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=" and net.community_id(t, 1) == "1:03g6IloqVBdcZlPyX8r0hgoE7kA=")
			t.community_id = "1:own"
			assert(net.community_id(t) == "1:own" and net.community_id(t, 0) == "1:X0snYXpgwiv9TZtqg64sgzUn6Dk=" and net.community_id({}) == nil)
			assert(getmetatable(set) == false and tostring(set):find("^set: ") and not pcall(function() set.x = 1 end))
			assert(not pcall(dragonfly.output_event, "out", {set = set}))
		end`, "list.txt", "192.0.2.0/24,64500,\"TEST, net\"\n192.0.3.9\nbad\n", "bad.txt", "bad 1\n", "good.txt", "# nothing\n")
	if err != nil {
		t.Fatal(err)
	}
	if err := handle(t, s, out, `{"src_ip":"10.1.2.3","dest_ip":"8.8.8.8","null":null,"bad":"10.0.0.256","proto":"TCP","src_port":1,"dest_port":2,"event_type":"flow"}`); err != nil {
		t.Error(err)
	}
	if err := handle(t, s, out, `{"src_ip":"10.1.2.3","dest_ip":"8.8.8.8","null":null,"bad":"1.1.1","community_id":"1:LQU9qZlK+B5F3KDmev6m5PMibrg="}`); err != nil {
		t.Error(err)
	}
}

func BenchmarkNet(b *testing.B) {
	set := newNetworkSet()
	for _, p := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fd00::/8"} {
		set.add(p, 0)
	}
	b.Run("contains", func(b *testing.B) {
		for b.Loop() {
			ip, _ := parseAddress("192.168.121.3")
			set.table.Contains(ip)
		}
	})
	b.Run("class", func(b *testing.B) {
		for b.Loop() {
			ip, _ := parseAddress("192.168.121.3")
			addressClass(ip)
		}
	})
	b.Run("community", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			f := flowTuple{proto: 6, srcPort: 1, destPort: 2}
			f.addresses("128.232.110.120", "66.35.250.204")
			f.communityID()
		}
	})
	var text strings.Builder
	for i := range 200_000 {
		fmt.Fprintf(&text, "%d\t%d\t%d\tUS\tNAME-%d\n", i*1000, i*1000+999, i%5000, i%5000)
	}
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			parseNetworks("f", []byte(text.String()))
		}
		b.ReportMetric(200_000*float64(b.N)/b.Elapsed().Seconds(), "lines/s")
	})
}

// TestNetworkSetsAreSharedByWorkers looks up in several interpreters at once: for the race detector.
func TestNetworkSetsAreSharedByWorkers(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "list.txt"), []byte("10.0.0.0/8,lab,1\n"), 0o644)
	os.WriteFile(filepath.Join(dir, "a.lua"), []byte(`
		function loop(e)
			local set = net.load_cidr("list.txt")
			local name, n = set:columns(e.src_ip)
			local value, prefix = set:lookup(e.src_ip)
			assert(name == "lab" and n == "1" and value == "lab" and prefix == "10.0.0.0/8" and net.class(e.src_ip) == "private")
		end`), 0o644)
	l, err := NewLoader(dir, Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := l.Program("a.lua")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 4 {
		wg.Go(func() {
			var out engine.Results
			s, err := p.Load(engine.ScriptEnv{Stage: "a", Router: &tags{byRoute: map[engine.Route]string{}, routes: map[string]engine.Route{}}}, &out)
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			for range 300 {
				ev, _ := engine.NewEvent(`{"src_ip":"10.1.2.3"}`)
				if err := s.Handle(&ev, &out); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
}
