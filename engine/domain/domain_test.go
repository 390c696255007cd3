package domain

import (
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"unicode/utf8"

	"golang.org/x/net/publicsuffix"
)

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name string
		want Name
	}{
		{"mail.shop.example.co.uk", Name{"mail.shop.example.co.uk", "co.uk", "example.co.uk", "example", "mail.shop", Host, ICANN}},
		{"WWW.Example.COM.", Name{"www.example.com", "com", "example.com", "example", "www", Host, ICANN}},
		{"example.com:8080", Name{"example.com", "com", "example.com", "example", "", Host, ICANN}},
		{"a.b.github.io", Name{"a.b.github.io", "github.io", "b.github.io", "b", "a", Host, Private}},
		{"_ldap._tcp.dc._msdcs.corp.local", Name{"_ldap._tcp.dc._msdcs.corp.local", "local", "corp.local", "corp", "_ldap._tcp.dc._msdcs", Host, Unlisted}},
		{"bücher.example", Name{"xn--bcher-kva.example", "example", "xn--bcher-kva.example", "xn--bcher-kva", "", Host, Unlisted}},
		{"BÜCHER.de", Name{"xn--bcher-kva.de", "de", "xn--bcher-kva.de", "xn--bcher-kva", "", Host, ICANN}},
		{"食狮.公司.cn", Name{"xn--85x722f.xn--55qx5d.cn", "xn--55qx5d.cn", "xn--85x722f.xn--55qx5d.cn", "xn--85x722f", "", Host, ICANN}},
		{"a。b．com", Name{"a.b.com", "com", "b.com", "b", "a", Host, ICANN}},
		{"b.c.kobe.jp", Name{"b.c.kobe.jp", "c.kobe.jp", "b.c.kobe.jp", "b", "", Host, ICANN}}, // wildcard *.kobe.jp
		{"www.city.kobe.jp", Name{"www.city.kobe.jp", "kobe.jp", "city.kobe.jp", "city", "www", Host, ICANN}},
		{"co.uk", Name{Host: "co.uk", Suffix: "co.uk", Kind: Host, Section: ICANN}},
		{"localhost", Name{Host: "localhost", Suffix: "localhost", Kind: Host}},
		{"10.0.0.1", Name{Host: "10.0.0.1", Kind: Address}},
		{"10.0.0.1.", Name{Host: "10.0.0.1", Kind: Address}},
		{"10.0.0.1:80", Name{Host: "10.0.0.1", Kind: Address}},
		{"[2001:DB8::1]:443", Name{Host: "2001:db8::1", Kind: Address}},
		{"2001:db8::1", Name{Host: "2001:db8::1", Kind: Address}},
		{"4.3.2.1.in-addr.arpa", Name{Host: "4.3.2.1.in-addr.arpa", Suffix: "in-addr.arpa", Kind: Reverse, Section: ICANN}},
		{"b.a.9.8.ip6.arpa", Name{Host: "b.a.9.8.ip6.arpa", Suffix: "ip6.arpa", Kind: Reverse, Section: ICANN}},
		{"in-addr.arpa", Name{Host: "in-addr.arpa", Suffix: "in-addr.arpa", Kind: Reverse, Section: ICANN}},
		{"", Name{}}, {".", Name{}}, {"..", Name{Host: "."}}, {"a..com", Name{Host: "a..com"}}, {".com", Name{Host: ".com"}},
		{"1.2.3.4.5", Name{Host: "1.2.3.4.5"}}, {"256.1.1.1", Name{Host: "256.1.1.1"}},
		{"\xff\xfe.com", Name{"\xff\xfe.com", "com", "\xff\xfe.com", "\xff\xfe", "", Host, ICANN}},
	} {
		if got := Split(c.name); got != c.want {
			t.Errorf("%q:\n got %+v\nwant %+v", c.name, got, c.want)
		}
		if got := Registered(c.name); got != c.want.Registered {
			t.Errorf("Registered(%q): got %q, want %q", c.name, got, c.want.Registered)
		}
	}
}

