package luabind

import (
	"fmt"
	"math/big"
	"math/bits"
	"net/netip"
	"strconv"
	"strings"
	"sync"

	"github.com/gaissmai/bart"
)

// maxAddress is longer than the text of any address with its zone.
const maxAddress = 100

// parseAddress reads an IPv4 or IPv6 address. IPv4-mapped IPv6 addresses become IPv4, zones are dropped.
func parseAddress(text string) (netip.Addr, bool) {
	if len(text) > maxAddress {
		return netip.Addr{}, false
	}
	ip, err := netip.ParseAddr(text)
	if err != nil {
		return netip.Addr{}, false
	}
	return ip.Unmap().WithZone(""), true
}

// parsePrefix reads "10.0.0.0/8", "10.0.0.0/255.0.0.0", "fd00::/8" or a single address. Bits behind the mask are cleared.
func parsePrefix(text string) (netip.Prefix, bool) {
	head, tail, cut := strings.Cut(text, "/")
	if len(head) > maxAddress {
		return netip.Prefix{}, false
	}
	ip, err := netip.ParseAddr(head)
	if err != nil || ip.Zone() != "" && cut {
		return netip.Prefix{}, false
	}
	n := ip.BitLen()
	if cut {
		var ok bool
		if n, ok = parseMask(tail, ip.BitLen()); !ok {
			return netip.Prefix{}, false
		}
	}
	if ip.Is4In6() && n >= 96 {
		ip, n = ip.Unmap(), n-96
	}
	p, err := ip.WithZone("").Prefix(n)
	return p, err == nil
}

// parseMask reads the bits of a mask: "8" or "255.0.0.0".
func parseMask(text string, limit int) (int, bool) {
	if strings.IndexByte(text, '.') > 0 && limit == 32 {
		mask, err := netip.ParseAddr(text)
		if err != nil || !mask.Is4() {
			return 0, false
		}
		n := u128Of(mask).lo
		ones := bits.LeadingZeros32(^uint32(n))
		return ones, uint32(n)<<ones == 0
	}
	n, err := strconv.ParseUint(text, 10, 8)
	return int(n), err == nil && int(n) <= limit && strconv.Itoa(int(n)) == text
}

// u128 is an address as a number.
type u128 struct{ hi, lo uint64 }

func u128Of(ip netip.Addr) u128 {
	b := ip.As16()
	u := u128{}
	for i := range 8 {
		u.hi, u.lo = u.hi<<8|uint64(b[i]), u.lo<<8|uint64(b[8+i])
	}
	if ip.Is4() {
		return u128{0, u.lo & 0xffffffff}
	}
	return u
}

func (u u128) addr(limit int) netip.Addr {
	var b [16]byte
	for i := range 8 {
		b[i], b[8+i] = byte(u.hi>>(56-8*i)), byte(u.lo>>(56-8*i))
	}
	if limit == 32 {
		return netip.AddrFrom4([4]byte(b[12:]))
	}
	return netip.AddrFrom16(b)
}

func (u u128) above(v u128) bool { return u.hi > v.hi || u.hi == v.hi && u.lo > v.lo }

// fill sets the lowest n bits.
func (u u128) fill(n int) u128 {
	if n >= 64 {
		return u128{u.hi | (1<<(n-64) - 1), ^uint64(0)}
	}
	return u128{u.hi, u.lo | (1<<n - 1)}
}

func (u u128) zeros(limit int) int {
	n := bits.TrailingZeros64(u.lo)
	if u.lo == 0 {
		n = 64 + bits.TrailingZeros64(u.hi)
	}
	return min(n, limit)
}

// rangePrefixes calls f for the fewest prefixes that cover first to last, in order: at most 254. Both must be of the same
// version, and first not above last.
func rangePrefixes(first, last netip.Addr, f func(netip.Prefix)) {
	limit := first.BitLen()
	at, end := u128Of(first), u128Of(last)
	for {
		n := at.zeros(limit)
		for n > 0 && at.fill(n).above(end) {
			n--
		}
		f(netip.PrefixFrom(at.addr(limit), limit-n))
		at = at.fill(n)
		if !end.above(at) {
			return
		}
		if at.lo++; at.lo == 0 {
			at.hi++
		}
	}
}

