package luabind

import (
	"errors"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
)

// evalLua runs source in a bare interpreter.
func evalLua(t *testing.T, source string) (L *lua.LState, cs *coroutines, err error) {
	t.Helper()
	L = lua.NewState(lua.Options{SkipOpenLibs: true, CallStackSize: 16 << 10, RegistryMaxSize: 1 << 20, MinimizeStackMemory: true})
	cs = openLibs(L, &limits{}, io.Discard)
	t.Cleanup(func() { cs.close(); L.Close() })
	newViews(L).open()
	c, err := compileScript("a.lua", source)
	if err != nil {
		t.Fatal(err)
	}
	L.Push(c.function(L))
	return L, cs, L.PCall(0, 0, nil)
}

// LuaJIT refuses these: a C function stands between.
func TestCoroutinesYieldBelowHostFunctions(t *testing.T) {
	_, _, err := evalLua(t, `
		local wrap, yield = coroutine.wrap, coroutine.yield
		local sub = wrap(function() return (("abc"):gsub(".", function(c) return yield(c) end)) end)
		assert(sub() == "a" and sub("x") == "b" and ("zz"):gsub("z", "y") == "yy" and sub("y") == "c" and sub("z") == "xyz")
		local sorted = wrap(function()
			local l = {3, 1, 2}
			table.sort(l, function(a, b) return yield(a, b) end)
			return "sorted", table.concat(l)
		end)
		local a, b = sorted()
		while a ~= "sorted" do a, b = sorted(a < b) end
		assert(b == "123")
		local each = wrap(function() table.foreach({10, 20}, function(k, v) yield(k + v) end) end)
		assert(each() == 11 and each() == 22)
		local caught = wrap(function() return xpcall(function() yield(1) error("late", 0) end, function(m) return yield(m) .. "!" end) end)
		assert(caught() == 1 and caught() == "late")
		local ok, msg = caught("handled")
		assert(ok == false and msg == "handled!")
		local mt = setmetatable({}, {__lt = function() return yield("lt") end, __tostring = function() return yield("text") end})
		local meta = wrap(function() return mt < mt, tostring(mt) end)
		assert(meta() == "lt" and meta(true) == "text")
		local less, text = meta("T")
		assert(less == true and text == "T")`)
	if err != nil {
		t.Error(err)
	}
}

func TestCoroutinesEnd(t *testing.T) {
	// What nobody can resume is collected, what still runs ends with the interpreter.
	before := runtime.NumGoroutine()
	_, cs, err := evalLua(t, `
		for i = 1, 3 * 10000 do
			local co = coroutine.wrap(function() while true do pcall(coroutine.yield, i) end end)
			assert(co() == i)
		end
		kept = {}
		for i = 1, 100 do
			kept[i] = coroutine.create(function() xpcall(function() coroutine.yield() end, function() while true do end end) while true do end end)
			coroutine.resume(kept[i])
		end`)
	if err != nil {
		t.Fatal(err)
	}
	cs.close()
	if len(cs.live) != 0 {
		t.Errorf("%d coroutines live", len(cs.live))
	}
	for wait := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > before && time.Now().Before(wait); {
		cs.bury()
		runtime.Gosched()
	}
	if n := runtime.NumGoroutine(); n > before {
		t.Errorf("%d goroutines, had %d", n, before)
	}
	_, _, err = evalLua(t, `kept = {} for i = 1, 20000 do kept[i] = coroutine.wrap(function() coroutine.yield() end) kept[i]() end`)
	if err == nil || !strings.Contains(err.Error(), "too many coroutines") {
		t.Errorf("got %v", err)
	}
}

// A routine is ended while another coroutine runs: what it still does must not reach that one.
func TestCoroutinesAreEndedBelowOthers(t *testing.T) {
	L, cs, err := evalLua(t, `
		lost = {}
		for i, f in ipairs{
			function() xpcall(coroutine.yield, coroutine.yield) end,
			function() pcall(pcall, coroutine.yield) coroutine.yield("late") end,
			function() xpcall(coroutine.yield, coroutine.create(print) and function() coroutine.wrap(print)() end) end,
			function() local inner = coroutine.wrap(function() coroutine.yield() end) inner() xpcall(coroutine.yield, inner) end,
		} do lost[i] = coroutine.create(f) coroutine.resume(lost[i]) end
		function other()
			local co = coroutine.wrap(function(a)
				assert(coroutine.wrap(function() return coroutine.yield("inner") end)() == "inner")
				return coroutine.yield(a .. "!")
			end)
			return co("x"), co("y")
		end`)
	if err != nil {
		t.Fatal(err)
	}
	for r := range cs.live {
		cs.orphan(r)
	}
	L.Push(L.GetGlobal("other"))
	if err := L.PCall(0, 2, nil); err != nil || L.Get(-2).String() != "x!" || L.Get(-1).String() != "y" {
		t.Errorf("got %v, %v, %v", L.Get(-2), L.Get(-1), err)
	}
}

func TestCoroutinesAreStopped(t *testing.T) {
	for _, body := range []string{
		`coroutine.wrap(function() while true do end end)()`,
		`local co = coroutine.wrap(function() while true do coroutine.yield() end end) while true do co() end`,
		`local co = coroutine.create(function() pcall(function() while true do end end) end) coroutine.resume(co) n = (n or 0) + 1`,
		`coroutine.wrap(function() coroutine.wrap(function() for i = 1, math.huge do pcall(error) end end)() end)()`,
		`local function f() return coroutine.wrap(f)() end f()`,
	} {
		s, out, err := load(t, "a.lua", "function loop(e)\n"+body+"\nend")
		if err != nil {
			t.Fatal(body, err)
		}
		for range 2 {
			start := time.Now()
			err := handle(t, s, out, `{"n":1}`)
			var se *engine.ScriptError
			if !errors.As(err, &se) || !se.Timeout && !strings.Contains(se.Msg, "too many coroutines") {
				t.Errorf("%s: got %v", body, err)
			}
			if took := time.Since(start); took > 5*time.Second {
				t.Errorf("%s: took %v", body, took)
			}
		}
	}
}

func TestCoroutinesOutliveACallback(t *testing.T) {
	s, out, err := load(t, "a.lua", `
		local co = coroutine.wrap(function(e) local n = 0 while true do n = n + e.n e = coroutine.yield(n .. "") end end)
		function loop(e) e.sum = co(e) dragonfly.output_event("out", e) end`)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{`{"n":2,"sum":"2"}`, `{"n":2,"sum":"4"}`, `{"n":2,"sum":"6"}`} {
		if err := handle(t, s, out, `{"n":2}`); err != nil || out.Emitted[0].Body != want {
			t.Errorf("event %d: got %v, %v", i, out.Emitted, err)
		}
	}
}

func BenchmarkCoroutine(b *testing.B) {
	L := lua.NewState(lua.Options{SkipOpenLibs: true})
	cs := openLibs(L, &limits{}, io.Discard)
	defer cs.close()
	f := func(name, source string) {
		c, err := compileScript("a.lua", source)
		if err != nil {
			b.Fatal(err)
		}
		L.Push(c.function(L))
		L.Call(0, 1)
		fn := L.Get(-1)
		L.Pop(1)
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				L.Push(fn)
				L.Call(0, 0)
			}
		})
	}
	f("switch", `local co = coroutine.wrap(function() while true do coroutine.yield() end end) return co`)
	f("create", `return function() coroutine.wrap(function() end)() end`)
	f("pcall", `return function() pcall(function() end) end`)
	f("pcall error", `return function() pcall(error, 1) end`)
}
