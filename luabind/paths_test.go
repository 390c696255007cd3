package luabind

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"dragonfly/engine"
)

func TestLoaderNotesWhatScriptsUse(t *testing.T) {
	root, outside := t.TempDir(), t.TempDir()
	outside, _ = filepath.EvalSymlinks(outside)
	os.WriteFile(outside+"/list", []byte("10.0.0.0/8\n"), 0o644)
	os.WriteFile(outside+"/chunk.lua", []byte("return 1"), 0o644)
	os.WriteFile(root+"/a.lua", []byte(fmt.Sprintf(`function setup()
  io.open(%[1]q .. "/read/x")
  assert(io.open(%[1]q .. "/made", "w")):close()
  assert(net.load_cidr(%[1]q .. "/list"))
  assert(dofile(%[1]q .. "/chunk.lua") == 1)
end
function loop(e) end`, outside)), 0o644)
	l, err := NewLoader(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	load := func() error {
		p, err := l.Program("a.lua")
		if err != nil {
			return err
		}
		var out engine.Results
		s, err := p.Load(engine.ScriptEnv{Stage: "a"}, &out)
		if err == nil {
			s.Close()
		}
		return err
	}
	if err := load(); err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, u := range l.Paths() {
		got = append(got, u.Access.String()+" "+strings.Replace(strings.Replace(u.Path, outside, "O", 1), root, "R", 1))
	}
	want := []string{"read R", "read O", "write O", "read O/chunk.lua", "read O/list", "read O/read", "read O/read/x"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	l.Confined("the hint")
	os.WriteFile(root+"/a.lua", []byte(`function setup() io.open("/usr/later/x") end function loop() end`), 0o644)
	l.Forget()
	if err := load(); err != nil {
		t.Fatal(err)
	}
	if n := len(l.Paths()); n != len(want) {
		t.Errorf("%d paths after Confined, want %d", n, len(want))
	}
	if err := l.usage.dialed("h:1", fmt.Errorf("connect: %w", syscall.EACCES)); !errors.Is(err, syscall.EACCES) || !strings.Contains(err.Error(), "(the hint)") {
		t.Errorf("got %v", err)
	}
	if err := l.usage.dialed("h:1", syscall.ECONNREFUSED); err != syscall.ECONNREFUSED {
		t.Errorf("got %v", err)
	}
}

func TestPortsOfScripts(t *testing.T) {
	f := func(script string, want bool) {
		t.Helper()
		root := t.TempDir()
		os.WriteFile(root+"/a.lua", []byte(script), 0o644)
		os.WriteFile(root+"/lib.lua", []byte(`return http`), 0o644)
		l, err := NewLoader(root, Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		if _, err := l.Program("a.lua"); err != nil {
			t.Fatal(err)
		}
		if _, got := l.Ports(); got != want {
			t.Errorf("%s: got %v, want %v", script, got, want)
		}
	}
	f(`function loop(e) local http = event.http local h = http.hostname end`, false)
	f(`function loop(e) if e.http then e.http.get = 1 end end`, false)
	f(`function loop(e) hiredis.connect():command("PING") end`, false)
	f(`function loop(e) http.get("http://a/") end`, true)
	f(`local h = http function loop(e) h.get("http://a/") end`, true)
	f(`local h = require "http" function loop(e) h.get("http://a/") end`, true)
	f(`function loop(e) local function f() return function() return http.post end end end`, true)
	f(`function loop(e) dragonfly.http_get("http://a/", "x") end`, true)
	f(`function loop(e) dragonfly["http_get"]("http://a/", "x") end`, true)
	f(`function loop(e) _G["ht" .. "tp"].get("http://a/") end`, true)
	f(`function loop(e) getfenv(1)["http"].get("http://a/") end`, true)
	f(`function loop(e) loadstring("http.get('http://a/')")() end`, true)
	f(`require "lib" function loop(e) end`, true)
}
