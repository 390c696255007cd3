package e2e

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestChrootAndPrivileges runs in an empty chroot as nobody: what was opened before goes on working, over rotations of
// the input and of the outputs, and a reload.
func TestChrootAndPrivileges(t *testing.T) {
	needRoot(t)
	r := newRoot(t, `
-- scripts/config.lua --
inputs = {
  {tag = "tail", uri = "tail://$ROOT/var/eve.json<", script = "f", default_analyzer = "a"},
  {tag = "stream", uri = "unix://$ROOT/in.sock", script = "f", default_analyzer = "a"},
}
analyzers = { {tag = "a", script = "a", default_output = "out"} }
outputs = { {tag = "out", uri = "file://out.json"} }
listen = ""
-- scripts/f.lua --
function loop(e) dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/names.lua --
return {"one", "two"}
-- analyzers/a.lua --
local names
function setup()
  local f = assert(io.open("analyzers/names.lua")) -- relative to ROOT
  names = #f:read("*a")
  f:close()
end
function loop(e)
  if e.lookup then e.addresses = dragonfly.dnslookup(e.lookup) end
  if e.time then e.local_time = os.date("%Y-%m-%d %H:%M", e.time) end
  if e.require then e.name = require("analyzers/names")[2] end
  if e.open then e.open = io == nil and os.execute == nil end
  e.names = names
  dragonfly.output_event(default_output, e)
end
`)
	for _, d := range []string{"var", "empty", "state", "log"} {
		os.MkdirAll(r.path(d), 0o777)
		os.Chmod(r.path(d), 0o777)
	}
	for d := r.dir; d != "/"; d = filepath.Dir(d) {
		os.Chmod(d, 0o755|0o022)
	}
	t.Setenv("TZ", "America/New_York")
	p := r.start("-c", r.path("empty"), "-p")
	status := func(field string) string {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, field+":"); ok {
				return strings.Join(strings.Fields(rest), " ")
			}
		}
		return ""
	}
	for field, want := range map[string]string{"Uid": "65534 65534 65534 65534", "Gid": "65534 65534 65534 65534", "Groups": "65534", "NoNewPrivs": "1", "CapEff": "0000000000000000"} {
		if got := status(field); got != want {
			t.Errorf("%s: got %s, want %s", field, got, want)
		}
	}
	if dir, err := os.Readlink(fmt.Sprintf("/proc/%d/root", p.cmd.Process.Pid)); err != nil || dir != r.path("empty") {
		t.Errorf("root of the process: %s, %v", dir, err)
	}
	r.append("var/eve.json", `{"time":1598023201,"require":true,"open":true}`+"\n")
	p.until("first event", func() bool { return r.lines("log/out.json") == 1 })
	if got, want := r.read("log/out.json"), `{"time":1598023201,"require":true,"open":true,"local_time":"2020-08-21 11:20","name":"two","names":22}`+"\n"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	os.Rename(r.path("var/eve.json"), r.path("var/eve.json.1"))
	r.append("var/eve.json", `{"rotated":true}`+"\n")
	os.Chmod(r.path("var/eve.json"), 0o644)
	p.until("event after rotation", func() bool { return r.lines("log/out.json") == 2 })
	c, err := net.Dial("unix", r.path("in.sock"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(c, `{"lookup":"localhost"}`)
	c.Close()
	p.until("lookup", func() bool { return r.lines("log/out.json") == 3 })
	time.Sleep(6 * time.Second) // Go reads resolv.conf again after 5 s, and finds none in the chroot
	r.append("var/eve.json", `{"lookup":"localhost"}`+"\n")
	p.until("lookup after a while", func() bool { return r.lines("log/out.json") == 4 })
	if n := strings.Count(r.read("log/out.json"), `"127.0.0.1"`); n != 2 {
		t.Errorf("localhost was found %d times, want 2: %s", n, r.read("log/out.json"))
	}
	p.stop()
	if !strings.Contains(r.read("state/checkpoint.json"), "eve.json") {
		t.Errorf("no checkpoint: %s", r.read("state/checkpoint.json"))
	}
}

func TestChrootWithoutDirectoryIsTheRoot(t *testing.T) {
	needRoot(t)
	r := passThrough(t, "dummy://")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `"dummy://"`, `"dummy://", data = {n = 1}`, 1))
	code, out := r.run("-x", "-c")
	if code != 0 || !strings.Contains(out, "chroot="+r.dir) || r.read("log/out.json") != "{\"n\":1}\n" {
		t.Errorf("exit %d: %s", code, out)
	}
}
