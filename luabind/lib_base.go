package luabind

import (
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
)

// openLibs opens the standard libraries as Lua 5.1 and LuaJIT have them, where gopher-lua's differ. package and require
// are opened elsewhere. The coroutines must be closed before the interpreter is.
func openLibs(L *lua.LState, lim *limits, stdout io.Writer) *coroutines {
	for _, open := range []lua.LGFunction{lua.OpenBase, lua.OpenTable, lua.OpenMath, lua.OpenOs, lua.OpenIo, lua.OpenCoroutine, lua.OpenDebug} {
		L.Push(L.NewFunction(open))
		L.Call(0, 0)
	}
	L.G.Registry.RawSetString(limitsKey, &lua.LUserData{Value: lim})
	openString(L, lim)
	openBase(L, lim, stdout)
	openTable(L)
	openMath(L)
	openOS(L)
	openIO(L, lim)
	openDebug(L)
	co := openCoroutine(L, lim)
	for _, m := range libModules() {
		L.SetGlobal(m.Name, m.table(L))
	}
	return co
}

// libModules returns the modules that need no state.
func libModules() []module { return []module{bitModule(), jitModule()} }

func setFuncs(L *lua.LState, t *lua.LTable, funcs map[string]lua.LGFunction) {
	for name, fn := range funcs {
		t.RawSetString(name, L.NewFunction(fn))
	}
}

func libTable(L *lua.LState, name string) *lua.LTable {
	t, ok := L.G.Global.RawGetString(name).(*lua.LTable)
	if !ok {
		t = L.NewTable()
		L.SetGlobal(name, t)
	}
	return t
}

func openBase(L *lua.LState, lim *limits, stdout io.Writer) {
	setFuncs(L, L.G.Global, map[string]lua.LGFunction{
		"tostring": func(L *lua.LState) int {
			L.Push(lua.LString(tostring(L, L.CheckAny(1))))
			return 1
		},
		"tonumber": luaToNumber,
		"print": func(L *lua.LState) int {
			var b strings.Builder
			for i := 1; i <= L.GetTop(); i++ {
				if i > 1 {
					b.WriteByte('\t')
				}
				b.WriteString(tostring(L, L.Get(i)))
			}
			b.WriteByte('\n')
			io.WriteString(stdout, b.String())
			return 0
		},
		"pcall":          func(L *lua.LState) int { return protected(L, lim, false) },
		"xpcall":         func(L *lua.LState) int { return protected(L, lim, true) },
		"error":          func(L *lua.LState) int { raise(L, L.Get(1), optInteger(L, 2, 1)); return 0 },
		"assert":         assert,
		"setmetatable":   setMetatable,
		"unpack":         unpack,
		"collectgarbage": collectGarbage(),
		"gcinfo": func(L *lua.LState) int {
			L.Push(lua.LNumber(math.Floor(heapKB())))
			return 1
		},
		"load":       luaLoad,
		"loadstring": luaLoad,
		"loadfile": func(L *lua.LState) int {
			fn, err := loadFile(L, lim, str(L, 1))
			if err != nil {
				return failed(L, err)
			}
			L.Push(fn)
			return 1
		},
		"dofile": func(L *lua.LState) int {
			fn, err := loadFile(L, lim, str(L, 1))
			if err != nil {
				raise(L, lua.LString(err.Error()), 0)
			}
			L.Push(fn)
			L.Call(0, lua.MultRet)
			return L.GetTop() - 1
		},
	})
	L.G.Global.RawSetString("_VERSION", lua.LString("Lua 5.1"))
	L.G.Global.RawSetString("_printregs", lua.LNil)
	L.G.Global.RawSetString("_GOPHER_LUA_VERSION", lua.LNil)
}

// raise raises v. A string or number gets the place of the function at level (1 called the running host function) in front
// of it, as Lua does; 0 is none.
func raise(L *lua.LState, v lua.LValue, level int) {
	if level > 0 && lua.LVCanConvToString(v) {
		v = lua.LString(place(L, level) + scalarText(v))
	}
	L.Error(v, 0)
}

