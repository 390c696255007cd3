package luabind

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unsafe"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
)

// stateLab loads scripts as the engine does: with what they saved before.
type stateLab struct {
	t      *testing.T
	loader *Loader
	out    engine.Results
}

func newStateLab(t *testing.T, files map[string]string) *stateLab {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		path := filepath.Join(dir, name)
		os.MkdirAll(filepath.Dir(path), 0o755)
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	l, err := NewLoader(dir, Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return &stateLab{t: t, loader: l}
}

func (lab *stateLab) program(name string) engine.Program {
	lab.t.Helper()
	p, err := lab.loader.Program(name)
	if err != nil {
		lab.t.Fatal(err)
	}
	return p
}

func (lab *stateLab) load(name string, env engine.ScriptEnv) (engine.Script, error) {
	lab.t.Helper()
	env.Stage, env.DefaultOutput = "test", "out"
	if env.Workers == 0 {
		env.Workers = 1
	}
	env.Router = &tags{byRoute: map[engine.Route]string{}, routes: map[string]engine.Route{}}
	s, err := lab.program(name).Load(env, &lab.out)
	if err == nil {
		lab.t.Cleanup(s.Close)
	}
	return s, err
}

func (lab *stateLab) mustLoad(name string, env engine.ScriptEnv) engine.Script {
	lab.t.Helper()
	s, err := lab.load(name, env)
	if err != nil {
		lab.t.Fatal(err)
	}
	return s
}

func (lab *stateLab) handle(s engine.Script, event string) {
	lab.t.Helper()
	if err := handle(lab.t, s, &lab.out, event); err != nil {
		lab.t.Fatal(err)
	}
}

func (lab *stateLab) save(s engine.Script) []byte {
	lab.t.Helper()
	data, err := s.(engine.StateKeeper).SaveState()
	if err != nil {
		lab.t.Fatal(err)
	}
	return data
}

func TestStateComesBackAsItWas(t *testing.T) {
	lab := newStateLab(t, map[string]string{
		"fill.lua": `
function loop(e)
  state.n, state.half, state.text, state.yes, state.no = 7, -0.5, "a\0\255", true, false
  state.big = e.flow_id
  state.list = {1, 2, {3}}
  state.keys = {[1.5] = "x", [true] = "y", [100] = "z"}
  state.shared = state.list
  state.self = state
  state.dns = e.dns
  state.null = e.nothing
end`,
		"check.lua": `
local at_top = state.n
function setup()
  assert(at_top == 7 and state.n == 7 and state.half == -0.5 and state.text == "a\0\255" and state.yes == true and state.no == false)
  assert(tostring(state.big) == "9223372036854775807")
  assert(#state.list == 3 and state.list[3][1] == 3 and state.shared == state.list and state.self == state)
  assert(state.keys[1.5] == "x" and state.keys[true] == "y" and state.keys[100] == "z")
  assert(state.dns.rrname == "a.b" and state.dns.list[2] == 6)
  assert(state.null == require("cjson").null)
end
function loop(e) end`,
	})
	s := lab.mustLoad("fill.lua", engine.ScriptEnv{})
	lab.handle(s, `{"flow_id":9223372036854775807,"dns":{"rrname":"a.b","list":[5,6]},"nothing":null}`)
	lab.mustLoad("check.lua", engine.ScriptEnv{States: [][]byte{lab.save(s)}})
}

func TestStateIsThereOnlyForScriptsThatNameIt(t *testing.T) {
	lab := newStateLab(t, map[string]string{
		"none.lua":            `function setup() assert(rawget(_G, "st" .. "ate") == nil) end function loop(e) local state = e.tcp.state end`,
		"field.lua":           `function loop(e) return e.flow.state end`,
		"own.lua":             `function loop(e) state.n = 1 end`,
		"deep.lua":            `function loop(e) return (function() return function() return state end end)()() end`,
		"require.lua":         `local c = require("scripts/counter") function loop(e) c.count() end`,
		"scripts/counter.lua": `local M = {} function M.count() state.n = (state.n or 0) + 1 end return M`,
	})
	for name, want := range map[string]bool{"none.lua": false, "field.lua": false, "own.lua": true, "deep.lua": true, "require.lua": true} {
		p := lab.program(name)
		if got := p.(engine.StatefulProgram).KeepsState(); got != want {
			t.Errorf("%s: keeps state: %v", name, got)
		}
		lab.mustLoad(name, engine.ScriptEnv{})
	}
}

func TestStateThatCannotBeSavedNamesThePlace(t *testing.T) {
	for code, want := range map[string]string{
		`state.hosts = {a = {f = print}}`:                         "state.hosts.a.f is a function",
		`state["a b"] = {[3] = coroutine.create(function() end)}`: `state["a b"][3] is a thread`,
		`state.s = require("sketch").hll()`:                       "state.s is a userdata",
		`state[print] = 1`:                                        "is a function",
		`state = 5`:                                               "the global `state` is a number",
		`state.x = ("x"):rep(5000)`:                               "longer than 4096 bytes",
		`for i = 1, 1000 do state[i] = i end`:                     "longer than 4096 bytes",
		`local t = state for i = 1, 2000 do t.t = {} t = t.t end`: "nested too deep",
	} {
		lab := newStateLab(t, map[string]string{"a.lua": "function loop(e) if e.go then " + code + " end end"})
		s := lab.mustLoad("a.lua", engine.ScriptEnv{StateMax: 4096})
		lab.handle(s, `{"go":true}`)
		if _, err := s.(engine.StateKeeper).SaveState(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", code, err, want)
		}
		if err := handle(t, s, &lab.out, `{}`); err != nil { // it goes on
			t.Errorf("%s: afterwards: %v", code, err)
		}
	}
}

func TestStateOfOtherWorkersIsAddedUp(t *testing.T) {
	const count = `function loop(e) state.n = (state.n or 0) + 1 state.by = state.by or {} state.by[e.k] = (state.by[e.k] or 0) + 1 state.first = state.first or e.k end`
	lab := newStateLab(t, map[string]string{
		"count.lua": count,
		"show.lua":  `function loop(e) dragonfly.output_event("out", state) end`,
	})
	var saved [][]byte
	for w := range 3 {
		s := lab.mustLoad("count.lua", engine.ScriptEnv{Shard: w, Workers: 3})
		for i := range w + 1 {
			lab.handle(s, fmt.Sprintf(`{"k":"k%d"}`, (w+i)%3))
		}
		saved = append(saved, lab.save(s))
	}
	for workers, want := range map[int][]string{
		1: {`{"n":6,"by":{"k0":2,"k1":2,"k2":2},"first":"k0"}`},
		2: {`{"n":4,"by":{"k0":2,"k2":1,"k1":1},"first":"k0"}`, `{"n":2,"by":{"k1":1,"k2":1},"first":"k1"}`},
		4: {`{"n":1,"by":{"k0":1},"first":"k0"}`, `{"n":2,"by":{"k1":1,"k2":1},"first":"k1"}`, `{"n":3,"by":{"k2":1,"k0":1,"k1":1},"first":"k2"}`, `{}`},
	} {
		for w := range workers {
			s := lab.mustLoad("show.lua", engine.ScriptEnv{Shard: w, Workers: workers, States: saved, Resharded: true})
			lab.handle(s, `{}`)
			if got := lab.out.Emitted[0].Body; !sameJSON(t, got, want[w]) {
				t.Errorf("worker %d of %d: got %s, want %s", w, workers, got, want[w])
			}
		}
	}
}

func TestStateIsMigratedByTheScript(t *testing.T) {
	lab := newStateLab(t, map[string]string{
		"a.lua": `
function migrate(old, worker, workers)
  local mine = {}
  for _, s in ipairs(old) do
    for k, n in pairs(s.hosts) do
      if #k % workers == worker - 1 then mine[k] = (mine[k] or 0) + n end
    end
  end
  return {hosts = mine}
end
function setup() assert(state.hosts) end
function loop(e) if e.k then state.hosts[e.k] = (state.hosts[e.k] or 0) + 1 else dragonfly.output_event("out", state) end end`,
		"none.lua":  `function migrate() end function loop(e) return state end`,
		"first.lua": `function setup() state.hosts = state.hosts or {} end function loop(e) state.hosts[e.k] = 1 end`,
	})
	s := lab.mustLoad("first.lua", engine.ScriptEnv{})
	for _, k := range []string{"a", "bb", "ccc"} {
		lab.handle(s, fmt.Sprintf(`{"k":%q}`, k))
	}
	saved := [][]byte{lab.save(s)}
	for w, want := range []string{`{"hosts":{"bb":1}}`, `{"hosts":{"a":1,"ccc":1}}`} {
		s := lab.mustLoad("a.lua", engine.ScriptEnv{Shard: w, Workers: 2, States: saved, Resharded: true})
		lab.handle(s, `{}`)
		if got := lab.out.Emitted[0].Body; !sameJSON(t, got, want) {
			t.Errorf("worker %d: got %s, want %s", w, got, want)
		}
	}
	if _, err := lab.load("none.lua", engine.ScriptEnv{Workers: 2, States: saved, Resharded: true}); err == nil || !strings.Contains(err.Error(), "migrate() returned a nil") {
		t.Errorf("got %v", err)
	}
	if _, err := lab.load("a.lua", engine.ScriptEnv{States: [][]byte{[]byte("\x8e\xff")}}); err == nil || !strings.Contains(err.Error(), "dragonfly state forget") {
		t.Errorf("damaged: got %v", err)
	}
}

func TestStateAsJSON(t *testing.T) {
	lab := newStateLab(t, map[string]string{"a.lua": `
function loop(e)
  state.n, state.text, state.list, state.none, state.self, state.big = 1.5, "a\255\n", {1, {x = true}}, {}, state, e.big
  state[1] = "one" state[true] = 0/0
end`})
	s := lab.mustLoad("a.lua", engine.ScriptEnv{})
	lab.handle(s, `{"big":9007199254740993}`)
	text, err := StateJSON(lab.save(s))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`"n":1.5`, "\"text\":\"a\uFFFD\\n\"", `"list":[1,{"x":true}]`, `"none":{}`, `"self":"(this table again)"`, `"big":9007199254740993`, `"1":"one"`, `"true":"nan"`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
	if got, err := StateJSON(nil); got != "{}" || err != nil {
		t.Errorf("nothing: got %s, %v", got, err)
	}
	if _, err := StateJSON([]byte("x")); err == nil {
		t.Error("garbage: no error")
	}
}

// Keys that come and go cost no memory: saving gives it back.
func TestStateForgetsDeletedKeys(t *testing.T) {
	lab := newStateLab(t, map[string]string{"a.lua": `
function loop(e)
  state.hosts = state.hosts or {}
  for i = 1, 1000 do state.hosts[e.n .. "-" .. i] = true end
  for i = 1, 999 do state.hosts[e.n .. "-" .. i] = nil end
end`})
	s := lab.mustLoad("a.lua", engine.ScriptEnv{})
	for i := range 10 {
		lab.handle(s, fmt.Sprintf(`{"n":%d}`, i))
		lab.save(s)
	}
	if n := deadKeys(s.(*script)); n > 100 {
		t.Errorf("%d keys are held for 10", n)
	}
	again := lab.mustLoad("a.lua", engine.ScriptEnv{States: [][]byte{lab.save(s)}})
	if n := deadKeys(again.(*script)); n != 10 {
		t.Errorf("got %d keys, want 10", n)
	}
}

// deadKeys returns how many keys the table state.hosts holds, deleted ones among them.
func deadKeys(s *script) int {
	hosts := s.globals.RawGetString(stateName).(*lua.LTable).RawGetString("hosts").(*lua.LTable)
	return len(*(*[]lua.LValue)(unsafe.Add(unsafe.Pointer(hosts), keysOffset)))
}
