package filter

import "encoding/binary"

// Run runs a program on the frame that data begins, wire bytes long, as the kernel would; what the kernel keeps beside frames
// is not there. It returns how many bytes to keep, 0: the frame is refused.
func Run(code []Instruction, data []byte, wire int) int { return int(run(code, data, wire)) }

// run runs a program on a frame that was wire bytes long, and returns what it returns. A load from outside data ends it with
// 0, as in the kernel. Programs end: jumps lead forward.
func run(code []Instruction, data []byte, wire int) uint32 {
	var a, x uint32
	var m [16]uint32
	for pc := 0; pc < len(code); pc++ {
		i := &code[pc]
		switch i.Code {
		case ldW | modeAbs, ldH | modeAbs, ldB | modeAbs, ldW | modeInd, ldH | modeInd, ldB | modeInd:
			at := uint64(i.K)
			if i.Code&0xe0 == modeInd {
				at += uint64(x)
			}
			if at > uint64(len(data)) {
				return 0
			}
			b := data[at:]
			switch i.Code & 0x18 {
			case ldW:
				if len(b) < 4 {
					return 0
				}
				a = binary.BigEndian.Uint32(b)
			case ldH:
				if len(b) < 2 {
					return 0
				}
				a = uint32(binary.BigEndian.Uint16(b))
			default:
				if len(b) < 1 {
					return 0
				}
				a = uint32(b[0])
			}
		case ldImm:
			a = i.K
		case ldxImm:
			x = i.K
		case ldLen:
			a = uint32(wire)
		case ldMem:
			a = m[i.K&15]
		case ldxMem:
			x = m[i.K&15]
		case ldxMsh:
			if uint64(i.K) >= uint64(len(data)) {
				return 0
			}
			x = uint32(data[i.K]&15) * 4
		case stA:
			m[i.K&15] = a
		case stX:
			m[i.K&15] = x
		case tax:
			x = a
		case jump:
			pc += int(i.K)
		case retK:
			return i.K
		default:
			operand := i.K
			if i.Code&srcX != 0 {
				operand = x
			}
			switch i.Code & 7 {
			case jump:
				if holds(i.Code&0xf0, a, operand) {
					pc += int(i.Jt)
				} else {
					pc += int(i.Jf)
				}
			case alu:
				var ok bool
				if a, ok = calculate(i.Code&0xf0, a, operand); !ok {
					return 0
				}
			default:
				return 0
			}
		}
	}
	return 0
}

func holds(op uint16, a, b uint32) bool {
	switch op {
	case jeq:
		return a == b
	case jgt:
		return a > b
	case jge:
		return a >= b
	default:
		return a&b != 0
	}
}

// calculate returns the result of an operation of alu; ok is false for a division by 0.
func calculate(op uint16, a, b uint32) (result uint32, ok bool) {
	switch op {
	case opAdd:
		return a + b, true
	case opSub:
		return a - b, true
	case opMul:
		return a * b, true
	case opDiv, opMod:
		if b == 0 {
			return 0, false
		}
		if op == opMod {
			return a % b, true
		}
		return a / b, true
	case opOr:
		return a | b, true
	case opAnd:
		return a & b, true
	case opXor:
		return a ^ b, true
	case opLsh:
		return a << b, true // 0 from 32 on
	case opRsh:
		return a >> b, true
	default:
		return -a, true
	}
}