// place is "file:line: " of the function at level, or "" if that is no Lua function.
func place(L *lua.LState, level int) string {
	dbg, ok := L.GetStack(level)
	if !ok {
		return ""
	}
	if _, err := L.GetInfo("Sl", dbg, lua.LNil); err != nil || dbg.CurrentLine <= 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d: ", dbg.Source, dbg.CurrentLine)
}

// assert is LuaJIT's: a text gets its place in front, as from error; an error value of any other type is raised as it is.
func assert(L *lua.LState) int {
	if lua.LVAsBool(L.CheckAny(1)) {
		return L.GetTop()
	}
	if L.GetTop() == 1 {
		L.Push(lua.LString("assertion failed!"))
	}
	raise(L, L.Get(2), 1)
	return 0
}

// setMetatable is Lua's: for tables only. gopher-lua takes any value, and changes all of its type.
func setMetatable(L *lua.LState) int {
	t := L.CheckTable(1)
	if meta := L.Get(2); L.GetTop() < 2 || meta != lua.LNil && meta.Type() != lua.LTTable {
		L.ArgError(2, "nil or table expected")
	}
	if L.GetMetaField(t, "__metatable") != lua.LNil {
		L.RaiseError("cannot change a protected metatable")
	}
	t.Metatable = L.Get(2)
	L.Push(t)
	return 1
}

// tostring is Lua's, with __tostring.
func tostring(L *lua.LState, v lua.LValue) string {
	switch v := v.(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return formatNumber(float64(v))
	case *lua.LTable, *lua.LUserData:
		if meta := L.GetMetaField(v, "__tostring"); meta != lua.LNil {
			L.Push(meta)
			L.Push(v)
			L.Call(1, 1)
			s := L.Get(-1)
			L.Pop(1)
			return lua.LVAsString(s)
		}
	}
	return v.String()
}

// parseNumber reads a number as C's strtod does: decimal, hexadecimal with p exponent, inf, nan; space around it.
func parseNumber(s string) (float64, bool) {
	s = strings.Trim(s, " \t\n\v\f\r")
	if s == "" || strings.ContainsRune(s, '_') {
		return 0, false
	}
	lower := strings.ToLower(s)
	digits := strings.TrimLeft(lower, "+-")
	if len(lower)-len(digits) > 1 {
		return 0, false
	}
	if binary, ok := strings.CutPrefix(digits, "0b"); ok {
		n, err := strconv.ParseUint(binary, 2, 64)
		if s[0] == '-' {
			return -float64(n), err == nil
		}
		return float64(n), err == nil
	}
	if strings.HasPrefix(digits, "0x") && !strings.ContainsRune(digits, 'p') {
		if strings.ContainsRune(digits, '.') {
			lower += "p0"
		} else if n, err := strconv.ParseUint(digits[2:], 16, 64); err == nil {
			if s[0] == '-' {
				return -float64(n), true
			}
			return float64(n), true
		}
	}
	n, err := strconv.ParseFloat(lower, 64)
	if err != nil && !math.IsInf(n, 0) {
		return 0, false
	}
	return n, true
}

func luaToNumber(L *lua.LState) int {
	base := optInteger(L, 2, 10)
	if base == 10 {
		switch v := L.CheckAny(1).(type) {
		case lua.LNumber:
			L.Push(v)
		case lua.LString:
			if n, ok := parseNumber(string(v)); ok {
				L.Push(lua.LNumber(n))
			} else {
				L.Push(lua.LNil)
			}
		case *lua.LUserData:
			if x, ok := v.Value.(exact); ok {
				L.Push(lua.LNumber(x.float()))
			} else {
				L.Push(lua.LNil)
			}
		default:
			L.Push(lua.LNil)
		}
		return 1
	}
	if base < 2 || base > 36 {
		L.ArgError(2, "base out of range")
	}
	s := strings.ToLower(strings.Trim(str(L, 1), " \t\n\v\f\r"))
	neg := strings.HasPrefix(s, "-")
	s = strings.TrimPrefix(s, "-")
	if base == 16 {
		s = strings.TrimPrefix(s, "0x")
	}
	n, err := strconv.ParseUint(s, base, 64)
	if err != nil {
		L.Push(lua.LNil)
		return 1
	}
	if neg {
		L.Push(lua.LNumber(-float64(n)))
	} else {
		L.Push(lua.LNumber(n))
	}
	return 1
}

