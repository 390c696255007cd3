package luabind

import (
	"fmt"
	"math"
	"net/netip"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/lazyjson"
)

func (s *script) netModule() module {
	n := &netFuncs{vs: s.views, script: s, classes: map[string]lua.LValue{}}
	methods := []hostFunc{
		{"set:contains", "contains(ip) -> boolean", "Whether ip lies in a network of the set; false if ip is no address.",
			`assert(net.cidr("10.0.0.0/8"):contains("10.1.2.3"))`, n.contains},
		{"set:lookup", "lookup(ip) -> value, prefix | nil",
			"The value of the smallest network that ip lies in, and that network. The value is what the table said, or the first value column of the file; true if there is none.",
			`local value, prefix = net.cidr({["10.0.0.0/8"] = "lab"}):lookup("10.1.2.3") assert(value == "lab" and prefix == "10.0.0.0/8")`, n.lookup},
		{"set:columns", "columns(ip) -> value, ... | nil", "All value columns of the smallest network that ip lies in: number, country and name of ip2asn, for example.",
			`assert(net.cidr({["10.0.0.0/8"] = "lab"}):columns("10.1.2.3") == "lab")`, n.columns},
		{"set:size", "size() -> n", "How many networks the set has. A range counts as the prefixes that it is made of.",
			`assert(net.cidr("10.0.0.0/8", "10.0.0.0-10.0.0.2"):size() == 3)`, n.size},
	}
	n.set = newClass(s.L, "set", methods)
	return module{
		Name: "net",
		Doc: "IP addresses and networks. An address is text, IPv4 or IPv6; IPv4-mapped IPv6 addresses (::ffff:10.0.0.1) count as IPv4, a zone (%eth0) is dropped. " +
			"Functions of an address return nil for nil, null and text that is no address, so fields of events need no check; other types raise an error.",
		Methods: methods,
		Funcs: []hostFunc{
			{"cidr", "cidr(networks, ...) -> set",
				"A set of networks, matched by longest prefix. Each argument is text (networks with spaces or commas between), a list of texts, or a table {[network] = value}. A network is an address, a prefix (10.0.0.0/8, 10.0.0.0/255.0.0.0) or a range (10.0.0.1-10.0.0.9). Raises an error for what is none.",
				`local set = net.cidr("10.0.0.0/8", {"fd00::/8"}) assert(set:contains("fd00::1") and not set:contains("8.8.8.8"))`, n.cidr},
			{"load_cidr", "load_cidr(file) -> set, message | nil, message",
				"The set in a file (below ROOT, or an absolute path): one network per line, with value columns behind (tabs, commas or semicolons between, quotes allowed; or one value after a space); ranges in two columns, also as decimal numbers (ip2asn-v4-u32.tsv, CSV of IP2Location); # begins a comment. Lines that are none of it are left out and told in message. Workers share it; a file that has not changed is not read again, so calling this every few seconds is cheap. nil if the file cannot be read or no line is good.",
				`local set, message = net.load_cidr("no-such-file") assert(set == nil and message)`, n.loadCIDR},
			{"class", "class(ip) -> text | nil",
				"Kind of network, by the IANA registries: private, loopback, link-local, cgnat, multicast, broadcast, documentation, benchmark, unspecified, reserved, else global.",
				`assert(net.class("10.1.2.3") == "private" and net.class("8.8.8.8") == "global" and net.class("x") == nil)`, n.class},
			{"is_private", "is_private(ip) -> boolean | nil", "Whether the class is private: 10/8, 172.16/12, 192.168/16, fc00::/7, fec0::/10, 64:ff9b:1::/48.",
				`assert(net.is_private("192.168.0.1") and net.is_private("8.8.8.8") == false)`, n.isPrivate},
			{"is_internal", "is_internal(ip [, set]) -> boolean | nil", "Whether ip is in set; without set, whether its class is private, loopback, link-local or cgnat.",
				`assert(net.is_internal("fe80::1") and not net.is_internal("10.0.0.1", net.cidr("172.16.0.0/12")))`, n.isInternal},
			{"internal", "internal(src, dest [, set]) -> {internal_ips, internal_ip_code}",
				"Which of two addresses are internal, as dragonfly-mle's internal-ip says it: a list of those, src first, and a code: 0 only src, 1 only dest, 2 both, 3 none. What counts as internal is as in is_internal.",
				`local i = net.internal("8.8.8.8", "10.0.0.1") assert(i.internal_ips[1] == "10.0.0.1" and i.internal_ip_code == 1)`, n.internal},
			{"version", "version(ip) -> 4 | 6 | nil", "The version of an address.", `assert(net.version("::1") == 6 and net.version("x") == nil)`, n.version},
			{"normalize", "normalize(ip) -> text | nil", "The address in its shortest form (RFC 5952), fit as a key.",
				`assert(net.normalize("FE80:0::0:1") == "fe80::1" and net.normalize("::ffff:10.0.0.1") == "10.0.0.1")`, n.normalize},
			{"number", "number(ip) -> n | nil", "An IPv4 address as a number, 0 to 4294967295; nil for IPv6.", `assert(net.number("10.0.0.1") == 167772161)`, n.number},
			{"mask", "mask(ip, bits [, bits6]) -> text | nil",
				"The address with all but its first bits cleared: a key for its network. bits6 (bits, if missing) is for IPv6. More bits than the address has leave it as it is.",
				`assert(net.mask("10.1.2.3", 24, 64) == "10.1.2.0" and net.mask("fd00::1:0:0:0:1", 24, 64) == "fd00:0:0:1::")`, n.mask},
			{"parse", "parse(text) -> {ip, version, class, bits, first, last} | nil", "The parts of an address or prefix.",
				`local p = net.parse("10.1.2.3/8") assert(p.ip == "10.1.2.3" and p.version == 4 and p.bits == 8 and p.first == "10.0.0.0" and p.last == "10.255.255.255")`, n.parse},
			{"reverse", "reverse(ip) -> text | nil", "The name that DNS keeps the address's name under.", `assert(net.reverse("192.0.2.1") == "1.2.0.192.in-addr.arpa")`, n.reverse},
			{"community_id", "community_id(event | src_ip, src_port, dest_ip, dest_port, proto [, seed]) -> text | nil",
				"Community ID v1 of a flow. Of an event: its own community_id if it has one, else computed with seed 0 from src_ip, src_port, dest_ip, dest_port, proto (ICMP: icmp_type, icmp_code). proto is a name or an IANA number. nil if an address or a needed port is missing or no number.",
				`assert(net.community_id("128.232.110.120", 34855, "66.35.250.204", 80, "TCP") == "1:LQU9qZlK+B5F3KDmev6m5PMibrg=")`, n.communityID},
		},
	}
}

