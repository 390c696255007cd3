package luabind

import (
	"fmt"
	"math"
	"math/bits"

	lua "github.com/yuin/gopher-lua"
)

// toBit reduces a number to 32 bits as LuaJIT does: to the nearest integer, modulo 2^32.
func toBit(n float64) uint32 {
	if n != n || math.IsInf(n, 0) {
		return 0
	}
	n = math.RoundToEven(n)
	if n >= -1<<62 && n <= 1<<62 {
		return uint32(int64(n))
	}
	m := math.Mod(n, 1<<32)
	if m < 0 {
		m += 1 << 32
	}
	return uint32(m)
}

func bitResult(L *lua.LState, n uint32) int {
	L.Push(lua.LNumber(int32(n)))
	return 1
}

func bitModule() module {
	fold := func(f func(a, b uint32) uint32) lua.LGFunction {
		return func(L *lua.LState) int {
			n := toBit(num(L, 1))
			for i := 2; i <= L.GetTop(); i++ {
				n = f(n, toBit(num(L, i)))
			}
			return bitResult(L, n)
		}
	}
	shift := func(f func(n uint32, by uint) uint32) lua.LGFunction {
		return func(L *lua.LState) int { return bitResult(L, f(toBit(num(L, 1)), uint(toBit(num(L, 2))&31))) }
	}
	one := func(f func(n uint32) uint32) lua.LGFunction {
		return func(L *lua.LState) int { return bitResult(L, f(toBit(num(L, 1)))) }
	}
	return module{Name: "bit", Doc: "Bit operations on 32-bit integers, as LuaJIT's: results are signed.", Funcs: []hostFunc{
		{"tobit", "tobit(n) -> n", "n modulo 2^32 as a signed integer.", `assert(bit.tobit(0xffffffff) == -1)`, one(func(n uint32) uint32 { return n })},
		{"tohex", "tohex(n [, digits]) -> text", "Hexadecimal digits, 8 or as many as asked for; a negative count gives capitals.", `assert(bit.tohex(255, 4) == "00ff")`, bitToHex},
		{"bnot", "bnot(n) -> n", "All bits inverted.", `assert(bit.bnot(0) == -1)`, one(func(n uint32) uint32 { return ^n })},
		{"band", "band(n, ...) -> n", "Bitwise and.", `assert(bit.band(12, 10) == 8)`, fold(func(a, b uint32) uint32 { return a & b })},
		{"bor", "bor(n, ...) -> n", "Bitwise or.", `assert(bit.bor(12, 10) == 14)`, fold(func(a, b uint32) uint32 { return a | b })},
		{"bxor", "bxor(n, ...) -> n", "Bitwise exclusive or.", `assert(bit.bxor(12, 10) == 6)`, fold(func(a, b uint32) uint32 { return a ^ b })},
		{"lshift", "lshift(n, by) -> n", "Shifted left; by counts modulo 32.", `assert(bit.lshift(1, 4) == 16)`, shift(func(n uint32, by uint) uint32 { return n << by })},
		{"rshift", "rshift(n, by) -> n", "Shifted right, zeros come in.", `assert(bit.rshift(-1, 28) == 15)`, shift(func(n uint32, by uint) uint32 { return n >> by })},
		{"arshift", "arshift(n, by) -> n", "Shifted right, the sign comes in.", `assert(bit.arshift(-16, 2) == -4)`, shift(func(n uint32, by uint) uint32 { return uint32(int32(n) >> by) })},
		{"rol", "rol(n, by) -> n", "Rotated left.", `assert(bit.rol(1, 33) == 2)`, shift(func(n uint32, by uint) uint32 { return bits.RotateLeft32(n, int(by)) })},
		{"ror", "ror(n, by) -> n", "Rotated right.", `assert(bit.ror(2, 1) == 1)`, shift(func(n uint32, by uint) uint32 { return bits.RotateLeft32(n, -int(by)) })},
		{"bswap", "bswap(n) -> n", "Bytes in the other order.", `assert(bit.bswap(0x01020304) == 0x04030201)`, one(bits.ReverseBytes32)},
	}}
}

func bitToHex(L *lua.LState) int {
	digits := optInteger(L, 2, 8)
	format := "%0*x"
	if digits < 0 {
		digits, format = -digits, "%0*X"
	}
	digits = min(digits, 8)
	n := toBit(num(L, 1))
	if digits < 8 {
		n &= 1<<(4*digits) - 1
	}
	if digits == 0 {
		L.Push(lua.LString(""))
	} else {
		L.Push(lua.LString(fmt.Sprintf(format, digits, n)))
	}
	return 1
}
