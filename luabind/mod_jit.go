package luabind

import (
	"runtime"

	lua "github.com/yuin/gopher-lua"
)

// jitModule is LuaJIT's jit for scripts that ask it where they run. There is no compiler to switch.
func jitModule() module {
	nothing := func(L *lua.LState) int { return 0 }
	name := func(names map[string]string, otherwise string) lua.LString {
		if n, ok := names[otherwise]; ok {
			return lua.LString(n)
		}
		return lua.LString(otherwise)
	}
	return module{
		Name: "jit",
		Doc:  "What LuaJIT's jit tells: scripts are interpreted, so jit.status() is false. jit.version names this interpreter, jit.version_num is that of the LuaJIT whose library it follows; jit.os and jit.arch are as in LuaJIT.",
		Funcs: []hostFunc{
			{"status", "status() -> false", "Whether a JIT compiler works: it does not, there is none.", `assert(jit.status() == false)`,
				func(L *lua.LState) int { L.Push(lua.LFalse); return 1 }},
			{"on", "on([function])", "Does nothing: there is no JIT compiler.", `jit.on()`, nothing},
			{"off", "off([function])", "Does nothing: there is no JIT compiler.", `jit.off()`, nothing},
			{"flush", "flush([function])", "Does nothing: there is no JIT compiler.", `jit.flush()`, nothing},
		},
		Values: map[string]lua.LValue{
			"version":     lua.LString("Dragonfly (gopher-lua, interpreted)"),
			"version_num": lua.LNumber(20100),
			"os":          name(map[string]string{"linux": "Linux", "darwin": "OSX", "windows": "Windows", "freebsd": "BSD", "openbsd": "BSD", "netbsd": "BSD"}, runtime.GOOS),
			"arch":        name(map[string]string{"amd64": "x64", "386": "x86"}, runtime.GOARCH),
		},
	}
}
