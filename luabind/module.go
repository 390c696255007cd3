package luabind

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// module is one Lua library as scripts see it and as the README's reference documents it. A module's constructor is
// called once per interpreter: its functions belong to that interpreter's worker.
type module struct {
	Name    string // global name, also what require takes: "cjson"; with a dot only require finds it, but for "dragonfly.x"
	Doc     string // one sentence
	Funcs   []hostFunc
	Methods []hostFunc            // of the userdata that Funcs return; Name is "set:contains", Sig "contains(ip) -> boolean"
	Values  map[string]lua.LValue // constants of the module's table
}

// hostFunc is a function of a module.
type hostFunc struct {
	Name    string // "decode"
	Sig     string // "decode(text) -> value | nil, message"
	Doc     string // what it does, units, errors: one to three sentences
	Example string // Lua statements that must run without an error; a test runs them
	Fn      lua.LGFunction
}

// table makes the module's table.
func (m *module) table(L *lua.LState) *lua.LTable {
	t := L.CreateTable(0, len(m.Funcs)+len(m.Values))
	for i := range m.Funcs {
		t.RawSetString(m.Funcs[i].Name, L.NewFunction(m.Funcs[i].Fn))
	}
	for k, v := range m.Values {
		t.RawSetString(k, v)
	}
	return t
}

// install makes the module's table loadable by require, and a global unless its name has a dot.
func (m *module) install(L *lua.LState) *lua.LTable {
	t := m.table(L)
	if !strings.Contains(m.Name, ".") {
		L.SetGlobal(m.Name, t)
	}
	if part, ok := strings.CutPrefix(m.Name, "dragonfly."); ok {
		if parent, ok := L.G.Global.RawGetString("dragonfly").(*lua.LTable); ok {
			parent.RawSetString(part, t)
		}
	}
	if pkg, ok := L.G.Global.RawGetString("package").(*lua.LTable); ok {
		if loaded, ok := pkg.RawGetString("loaded").(*lua.LTable); ok {
			loaded.RawSetString(m.Name, t)
		}
	}
	return t
}
