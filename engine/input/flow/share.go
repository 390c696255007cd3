package flow

import (
	"golang.org/x/sys/unix"

	"dragonfly/engine/packet"
	"dragonfly/engine/packet/filter"
)

// share returns a program that goes on behind its end with one in n of all frames and refuses the others: frames between the
// same two addresses have the same part. It stands in front of the filter of each ring, where others use PACKET_FANOUT: a
// socket in a fanout group cannot be bound again when its interface comes back, groups have numbers that processes must agree
// on, and the hash of the kernel has the fragments of a flow come to another socket than the rest, or puts them
// together itself so that their bytes and number are lost. The price is that the kernel runs this for each ring, some 30 ns.
//
// The addresses are those of the outermost IP header, behind up to two tags that are in the frame; of an ICMP error about
// something that could not be delivered those of the packet that it quotes, as it belongs to that flow. All other frames, and
// headers that are cut off, are in part 0.
func share(part, n int, link packet.LinkType) []filter.Instruction {
	if n <= 1 {
		return nil
	}
	var p program
	v4, v6, mix, other := p.label(), p.label(), p.label(), p.label()
	if link == filter.Raw {
		some, no4 := p.label(), p.label()
		p.op(ldxImm, 0)
		p.op(ldLen, 0)
		p.jump(jge, 1, some, other)
		p.place(some)
		p.op(ldB|abs, 0)
		p.op(alu|and, 0xf0)
		p.jump(jeq, 0x40, v4, no4)
		p.place(no4)
		p.jump(jeq, 0x60, v6, other)
	} else {
		for i := range uint32(3) {
			some, tag, a, b, next := p.label(), p.label(), p.label(), p.label(), p.label()
			p.op(ldLen, 0)
			p.jump(jge, 14+4*i, some, other)
			p.place(some)
			p.op(ldxImm, 14+4*i)
			p.op(ldH|abs, 12+4*i)
			p.jump(jeq, 0x0800, v4, a)
			p.place(a)
			p.jump(jeq, 0x86dd, v6, b)
			p.place(b)
			if i == 2 {
				p.to(other)
				continue
			}
			p.jump(jeq, 0x8100, next, tag)
			p.place(tag)
			p.jump(jeq, 0x88a8, next, other)
			p.place(next)
		}
	}
	p.ip4(v4, mix, other)
	p.ip6(v6, other) // goes on with mix
	p.place(mix)
	p.op(stA, 0)
	p.op(alu|rsh, 16)
	p.op(ldxMem, 0)
	p.op(alu|xor|fromX, 0)
	p.op(alu|mul, 0x9e3779b1) // 2^32 / the golden ratio: near addresses come far apart
	p.op(alu|rsh, 16)
	p.op(alu|mod, uint32(n))
	p.op(stA, 0)
	yes, no, known := p.label(), p.label(), p.label()
	p.to(known)
	p.place(other)
	p.op(ldImm, 0)
	p.place(known)
	p.jump(jeq, uint32(part), yes, no)
	p.place(no)
	p.op(ret, 0)
	p.place(yes)
	return p.link()
}

// ip4 leaves the addresses of the IPv4 header at X in A, combined, and goes to mix.
func (p *program) ip4(v4, mix, other int) {
	enough, plain, whole, icmp, inside, error3, quotes := p.label(), p.label(), p.label(), p.label(), p.label(), p.label(), p.label()
	p.place(v4)
	p.op(stX, 2)
	p.op(ldLen, 0)
	p.op(alu|sub|fromX, 0)
	p.jump(jge, 20, enough, other)
	p.place(enough)
	p.op(ldB|ind, 9)
	p.jump(jeq, 1, icmp, plain)
	p.place(icmp)
	p.op(ldH|ind, 6)
	p.jump(jset, 0x1fff, plain, whole)
	p.place(whole)
	p.op(ldB|ind, 0)
	p.op(alu|and, 15)
	p.op(alu|lsh, 2)
	p.op(alu|add|fromX, 0)
	p.op(tax, 0) // X: the ICMP header
	p.op(ldLen, 0)
	p.op(alu|sub|fromX, 0)
	p.jump(jset, 1<<31, plain, inside) // X is behind the end
	p.place(inside)
	p.jump(jge, 28, error3, plain)
	p.place(error3)
	p.op(ldB|ind, 0)
	p.jump(jeq, 3, quotes, plain)
	p.place(quotes)
	p.op(ldW|ind, 20)
	p.op(stA, 0)
	p.op(ldW|ind, 24)
	p.op(ldxMem, 0)
	p.op(alu|xor|fromX, 0)
	p.to(mix)
	p.place(plain)
	p.op(ldxMem, 2)
	p.op(ldW|ind, 12)
	p.op(stA, 0)
	p.op(ldW|ind, 16)
	p.op(ldxMem, 0)
	p.op(alu|xor|fromX, 0)
	p.to(mix)
}

