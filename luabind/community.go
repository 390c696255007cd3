package luabind

import (
	"net/netip"
	"strconv"
	"strings"

	"dragonfly/engine/communityid"
)

// flowTuple is what Community ID v1 is made of (github.com/corelight/community-id-spec).
type flowTuple struct {
	src, dest         netip.Addr // IPv4-mapped addresses stay IPv6, as they were on the wire
	srcPort, destPort int        // ICMP: type and code; -1 is not known
	proto             uint8
	seed              uint16
}

// Numbers of protocols that the Community ID treats on their own.
const (
	protoICMP, protoTCP, protoUDP, protoICMP6, protoSCTP = 1, 6, 17, 58, 132
)

// protoNumbers are the names that EVE and people use, in lower case, for IANA's numbers.
var protoNumbers = map[string]uint8{
	"icmp": protoICMP, "igmp": 2, "ipip": 4, "tcp": protoTCP, "egp": 8, "igp": 9, "udp": protoUDP, "dccp": 33, "ipv6": 41, "rsvp": 46,
	"gre": 47, "esp": 50, "ah": 51, "ipv6-icmp": protoICMP6, "icmpv6": protoICMP6, "icmp6": protoICMP6, "eigrp": 88, "ospf": 89,
	"pim": 103, "vrrp": 112, "l2tp": 115, "sctp": protoSCTP, "udplite": 136,
}

func (f *flowTuple) addresses(src, dest string) bool {
	if len(src) > maxAddress || len(dest) > maxAddress {
		return false
	}
	a, err1 := netip.ParseAddr(src)
	b, err2 := netip.ParseAddr(dest)
	f.src, f.dest = a.WithZone(""), b.WithZone("")
	return err1 == nil && err2 == nil && a.BitLen() == b.BitLen()
}

func (f *flowTuple) protocol(text string) (ok bool) {
	if n, err := strconv.ParseUint(text, 10, 8); err == nil {
		f.proto = uint8(n)
		return true
	}
	f.proto, ok = protoNumbers[strings.ToLower(text)]
	return ok
}

func (f *flowTuple) isICMP() bool { return f.proto == protoICMP || f.proto == protoICMP6 }

func (f *flowTuple) hasPorts() bool { return communityid.HasPorts(f.proto) }

func (f *flowTuple) ports(src, dest int) { f.srcPort, f.destPort = src, dest }

// portNumber reads a port, -1 if text is none.
func portNumber(text string) int {
	n, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return -1
	}
	return int(n)
}

// communityID returns the ID; ok is false if a port is missing that it needs.
func (f *flowTuple) communityID() (id string, ok bool) {
	sport, dport := f.srcPort, f.destPort
	if f.isICMP() && sport >= 0 && sport < 256 && dport < 0 {
		if answer, has := communityid.Answer(f.proto, uint8(sport)); has {
			dport = int(answer)
		}
	}
	if !f.hasPorts() {
		sport, dport = 0, 0
	}
	if sport < 0 || dport < 0 {
		return "", false
	}
	return string(communityid.Append(nil, f.seed, f.proto, f.src.AsSlice(), f.dest.AsSlice(), uint16(sport), uint16(dport))), true
}
