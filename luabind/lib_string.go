package luabind

import (
	"math"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// stringLib is the string library of one interpreter: Lua 5.1's, byte by byte, with compiled patterns.
type stringLib struct {
	L        *lua.LState
	lim      *limits
	patterns *patterns
	buf      []byte
}

func openString(L *lua.LState, lim *limits) {
	lib := &stringLib{L: L, lim: lim, patterns: &patterns{cache: map[string]*pattern{}, m: matcher{lim: lim}}}
	t := L.CreateTable(0, 20)
	for name, fn := range map[string]lua.LGFunction{
		"byte": lib.byte, "char": lib.char, "find": lib.find, "format": lib.format, "gmatch": lib.gmatch, "gfind": lib.gmatch, "gsub": lib.gsub,
		"len": lib.len, "lower": lib.lower, "match": lib.match, "rep": lib.rep, "reverse": lib.reverse, "sub": lib.sub, "upper": lib.upper,
	} {
		t.RawSetString(name, L.NewFunction(fn))
	}
	t.RawSetString("dump", L.NewFunction(func(L *lua.LState) int { L.RaiseError("unable to dump given function"); return 0 }))
	L.SetGlobal("string", t)
	meta := L.NewTable()
	meta.RawSetString("__index", t)
	L.SetMetatable(lua.LString(""), meta)
}

// str returns argument n as a string; numbers are converted.
func str(L *lua.LState, n int) string {
	switch v := L.Get(n).(type) {
	case lua.LString:
		if len(v) > longString {
			limitsOf(L).check(L)
		}
		return string(v)
	case lua.LNumber:
		return formatNumber(float64(v))
	}
	got := "no value"
	if n <= L.GetTop() {
		got = L.Get(n).Type().String()
	}
	L.ArgError(n, "string expected, got "+got)
	return ""
}

// num returns argument n as a number; numeric strings are converted.
func num(L *lua.LState, n int) float64 {
	switch v := L.Get(n).(type) {
	case lua.LNumber:
		return float64(v)
	case lua.LString:
		if x, ok := parseNumber(string(v)); ok {
			return x
		}
	}
	got := "no value"
	if n <= L.GetTop() {
		got = L.Get(n).Type().String()
	}
	L.ArgError(n, "number expected, got "+got)
	return 0
}

func integer(L *lua.LState, n int) int {
	x := num(L, n)
	switch {
	case x >= math.MaxInt64:
		return math.MaxInt64
	case x <= math.MinInt64:
		return math.MinInt64
	case x != x:
		return 0
	}
	return int(x)
}

func optInteger(L *lua.LState, n, otherwise int) int {
	if L.Get(n) == lua.LNil {
		return otherwise
	}
	return integer(L, n)
}

// position turns a Lua index, which counts from 1 and from the end if negative, into 1..: below that it is 0.
func position(i, n int) int {
	if i >= 0 {
		return i
	}
	if -i > n {
		return 0
	}
	return n + i + 1
}

func (lib *stringLib) len(L *lua.LState) int {
	L.Push(lua.LNumber(len(str(L, 1))))
	return 1
}

func (lib *stringLib) sub(L *lua.LState) int {
	s := str(L, 1)
	from, to := position(integer(L, 2), len(s)), position(optInteger(L, 3, -1), len(s))
	from, to = max(from, 1), min(to, len(s))
	if from > to {
		L.Push(lua.LString(""))
	} else {
		L.Push(lua.LString(s[from-1 : to]))
	}
	return 1
}

func (lib *stringLib) byte(L *lua.LState) int {
	s := str(L, 1)
	from := position(optInteger(L, 2, 1), len(s))
	to := min(position(optInteger(L, 3, from), len(s)), len(s))
	from = max(from, 1)
	if to-from >= 100_000 {
		L.RaiseError("string slice too long")
	}
	for i := from; i <= to; i++ {
		L.Push(lua.LNumber(s[i-1]))
	}
	return max(0, to-from+1)
}

func (lib *stringLib) char(L *lua.LState) int {
	b := make([]byte, L.GetTop())
	for i := range b {
		n := integer(L, i+1)
		if n < 0 || n > 255 {
			L.ArgError(i+1, "invalid value")
		}
		b[i] = byte(n)
	}
	L.Push(lua.LString(b))
	return 1
}

func (lib *stringLib) lower(L *lua.LState) int { return lib.mapBytes(L, 'A', 'Z', 32) }
func (lib *stringLib) upper(L *lua.LState) int { return lib.mapBytes(L, 'a', 'z', -32) }

func (lib *stringLib) mapBytes(L *lua.LState, low, high byte, shift int) int {
	s := str(L, 1)
	i := 0
	for i < len(s) && (s[i] < low || s[i] > high) {
		i++
	}
	if i == len(s) {
		L.Push(lua.LString(s))
		return 1
	}
	lib.lim.room(L, len(s))
	b := []byte(s)
	for ; i < len(b); i++ {
		if b[i] >= low && b[i] <= high {
			b[i] = byte(int(b[i]) + shift)
		}
	}
	L.Push(lua.LString(b))
	return 1
}

func (lib *stringLib) reverse(L *lua.LState) int {
	s := str(L, 1)
	lib.lim.room(L, len(s))
	b := make([]byte, len(s))
	for i := range b {
		b[i] = s[len(s)-1-i]
	}
	L.Push(lua.LString(b))
	return 1
}

func (lib *stringLib) rep(L *lua.LState) int {
	s, n, sep := str(L, 1), integer(L, 2), ""
	if L.Get(3) != lua.LNil {
		sep = str(L, 3)
	}
	if n <= 0 || len(s)+len(sep) == 0 {
		L.Push(lua.LString(""))
		return 1
	}
	if n > maxString/(len(s)+len(sep)) {
		L.RaiseError("resulting string too large")
	}
	lib.lim.room(L, n*(len(s)+len(sep)))
	if sep == "" {
		L.Push(lua.LString(strings.Repeat(s, n)))
	} else {
		L.Push(lua.LString(strings.Repeat(s+sep, n-1) + s))
	}
	return 1
}
