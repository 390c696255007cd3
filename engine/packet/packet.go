// Package packet decodes captured frames: link layers, tags, tunnels, IP with its fragments, and the transport headers. It
// keeps no flows and knows no application protocol: engine/flow meters what comes out of here.
package packet

import (
	"encoding/binary"
	"net/netip"
)

// LinkType says what a frame begins with: the LINKTYPE_ values of pcap files (https://www.tcpdump.org/linktypes.html).
type LinkType uint16

// Frame is one frame as captured. Data may change when the next frame is read: who keeps some of it copies it.
type Frame struct {
	Time     int64    // nanoseconds since 1970
	Data     []byte   // as captured, from the link layer on
	Len      int      // on the wire; above len(Data) where the capture was cut (snaplen)
	LinkType LinkType // what Data begins with
	Number   uint64   // in its capture, from 1
}

// Addr is an IPv6 address, or an IPv4 address in its IPv4-mapped form.
type Addr [16]byte

var mapped = [12]byte{10: 0xff, 11: 0xff}

// IPv4 returns the address of the 4 bytes that b begins with.
func IPv4(b []byte) Addr {
	a := Addr{10: 0xff, 11: 0xff}
	copy(a[12:], b[:4])
	return a
}

// IPv6 returns the address of the 16 bytes that b begins with.
func IPv6(b []byte) (a Addr) {
	copy(a[:], b[:16])
	return a
}

// Is4 reports whether a is IPv4-mapped.
func (a Addr) Is4() bool { return [12]byte(a[:12]) == mapped }

// Netip returns a in the library's form, IPv4-mapped addresses as IPv4.
func (a Addr) Netip() netip.Addr { return netip.AddrFrom16(a).Unmap() }

// Less orders addresses as unsigned numbers.
func (a Addr) Less(b Addr) bool {
	if x, y := binary.BigEndian.Uint64(a[:8]), binary.BigEndian.Uint64(b[:8]); x != y {
		return x < y
	}
	return binary.BigEndian.Uint64(a[8:]) < binary.BigEndian.Uint64(b[8:])
}

// Protocols of IP (https://www.iana.org/assignments/protocol-numbers).
const (
	ICMP   = 1
	IPIP   = 4
	TCP    = 6
	UDP    = 17
	IPv6IP = 41 // 6in4, 6in6
	GRE    = 47
	ESP    = 50
	ICMPv6 = 58
	SCTP   = 132
)

// Flags of a TCP header (RFC 9293, RFC 3168).
const (
	FIN = 1 << iota
	SYN
	RST
	PSH
	ACK
	URG
	ECE
	CWR
)

// Tunnel says how a packet travelled inside another.
type Tunnel uint8

// The tunnels. NoTunnel is a packet that its frame carries directly.
const (
	NoTunnel Tunnel = iota
	TunnelGRE
	TunnelIPIP   // 4in4, 6in4, 4in6, 6in6
	TunnelVXLAN  // RFC 7348
	TunnelGeneve // RFC 8926
	TunnelTeredo // RFC 4380
	TunnelERSPAN
)

// MaxVLANs is how many tags of a frame are kept, from the outermost.
const MaxVLANs = 3

// Packet is one IP packet with its transport header. A frame with tunnels carries several; a fragmented datagram is one
// packet, at its last fragment. Slices point into the frame or into the decoder: valid until its next Decode.
type Packet struct {
	Time   int64  // of the frame; nanoseconds since 1970
	Number uint64 // of the frame

	Payload []byte // what was captured of the transport's payload: may be shorter than PayloadLen

	TCPOptions []byte // of the TCP header, as captured

	Src, Dst         Addr
	SrcPort, DstPort uint16 // TCP, UDP, SCTP; else 0
	Proto            uint8  // the transport's, after all extension headers
	TCPFlags         uint8  // FIN ... CWR
	V6               bool
	VLANs            uint8 // how many of VLAN are set

	// Bytes is what Suricata counts for a flow: the captured frame; of a packet in a tunnel the packet without the outer
	// headers (with its own Ethernet header where the tunnel carries one, but for VXLAN). Of a packet that the capture cut
	// off it is the length on the wire. IPBytes is the total length as in the IP header.
	Bytes   uint32
	IPBytes uint32

	PayloadLen uint32 // of the transport's payload as the headers say
	Seq, Ack   uint32
	HeaderLen  uint16 // of IP with options and extensions, and transport, in bytes
	Window     uint16
	VLAN       [MaxVLANs]uint16
	Fragments  uint16 // of how many fragments it was put together; 0: it was whole. Bytes then counts as Suricata does
	Depth      uint8  // 0: the outermost packet of its frame; 1: in a tunnel; 2: in a tunnel in a tunnel ...
	Tunnel     Tunnel // of the innermost tunnel around it

	ICMPType, ICMPCode uint8  // ICMP and ICMPv6
	SPI                uint32 // ESP
	Quoted             Quoted // in ICMP errors
}

// Quoted is the packet that an ICMP error complains about, as far as the error repeats it.
type Quoted struct {
	Valid            bool // the addresses are there, and of TCP and UDP the ports
	Proto            uint8
	Src, Dst         Addr
	SrcPort, DstPort uint16
}
