package filter

import "slices"

// The instruction set (linux/bpf_common.h). A and X are its registers, M its 16 words of memory.
const (
	ldW     = 0x00
	ldH     = 0x08
	ldB     = 0x10
	modeAbs = 0x20
	modeInd = 0x40
	ldMem   = 0x60
	ldLen   = 0x80
	ldImm   = 0x00
	ldxMem  = 0x61
	ldxMsh  = 0xb1 // 4 * (byte & 15): the length of an IPv4 header
	ldxImm  = 0x01
	stA     = 0x02
	stX     = 0x03
	alu     = 0x04
	srcX    = 0x08
	jump    = 0x05
	jeq     = 0x10
	jgt     = 0x20
	jge     = 0x30
	jset    = 0x40
	retK    = 0x06
	tax     = 0x07
)

// Operations of alu.
const (
	opAdd = 0x00
	opSub = 0x10
	opMul = 0x20
	opDiv = 0x30
	opOr  = 0x40
	opAnd = 0x50
	opLsh = 0x60
	opRsh = 0x70
	opNeg = 0x80
	opMod = 0x90
	opXor = 0xa0
)

// What the kernel keeps beside a frame (linux/filter.h), as places to load from.
const (
	adBase        = 0xfffff000
	adPacketType  = adBase + 4
	adVLAN        = adBase + 44
	adVLANPresent = adBase + 48
)

// cond is a condition on a frame: *test, *both, *either, *negated or constant.
type cond interface{}

type (
	test struct {
		load []Instruction // computes A, and X if x
		op   uint16        // jeq, jgt, jge, jset
		k    uint32
		x    bool // compares with X, not k
	}
	both     struct{ a, b cond }
	either   struct{ a, b cond }
	negated  struct{ a cond }
	constant bool
)

func and(a, b cond) cond {
	if c, ok := a.(constant); ok {
		if c {
			return b
		}
		return c
	}
	if c, ok := b.(constant); ok && bool(c) {
		return a
	}
	return &both{a, b}
}

func or(a, b cond) cond {
	if c, ok := a.(constant); ok {
		if c {
			return c
		}
		return b
	}
	if c, ok := b.(constant); ok && !bool(c) {
		return a
	}
	return &either{a, b}
}

func not(a cond) cond {
	switch a := a.(type) {
	case constant:
		return !a
	case *negated:
		return a.a
	}
	return &negated{a}
}

// label is the place of a condition, counted in instructions from the end of the program.
type label int

// assembler writes a program from its end to its start, so that the targets of all jumps, which only lead forward, are known.
type assembler struct {
	reversed []Instruction
}

// assemble returns a program that takes the frames for which c is true.
func assemble(c cond) []Instruction {
	var a assembler
	a.emit(Instruction{Code: retK})
	no := a.here()
	a.emit(Instruction{Code: retK, K: accept})
	yes := a.here()
	a.cond(c, yes, no)
	slices.Reverse(a.reversed)
	return a.reversed
}

func (a *assembler) emit(i Instruction) { a.reversed = append(a.reversed, i) }
func (a *assembler) here() label        { return label(len(a.reversed)) }

// cond writes c in front of what is there: it goes on at yes or no.
func (a *assembler) cond(c cond, yes, no label) {
	if len(a.reversed) > 4*MaxInstructions {
		return // too long in any case
	}
	switch c := c.(type) {
	case constant:
		to := no
		if c {
			to = yes
		}
		if to != a.here() {
			a.emit(Instruction{Code: jump, K: uint32(a.here() - to)})
		}
	case *negated:
		a.cond(c.a, no, yes)
	case *both:
		a.cond(c.b, yes, no)
		a.cond(c.a, a.here(), no)
	case *either:
		a.cond(c.b, yes, no)
		a.cond(c.a, yes, a.here())
	case *test:
		a.test(c, yes, no)
	}
}

// test writes a test with its conditional jump, which reaches 255 instructions: further targets get a jump beside it.
func (a *assembler) test(t *test, yes, no label) {
	if a.here()-no > 254 {
		a.emit(Instruction{Code: jump, K: uint32(a.here() - no)})
		no = a.here()
	}
	if a.here()-yes > 254 {
		a.emit(Instruction{Code: jump, K: uint32(a.here() - yes)})
		yes = a.here()
	}
	i := Instruction{Code: jump | t.op, Jt: uint8(a.here() - yes), Jf: uint8(a.here() - no), K: t.k}
	if t.x {
		i.Code, i.K = i.Code|srcX, 0
	}
	a.emit(i)
	for _, l := range slices.Backward(t.load) {
		a.emit(l)
	}
}