// parseRange reads the ends of a range: two addresses, or two decimal numbers as in ip2asn-v4-u32.tsv and the CSV files of
// IP2Location, where numbers beyond 2^32 are IPv6. ok is false if the texts are not of that kind.
func parseRange(first, last string) (a, b netip.Addr, ok bool) {
	if isDecimal(first) && isDecimal(last) {
		x, ok1 := decimalAddress(first)
		y, ok2 := decimalAddress(last)
		if !ok1 || !ok2 {
			return a, b, false
		}
		if x.hi == 0 && y.hi == 0 && y.lo>>32 == 0 && x.lo>>32 == 0 {
			return x.addr(32), y.addr(32), true
		}
		a, b = x.addr(128), y.addr(128)
		if a.Is4In6() && b.Is4In6() {
			a, b = a.Unmap(), b.Unmap()
		}
		return a, b, true
	}
	a, ok1 := parseAddress(first)
	b, ok2 := parseAddress(last)
	return a, b, ok1 && ok2 && a.BitLen() == b.BitLen()
}

func isDecimal(text string) bool {
	for i := range len(text) {
		if text[i]-'0' > 9 {
			return false
		}
	}
	return len(text) > 0 && len(text) <= 39
}

func decimalAddress(text string) (u128, bool) {
	if n, err := strconv.ParseUint(text, 10, 64); err == nil {
		return u128{0, n}, true
	}
	n, ok := new(big.Int).SetString(text, 10)
	if !ok || n.BitLen() > 128 {
		return u128{}, false
	}
	var b [16]byte
	n.FillBytes(b[:])
	return u128Of(netip.AddrFrom16(b)), true
}

// addressClasses are the special ranges of the IANA registries for IPv4 and IPv6 (RFC 6890 and its updates), by longest
// prefix. What is in none of them is global.
var addressClasses = []struct{ prefix, class string }{
	{"0.0.0.0/32", "unspecified"}, {"0.0.0.0/8", "reserved"}, {"10.0.0.0/8", "private"}, {"100.64.0.0/10", "cgnat"},
	{"127.0.0.0/8", "loopback"}, {"169.254.0.0/16", "link-local"}, {"172.16.0.0/12", "private"}, {"192.0.0.0/24", "reserved"},
	{"192.0.0.9/32", "global"}, {"192.0.0.10/32", "global"}, {"192.0.2.0/24", "documentation"}, {"192.88.99.0/24", "reserved"},
	{"192.168.0.0/16", "private"}, {"198.18.0.0/15", "benchmark"}, {"198.51.100.0/24", "documentation"},
	{"203.0.113.0/24", "documentation"}, {"224.0.0.0/4", "multicast"}, {"240.0.0.0/4", "reserved"}, {"255.255.255.255/32", "broadcast"},
	{"::/0", "reserved"}, {"::/128", "unspecified"}, {"::1/128", "loopback"}, {"64:ff9b::/96", "global"}, {"64:ff9b:1::/48", "private"},
	{"2000::/3", "global"}, {"2001::/23", "reserved"}, {"2001:1::1/128", "global"}, {"2001:1::2/128", "global"}, {"2001:1::3/128", "global"},
	{"2001:2::/48", "benchmark"}, {"2001:3::/32", "global"}, {"2001:4:112::/48", "global"}, {"2001:20::/28", "global"},
	{"2001:30::/28", "global"}, {"2001:db8::/32", "documentation"}, {"2002::/16", "reserved"}, {"3fff::/20", "documentation"},
	{"fc00::/7", "private"}, {"fe80::/10", "link-local"}, {"fec0::/10", "private"}, {"ff00::/8", "multicast"},
}

var classTable = sync.OnceValue(func() *bart.Table[string] {
	t := &bart.Table[string]{}
	for _, c := range addressClasses {
		t.Insert(netip.MustParsePrefix(c.prefix), c.class)
	}
	return t
})

// addressClass says what kind of network ip belongs to.
func addressClass(ip netip.Addr) string {
	if class, ok := classTable().Lookup(ip); ok {
		return class
	}
	return "global"
}

// isLocal reports whether addresses of this class are found inside networks only.
func isLocal(class string) bool {
	return class == "private" || class == "loopback" || class == "link-local" || class == "cgnat"
}

// reverseName returns the name under which DNS keeps the name of ip (RFC 1035, 3.5; RFC 3596, 2.5).
func reverseName(ip netip.Addr) string {
	if ip.Is4() {
		b := ip.As4()
		return fmt.Sprintf("%d.%d.%d.%d.in-addr.arpa", b[3], b[2], b[1], b[0])
	}
	const hex = "0123456789abcdef"
	b := ip.As16()
	name := make([]byte, 0, 72)
	for i := 15; i >= 0; i-- {
		name = append(name, hex[b[i]&15], '.', hex[b[i]>>4], '.')
	}
	return string(append(name, "ip6.arpa"...))
}
