package luabind

import (
	lua "github.com/yuin/gopher-lua"
)

// open replaces the functions of the base library and of table that look into tables, so that they see through views.
// Plain tables take the path they always took.
func (vs *views) open() {
	L := vs.L
	G := L.G.Global
	next := L.NewFunction(vs.luaNext)
	G.RawSetString("next", next)
	G.RawSetString("pairs", L.NewFunction(func(L *lua.LState) int {
		t := L.CheckTable(1)
		L.Push(next)
		L.Push(t)
		L.Push(lua.LNil)
		return 3
	}))
	G.RawSetString("rawget", L.NewFunction(func(L *lua.LState) int {
		t := L.CheckTable(1)
		if o := vs.viewOf(t); o != nil {
			if k, ok := L.Get(2).(lua.LString); ok {
				L.Push(vs.get(o, string(k)))
				return 1
			}
		}
		L.Push(t.RawGet(L.CheckAny(2)))
		return 1
	}))
	G.RawSetString("rawset", L.NewFunction(func(L *lua.LState) int {
		t := L.CheckTable(1)
		k, v := L.CheckAny(2), L.Get(3)
		if o := vs.viewOf(t); o != nil {
			vs.rawSet(o, k, v)
		} else {
			if n, ok := k.(lua.LNumber); ok {
				vs.lim.slots(L, t, float64(n))
			}
			L.RawSet(t, k, v)
		}
		L.Push(t)
		return 1
	}))
	G.RawSetString("getmetatable", L.NewFunction(func(L *lua.LState) int {
		v := L.CheckAny(1)
		if t, ok := v.(*lua.LTable); ok && (t.Metatable == lua.LValue(vs.meta) || t.Metatable == lua.LValue(vs.arrayMeta)) {
			L.Push(lua.LNil)
			return 1
		}
		if u, ok := v.(*lua.LUserData); ok && (u == vs.null || u.Metatable == lua.LValue(vs.exactMeta)) {
			L.Push(lua.LNil)
			return 1
		}
		L.Push(L.GetMetaField(v, "__metatable"))
		if L.Get(-1) == lua.LNil {
			L.Pop(1)
			L.Push(L.GetMetatable(v))
		}
		return 1
	}))
	if old, ok := G.RawGetString("setmetatable").(*lua.LFunction); ok && old.IsG {
		G.RawSetString("setmetatable", L.NewFunction(func(L *lua.LState) int {
			if t, ok := L.Get(1).(*lua.LTable); ok {
				if o := vs.viewOf(t); o != nil {
					vs.materialize(o)
				}
			}
			return old.GFunction(L)
		}))
	}
	if lib, ok := G.RawGetString("table").(*lua.LTable); ok {
		for _, name := range []string{"insert", "remove", "sort"} { // they write to the table's own part
			vs.wrap(lib, name, func(o *object) { vs.rawSet(o, lua.LNumber(0), lua.LNil) })
		}
		for _, name := range []string{"foreach"} {
			vs.wrap(lib, name, vs.materialize)
		}
	}
}

// wrap calls before with the view that a function of lib gets as its first argument.
func (vs *views) wrap(lib *lua.LTable, name string, before func(*object)) {
	old, ok := lib.RawGetString(name).(*lua.LFunction)
	if !ok || !old.IsG {
		return
	}
	lib.RawSetString(name, vs.L.NewFunction(func(L *lua.LState) int {
		if o := vs.viewArg(L, 1); o != nil {
			before(o)
		}
		return old.GFunction(L)
	}))
}

// luaNext is next, and the iterator of pairs.
func (vs *views) luaNext(L *lua.LState) int {
	t := L.CheckTable(1)
	var k, v lua.LValue
	if o := vs.viewOf(t); o != nil {
		k, v = vs.next(L, o, L.Get(2))
	} else {
		k, v = vs.tableNext(L, t, L.Get(2))
	}
	if k == lua.LNil {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(k)
	L.Push(v)
	return 2
}

// tableClear is LuaJIT's table.clear: it removes all keys and keeps the metatable.
func (vs *views) tableClear(L *lua.LState) int {
	t := L.CheckTable(1)
	if o := vs.viewOf(t); o != nil {
		for k, _ := vs.next(L, o, lua.LNil); k != lua.LNil; k, _ = vs.next(L, o, k) {
			vs.rawSet(o, k, lua.LNil)
		}
		return 0
	}
	*t = lua.LTable{Metatable: t.Metatable}
	return 0
}
