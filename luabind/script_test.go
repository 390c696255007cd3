package luabind

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
)

// load loads a script from files of a root; the first is the script.
func load(t testing.TB, files ...string) (engine.Script, *engine.Results, error) {
	t.Helper()
	dir := t.TempDir()
	first := ""
	for i := 0; i < len(files); i += 2 {
		path := filepath.Join(dir, files[i])
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(files[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			first = files[i]
		}
	}
	l, err := NewLoader(dir, Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	var out engine.Results
	p, err := l.Program(first)
	if err != nil {
		return nil, &out, err
	}
	s, err := p.Load(engine.ScriptEnv{Stage: "test", DefaultAnalyzer: "next", DefaultOutput: "out", Timeout: 200 * time.Millisecond,
		Router: &tags{byRoute: map[engine.Route]string{}, routes: map[string]engine.Route{}}}, &out)
	if err == nil {
		t.Cleanup(s.Close)
	}
	return s, &out, err
}

func handle(t *testing.T, s engine.Script, out *engine.Results, event string) error {
	t.Helper()
	ev, err := engine.NewEvent(event)
	if err != nil {
		t.Fatal(err)
	}
	out.Reset()
	return s.Handle(&ev, out)
}

func TestEveryHostFunctionHasAnExampleThatRuns(t *testing.T) {
	s := referenceScript()
	defer s.Close()
	for _, m := range s.modules() {
		for _, f := range slices.Concat(m.Funcs, m.Methods) {
			t.Run(m.Name+"."+f.Name, func(t *testing.T) {
				if f.Doc == "" || f.Sig == "" || f.Example == "" {
					t.Fatal("lacks Doc, Sig or Example")
				}
				sc, _, err := load(t, "a.lua", "function setup()\n"+f.Example+"\nend\nfunction loop(e) end")
				if err != nil {
					t.Fatalf("%s: %v", f.Example, err)
				}
				_ = sc
			})
		}
	}
}

func TestScriptsAreStopped(t *testing.T) {
	for _, body := range []string{
		`while true do end`, `repeat until false`, `for i = 1, math.huge do end`, `::a:: goto a`, `local function f() return f() end f()`,
		`pcall(function() while true do end end) dragonfly.output_event("out", e)`, `while true do pcall(error) end`,
		`local t = {} for k in pairs({1}) do while true do t[#t] = 1 end end`,
		`string.find(string.rep("a", 30000), string.rep("a*", 30) .. "b")`, `string.rep("x", 1e5):gsub(".-b", "")`,
		`local co = coroutine.wrap(function() while true do end end) co()`, `table.sort({1, 2, 3}, function() while true do end end)`,
		`setmetatable({}, {__index = function(t, k) while true do end end}).x = nil local y = setmetatable({}, {__index = function() while true do end end}).x`,
		`for i in function() return 1 end do end`, `local f = e.f or tostring while f do end`,
	} {
		s, out, err := load(t, "a.lua", "function loop(e)\n"+body+"\nend")
		if err != nil {
			t.Fatal(body, err)
		}
		start := time.Now()
		err = handle(t, s, out, `{"n":1}`)
		var se *engine.ScriptError
		if !errors.As(err, &se) || (!se.Timeout && !strings.Contains(se.Msg, "stack overflow") && !strings.Contains(se.Msg, "too complex")) {
			t.Errorf("%s: got %v", body, err)
		}
		if took := time.Since(start); took > 5*time.Second {
			t.Errorf("%s: took %v", body, took)
		}
		if err := handle(t, s, out, `{"n":2}`); err == nil {
			t.Errorf("%s: the second call must be stopped too", body)
		}
	}
}

func TestAnalysisKnowsWhatCannotLoop(t *testing.T) {
	f := func(body string, want bool) {
		t.Helper()
		c, err := compileScript("a.lua", body)
		if err != nil {
			t.Fatal(body, err)
		}
		if c.mayLoop != want {
			t.Errorf("%s: got %v", body, c.mayLoop)
		}
	}
	f(`local list = {} for i = 1, 8 do list[i] = i end function loop(e) e.n = list[1] + 1 end`, false) // a table of numbers
	f(`local list = {} for i = 1, 8 do list[i] = i end function loop(e) list[e.n](e) end`, true)
	f(`function loop(e) dragonfly.analyze_event(default_analyzer, e) end`, false)
	f(`local count = {} local function bump(k) count[k] = (count[k] or 0) + 1 end function loop(e) bump(e.src_ip) local x = string.match(e.dns.rrname, "%a") end`, false)
	f(`local find = string.find function loop(e) if find(e.a, "x") or e.a:match("y") then print(e.a) end end`, false)
	f(`function loop(e) for k, v in pairs(e) do e.n = v end for i = 1, 10 do print(i) end for i, v in ipairs(e.l) do print(v) end end`, false)
	f(`function setup() while true do break end end function loop(e) end`, false)
	f(`function loop(e) while e do end end`, true)
	f(`function loop(e) for k in pairs(e) do e[k .. "x"] = 1 end end`, true)
	f(`local function a() b() end function b() a() end function loop(e) end`, true)
	f(`function loop(e) e.f() end`, true)
	f(`function loop(e) local f = e.f f() end`, true)
	f(`function loop(e) for i = 1, e.n do end end`, true)
	f(`function helper() while true do end end function loop(e) helper() end`, true)
	f(`function loop(e) coroutine.wrap(print)() end`, true)
	f(`function loop(e) setmetatable(e, {}) end`, true)
	f(`function loop(e) table.sort(e.l, function(a, b) return a < b end) end`, false)
	f(`function loop(e) require(e.name) end`, true)

	// tables of functions
	dispatch := `local handlers = {dns = function(e) e.a = 1 end, http = function(e) e.b = 2 end} `
	f(dispatch+`function loop(e) handlers[e.event_type](e) end`, false)
	f(dispatch+`function loop(e) local h = handlers[e.event_type] if h then h(e) end end`, false)
	f(dispatch+`function loop(e) pcall(handlers[e.event_type], e) end`, false)
	f(dispatch+`handlers.tls = function(e) return e end function handlers.ssh(e) end handlers["x"] = nil function loop(e) handlers[e.event_type](e) end`, false)
	f(`local function on_dns(e) end local handlers = {dns = on_dns, [5] = on_dns, on_dns, print} function loop(e) handlers[e.event_type](e) for k in pairs(handlers) do print(k, #handlers) end end`, false)
	f(`local handlers = {} handlers.dns = function(e) end function loop(e) handlers.dns(e) handlers[e.x](e) end`, false)
	f(dispatch+`handlers.tls = function(e) while true do end end function loop(e) handlers[e.event_type](e) end`, true)
	f(dispatch+`function handlers.tls(e) while true do end end function loop(e) local h = handlers[e.event_type] h(e) end`, true)
	f(dispatch+`function handlers:tls(e) while true do end end function loop(e) local h = handlers[e.event_type] h(e) end`, true)
	f(`local handlers = {dns = function(e) while true do end end} function loop(e) handlers[e.event_type](e) end`, true)
	f(`local handlers = {} handlers.dns = function(e) handlers[e.x](e) end function loop(e) handlers[e.event_type](e) end`, true)
	f(dispatch+`handlers[1] = e function loop(e) handlers[e.event_type](e) end`, true)
	f(dispatch+`handlers.x = other() function loop(e) handlers[e.event_type](e) end`, true)
	f(dispatch+`fill(handlers) function loop(e) handlers[e.event_type](e) end`, true)
	f(dispatch+`H = handlers function loop(e) handlers[e.event_type](e) end`, true)
	f(dispatch+`local t = {handlers} function loop(e) handlers[e.event_type](e) end`, true)
	f(dispatch+`function loop(e) handlers = e handlers[e.event_type](e) end`, true)
	f(dispatch+`function loop(handlers) handlers[1](e) end`, true)
	f(`function loop(e) handlers[e.event_type](e) end `+dispatch, true)
	f(`do local handlers = {dns = function() end} end function loop(e) handlers[e.event_type](e) end`, true)
	f(dispatch+`local function run(h) h() end function loop(e) local h = handlers.dns h(e) run(e.f) end`, true)
	f(dispatch+`function loop(e) local h = handlers[e.x] or e.f h(e) end`, true)
	f(dispatch+`function loop(e) local h = e.f h(e) local h = handlers.dns end`, true)
	f(`local handlers = {dns = e.f} function loop(e) handlers[e.event_type](e) end`, true)
	f(`local handlers = {dns = unknown} function loop(e) handlers[e.event_type](e) end`, true)
	f(`function loop(e) pcall(e.list[1]) end`, true)
	f(`function loop(e) table.sort(e.list, e.list[1]) end`, true)
}

func TestSandboxClosesAfterSetup(t *testing.T) {
	s, out, err := load(t, "scripts/a.lua", `
		local open, execute, load, remove, dbg = io.open, os.execute, loadstring, os.remove, debug.getinfo
		function setup() local f = assert(io.open("/etc/hostname")) f:read("*a") f:close() assert(require("io").open) end
		function loop(e)
			assert(io == nil and os.execute == nil and os.exit == nil and os.remove == nil and debug == nil)
			for name, f in pairs({open = open, execute = execute, load = load, remove = remove, dofile = dofile, loadfile = loadfile, loadstring = loadstring, dbg = dbg}) do
				local ok, err = pcall(f, "/etc/hostname")
				assert(not ok and string.find(err, "not available after setup"), name .. " " .. tostring(err))
			end
			assert(not pcall(require, "../../../etc/hostname") and not pcall(require, "/etc/hostname"))
			assert(require("lib/x") == "lib")
		end`, "scripts/lib/x.lua", `return "lib"`)
	if err != nil {
		t.Fatal(err)
	}
	if err := handle(t, s, out, `{}`); err != nil {
		t.Error(err)
	}
}

func TestFaultsHavePlaceAndCause(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		s, out, err := load(t, "analyzers/a.lua", "function loop(e)\n"+body+"\nend")
		if err == nil {
			err = handle(t, s, out, `{"n":1,"null":null}`)
		}
		if err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", body, err, want)
		}
		if len(out.Emitted) > 0 && err == nil {
			t.Errorf("%s: emitted %v", body, out.Emitted)
		}
	}
	f(`error("boom")`, `analyzers/a.lua:2: boom`)
	f(`error({code = 5})`, `analyzers/a.lua:2: error value {"code":5}`)
	f(`local x = e.dns.rrname`, `analyzers/a.lua:2: attempt to index a nil value (field 'rrname')`)
	f("\nlocal s = 'x' .. nil", `analyzers/a.lua:3: attempt to concatenate a nil value`)
	f(`dragonfly.output_event("out")`, `analyzers/a.lua:2: expecting exactly 2 arguments`)
	f(`dragonfly.output_event("out", {f = print})`, `analyzers/a.lua:2: output_event: Cannot serialise function: type not supported`)
	f(`string.rep()`, `analyzers/a.lua:2: bad argument #1 to rep (string expected, got no value)`)
	f(`local x = "a" x.y.z = 1`, `analyzers/a.lua:2: attempt to index a nil value (field 'z')`)
	if _, _, err := load(t, "a.lua", "x ="); err == nil {
		t.Error("a syntax error loads")
	}
	if _, _, err := load(t, "a.lua", "function setup() os.exit(3) end function loop() end"); err == nil || !strings.Contains(err.Error(), "os.exit(3)") {
		t.Errorf("got %v", err)
	}
	if _, _, err := load(t, "a.lua", "function setup() end"); err == nil || !strings.Contains(err.Error(), "no function loop") {
		t.Errorf("got %v", err)
	}
	if _, _, err := load(t, "a.lua", "require('b') function loop() end", "b.lua", "require('a2')", "a2.lua", "require('b')"); err == nil || !strings.Contains(err.Error(), "requires itself") {
		t.Errorf("got %v", err)
	}
}