func TestChosen(t *testing.T) {
	for name, want := range map[string][2]string{
		"www.example.com":                        {"example.com", "example"},
		"d1a2b3.cloudfront.net":                  {"cloudfront.net", "cloudfront"},
		"ec2-1-2.compute.amazonaws.com":          {"amazonaws.com", "amazonaws"},
		"a.s3.dualstack.us-east-1.amazonaws.com": {"amazonaws.com", "amazonaws"},
		"x.qwkjhxz.ddns.net":                     {"qwkjhxz.ddns.net", "qwkjhxz"},
		"ddns.net":                               {"ddns.net", "ddns"},
		"05bf3998e882.co.cc":                     {"05bf3998e882.co.cc", "05bf3998e882"},
		"co.cc":                                  {"co.cc", "co"},
		"www.example.blogspot.com":               {"example.blogspot.com", "example"},
		"github.io":                              {"github.io", "github"},
		"shop.example.uk.com":                    {"example.uk.com", "example"},
		"printer.local":                          {"printer.local", "printer"},
		"localhost":                              {"", ""},
		"com":                                    {"", ""},
		"192.0.2.1":                              {"", ""},
		"1.2.0.192.in-addr.arpa":                 {"", ""},
	} {
		if d, l := Chosen(name); d != want[0] || l != want[1] {
			t.Errorf("%q: got %q, %q, want %q", name, d, l, want)
		}
	}
	for zone := range open {
		if d, l := Chosen("www.some-name." + zone); d != "some-name."+zone || l != "some-name" {
			t.Errorf("%s: got %q, %q", zone, d, l)
		}
	}
}

func TestReverseAddress(t *testing.T) {
	for _, s := range []string{"192.0.2.1", "0.0.0.0", "255.255.255.255", "2001:db8::567:89ab", "::", "fe80::1"} {
		addr := netip.MustParseAddr(s)
		if got, ok := ReverseAddress(reverseName(addr)); !ok || got != addr {
			t.Errorf("%s: got %v, %v", reverseName(addr), got, ok)
		}
	}
	for _, s := range []string{"", "1.in-addr.arpa", "5.4.3.2.1.in-addr.arpa", "1.2.3.256.in-addr.arpa", "01.2.3.4.in-addr.arpa", "a.b.c.d.in-addr.arpa", "in-addr.arpa",
		"1.ip6.arpa", strings.Repeat("g.", 32) + "ip6.arpa", strings.Repeat("aa", 31) + "a.ip6.arpa", "4.3.2.1.example.com"} {
		if got, ok := ReverseAddress(s); ok {
			t.Errorf("%q: got %v", s, got)
		}
	}
}

// reverseName is RFC 1035, 3.5 and RFC 3596, 2.5.
func reverseName(a netip.Addr) string {
	var parts []string
	for _, b := range a.AsSlice() {
		if a.Is4() {
			parts = append([]string{netip.AddrFrom4([4]byte{3: b}).String()[6:]}, parts...)
		} else {
			const hex = "0123456789abcdef"
			parts = append([]string{hex[b&15:][:1], hex[b>>4:][:1]}, parts...)
		}
	}
	if a.Is4() {
		return strings.Join(parts, ".") + ".in-addr.arpa"
	}
	return strings.Join(parts, ".") + ".ip6.arpa"
}

// The samples of RFC 3492, section 7.1, in lower case.
func TestPunycode(t *testing.T) {
	for unicode, code := range map[string]string{
		"ليهمابتكلموشعربي؟":                        "egbpdaj6bu4bxfgehfvwxn",
		"他们为什么不说中文":                                "ihqwcrb4cv8a8dqg056pqjye",
		"他們爲什麽不說中文":                                "ihqwctvzc91f659drss3x8bo0yb",
		"pročprostěnemluvíčesky":                   "proprostnemluvesky-uyb24dma41a",
		"למההםפשוטלאמדבריםעברית":                   "4dbcagdahymbxekheh6e0a7fei0b",
		"почемужеонинеговорятпорусски":             "b1abfaaepdrnnbgefbadotcwatmq2g4l",
		"porquénopuedensimplementehablarenespañol": "porqunopuedensimplementehablarenespaol-fmd56a",
		"3年b組金八先生":                                 "3b-ww4c5e180e575a65lsy2b",
		"安室奈美恵-with-super-monkeys":                 "-with-super-monkeys-pc58ag80a8qai00g7n9n",
		"ひとつ屋根の下2":                                 "2-u9tlzr9756bt3uc0v",
		"そのスピードで":                                  "d9juau41awczczp",
	} {
		if got, ok := toPunycode(unicode); !ok || got != "xn--"+code {
			t.Errorf("%s: got %q, %v, want %q", unicode, got, ok, code)
		}
		var buf [maxLabel]rune
		n, ok := fromPunycode(code, buf[:])
		if got := string(buf[:n]); !ok || got != unicode {
			t.Errorf("%s: got %q, %v, want %q", code, got, ok, unicode)
		}
	}
	for _, bad := range []string{"é", "a", "99999999", "a-é", strings.Repeat("a", 80) + "-", "-", "aaaa\x00"} {
		var buf [maxLabel]rune
		if n, ok := fromPunycode(bad, buf[:]); ok && toASCII(string(buf[:n])) != "xn--"+bad && bad != "a" && bad != "-" {
			t.Errorf("%q decodes to %q", bad, string(buf[:n]))
		}
	}
}