// protected is pcall and xpcall. A script that was stopped by its time limit cannot catch that.
func protected(L *lua.LState, lim *limits, handler bool) int {
	L.CheckAny(1)
	first := 2
	var own lua.LValue
	if handler {
		own = L.CheckAny(2)
		first = 3
	}
	var open openUpvalues
	open.save(L)
	top := L.GetTop()
	L.Push(L.Get(1))
	for i := first; i <= top; i++ {
		L.Push(L.Get(i))
	}
	// It runs where the error is raised.
	onError := &lua.LFunction{IsG: true, Env: L.G.Global, GFunction: func(L *lua.LState) int {
		open.restore(L)
		v := friendlyValue(L.Get(1))
		if own == nil || lim.stopped() {
			L.Push(v)
			return 1
		}
		L.Push(own)
		L.Push(v)
		L.Call(1, 1)
		return 1
	}}
	err := L.PCall(top-first+1, lua.MultRet, onError)
	if err == nil {
		lim.check(L)
		L.Insert(lua.LTrue, top+1)
		return L.GetTop() - top
	}
	open.restore(L)
	lim.check(L)
	L.SetTop(top)
	L.Push(lua.LFalse)
	if api, ok := err.(*lua.ApiError); ok && api.Object != nil {
		L.Push(friendlyValue(api.Object))
	} else {
		L.Push(lua.LString(friendlyError(err.Error())))
	}
	return 2
}

func friendlyValue(v lua.LValue) lua.LValue {
	if s, ok := v.(lua.LString); ok {
		return lua.LString(friendlyError(string(s)))
	}
	return v
}

// wordings are gopher-lua's messages and Lua's; %1 and %2 are what the groups match.
var wordings = []struct {
	part string // found first: it is cheaper
	old  *regexp.Regexp
	new  string
}{
	{"non-table object", regexp.MustCompile(`attempt to index a non-table object\((\w+)\) with key '(.*)'`), "attempt to index a $1 value (field '$2')"},
	{"non-function", regexp.MustCompile(`attempt to call a non-function object`), "attempt to call a value that is not a function"},
	{"(anonymous)", regexp.MustCompile(` to \(anonymous\) \(`), " to '?' ("},
	{"cannot perform", regexp.MustCompile(`cannot perform \w+ operation between (?:number|string) and (nil|boolean|table|function|userdata|thread|channel)`), "attempt to perform arithmetic on a $1 value"},
	{"cannot perform", regexp.MustCompile(`cannot perform \w+ operation between number and (string)`), "attempt to perform arithmetic on a $1 value"},
	{"cannot perform", regexp.MustCompile(`cannot perform \w+ operation between (\w+) and \w+`), "attempt to perform arithmetic on a $1 value"},
	{"__len", regexp.MustCompile(`__len undefined`), "attempt to get length of a value that is neither a string nor a table"},
	{"__unm", regexp.MustCompile(`__unm undefined`), "attempt to perform arithmetic on a value that is not a number"},
	{"for statement", regexp.MustCompile(`for statement init must be a number`), "'for' initial value must be a number"},
	{"for statement", regexp.MustCompile(`for statement (limit|step) must be a number`), "'for' $1 must be a number"},
	{"to compare", regexp.MustCompile(`attempt to compare (?:(table) with table|(nil) with nil|(function) with function|(boolean) with boolean|(userdata) with userdata)`), "attempt to compare two $1$2$3$4$5 values"},
}

// friendlyError turns gopher-lua's wording into Lua's.
func friendlyError(msg string) string {
	for i := range wordings {
		if w := &wordings[i]; strings.Contains(msg, w.part) {
			msg = w.old.ReplaceAllString(msg, w.new)
		}
	}
	return msg
}

