package luabind

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
)

// sandboxFile lists every name that a script reaches after setup(). A new name must be added there by hand, or with
// UPDATE=1: then the change is to be reviewed.
const sandboxFile = "testdata/sandbox.txt"

// reach returns the names below the globals, with the types of what they stand for.
func reach(s *script) []string {
	var names []string
	seen := map[*lua.LTable]bool{}
	var walk func(t *lua.LTable, name string)
	walk = func(t *lua.LTable, name string) {
		if seen[t] {
			return
		}
		seen[t] = true
		below := map[string]*lua.LTable{}
		t.ForEach(func(k, v lua.LValue) {
			names = append(names, name+k.String()+" "+v.Type().String())
			if sub, ok := v.(*lua.LTable); ok {
				below[k.String()] = sub
			}
		})
		order := slices.Sorted(maps.Keys(below))
		if i := slices.Index(order, "package"); i >= 0 { // last: it leads to all others
			order = append(slices.Delete(order, i, i+1), "package")
		}
		for _, k := range order {
			walk(below[k], name+k+".")
		}
		if meta, ok := t.Metatable.(*lua.LTable); ok && meta.RawGetString("__metatable") == lua.LNil {
			walk(meta, name+"<meta>.")
		}
	}
	if meta, ok := s.L.GetMetatable(lua.LString("")).(*lua.LTable); ok {
		walk(meta, "<string>.")
	}
	walk(s.globals, "")
	slices.Sort(names)
	return names
}

func TestSandboxHasNoOtherNames(t *testing.T) {
	sc, _, err := load(t, "a.lua", "function loop(e) end")
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(reach(sc.(*script)), "\n") + "\n"
	if os.Getenv("UPDATE") != "" {
		os.WriteFile(sandboxFile, []byte(got), 0o644)
	}
	want, err := os.ReadFile(sandboxFile)
	if err != nil {
		t.Fatal(err)
	}
	gotNames, wantNames := strings.Split(got, "\n"), strings.Split(string(want), "\n")
	for _, n := range gotNames {
		if !slices.Contains(wantNames, n) {
			t.Errorf("scripts reach %q: is it meant to be there? then add it to %s", n, sandboxFile)
		}
	}
	for _, n := range wantNames {
		if !slices.Contains(gotNames, n) {
			t.Errorf("scripts do not reach %q any more", n)
		}
	}
}

// pointers collects the tables and functions that an interpreter leads to.
func pointers(s *script) map[lua.LValue]bool {
	found := map[lua.LValue]bool{}
	var walk func(v lua.LValue)
	walk = func(v lua.LValue) {
		switch v := v.(type) {
		case *lua.LTable:
			if v == nil || found[v] {
				return
			}
			found[v] = true
			v.ForEach(func(k, x lua.LValue) { walk(k); walk(x) })
			walk(v.Metatable)
		case *lua.LFunction:
			if v == nil || found[v] {
				return
			}
			found[v] = true
			walk(v.Env)
			for _, u := range v.Upvalues {
				walk(u.Value())
			}
		case *lua.LUserData:
			found[v] = true
			walk(v.Metatable)
		}
	}
	walk(s.globals)
	walk(s.L.G.Registry)
	walk(s.L.GetMetatable(lua.LString("")))
	walk(s.L.GetMetatable(lua.LNumber(0)))
	return found
}

func TestInterpretersShareNothing(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "a.lua"), []byte(`local set = net.cidr{"10.0.0.0/8"} local function f() return set end function loop(e) return f() end`), 0o644)
	l, err := NewLoader(dir, Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p, err := l.Program("a.lua")
	if err != nil {
		t.Fatal(err)
	}
	var all [2]map[lua.LValue]bool
	for i := range all {
		s, err := p.Load(engine.ScriptEnv{Stage: "test", Shard: i, Router: &tags{byRoute: map[engine.Route]string{}, routes: map[string]engine.Route{}}}, &engine.Results{})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		all[i] = pointers(s.(*script))
	}
	if len(all[0]) < 100 {
		t.Fatalf("found only %d values", len(all[0]))
	}
	for v := range all[0] {
		if all[1][v] {
			t.Errorf("two interpreters share %s", v)
		}
	}
}