func TestBigTablesAreComplete(t *testing.T) {
	var b strings.Builder
	b.WriteString("return {")
	for i := range 100_000 {
		fmt.Fprintf(&b, "%d,", i+1)
	}
	b.WriteString("name = 'x'}")
	_, _, err := load(t, "a.lua", "local t = require 'data' assert(#t == 100000 and t[100000] == 100000 and t.name == 'x') function loop() end", "data.lua", b.String())
	if err != nil {
		t.Error(err)
	}
}

func TestDragonflyFunctions(t *testing.T) {
	s, out, err := load(t, "a.lua", `
		function loop(e)
			assert(dragonfly.date2epoch("2026-11-20T18:31:59.886695+0000") == 1795199519.886695)
			assert(dragonfly.date2epoch("2026-11-20T18:31:59Z") == dragonfly.date2epoch("2026-11-20T19:31:59+01:00"))
			assert(dragonfly.date2epoch("nonsense") == nil)
			dragonfly.analyze_event(default_analyzer, e)
			e.changed = true
			dragonfly.output_event(default_output, e)
			e.changed = "later"
			dragonfly.log_event("text")
			dragonfly.timer_event("t", 1.5, {x = 1})
			dragonfly.analyze_event(nil, e)
			assert(not pcall(dragonfly.timer_event, "t", -1, {}))
		end`)
	if err != nil {
		t.Fatal(err)
	}
	if err := handle(t, s, out, `{"a":1.0}`); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, em := range out.Emitted {
		got = append(got, em.Body)
	}
	if want := `{"a":1.0} {"a":1.0,"changed":true} "text"`; strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if len(out.Timers) != 1 || out.Timers[0].After != 1500*time.Millisecond || out.Timers[0].Body != `{"x":1}` {
		t.Errorf("got %+v", out.Timers)
	}
}