func unpack(L *lua.LState) int {
	t := L.CheckTable(1)
	from := optInteger(L, 2, 1)
	to := optInteger(L, 3, t.Len())
	if to-from >= 100_000 {
		L.RaiseError("too many results to unpack")
	}
	for i := from; i <= to; i++ {
		L.Push(t.RawGet(lua.LNumber(i)))
	}
	return max(0, to-from+1)
}

// lastCollect is when a script last forced a garbage collection of the process.
var lastCollect atomic.Int64

func heapKB() float64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.HeapAlloc) / 1024
}

// collectGarbage answers as LuaJIT does; the heap is the process's. A collection is forced once a second at most.
func collectGarbage() lua.LGFunction {
	pause, stepmul := 200, 200 // kept for those who ask; the collector is not Lua's
	setting := func(L *lua.LState, value *int) {
		L.Push(lua.LNumber(*value))
		*value = optInteger(L, 2, 0)
	}
	return func(L *lua.LState) int {
		switch option := L.OptString(1, "collect"); option {
		case "count":
			L.Push(lua.LNumber(heapKB()))
		case "collect", "step":
			if now := time.Now().Unix(); lastCollect.Swap(now) != now {
				runtime.GC()
			}
			if option == "step" {
				L.Push(lua.LFalse) // no cycle of the collector has ended
			} else {
				L.Push(lua.LNumber(0))
			}
		case "stop", "restart":
			L.Push(lua.LNumber(0))
		case "setpause":
			setting(L, &pause)
		case "setstepmul":
			setting(L, &stepmul)
		case "isrunning":
			L.Push(lua.LTrue)
		default:
			L.ArgError(1, fmt.Sprintf("invalid option '%s'", option))
		}
		return 1
	}
}

// chunkName is the name of loaded code in messages, as Lua makes it: at most 59 bytes.
func chunkName(name string) string {
	const room = 59
	switch {
	case strings.HasPrefix(name, "="):
		return name[1:min(len(name), room+1)]
	case strings.HasPrefix(name, "@"):
		if name = name[1:]; len(name) > room {
			name = "..." + name[len(name)-room+3:]
		}
		return name
	}
	line, _, more := strings.Cut(strings.ReplaceAll(name, "\r", "\n"), "\n")
	if most := room - len(`[string "..."]`); more || len(line) > most {
		line = line[:min(len(line), most)] + "..."
	}
	return `[string "` + line + `"]`
}

// luaLoad is load and loadstring: source text only.
func luaLoad(L *lua.LState) int {
	var source strings.Builder
	switch v := L.Get(1).(type) {
	case *lua.LFunction:
		for {
			L.Push(v)
			L.Call(0, 1)
			s := L.Get(-1)
			L.Pop(1)
			if s == lua.LNil || lua.LVAsString(s) == "" {
				break
			}
			limitsOf(L).grow(L, len(lua.LVAsString(s)), source.Len())
			if source.WriteString(lua.LVAsString(s)); source.Len() > maxString {
				L.RaiseError("chunk too long")
			}
		}
	default:
		source.WriteString(str(L, 1))
	}
	name := chunkName(L.OptString(2, source.String()))
	c, err := compileScript(name, source.String())
	if err != nil {
		return failed(L, err)
	}
	fn := c.function(L)
	if env, ok := L.Get(4).(*lua.LTable); ok {
		fn.Env = env
	}
	L.Push(fn)
	return 1
}

// loadFile compiles a file; its name is relative to the working directory, as with Lua.
func loadFile(L *lua.LState, lim *limits, name string) (*lua.LFunction, error) {
	if lim.opened != nil {
		lim.opened(name, engine.Read)
	}
	source, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("cannot open %w", err)
	}
	c, err := compileScript(name, string(source))
	if err != nil {
		return nil, err
	}
	return c.function(L), nil
}