// A label that is not UTF-8 does not hide the form of the others.
func TestNormalOfEachLabel(t *testing.T) {
	for name, want := range map[string]string{"\xcc.Bücher.de": "\xcc.xn--bcher-kva.de", "\xff.www。BÜCHER.de": "\xff.www.xn--bcher-kva.de", "b\xfccher.DE": "b\xfccher.de"} {
		if got := Normal(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
	if got := Registered("\xcc.Bücher.de"); got != "xn--bcher-kva.de" {
		t.Errorf("got %q", got)
	}
}

func FuzzSplit(f *testing.F) {
	for _, s := range []string{"www.example.co.uk", "BÜCHER.de.", "[::1]:80", "xn--bcher-kva.com", "xn--a-.b", "1.2.3.4.in-addr.arpa", "..", "\xff.\x00", "a:b:c", "x.cloudfront.net", "xn--99999999.c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		n := Split(name)
		if again := Split(n.Host); n.Kind == Host && utf8.ValidString(n.Host) && !strings.ContainsAny(n.Host, ":[]") && again != n {
			t.Fatalf("%q: the normal form splits to %+v, the name to %+v", name, again, n)
		}
		if n.Kind == Host {
			want, err := publicsuffix.EffectiveTLDPlusOne(n.Host)
			if err != nil {
				want = ""
			}
			if n.Registered != want {
				t.Fatalf("%q: got %q, the library says %q", name, n.Registered, want)
			}
		}
		if n.Registered != "" && strings.TrimPrefix(n.Sub+"."+n.Label+"."+n.Suffix, ".") != n.Host {
			t.Fatalf("%q: the parts do not make the whole: %+v", name, n)
		}
		if r := Registered(name); r != n.Registered {
			t.Fatalf("%q: got %q and %q", name, r, n.Registered)
		}
		d, l := Chosen(name)
		if !strings.HasSuffix(n.Host, d) || !strings.HasPrefix(d, l) {
			t.Fatalf("%q: chosen %q, %q", name, d, l)
		}
		if d2, l2 := Chosen(d); d != "" && !strings.ContainsAny(d, ":[]") && (d2 != d || l2 != l) {
			t.Fatalf("%q: chosen %q, %q; of that %q, %q", name, d, l, d2, l2)
		}
		ReverseAddress(name)
		ToUnicode(name)
		checkFeatures(t, name)
	})
}

func TestNormalNamesCostNoMemory(t *testing.T) {
	for _, name := range []string{"www.example.com", "a.b.example.co.uk", "d1.cloudfront.net", "xn--bcher-kva.de", "1.0.0.10.in-addr.arpa"} {
		dst := make([]float64, 0, len(FeatureNames))
		if n := testing.AllocsPerRun(100, func() {
			Split(name)
			Registered(name)
			Chosen(name)
			dst = Features(name, dst)
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func TestSplitIsSafeForConcurrentUse(t *testing.T) {
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for i := range 20_000 {
				name := "n" + strconv.Itoa(i%9000) + ".example.co.uk" // more names than slots
				if n := Split(name); n.Registered != "example.co.uk" || n.Host != name {
					t.Errorf("%d: %q: got %+v", g, name, n)
					return
				}
			}
		})
	}
	wg.Wait()
}

func BenchmarkRegistered(b *testing.B) {
	names := []string{"www.example.com", "a.b.example.co.uk", "d1.cloudfront.net", "mail.google.com"}
	b.Run("seen", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			Registered(names[i&3])
		}
	})
	b.Run("new", func(b *testing.B) {
		b.ReportAllocs()
		many := make([]string, 100_000)
		for i := range many {
			many[i] = strings.Repeat("x", i%10) + string(rune('a'+i%26)) + strings.Repeat("y", i/1000%20) + names[i&3]
		}
		for i := 0; b.Loop(); i++ {
			Registered(many[i%len(many)])
		}
	})
}

func BenchmarkFeatures(b *testing.B) {
	dst := make([]float64, 0, len(FeatureNames))
	names := []string{"www.example.com", "thequickbrownfox.co.uk", "xkrjhgzqpvnbt.info", "05bf3998e88236437400b7b3.org"}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		dst = Features(names[i&3], dst)
	}
}
