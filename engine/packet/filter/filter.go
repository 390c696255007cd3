// Package filter compiles the filter expressions of tcpdump (pcap-filter(7)) into programs of the classic Berkeley packet
// filter: for the kernel, which runs them for each frame of a capture socket, and for frames of capture files.
//
// It is a compiler of our own as the programs here are static and without libpcap, and as the one in pure Go that was there,
// packetcap/go-pcap, refuses or miscompiles common expressions ("icmp and src host ...", byte expressions, "vlan").
//
// Supported: host, net (with /bits, mask, 10.1), port, portrange, src, dst, proto; ether, ip, ip6, arp, rarp, tcp, udp, sctp,
// icmp, icmp6, igmp, pim, ah, esp, vrrp; ether host, broadcast, multicast; vlan, mpls, pppoed, pppoes; less, greater,
// inbound, outbound; expressions over bytes such as tcp[tcpflags] & (tcp-syn|tcp-fin) != 0; and, or, not, parentheses.
// As in pcap-filter(7), "and" and "or" bind equally and from the left, and "vlan", "mpls" and "pppoes" move what is right of
// them. Names of hosts are not looked up; protochain, gateway and the words of wireless and ATM links are not known.
package filter

import (
	"fmt"

	"dragonfly/engine/packet"
)

// Instruction is one instruction of a program, laid out as the kernel's struct sock_filter.
type Instruction struct {
	Code   uint16
	Jt, Jf uint8 // instructions to skip if a jump's condition is true, false
	K      uint32
}

// View says how the frames look that a program will see.
type View int

const (
	// File is a frame with all that was on the wire.
	File View = iota
	// Kernel is a frame in a packet socket: the kernel has taken the outermost VLAN tag off and keeps it beside. Before the
	// word vlan the frame counts as untagged ("port 22" takes tagged frames too, as in tcpdump on an interface); vlan and its
	// number look at the tag that was taken off, or at one in the frame.
	Kernel
)

// MaxInstructions is the longest program that Linux takes.
const MaxInstructions = 4096

// MaxLength is the longest expression in bytes.
const MaxLength = 16 << 10

// Error is a mistake in an expression.
type Error struct {
	Expr string
	Pos  int    // byte in Expr, from 0
	Msg  string // what is wrong there, and what is wanted
}

func (e *Error) Error() string {
	near := e.Expr[min(e.Pos, len(e.Expr)):]
	if len(near) > 20 {
		near = near[:20] + "..."
	}
	if near == "" {
		return fmt.Sprintf("filter: at its end: %s", e.Msg)
	}
	return fmt.Sprintf("filter: at character %d, %q: %s", e.Pos+1, near, e.Msg)
}

// Program is a compiled expression for one link type. It never changes.
type Program struct {
	code []Instruction
}

// accept is what a program returns for a frame that it takes: how many bytes of it to keep.
const accept = 0x40000

// Compile compiles expr for frames that begin with link. The empty expression takes all. The error is an *Error.
func Compile(expr string, link packet.LinkType, view View) (*Program, error) {
	first, ok := layouts[link]
	if !ok {
		return nil, &Error{expr, 0, fmt.Sprintf("frames of link type %d cannot be filtered: leave the filter out", link)}
	}
	if len(expr) > MaxLength {
		return nil, &Error{expr, MaxLength, fmt.Sprintf("longer than %d bytes: join addresses to networks", MaxLength)}
	}
	c, moved, err := parse(expr, first, view, false)
	if err != nil {
		return nil, err
	}
	if view == Kernel && moved { // it says vlan: another program for frames whose tag was taken off
		tagged, _, err := parse(expr, first, view, true)
		if err != nil {
			return nil, err
		}
		present := cond(&test{load: []Instruction{{ldW | modeAbs, 0, 0, adVLANPresent}}, op: jeq, k: 1})
		c = or(and(present, tagged), and(not(present), c))
	}
	code := assemble(c)
	if len(code) > MaxInstructions {
		return nil, &Error{expr, len(expr), fmt.Sprintf("makes a program of %d instructions, at most %d are possible: join addresses to networks", len(code), MaxInstructions)}
	}
	return &Program{code}, nil
}

// Instructions returns the program with snaplen, the bytes to keep of a frame that it takes.
func (p *Program) Instructions(snaplen int) []Instruction {
	code := append([]Instruction{}, p.code...)
	for i := range code {
		if code[i].Code == retK && code[i].K != 0 {
			code[i].K = uint32(snaplen)
		}
	}
	return code
}

// Match reports whether p takes f, which must be of the link type that p was compiled for.
func (p *Program) Match(f *packet.Frame) bool { return run(p.code, f.Data, f.Len) != 0 }

// Filter matches frames of captures whose link types are known when the frames come. It belongs to one goroutine.
type Filter struct {
	expr     string
	programs map[packet.LinkType]*Program
	last     *Program
	lastLink packet.LinkType
}

// New checks expr. The error is an *Error.
func New(expr string) (*Filter, error) {
	p, err := Compile(expr, Ethernet, File)
	if err != nil {
		return nil, err
	}
	return &Filter{expr: expr, programs: map[packet.LinkType]*Program{Ethernet: p}, last: p, lastLink: Ethernet}, nil
}

// Match reports whether the filter takes f. The error says that the expression cannot be used with frames of f's link type.
func (f *Filter) Match(frame *packet.Frame) (bool, error) {
	if frame.LinkType != f.lastLink {
		p, ok := f.programs[frame.LinkType]
		if !ok {
			var err error
			if p, err = Compile(f.expr, frame.LinkType, File); err != nil {
				return false, err
			}
			f.programs[frame.LinkType] = p
		}
		f.last, f.lastLink = p, frame.LinkType
	}
	return f.last.Match(frame), nil
}