// netFuncs are the functions of net for one interpreter.
type netFuncs struct {
	vs      *views
	script  *script
	set     *lua.LTable           // metatable of sets
	classes map[string]lua.LValue // made once
	buf     []byte                // of internal
}

// address returns argument i as an address. ok is false for nil, null, numbers and text that is none. Other types raise,
// and so does a missing argument.
func (n *netFuncs) address(L *lua.LState, i int) (ip netip.Addr, ok bool) {
	if text, is := L.Get(i).(lua.LString); is {
		return parseAddress(string(text))
	}
	text, ok := n.vs.keyArg(L, i)
	if !ok {
		return ip, false
	}
	return parseAddress(text)
}

func pushNil(L *lua.LState) int {
	L.Push(lua.LNil)
	return 1
}

func pushText(L *lua.LState, text string) int {
	L.Push(lua.LString(text))
	return 1
}

func pushBool(L *lua.LState, b bool) int {
	L.Push(lua.LBool(b))
	return 1
}

func pushNumber(L *lua.LState, x float64) int {
	L.Push(lua.LNumber(x))
	return 1
}

func (n *netFuncs) cidr(L *lua.LState) int {
	if L.GetTop() == 0 {
		L.ArgError(1, "networks expected, got no value")
	}
	set := newNetworkSet()
	for i := 1; i <= L.GetTop(); i++ {
		if t, ok := L.Get(i).(*lua.LTable); ok {
			n.vs.each(t, func(k, v lua.LValue) { n.cidrMember(L, i, set, k, v) })
			continue
		}
		for _, text := range strings.FieldsFunc(str(L, i), func(r rune) bool { return r == ',' || r == ' ' || r == '\t' || r == '\n' || r == '\r' }) {
			n.cidrAdd(L, i, set, text, 0)
		}
	}
	return pushObject(L, set, n.set)
}