func TestSetupMayUseTablesAsEvents(t *testing.T) {
	_, out, err := load(t, "a.lua", `function setup() dragonfly.output_event("out", {b = 1, a = {1, 2}}) end function loop() end`)
	if err != nil || len(out.Emitted) != 1 || out.Emitted[0].Body != `{"b":1,"a":[1,2]}` {
		t.Errorf("got %v, %v", out.Emitted, err)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add(`inputs = { {tag="a", uri="dummy://", script="f"} }`)
	f.Add(`inputs = 5 outputs = { 1, {uri={}}, x = 2 } max_in_flight = "x"`)
	f.Add(`while true do end`)
	f.Add(`inputs = setmetatable({}, {__index = error}) local x <const> = 5`)
	kinds := Kinds{Inputs: map[string]engine.InputKind{"dummy": {Options: []engine.Option{{Key: "data", Type: engine.JSON}}}},
		Outputs: map[string]engine.OutputKind{"file": {Options: []engine.Option{{Key: "n", Type: engine.Bytes}}}},
		Exists:  func(string) bool { return true }, Getenv: func(string) (string, bool) { return "", false },
		Read: func(string) ([]byte, error) { return nil, os.ErrNotExist }}
	f.Fuzz(func(t *testing.T, source string) {
		if strings.Contains(source, "while") || strings.Contains(source, "for") || strings.Contains(source, "repeat") || strings.Contains(source, "goto") ||
			strings.Contains(source, "rep") || len(source) > 2000 {
			return // such a file is stopped after 5 s: too slow for fuzzing
		}
		cfg, err := LoadConfig("config.lua", []byte(source), "/root", kinds)
		if (cfg == nil) == (err == nil) {
			t.Fatalf("%q: got %v and %v", source, cfg, err)
		}
		if err != nil && len(engine.ConfigErrors(err)) == 0 {
			t.Fatalf("%q: %v is no configuration error", source, err)
		}
	})
}

func TestRequireFindsTheOriginalsLayout(t *testing.T) {
	for _, files := range [][]string{
		{"analyzers/a.lua", "analyzers/utils.lua"}, {"analyzer/a.lua", "analyzer/utils.lua"}, {"analyzer/a.lua", "analyzers/utils.lua"},
		{"analyzers/a.lua", "analyzer/utils.lua"},
	} {
		s, out, err := load(t, files[0], `
			require 'analyzer/utils'
			local again = require('analyzer/utils.lua') or true
			local json, bit = require 'cjson', require 'bit'
			assert(json.encode and bit.band and require('cjson.safe') == cjson_safe and require('string') == string)
			function loop(e) e.n = add(e.n) dragonfly.output_event("out", e) end`, files[1], `function add(n) return n + 1 end`)
		if err != nil {
			t.Fatalf("%v: %v", files, err)
		}
		if err := handle(t, s, out, `{"n":1}`); err != nil || out.Emitted[0].Body != `{"n":2}` {
			t.Errorf("%v: got %v, %v", files, out.Emitted, err)
		}
	}
}