// openDebug adds to the debug library what gopher-lua lacks, and lets it look into coroutines. It exists until setup()
// has run.
func openDebug(L *lua.LState) {
	t := libTable(L, "debug")
	setFuncs(L, t, map[string]lua.LGFunction{
		"gethook": func(L *lua.LState) int { L.Push(lua.LNil); return 1 },
		"sethook": func(L *lua.LState) int {
			if lua.LVAsBool(L.Get(1)) {
				L.RaiseError("debug.sethook: hooks are not available; script_timeout stops a script that runs for too long")
			}
			return 0
		},
		"getregistry": func(L *lua.LState) int { L.Push(L.G.Registry); return 1 },
		"setfenv": func(L *lua.LState) int {
			if fn, ok := L.Get(1).(*lua.LFunction); ok && fn.IsG {
				L.RaiseError("'setfenv' cannot change environment of given object")
			}
			L.SetFEnv(L.CheckAny(1), L.CheckTable(2))
			L.Push(L.Get(1))
			return 1
		},
	})
	old, ok := t.RawGetString("traceback").(*lua.LFunction)
	if !ok {
		return
	}
	t.RawSetString("traceback", L.NewFunction(func(L *lua.LState) int {
		switch v := L.Get(1).(type) {
		case *lua.LState: // of a coroutine
			text := "stack traceback:"
			if co := coroutineOf(v); co != nil && co.thread != nil {
				th := co.thread
				for level := 0; ; level++ {
					dbg, ok := th.GetStack(level)
					if !ok || level > 20 {
						break
					}
					if _, err := th.GetInfo("Sl", dbg, lua.LNil); err == nil && dbg.CurrentLine > 0 {
						text += fmt.Sprintf("\n\t%s:%d:", dbg.Source, dbg.CurrentLine)
					}
				}
			}
			if msg, ok := L.Get(2).(lua.LString); ok {
				text = string(msg) + "\n" + text
			}
			L.Push(lua.LString(text))
			return 1
		case lua.LString, *lua.LNilType:
			return old.GFunction(L)
		default: // as LuaJIT: no message, nothing to do
			L.Push(v)
			return 1
		}
	}))
}

// sealSandbox takes away what reaches files, processes and other code: called when setup() has run.
func sealSandbox(L *lua.LState) {
	G := L.G.Global
	sealed := func(what string) *lua.LFunction {
		return L.NewFunction(func(L *lua.LState) int {
			L.RaiseError("%s is not available after setup()", what)
			return 0
		})
	}
	seal := func(t *lua.LTable, name string, names ...string) {
		for _, n := range names {
			if fn, ok := t.RawGetString(n).(*lua.LFunction); ok && fn.IsG {
				what := strings.TrimPrefix(name+"."+n, ".")
				fn.GFunction = sealed(what).GFunction // references that a script has kept, too
			}
		}
	}
	if ioLib, ok := G.RawGetString("io").(*lua.LTable); ok {
		seal(ioLib, "io", "open", "popen", "tmpfile", "lines", "input", "output", "read", "write", "close", "type")
	}
	if osLib, ok := G.RawGetString("os").(*lua.LTable); ok {
		seal(osLib, "os", "execute", "exit", "remove", "rename", "tmpname", "setenv", "setlocale")
		for _, n := range []string{"execute", "exit", "remove", "rename", "tmpname", "setenv"} {
			osLib.RawSetString(n, lua.LNil)
		}
	}
	sealFiles(L)
	seal(G, "", "dofile", "loadfile", "load", "loadstring", "module", "newproxy")
	if dbg, ok := G.RawGetString("debug").(*lua.LTable); ok {
		for k, v := dbg.Next(lua.LNil); k != lua.LNil; k, v = dbg.Next(k) {
			if fn, ok := v.(*lua.LFunction); ok && fn.IsG && k.String() != "traceback" {
				fn.GFunction = sealed("debug." + k.String()).GFunction
			}
		}
	}
	G.RawSetString("io", lua.LNil)
	G.RawSetString("debug", lua.LNil)
	if pkg, ok := G.RawGetString("package").(*lua.LTable); ok {
		if loaded, ok := pkg.RawGetString("loaded").(*lua.LTable); ok {
			loaded.RawSetString("io", lua.LNil)
			loaded.RawSetString("debug", lua.LNil)
		}
	}
}

// exitError is what os.exit raises: the process belongs to the engine.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("the script called os.exit(%d)", e.code) }