// cidrMember adds a member of a table: a value of a list, or a network with a value.
func (n *netFuncs) cidrMember(L *lua.LState, i int, set *networkSet, k, v lua.LValue) {
	network, named := k.(lua.LString)
	if !named {
		text, ok := v.(lua.LString)
		if !ok {
			L.ArgError(i, "text expected in the list of networks, got "+v.Type().String())
		}
		n.cidrAdd(L, i, set, string(text), 0)
		return
	}
	set.rows = append(set.rows, []lua.LValue{v})
	n.cidrAdd(L, i, set, string(network), uint32(len(set.rows)-1))
}

func (n *netFuncs) cidrAdd(L *lua.LState, i int, set *networkSet, text string, row uint32) {
	if !set.add(strings.TrimSpace(text), row) {
		L.ArgError(i, fmt.Sprintf("%.60q is no address, prefix (10.0.0.0/8) or range (10.0.0.1-10.0.0.9)", text))
	}
}

func (n *netFuncs) loadCIDR(L *lua.LState) int {
	name := L.CheckString(1)
	var set *networkSet
	var err error
	l := n.script.program.loader
	n.script.lim.waiting(func() { set, err = l.networks.load(l, name) })
	if err == nil && set.table.Size() == 0 && set.problem != "" {
		err = fmt.Errorf("%s", set.problem)
	}
	if err != nil {
		return failed(L, err)
	}
	pushObject(L, set, n.set)
	if set.problem == "" {
		return 1
	}
	return 1 + pushText(L, set.problem)
}

func (n *netFuncs) setArg(L *lua.LState, i int) *networkSet {
	return objectArg[*networkSet](L, i, "set")
}

func (n *netFuncs) contains(L *lua.LState) int {
	set := n.setArg(L, 1)
	ip, ok := n.address(L, 2)
	return pushBool(L, ok && set.table.Contains(ip))
}

func (n *netFuncs) lookup(L *lua.LState) int {
	set := n.setArg(L, 1)
	ip, ok := n.address(L, 2)
	if !ok {
		return pushNil(L)
	}
	row, ok := set.find(ip)
	if !ok {
		return pushNil(L)
	}
	if len(row) == 0 {
		L.Push(lua.LTrue)
	} else {
		L.Push(row[0])
	}
	return 1 + pushText(L, set.network(ip).String())
}

func (n *netFuncs) columns(L *lua.LState) int {
	set := n.setArg(L, 1)
	ip, ok := n.address(L, 2)
	if !ok {
		return pushNil(L)
	}
	row, ok := set.find(ip)
	if !ok {
		return pushNil(L)
	}
	for _, v := range row {
		L.Push(v)
	}
	return len(row)
}

func (n *netFuncs) size(L *lua.LState) int {
	return pushNumber(L, float64(n.setArg(L, 1).table.Size()))
}

func (n *netFuncs) class(L *lua.LState) int {
	ip, ok := n.address(L, 1)
	if !ok {
		return pushNil(L)
	}
	class := addressClass(ip)
	v, ok := n.classes[class]
	if !ok {
		v = lua.LString(class)
		n.classes[class] = v
	}
	L.Push(v)
	return 1
}

