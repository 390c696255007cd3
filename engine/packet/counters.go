package packet

// Counter is a number of the decoder: how often Name happened since it was made.
type Counter struct {
	Name  string
	Count uint64
}

// counter is an index into Decoder.counts and names.
type counter uint8

// Every frame is counted in frames, and in one of the four classes behind it.
const (
	noOutcome counter = iota
	frames
	framesDecoded
	framesOther
	framesFragment
	framesMalformed
	packets

	// Fragments. Those received are used, held, lost or dropped.
	ipv4Fragments
	ipv6Fragments
	fragmentsUsed
	fragmentsHeld
	fragmentsLost
	fragmentsDropped
	fragmentsCut
	ipv4Reassembled
	ipv6Reassembled
	ipv4Overlap
	ipv6Overlap
	ipv6Atomic
	ipv6RepeatedFragment
	fragmentsTimeout
	datagramsEvicted
	datagramsTooLarge

	// What carries no IP.
	firstOther
	etherARP
	etherLLDP
	etherEAPOL
	etherMACsec
	etherPTP
	etherLoop
	etherIPX
	etherLLC
	etherPPPoEDiscovery
	etherOther
	linkUnknown
	nullFamily
	pppOther
	greOther
	wifiOther
	lastOther

	// What is malformed.
	firstMalformed
	ethernetTooSmall
	vlanTooSmall
	vlanTooMany
	vntagTooSmall
	etagTooSmall
	dot1ahTooSmall
	fabricPathTooSmall
	llcTooSmall
	nullTooSmall
	rawVersion
	sllTooSmall
	sll2TooSmall
	chdlcTooSmall
	wifiTooSmall
	pppTooSmall
	pppoeTooSmall
	pppoeWrongCode
	mplsTooSmall
	mplsPacketTooSmall
	mplsBadLabel
	mplsUnknown
	nshTooSmall
	nshVersion
	nshBadLength
	nshType
	nshUnknown
	ipv4TooSmall
	ipv4Version
	ipv4HeaderTooSmall
	ipv4LengthBelowHeader
	ipv4Truncated
	ipv4BadOption
	ipv4WithICMPv6
	ipv4FragmentTooLarge
	ipv6TooSmall
	ipv6Version
	ipv6Truncated
	ipv6TruncatedExtension
	ipv6WithICMP
	ipv6FragmentTooLarge
	ipv4InIPv6TooSmall
	ipv4InIPv6Version
	ipv6InIPv6TooSmall
	ipv6InIPv6Version
	tcpTooSmall
	tcpHeaderTooSmall
	tcpBadOptionLength
	udpTooSmall
	udpHeaderTooSmall
	udpBadLength
	icmpv4TooSmall
	icmpv6TooSmall
	sctpTooSmall
	espTooSmall
	greTooSmall
	greWrongVersion
	greRecursion0
	greFlags0
	greHeaderTooBig0
	greBadRoute
	greChecksum1
	greRoute1
	greStrict1
	greRecursion1
	greFlags1
	greNoKey1
	greWrongProtocol1
	greHeaderTooBig1
	vxlanUnknown
	geneveUnknown
	erspanTooSmall
	erspanVersion
	tooManyLayers
	lastMalformed // the sum of the kinds

	lastCounter
)

