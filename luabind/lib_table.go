package luabind

import (
	"math"
	"math/rand/v2"
	"slices"

	lua "github.com/yuin/gopher-lua"
)

func openTable(L *lua.LState) {
	t := libTable(L, "table")
	setFuncs(L, t, map[string]lua.LGFunction{
		"getn": func(L *lua.LState) int {
			L.Push(lua.LNumber(L.CheckTable(1).Len()))
			return 1
		},
		"concat":   tableConcat,
		"foreach":  tableForEach,
		"foreachi": tableForEachI,
		"move":     tableMove,
		"insert":   tableInsert,
		"remove":   tableRemove,
		"sort":     tableSort,
	})
}

func tableConcat(L *lua.LState) int {
	t := L.CheckTable(1)
	sep := ""
	if L.Get(2) != lua.LNil {
		sep = str(L, 2)
	}
	from, to := optInteger(L, 3, 1), optInteger(L, 4, t.Len())
	var out []byte
	lim, charged := limitsOf(L), 0
	for i := from; i <= to; i++ {
		switch v := t.RawGet(lua.LNumber(i)).(type) {
		case lua.LString:
			out = append(out, v...)
		case lua.LNumber:
			out = appendNumber(out, float64(v))
		default:
			L.RaiseError("invalid value (%s) at index %d in table for 'concat'", v.Type().String(), i)
		}
		if i < to {
			out = append(out, sep...)
		}
		if len(out)-charged > bigString {
			lim.grow(L, len(out)-charged, len(out))
			charged = len(out)
		}
		if len(out) > maxString {
			L.RaiseError("resulting string too large")
		}
	}
	L.Push(lua.LString(out))
	return 1
}

func tableInsert(L *lua.LState) int {
	t := L.CheckTable(1)
	n := t.Len()
	switch L.GetTop() {
	case 2:
		t.RawSetInt(n+1, L.Get(2))
	case 3:
		at := integer(L, 2)
		if at > n {
			limitsOf(L).slots(L, t, float64(at))
			t.RawSet(lua.LNumber(at), L.Get(3))
			return 0
		}
		for i := n; i >= at; i-- {
			if i%stepsPerCheck == 0 {
				limitsOf(L).check(L)
			}
			t.RawSet(lua.LNumber(i+1), t.RawGet(lua.LNumber(i)))
		}
		t.RawSet(lua.LNumber(at), L.Get(3))
	default:
		L.RaiseError("wrong number of arguments to 'insert'")
	}
	return 0
}

// tableRemove is Lua's: at a place outside the list it does nothing and returns nothing.
func tableRemove(L *lua.LState) int {
	t := L.CheckTable(1)
	n := t.Len()
	at := optInteger(L, 2, n)
	if at < 1 || at > n {
		return 0
	}
	L.Push(t.Remove(at))
	return 1
}

func tableForEach(L *lua.LState) int {
	t, fn, lim := L.CheckTable(1), L.CheckFunction(2), limitsOf(L)
	var w traversal
	for k, v := w.next(L, t, lua.LNil); k != lua.LNil; k, v = w.next(L, t, k) {
		lim.check(L)
		if stop := callWith(L, fn, k, v); stop {
			return 1
		}
	}
	return 0
}

func tableForEachI(L *lua.LState) int {
	t, fn, lim := L.CheckTable(1), L.CheckFunction(2), limitsOf(L)
	for i := 1; i <= t.Len(); i++ {
		lim.check(L)
		if stop := callWith(L, fn, lua.LNumber(i), t.RawGetInt(i)); stop {
			return 1
		}
	}
	return 0
}

// callWith calls fn and leaves its result on the stack if it is not nil.
func callWith(L *lua.LState, fn *lua.LFunction, args ...lua.LValue) bool {
	L.Push(fn)
	for _, a := range args {
		L.Push(a)
	}
	L.Call(len(args), 1)
	if L.Get(-1) != lua.LNil {
		return true
	}
	L.Pop(1)
	return false
}