// ip6 does so for the IPv6 header at X, and goes on behind itself.
func (p *program) ip6(v6, other int) {
	enough := p.label()
	p.place(v6)
	p.op(stX, 2)
	p.op(ldLen, 0)
	p.op(alu|sub|fromX, 0)
	p.jump(jge, 40, enough, other)
	p.place(enough)
	for i := range uint32(8) {
		p.op(ldW|ind, 8+4*i)
		p.op(stA, 3+i)
	}
	for i := range uint32(7) {
		p.op(ldxMem, 3+i)
		p.op(alu|xor|fromX, 0)
	}
}

// Instructions (linux/bpf_common.h).
const (
	ldImm  = unix.BPF_LD | unix.BPF_IMM
	ldLen  = unix.BPF_LD | unix.BPF_LEN
	ldxImm = unix.BPF_LDX | unix.BPF_IMM
	ldxMem = unix.BPF_LDX | unix.BPF_MEM
	ldW    = unix.BPF_LD | unix.BPF_W
	ldH    = unix.BPF_LD | unix.BPF_H
	ldB    = unix.BPF_LD | unix.BPF_B
	abs    = unix.BPF_ABS
	ind    = unix.BPF_IND
	stA    = unix.BPF_ST
	stX    = unix.BPF_STX
	alu    = unix.BPF_ALU
	fromX  = unix.BPF_X
	add    = unix.BPF_ADD
	sub    = unix.BPF_SUB
	mul    = unix.BPF_MUL
	mod    = unix.BPF_MOD
	and    = unix.BPF_AND
	xor    = unix.BPF_XOR
	lsh    = unix.BPF_LSH
	rsh    = unix.BPF_RSH
	jeq    = unix.BPF_JMP | unix.BPF_JEQ
	jge    = unix.BPF_JMP | unix.BPF_JGE
	jset   = unix.BPF_JMP | unix.BPF_JSET
	ret    = unix.BPF_RET
	tax    = unix.BPF_MISC | unix.BPF_TAX
)

// program is a program that is being written. Its jumps name labels.
type program struct {
	code   []filter.Instruction
	jumps  []targets // by instruction; the zero value: it is none
	labels []int     // places, by label
}

type targets struct{ set, yes, no int }

func (p *program) label() int {
	p.labels = append(p.labels, -1)
	return len(p.labels) - 1
}

func (p *program) place(label int) { p.labels[label] = len(p.code) }

func (p *program) op(code uint16, k uint32) {
	p.code, p.jumps = append(p.code, filter.Instruction{Code: code, K: k}), append(p.jumps, targets{})
}

func (p *program) jump(code uint16, k uint32, yes, no int) {
	p.op(code, k)
	p.jumps[len(p.jumps)-1] = targets{1, yes, no}
}

func (p *program) to(label int) {
	p.op(unix.BPF_JMP|unix.BPF_JA, 0)
	p.jumps[len(p.jumps)-1] = targets{2, label, label}
}

// link fills in the jumps: none is longer than 255.
func (p *program) link() []filter.Instruction {
	for i, j := range p.jumps {
		yes, no := p.labels[j.yes]-i-1, p.labels[j.no]-i-1
		if j.set != 0 && (yes < 0 || no < 0 || yes > 255 || no > 255) {
			panic("BUG: a jump without a target")
		}
		switch j.set {
		case 1:
			p.code[i].Jt, p.code[i].Jf = uint8(yes), uint8(no)
		case 2:
			p.code[i].K = uint32(yes)
		}
	}
	return p.code
}