func TestSandboxHolds(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside.lua")
	os.WriteFile(outside, []byte("return 1"), 0o644)
	for _, attempt := range []string{
		`assert(not io and not debug and not package.loaded.io and not package.loaded.debug)`,
		`assert(not pcall(require, "io.x") and not pcall(require, "../x") and not pcall(require, "..x"))`,
		fmt.Sprintf(`assert(not pcall(require, %q))`, strings.TrimSuffix(outside, ".lua")),
		`for _, n in ipairs{"execute", "exit", "remove", "rename", "tmpname", "setenv"} do assert(os[n] == nil, n) end`,
		`assert(not pcall(loadstring, "return 1") and not pcall(load, function() end) and not pcall(dofile, "a.lua") and not pcall(loadfile, "a.lua"))`,
		`assert(not pcall(string.dump, function() end))`,
		`assert(not package.loadlib("x", "y"))`,
		`assert(#package.loaders == 0 and package.cpath == "")`,
		`assert(not pcall(newproxy, true))`,
		`package.loaded.io = nil assert(not pcall(function() return require("io").open end))`,
		`package.preload.io = nil package.path = "/etc/?.lua" assert(not pcall(require, "passwd"))`,
		`assert(getmetatable(sketch.lru(1)) == false and not pcall(setmetatable, sketch.lru(1), {}))`,
		`assert(getmetatable(e) == nil)`,
		`assert(not pcall(setfenv, string.find, {}) and getfenv(string.find) == _G)`,
		`local ok = pcall(setfenv, 0, {}) string.format("%d", 1)`,
		`setmetatable(_G, {__index = function() return 1 end, __newindex = function() end}) x = 1 assert(y == 1)`,
		`getmetatable("").__index = function() return 1 end`,
		`string.find = nil table.insert = nil cjson.encode = nil dragonfly.output_event = nil pcall = nil _G = nil`,
	} {
		s, out, err := load(t, "a.lua", "function loop(e)\n"+attempt+"\nend", "b.lua", "return {}")
		if err != nil {
			t.Fatal(attempt, err)
		}
		if err := handle(t, s, out, `{"n":1}`); err != nil {
			t.Errorf("%s: %v", attempt, err)
		}
		other, out, err := load(t, "b.lua", `function loop(e) assert(("x"):find("x") and not y and cjson.encode{1} == "[1]" and table.insert) dragonfly.output_event("out", e) end`)
		if err != nil {
			t.Fatal(err)
		}
		if err := handle(t, other, out, `{"n":1}`); err != nil || len(out.Emitted) != 1 {
			t.Errorf("after %s another interpreter fails: %v", attempt, err)
		}
	}
}

func TestHTTPGetWritesDataOnly(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/list", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "new") })
	mux.Handle("/file", http.RedirectHandler("file:///etc/passwd", http.StatusFound))
	srv := httptest.NewServer(mux)
	defer srv.Close()
	dir := t.TempDir()
	elsewhere := t.TempDir()
	for _, d := range []string{"lists", "config", "state", "log", "filter", "analyzer"} {
		os.Mkdir(filepath.Join(dir, d), 0o755)
	}
	os.WriteFile(filepath.Join(dir, "tool"), []byte("old"), 0o755)
	os.WriteFile(filepath.Join(dir, "lists/old.txt"), []byte("old"), 0o644)
	os.Symlink(elsewhere, filepath.Join(dir, "away"))
	os.Symlink("state", filepath.Join(dir, "near"))
	os.Symlink("lists/old.txt", filepath.Join(dir, "alias.txt"))
	l, err := NewLoader(dir, Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	get := func(url, name string) error {
		source := fmt.Sprintf("function setup() dragonfly.http_get(%q, %q) end function loop(e) end", url, name)
		os.WriteFile(filepath.Join(dir, "a.lua"), []byte(source), 0o644)
		l.Forget()
		p, err := l.Program("a.lua")
		if err != nil {
			t.Fatal(err)
		}
		s, err := p.Load(engine.ScriptEnv{Stage: "test", Router: &tags{byRoute: map[engine.Route]string{}, routes: map[string]engine.Route{}}}, &engine.Results{})
		if err == nil {
			s.Close()
		}
		return err
	}
	for _, name := range []string{"list.txt", "lists/new.txt", "lists/old.txt", "filter/list.txt", "analyzer/domains", "./lists/a.csv", filepath.Join(dir, "lists/b.csv")} {
		if err := get(srv.URL+"/list", name); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"a.lua", "filter/x.LUA", "analyzer/../a.lua", "config/config.lua", "config/x.txt", "state/store", "log/x.json", "lists/../state/x", ".hidden", "lists/.x",
		"../x.txt", "/etc/x.txt", "", ".", "lists", "tool", "away/x.txt", "near/x.txt", "alias.txt", "lists/../../x.txt", "no/dir/x.txt"} {
		if err := get(srv.URL+"/list", name); err == nil {
			t.Errorf("%q was written", name)
		}
	}
	if err := get(srv.URL+"/file", "lists/passwd.txt"); err == nil {
		t.Error("a redirect to file: was followed")
	}
	if _, err := os.Stat(filepath.Join(dir, "lists/passwd.txt")); err == nil {
		t.Error("something was written")
	}
	if files, _ := os.ReadDir(elsewhere); len(files) > 0 {
		t.Error("something was written outside of ROOT")
	}
	if b, _ := os.ReadFile(filepath.Join(dir, "lists/old.txt")); string(b) != "new" {
		t.Errorf("got %q", b)
	}
}
