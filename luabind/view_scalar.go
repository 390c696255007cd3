package luabind

import (
	"math"
	"math/bits"
	"strconv"
	"strings"
	"unsafe"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/lazyjson"
)

// internLen is the number of recently seen strings, and of numbers, that an interpreter keeps as Lua values: making one
// costs two allocations. Events repeat most of what scripts read ("TCP", "alert", addresses, ports).
const internLen = 2048

// internMax is the longest string in bytes that is kept.
const internMax = 64

// scalar decodes a value that is not a container. Strings are copied: a script that keeps one must not keep the chunk
// that the event was read in.
func (vs *views) scalar(body string, f *lazyjson.Field) lua.LValue {
	switch f.Kind {
	case lazyjson.String:
		raw := body[f.ValOff+1 : f.ValEnd-1]
		if f.ValEscaped {
			if i := strings.IndexByte(raw, '\\'); i >= 0 {
				return lua.LString(lazyjson.Unquote(raw))
			}
		}
		return vs.internString(raw)
	case lazyjson.Number:
		return vs.number(body[f.ValOff:f.ValEnd])
	case lazyjson.True:
		return lua.LTrue
	case lazyjson.False:
		return lua.LFalse
	}
	return vs.null
}

// internString returns s as a Lua value with its own memory.
func (vs *views) internString(s string) lua.LValue {
	if len(s) == 0 || len(s) > internMax {
		return lua.LString(strings.Clone(s))
	}
	slot := &vs.strings[hashString(s)%internLen]
	if old := (*slot).(lua.LString); string(old) == s {
		return *slot
	}
	v := lua.LValue(lua.LString(strings.Clone(s)))
	*slot = v
	return v
}

// hashString mixes the length and the outer 16 bytes of s; len(s) > 0.
func hashString(s string) uint64 {
	var a, b uint64
	p := unsafe.Pointer(unsafe.StringData(s))
	if n := len(s); n >= 8 {
		a = *(*uint64)(p)
		b = *(*uint64)(unsafe.Add(p, n-8))
		if n > 16 {
			a ^= bits.RotateLeft64(*(*uint64)(unsafe.Add(p, n/2-4)), 17)
		}
	} else {
		for i := range n {
			a = a<<8 | uint64(s[i])
		}
	}
	hi, lo := bits.Mul64(a^uint64(len(s))*0x9e3779b97f4a7c15, 0xd6e8feb86659fd93)
	hi2, lo2 := bits.Mul64(b^0x2545f4914f6cdd1d, 0xff51afd7ed558ccd)
	return (hi ^ lo ^ hi2 ^ lo2) >> 7
}

// number decodes a JSON number: as a Lua number if that prints the same digits, else as an exact number.
func (vs *views) number(text string) lua.LValue {
	n, ok := 0.0, false
	if len(text) <= 15 {
		i, neg := 0, false
		if text[0] == '-' {
			neg, i = true, 1
		}
		sum := int64(0)
		for ; i < len(text) && text[i]-'0' <= 9; i++ {
			sum = sum*10 + int64(text[i]-'0')
		}
		if ok = i == len(text); ok {
			if neg {
				sum = -sum
			}
			if n = float64(sum); neg && sum == 0 {
				n = math.Copysign(0, -1)
			}
		}
	}
	if !ok {
		n, _ = strconv.ParseFloat(text, 64) // out of range: an infinity
		if len(text) > 15 && !strings.ContainsAny(text, ".eE") && formatNumber(n) != text {
			return vs.newExact(text)
		}
	}
	return vs.internNumber(n)
}

// internNumber returns n as a Lua value.
func (vs *views) internNumber(n float64) lua.LValue {
	b := math.Float64bits(n)
	if i := int(n); i >= 0 && i < len(vs.small) && float64(i) == n && b>>63 == 0 {
		return vs.small[i]
	}
	slot := &vs.numbers[(b*0x9e3779b97f4a7c15)>>(64-11)]
	if old := (*slot).(lua.LNumber); math.Float64bits(float64(old)) == b {
		return *slot
	}
	v := lua.LValue(lua.LNumber(n))
	*slot = v
	return v
}

// exact is an integer that a Lua number cannot hold, such as an SMB session_id: it prints and encodes as it came. It
// compares and computes as the nearest float.
type exact string

func (x exact) float() float64 {
	n, _ := strconv.ParseFloat(string(x), 64)
	return n
}

func (vs *views) newExact(text string) lua.LValue {
	return &lua.LUserData{Value: exact(strings.Clone(text)), Metatable: vs.exactMeta, Env: vs.L.G.Global}
}

// newExactMeta makes the metatable that gives exact numbers arithmetic, comparison and text.
func (vs *views) newExactMeta() *lua.LTable {
	L := vs.L
	meta := L.NewTable()
	number := func(L *lua.LState, i int) float64 {
		if u, ok := L.Get(i).(*lua.LUserData); ok {
			if x, ok := u.Value.(exact); ok {
				return x.float()
			}
		}
		return float64(L.CheckNumber(i))
	}
	binary := func(name string, f func(a, b float64) lua.LValue) {
		meta.RawSetString(name, L.NewFunction(func(L *lua.LState) int {
			L.Push(f(number(L, 1), number(L, 2)))
			return 1
		}))
	}
	binary("__add", func(a, b float64) lua.LValue { return lua.LNumber(a + b) })
	binary("__sub", func(a, b float64) lua.LValue { return lua.LNumber(a - b) })
	binary("__mul", func(a, b float64) lua.LValue { return lua.LNumber(a * b) })
	binary("__div", func(a, b float64) lua.LValue { return lua.LNumber(a / b) })
	binary("__mod", func(a, b float64) lua.LValue { return lua.LNumber(a - math.Floor(a/b)*b) })
	binary("__pow", func(a, b float64) lua.LValue { return lua.LNumber(math.Pow(a, b)) })
	binary("__unm", func(a, _ float64) lua.LValue { return lua.LNumber(-a) })
	binary("__lt", func(a, b float64) lua.LValue { return lua.LBool(a < b) })
	binary("__le", func(a, b float64) lua.LValue { return lua.LBool(a <= b) })
	text := func(v lua.LValue) string {
		if u, ok := v.(*lua.LUserData); ok {
			if x, ok := u.Value.(exact); ok {
				return string(x)
			}
		}
		if n, ok := v.(lua.LNumber); ok {
			return formatNumber(float64(n))
		}
		return v.String()
	}
	meta.RawSetString("__eq", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LBool(text(L.Get(1)) == text(L.Get(2))))
		return 1
	}))
	meta.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LString(text(L.Get(1))))
		return 1
	}))
	meta.RawSetString("__concat", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LString(text(L.Get(1)) + text(L.Get(2))))
		return 1
	}))
	return meta
}
