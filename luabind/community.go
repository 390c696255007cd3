package luabind

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"
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

// icmpPairs are the types of ICMP and ICMPv6 that have a counterpart: request and answer share an ID.
var (
	icmpPairs  = map[int]int{8: 0, 0: 8, 13: 14, 14: 13, 15: 16, 16: 15, 17: 18, 18: 17, 10: 9, 9: 10}
	icmp6Pairs = map[int]int{128: 129, 129: 128, 133: 134, 134: 133, 135: 136, 136: 135, 130: 131, 131: 130, 139: 140, 140: 139, 144: 145, 145: 144}
)

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

func (f *flowTuple) hasPorts() bool {
	return f.isICMP() || f.proto == protoTCP || f.proto == protoUDP || f.proto == protoSCTP
}

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
	src, dest, sport, dport := f.src.AsSlice(), f.dest.AsSlice(), f.srcPort, f.destPort
	oneWay := false
	if f.isICMP() {
		pairs := icmpPairs
		if f.proto == protoICMP6 {
			pairs = icmp6Pairs
		}
		if answer, has := pairs[sport]; has {
			dport = answer
		} else {
			oneWay = true
		}
	}
	if !f.hasPorts() {
		sport, dport = 0, 0
	}
	if sport < 0 || dport < 0 {
		return "", false
	}
	if c := bytes.Compare(src, dest); !oneWay && (c > 0 || c == 0 && sport > dport) {
		src, dest, sport, dport = dest, src, dport, sport
	}
	buf := make([]byte, 0, 2+2*16+2+4)
	buf = binary.BigEndian.AppendUint16(buf, f.seed)
	buf = append(append(append(buf, src...), dest...), f.proto, 0)
	if f.hasPorts() {
		buf = binary.BigEndian.AppendUint16(buf, uint16(sport))
		buf = binary.BigEndian.AppendUint16(buf, uint16(dport))
	}
	sum := sha1.Sum(buf)
	return "1:" + base64.StdEncoding.EncodeToString(sum[:]), true
}