func (n *netFuncs) isPrivate(L *lua.LState) int {
	ip, ok := n.address(L, 1)
	if !ok {
		return pushNil(L)
	}
	return pushBool(L, addressClass(ip) == "private")
}

// optSet returns argument i as a set, nil where there is none.
func (n *netFuncs) optSet(L *lua.LState, i int) *networkSet {
	if L.Get(i) == lua.LNil {
		return nil
	}
	return n.setArg(L, i)
}

func inside(set *networkSet, ip netip.Addr) bool {
	if set != nil {
		return set.table.Contains(ip)
	}
	return isLocal(addressClass(ip))
}

func (n *netFuncs) isInternal(L *lua.LState) int {
	set := n.optSet(L, 2)
	ip, ok := n.address(L, 1)
	if !ok {
		return pushNil(L)
	}
	return pushBool(L, inside(set, ip))
}

// Codes of dragonfly-mle's internal-ip analyzer.
const (
	codeSrc, codeDest, codeBoth, codeNone = 0, 1, 2, 3
)

// internal returns a view: it costs a quarter of a table, and is copied as it is when the event goes on
// (BenchmarkAnalyzers/internal-ip: 3.1 -> 2.3 us).
func (n *netFuncs) internal(L *lua.LState) int {
	set := n.optSet(L, 3)
	src, ok1 := n.address(L, 1)
	dest, ok2 := n.address(L, 2)
	ok1, ok2 = ok1 && inside(set, src), ok2 && inside(set, dest)
	code := byte(codeNone)
	n.buf = append(n.buf[:0], `{"internal_ips":[`...)
	if ok1 {
		n.buf = lazyjson.AppendQuoted(n.buf, lua.LVAsString(L.Get(1)))
		code = codeSrc
	}
	if ok1 && ok2 {
		n.buf = append(n.buf, ',')
		code = codeBoth
	} else if ok2 {
		code = codeDest
	}
	if ok2 {
		n.buf = lazyjson.AppendQuoted(n.buf, lua.LVAsString(L.Get(2)))
	}
	n.buf = append(n.buf, `],"internal_ip_code":`...)
	n.buf = append(n.buf, '0'+code, '}')
	L.Push(n.vs.value(string(n.buf), nil))
	return 1
}

func (n *netFuncs) version(L *lua.LState) int {
	ip, ok := n.address(L, 1)
	if !ok {
		return pushNil(L)
	}
	if ip.Is4() {
		return pushNumber(L, 4)
	}
	return pushNumber(L, 6)
}

func (n *netFuncs) normalize(L *lua.LState) int {
	ip, ok := n.address(L, 1)
	if !ok {
		return pushNil(L)
	}
	return pushText(L, ip.String())
}

func (n *netFuncs) number(L *lua.LState) int {
	ip, ok := n.address(L, 1)
	if !ok || !ip.Is4() {
		return pushNil(L)
	}
	return pushNumber(L, float64(u128Of(ip).lo))
}

func (n *netFuncs) bits(L *lua.LState, i int) int {
	x := num(L, i)
	if !(x >= 0 && x <= 128) || x != math.Floor(x) {
		L.ArgError(i, "bits expected, a whole number from 0 to 128")
	}
	return int(x)
}

func (n *netFuncs) mask(L *lua.LState) int {
	bits := n.bits(L, 2)
	bits6 := bits
	if L.Get(3) != lua.LNil {
		bits6 = n.bits(L, 3)
	}
	ip, ok := n.address(L, 1)
	if !ok {
		return pushNil(L)
	}
	if ip.Is6() {
		bits = bits6
	}
	p, err := ip.Prefix(min(bits, ip.BitLen()))
	if err != nil {
		return pushNil(L)
	}
	return pushText(L, p.Addr().String())
}

