package luabind

import (
	"fmt"
	"math"

	lua "github.com/yuin/gopher-lua"
)

// newClass makes the metatable of a kind of userdata: methods are those named "class:...". A script sees nothing of it.
func newClass(L *lua.LState, class string, methods []hostFunc) *lua.LTable {
	index := L.CreateTable(0, len(methods))
	for i := range methods {
		if name := methods[i].Name; len(name) > len(class) && name[:len(class)] == class && name[len(class)] == ':' {
			index.RawSetString(name[len(class)+1:], L.NewFunction(methods[i].Fn))
		}
	}
	meta := L.CreateTable(0, 3)
	meta.RawSetString("__index", index)
	meta.RawSetString("__metatable", lua.LFalse)
	meta.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LString(fmt.Sprintf("%s: %p", class, L.Get(1))))
		return 1
	}))
	return meta
}

// pushObject pushes value as userdata of the class.
func pushObject(L *lua.LState, value any, class *lua.LTable) int {
	L.Push(&lua.LUserData{Value: value, Metatable: class, Env: L.G.Global})
	return 1
}

// objectArg returns the userdata at argument n, whose value must be a T; what is its name for scripts.
func objectArg[T any](L *lua.LState, n int, what string) T {
	v := L.Get(n)
	if u, ok := v.(*lua.LUserData); ok {
		if t, ok := u.Value.(T); ok {
			return t
		}
	}
	if n == 1 {
		what += " (methods are called with a colon, x:f())"
	}
	got := v.Type().String()
	if n > L.GetTop() {
		got = "no value"
	}
	L.ArgError(n, what+" expected, got "+got)
	panic("unreachable")
}

// isNull reports whether v stands for a field that is not there: nil, or JSON's null.
func (vs *views) isNull(v lua.LValue) bool {
	if v == lua.LNil {
		return true
	}
	u, ok := v.(*lua.LUserData)
	return ok && u == vs.null
}

// keyArg returns argument n as a key: a string, or a number as it prints. ok is false for nil and null. It raises for
// other types and where there is no argument.
func (vs *views) keyArg(L *lua.LState, n int) (key string, ok bool) {
	switch v := L.Get(n).(type) {
	case lua.LString:
		return string(v), true
	case lua.LNumber:
		return formatNumber(float64(v)), true
	case *lua.LUserData:
		if x, ok := v.Value.(exact); ok {
			return string(x), true
		}
		if v == vs.null {
			return "", false
		}
	case *lua.LNilType:
		if n <= L.GetTop() {
			return "", false
		}
	}
	return str(L, n), true // raises
}

// mustKey is keyArg where nil is a mistake.
func (vs *views) mustKey(L *lua.LState, n int) string {
	key, ok := vs.keyArg(L, n)
	if !ok {
		L.ArgError(n, "key expected, got nil")
	}
	return key
}

// amountArg returns argument n as a finite number, otherwise for nil, null or no value.
func (vs *views) amountArg(L *lua.LState, n int, otherwise float64) float64 {
	if vs.isNull(L.Get(n)) {
		return otherwise
	}
	x, ok := vs.numberOf(L.Get(n))
	if !ok {
		x = num(L, n) // raises, or reads the text of a number
	}
	if math.IsNaN(x) || math.IsInf(x, 0) {
		L.ArgError(n, "finite number expected")
	}
	return x
}

// numberOf returns v as a number, also if it has more digits than a number of Lua holds.
func (vs *views) numberOf(v lua.LValue) (float64, bool) {
	switch v := v.(type) {
	case lua.LNumber:
		return float64(v), true
	case *lua.LUserData:
		if x, ok := v.Value.(exact); ok {
			return x.float(), true
		}
	}
	return 0, false
}

// member returns the field key of a table or event.
func (vs *views) member(t *lua.LTable, key string) lua.LValue {
	if o := vs.viewOf(t); o != nil {
		return vs.get(o, key)
	}
	return t.RawGetString(key)
}

// each calls f for the members of a table or event.
func (vs *views) each(t *lua.LTable, f func(k, v lua.LValue)) {
	o := vs.viewOf(t)
	if o == nil {
		t.ForEach(f)
		return
	}
	for k, v := vs.next(vs.L, o, lua.LNil); k != lua.LNil; k, v = vs.next(vs.L, o, k) {
		f(k, v)
	}
}
