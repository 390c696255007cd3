package luabind

import (
	"path"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// isModule reports whether require(name) is answered without a file.
func isModule(name string) bool {
	switch name {
	case "string", "table", "math", "os", "io", "coroutine", "debug", "bit", "jit", "package", "_G",
		"table.new", "table.clear", "string.buffer", "ffi",
		"dragonfly", "dragonfly.capture", "cjson", "cjson_safe", "cjson.safe", "json", "marshal", "http", "hiredis", "redis", "net", "model", "hash", "sketch", "domain", "text":
		return true
	}
	return false
}

// openRequire installs package and require: modules by name, files only below ROOT.
func (s *script) openRequire() {
	L := s.L
	pkg, ok := s.globals.RawGetString("package").(*lua.LTable)
	if !ok {
		pkg = L.NewTable()
		s.globals.RawSetString("package", pkg)
	}
	loaded, ok := pkg.RawGetString("loaded").(*lua.LTable)
	if !ok {
		loaded = L.NewTable()
		pkg.RawSetString("loaded", loaded)
	}
	for _, name := range []string{"string", "table", "math", "os", "io", "coroutine", "debug", "bit", "jit"} {
		if lib, ok := s.globals.RawGetString(name).(*lua.LTable); ok {
			loaded.RawSetString(name, lib)
		}
	}
	loaded.RawSetString("_G", s.globals)
	loaded.RawSetString("package", pkg)
	loaded.RawSetString("table.new", L.NewFunction(tableNew))
	loaded.RawSetString("table.clear", L.NewFunction(func(L *lua.LState) int { return s.views.tableClear(L) }))
	if _, ok := pkg.RawGetString("preload").(*lua.LTable); !ok {
		pkg.RawSetString("preload", L.NewTable())
	}
	pkg.RawSetString("path", lua.LString("./?.lua;./?/init.lua"))
	pkg.RawSetString("cpath", lua.LString(""))
	pkg.RawSetString("config", lua.LString("/\n;\n?\n!\n-\n"))
	pkg.RawSetString("loaders", L.NewTable()) // require looks in preload, then below ROOT, and nowhere else
	setFuncs(L, pkg, map[string]lua.LGFunction{
		"seeall": func(L *lua.LState) int {
			t := L.CheckTable(1)
			meta, ok := t.Metatable.(*lua.LTable)
			if !ok {
				meta = L.CreateTable(0, 1)
				t.Metatable = meta
			}
			meta.RawSetString("__index", s.globals)
			return 0
		},
		"loadlib": func(L *lua.LState) int {
			L.Push(lua.LNil)
			L.Push(lua.LString("C libraries cannot be loaded: use a module of this program"))
			L.Push(lua.LString("absent"))
			return 3
		},
	})
	s.globals.RawSetString("require", L.NewFunction(func(L *lua.LState) int {
		L.Push(s.require(L, L.CheckString(1), loaded, pkg))
		return 1
	}))
}

func (s *script) require(L *lua.LState, name string, loaded, pkg *lua.LTable) lua.LValue {
	key := name
	if name == "cjson.safe" {
		key = "cjson_safe"
	}
	if v := loaded.RawGetString(key); v != lua.LNil {
		return v
	}
	if s.sealed && path.IsAbs(name) && !strings.HasPrefix(name, s.program.loader.dir+"/") {
		L.RaiseError("require(%q): after setup() only files below %s can be loaded", name, s.program.loader.dir)
	}
	if s.loading[name] {
		L.RaiseError("loop in require: %q requires itself", name)
	}
	s.loading[name] = true
	defer delete(s.loading, name)
	var fn *lua.LFunction
	if preload, ok := pkg.RawGetString("preload").(*lua.LTable); ok {
		fn, _ = preload.RawGetString(name).(*lua.LFunction)
	}
	if fn == nil && name == "ffi" {
		L.RaiseError("module \"ffi\" is not available: there is no LuaJIT below; use the modules bit, string.buffer and cjson, and numbers or strings in place of 64-bit integers")
	}
	if fn == nil {
		c, err := s.program.loader.find(name)
		if err != nil {
			L.RaiseError("%s", strings.TrimSpace(err.Error()))
		}
		fn = c.function(L)
	}
	L.Push(fn)
	L.Push(lua.LString(name))
	L.Call(1, 1)
	v := L.Get(-1)
	L.Pop(1)
	if v == lua.LNil {
		if v = loaded.RawGetString(name); v == lua.LNil { // module() sets it
			v = lua.LTrue
		}
	}
	loaded.RawSetString(name, v)
	return v
}