func (n *netFuncs) parse(L *lua.LState) int {
	text, ok := n.vs.keyArg(L, 1)
	if !ok {
		return pushNil(L)
	}
	text = strings.TrimSpace(text)
	prefix, ok := parsePrefix(text)
	head, _, _ := strings.Cut(text, "/")
	ip, ok2 := parseAddress(head)
	if !ok || !ok2 || ip.BitLen() != prefix.Addr().BitLen() {
		return pushNil(L)
	}
	version := 6
	if ip.Is4() {
		version = 4
	}
	limit := ip.BitLen()
	t := L.CreateTable(0, 6)
	t.RawSetString("ip", lua.LString(ip.String()))
	t.RawSetString("version", lua.LNumber(version))
	t.RawSetString("class", lua.LString(addressClass(ip)))
	t.RawSetString("bits", lua.LNumber(prefix.Bits()))
	t.RawSetString("first", lua.LString(prefix.Addr().String()))
	t.RawSetString("last", lua.LString(u128Of(prefix.Addr()).fill(limit-prefix.Bits()).addr(limit).String()))
	L.Push(t)
	return 1
}

func (n *netFuncs) reverse(L *lua.LState) int {
	ip, ok := n.address(L, 1)
	if !ok {
		return pushNil(L)
	}
	return pushText(L, reverseName(ip))
}

func (n *netFuncs) communityID(L *lua.LState) int {
	var f flowTuple
	ok := false
	if t, isTable := L.Get(1).(*lua.LTable); isTable {
		seed, given := n.seed(L, 2)
		if own, is := n.vs.member(t, "community_id").(lua.LString); is && !given {
			L.Push(own)
			return 1
		}
		f, ok = n.eventTuple(t)
		f.seed = seed
	} else {
		f, ok = n.argTuple(L)
	}
	if !ok {
		return pushNil(L)
	}
	id, ok := f.communityID()
	if !ok {
		return pushNil(L)
	}
	return pushText(L, id)
}

func (n *netFuncs) seed(L *lua.LState, i int) (seed uint16, given bool) {
	if L.Get(i) == lua.LNil {
		return 0, false
	}
	x := num(L, i)
	if !(x >= 0 && x <= 65535) || x != math.Floor(x) {
		L.ArgError(i, "seed expected, a whole number from 0 to 65535")
	}
	return uint16(x), true
}

func (n *netFuncs) argTuple(L *lua.LState) (f flowTuple, ok bool) {
	f.seed, _ = n.seed(L, 6)
	src, ok1 := n.vs.keyArg(L, 1)
	dest, ok2 := n.vs.keyArg(L, 3)
	proto, ok3 := n.vs.keyArg(L, 5)
	if !ok1 || !ok2 || !ok3 {
		return f, false
	}
	ok = f.addresses(src, dest) && f.protocol(proto)
	f.ports(n.portOf(L, 2), n.portOf(L, 4))
	return f, ok
}

// portOf returns argument i as a port or ICMP type, -1 for nil and what is none.
func (n *netFuncs) portOf(L *lua.LState, i int) int {
	text, ok := n.vs.keyArg(L, i)
	if !ok {
		return -1
	}
	return portNumber(text)
}

func (n *netFuncs) eventTuple(t *lua.LTable) (f flowTuple, ok bool) {
	field := func(key string) string {
		switch v := n.vs.member(t, key).(type) {
		case lua.LString:
			return string(v)
		case lua.LNumber:
			return formatNumber(float64(v))
		}
		return ""
	}
	if !f.addresses(field("src_ip"), field("dest_ip")) || !f.protocol(field("proto")) {
		return f, false
	}
	if f.isICMP() {
		f.ports(portNumber(field("icmp_type")), portNumber(field("icmp_code")))
	} else {
		f.ports(portNumber(field("src_port")), portNumber(field("dest_port")))
	}
	return f, true
}