func tableMove(L *lua.LState) int {
	from, f, e, at := L.CheckTable(1), integer(L, 2), integer(L, 3), integer(L, 4)
	to := L.OptTable(5, from)
	if e-f > 10_000_000 {
		L.ArgError(3, "too many elements to move")
	}
	lim := limitsOf(L)
	lim.slots(L, to, float64(at)+float64(e-f))
	lim.room(L, slotSize*max(0, e-f))
	if at > f {
		for i := e - f; i >= 0; i-- {
			to.RawSet(lua.LNumber(at+i), from.RawGet(lua.LNumber(f+i)))
		}
	} else {
		for i := 0; i <= e-f; i++ {
			to.RawSet(lua.LNumber(at+i), from.RawGet(lua.LNumber(f+i)))
		}
	}
	L.Push(to)
	return 1
}

// tableSort sorts by < or by a function; a function that contradicts itself gives some order, never a fault.
func tableSort(L *lua.LState) int {
	t := L.CheckTable(1)
	fn, _ := L.Get(2).(*lua.LFunction)
	n := t.Len()
	lim, steps := limitsOf(L), 0
	lim.room(L, slotSize*n)
	values := make([]lua.LValue, n)
	for i := range values {
		values[i] = t.RawGetInt(i + 1)
	}
	less := func(a, b lua.LValue) bool { return L.LessThan(a, b) }
	if fn != nil {
		less = func(a, b lua.LValue) bool {
			L.Push(fn)
			L.Push(a)
			L.Push(b)
			L.Call(2, 1)
			v := L.Get(-1)
			L.Pop(1)
			return lua.LVAsBool(v)
		}
	}
	slices.SortFunc(values, func(a, b lua.LValue) int {
		if steps++; steps%64 == 0 {
			lim.check(L)
		}
		switch {
		case less(a, b):
			return -1
		case less(b, a):
			return 1
		}
		return 0
	})
	for i, v := range values {
		t.RawSetInt(i+1, v)
	}
	return 0
}

func openMath(L *lua.LState) {
	t := libTable(L, "math")
	t.RawSetString("huge", lua.LNumber(math.Inf(1)))
	rng := rand.New(rand.NewPCG(1, 2)) // of this interpreter; the same sequence each time, as Lua's
	setFuncs(L, t, map[string]lua.LGFunction{
		"log": func(L *lua.LState) int {
			x := math.Log(num(L, 1))
			if L.Get(2) != lua.LNil {
				x /= math.Log(num(L, 2))
			}
			L.Push(lua.LNumber(x))
			return 1
		},
		"mod":  luaFmod,
		"fmod": luaFmod,
		"random": func(L *lua.LState) int {
			switch L.GetTop() {
			case 0:
				L.Push(lua.LNumber(rng.Float64()))
			case 1:
				n := integer(L, 1)
				if n < 1 {
					L.ArgError(1, "interval is empty")
				}
				L.Push(lua.LNumber(1 + rng.Int64N(int64(n))))
			case 2:
				low, high := integer(L, 1), integer(L, 2)
				if low > high {
					L.ArgError(2, "interval is empty")
				}
				L.Push(lua.LNumber(int64(low) + int64(rng.Uint64N(uint64(high-low)+1))))
			default:
				L.RaiseError("wrong number of arguments")
			}
			return 1
		},
		"randomseed": func(L *lua.LState) int {
			rng = rand.New(rand.NewPCG(math.Float64bits(num(L, 1)), 2))
			return 0
		},
		"modf": func(L *lua.LState) int {
			x := num(L, 1)
			whole := math.Trunc(x)
			L.Push(lua.LNumber(whole))
			if math.IsInf(x, 0) {
				L.Push(lua.LNumber(0))
			} else {
				L.Push(lua.LNumber(x - whole))
			}
			return 2
		},
	})
}

func luaFmod(L *lua.LState) int {
	L.Push(lua.LNumber(math.Mod(num(L, 1), num(L, 2))))
	return 1
}

// tableNew is LuaJIT's table.new: a table with room for so many elements and keys.
func tableNew(L *lua.LState) int {
	const most = 1 << 20 // more room than that is made when it is needed
	array, keys := integer(L, 1), integer(L, 2)
	limitsOf(L).room(L, slotSize*min(max(array, 0), most)+mapSlot*min(max(keys, 0), most))
	L.Push(L.CreateTable(min(max(array, 0), most), min(max(keys, 0), most)))
	return 1
}
