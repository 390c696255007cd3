package luabind

import (
	"strings"
	"testing"
)

// Chunks with .., which calls a host function, in every way of loading: each runs more than once.
func TestLoadedChunksRunAgain(t *testing.T) {
	dir := t.TempDir()
	s, out, err := load(t, "analyzers/a.lua", `
		local file = "`+dir+`/chunk.lua"
		local f = assert(io.open(file, "w")) f:write("local a = ... return 'x' .. (a or 1) .. #{...}") f:close()
		local one, two = loadfile(file), loadfile(file)
		assert(one("a") == "xa1" and one("b") == "xb1" and two() == "x10" and two() == "x10" and dofile(file) == "x10" and dofile(file) == "x10")
		local third = loadstring("return 'a' .. 1") setfenv(third, setmetatable({}, {__newindex = error}))
		assert(third() == "a1" and third() == "a1" and third() == "a1")
		local made = {} for i = 1, 3 do made[i] = loadstring("return " .. i .. " .. 'q'") end
		for round = 1, 2 do for i = 3, 1, -1 do assert(made[i]() == i .. "q") end end
		local co = coroutine.wrap(loadstring("local a = ... while true do a = coroutine.yield(a .. '!') end"))
		assert(co("a") == "a!" and co("b") == "b!")
		for k in pairs(_G) do assert(k:byte() ~= 0) end
		assert(debug.getupvalue(one, 1) == nil)
		assert(#loadstring("return {'\\0000', '\\0001', 'a' .. 1, '\\0000' .. '\\0001'}")() == 4 and loadstring("return '\\0000' .. '\\0001'")() == "\0000\0001")
		local ok, msg = pcall(dofile, "/nonexistent/file.lua") assert(not ok and msg:find("cannot open"))
		assert(select(2, loadfile("/nonexistent/file.lua")):find("cannot open"))
		local lib = require("lib") assert(lib("p") == "p-" and lib("q") == "q-")
		function loop(e) e.x = lib(e.n) dragonfly.output_event("out", e) end`, "lib.lua", `local calls = 0 return function(x) calls = calls + 1 return x .. "-" end`)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := handle(t, s, out, `{"n":1}`); err != nil || out.Emitted[0].Body != `{"n":1,"x":"1-"}` {
			t.Errorf("got %v, %v", out.Emitted, err)
		}
	}
}

func TestErrorsOfRewrittenCodeHaveTheirLine(t *testing.T) {
	f := func(source, want string) {
		t.Helper()
		_, _, err := evalLua(t, source)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", source, err, want)
		}
	}
	f("local a\n= 1\nlocal s = 'x' ..\n 'y' .. nil", "a.lua:3: attempt to concatenate a nil value")
	f("local t\nlocal a, b = 1, 2\na, b = b,\n t.x", "a.lua:4: attempt to index")
	f("local t, a\n\na = t and t.y or t.x", "a.lua:3: attempt to index")
	f("local t\nt.x, t.y = 1, 2", "a.lua:2: attempt to index")
	f("x = '\\z\n\n' error('here')", "a.lua:3: here")
	f("if true then\n error('here') end", "a.lua:2: here")
}

func TestUnreadableSource(t *testing.T) {
	for source, want := range map[string]string{
		"x = 1\nlocal n = 12LL":         "a.lua:2: 12LL is a 64-bit integer",
		"x = 0xZ":                       "a.lua:1: malformed number near \"0xZ\"",
		"\n\nx = 0b12":                  "a.lua:3: malformed number near \"0b12\"",
		"x = require 'ffi' y = 5 5":     "a.lua:1",
		"\x1bLJ":                        "bytecode",
		"--[[ a\n ]] x = '\\z  \n' = 3": "a.lua:",
	} {
		_, err := compileScript("a.lua", source)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %s", source, err, want)
		}
	}
	_, _, err := load(t, "a.lua", "local ffi = require 'ffi' function loop() end")
	if err == nil || !strings.Contains(err.Error(), "use the modules bit, string.buffer") {
		t.Errorf("got %v", err)
	}
}

func FuzzCompile(f *testing.F) {
	f.Add("local a, b = 1, '\\x41\\u{20ac}\\z  x' .. 0x1p4 a, b = b, a and (b or 1) goto x ::x:: return {a, b = 2}")
	f.Add("local f = function() return f end while true do break end if nil then elseif 1 then else end")
	f.Add("for i = -0, 0b1 do for k, v in pairs{...} do t[i], i = f(...), -0.0 end end")
	f.Fuzz(func(t *testing.T, source string) {
		if c, err := compileScript("a.lua", source); (c == nil) == (err == nil) {
			t.Errorf("%q: got %v and %v", source, c, err)
		}
	})
}