// names are those of Suricata's decoder events without "decoder.event.", where it has one.
var names = [lastCounter]string{
	frames: "frames", framesDecoded: "frames.decoded", framesOther: "frames.other", framesFragment: "frames.fragment",
	framesMalformed: "frames.malformed", packets: "packets",

	ipv4Fragments: "ipv4.fragments", ipv6Fragments: "ipv6.fragments", fragmentsUsed: "fragments.used",
	fragmentsHeld: "fragments.held", fragmentsLost: "fragments.lost", fragmentsDropped: "fragments.dropped",
	fragmentsCut: "fragments.cut", ipv4Reassembled: "ipv4.reassembled", ipv6Reassembled: "ipv6.reassembled",
	ipv4Overlap: "ipv4.frag_overlap", ipv6Overlap: "ipv6.frag_overlap", ipv6Atomic: "ipv6.exthdr_useless_fh",
	ipv6RepeatedFragment: "ipv6.exthdr_dupl_fh",
	fragmentsTimeout:     "datagrams.timeout", datagramsEvicted: "datagrams.evicted", datagramsTooLarge: "datagrams.too_large",

	etherARP: "other.arp", etherLLDP: "other.lldp", etherEAPOL: "other.eapol", etherMACsec: "other.macsec", etherPTP: "other.ptp",
	etherLoop: "other.loopback", etherIPX: "other.ipx", etherLLC: "other.llc", etherPPPoEDiscovery: "other.pppoe_discovery",
	etherOther: "other.ethertype", linkUnknown: "other.linktype", nullFamily: "other.family", pppOther: "other.ppp",
	greOther: "other.gre", wifiOther: "other.wifi",

	ethernetTooSmall: "ethernet.pkt_too_small", vlanTooSmall: "vlan.header_too_small", vlanTooMany: "vlan.too_many_layers",
	vntagTooSmall: "vntag.header_too_small", etagTooSmall: "etag.header_too_small", dot1ahTooSmall: "ieee8021ah.header_too_small",
	fabricPathTooSmall: "dce.pkt_too_small", llcTooSmall: "llc.header_too_small", nullTooSmall: "ltnull.pkt_too_small",
	rawVersion: "ipraw.invalid_ip_version", sllTooSmall: "sll.pkt_too_small", sll2TooSmall: "sll2.pkt_too_small",
	chdlcTooSmall: "chdlc.pkt_too_small", wifiTooSmall: "wifi.pkt_too_small", pppTooSmall: "ppp.pkt_too_small",
	pppoeTooSmall: "pppoe.pkt_too_small", pppoeWrongCode: "pppoe.wrong_code", mplsTooSmall: "mpls.header_too_small",
	mplsPacketTooSmall: "mpls.pkt_too_small", mplsBadLabel: "mpls.bad_label", mplsUnknown: "mpls.unknown_payload_type",
	nshTooSmall: "nsh.header_too_small", nshVersion: "nsh.unsupported_version", nshBadLength: "nsh.bad_header_length",
	nshType: "nsh.unsupported_type", nshUnknown: "nsh.unknown_payload", ipv4TooSmall: "ipv4.pkt_too_small",
	ipv4Version: "ipv4.wrong_ip_version", ipv4HeaderTooSmall: "ipv4.hlen_too_small",
	ipv4LengthBelowHeader: "ipv4.iplen_smaller_than_hlen", ipv4Truncated: "ipv4.trunc_pkt", ipv4BadOption: "ipv4.opt_invalid_len",
	ipv4WithICMPv6: "ipv4.icmpv6", ipv4FragmentTooLarge: "ipv4.frag_pkt_too_large", ipv6TooSmall: "ipv6.pkt_too_small",
	ipv6Version: "ipv6.wrong_ip_version", ipv6Truncated: "ipv6.trunc_pkt", ipv6TruncatedExtension: "ipv6.trunc_exthdr",
	ipv6WithICMP: "ipv6.icmpv4", ipv6FragmentTooLarge: "ipv6.frag_pkt_too_large", ipv4InIPv6TooSmall: "ipv6.ipv4_in_ipv6_too_small",
	ipv4InIPv6Version: "ipv6.ipv4_in_ipv6_wrong_version", ipv6InIPv6TooSmall: "ipv6.ipv6_in_ipv6_too_small",
	ipv6InIPv6Version: "ipv6.ipv6_in_ipv6_wrong_version", tcpTooSmall: "tcp.pkt_too_small",
	tcpHeaderTooSmall: "tcp.hlen_too_small", tcpBadOptionLength: "tcp.invalid_optlen", udpTooSmall: "udp.pkt_too_small",
	udpHeaderTooSmall: "udp.hlen_too_small", udpBadLength: "udp.len_invalid", icmpv4TooSmall: "icmpv4.pkt_too_small",
	icmpv6TooSmall: "icmpv6.pkt_too_small", sctpTooSmall: "sctp.pkt_too_small", espTooSmall: "esp.pkt_too_small",
	greTooSmall: "gre.pkt_too_small", greWrongVersion: "gre.wrong_version", greRecursion0: "gre.version0_recur",
	greFlags0: "gre.version0_flags", greHeaderTooBig0: "gre.version0_hdr_too_big", greBadRoute: "gre.version0_malformed_sre_hdr",
	greChecksum1: "gre.version1_chksum", greRoute1: "gre.version1_route", greStrict1: "gre.version1_ssr",
	greRecursion1: "gre.version1_recur", greFlags1: "gre.version1_flags", greNoKey1: "gre.version1_no_key",
	greWrongProtocol1: "gre.version1_wrong_protocol", greHeaderTooBig1: "gre.version1_hdr_too_big",
	vxlanUnknown: "vxlan.unknown_payload_type", geneveUnknown: "geneve.unknown_payload_type",
	erspanTooSmall: "erspan.header_too_small", erspanVersion: "erspan.unsupported_version", tooManyLayers: "too_many_layers",
	lastMalformed: "malformed",
}

// Counters returns what the decoder has counted, always the same names in the same order. frames is the sum of
// frames.decoded (with packets), frames.other (without IP), frames.fragment (of a datagram that gave no packet yet) and
// frames.malformed. The kinds other.* and those named after a protocol also count inside tunnels whose outer packet is
// decoded; malformed is their sum. ipv4.fragments and ipv6.fragments together are the fragments used in datagrams, held,
// lost (with a datagram that timed out, was evicted or too large) and dropped (repeated, cut, beyond the largest datagram).
func (d *Decoder) Counters() []Counter {
	out := make([]Counter, 0, len(names))
	for i, name := range names {
		if name != "" {
			out = append(out, Counter{Name: name, Count: d.counts[i]})
		}
	}
	return out
}

// malformed counts what cannot be decoded.
func (d *Decoder) malformed(kind counter) {
	d.counts[kind]++
	d.counts[lastMalformed]++
	if d.outcome == noOutcome {
		d.outcome = framesMalformed
	}
}

// other counts what carries no IP.
func (d *Decoder) other(kind counter) {
	d.counts[kind]++
	if d.outcome == noOutcome {
		d.outcome = framesOther
	}
}
