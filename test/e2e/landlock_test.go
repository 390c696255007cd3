package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// needLandlock skips where the kernel cannot confine a process: asked of dragonfly itself.
func needLandlock(t *testing.T) {
	t.Helper()
	r := passThrough(t, "dummy://")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `"dummy://"`, `"dummy://", data = {n = 1}`, 1)+"landlock = 'required'\n")
	if code, out := r.run("-x"); code != 0 {
		skip(t, "needs a kernel with Landlock: %s", out)
	}
}

// status returns a field of /proc/PID/status.
func (p *process) status(field string) string {
	p.t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		p.t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.Join(strings.Fields(rest), " ")
		}
	}
	return ""
}

// says waits for a text in the log, from byte on.
func (p *process) says(text string, from int) {
	p.t.Helper()
	p.until("log says "+text, func() bool { return strings.Contains(p.text()[from:], text) })
}

// forAll makes the directories above r reachable for every user, and those of r writable.
func (r *root) forAll(dirs ...string) {
	for _, d := range dirs {
		os.MkdirAll(r.path(d), 0o777)
		os.Chmod(r.path(d), 0o777)
	}
	for d := r.dir; d != "/" && d != os.TempDir(); d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
}

// secretFile is a file that no configuration names.
func secretFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(`{"secret":true}`+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestScriptsAndLinksDoNotLeadOut plants a link in the directory of an input, and loads a script that opens files which nobody
// named: both are denied by the kernel, and the log says why.
func TestScriptsAndLinksDoNotLeadOut(t *testing.T) {
	needLandlock(t)
	secret := secretFile(t)
	r := passThrough(t, "tail://$ROOT/var/eve*.json<")
	r.write("var/eve.json", `{"n":1}`+"\n")
	p := r.start()
	p.until("first event", func() bool { return r.lines("log/out.json") == 1 })
	if got := p.status("NoNewPrivs"); got != "1" {
		t.Errorf("NoNewPrivs: got %s, want 1", got)
	}
	if err := os.Symlink(secret, r.path("var/eve-link.json")); err != nil {
		t.Fatal(err)
	}
	p.says("hint=", 0)
	for _, name := range []string{secret, "/etc/shadow", "/proc/self/environ"} {
		from := len(p.text())
		r.write("analyzer/pass.lua", `function setup() assert(io.open("`+name+`")) end
function loop(e) dragonfly.output_event(default_output, e) end`)
		p.signal(syscall.SIGHUP)
		p.says("the old ones go on", from)
		if text := p.text()[from:]; !strings.Contains(text, name+": Permission denied") || !strings.Contains(text, "landlock") {
			t.Errorf("%s: the log does not say what happened: %s", name, text)
		}
	}
	r.append("var/eve.json", `{"n":2}`+"\n")
	p.until("second event", func() bool { return r.lines("log/out.json") == 2 })
	p.stop()
	if got := r.read("log/out.json"); got != "{\"n\":1}\n{\"n\":2}\n" {
		t.Errorf("got %s", got)
	}
}

// TestLinkThatSomebodyPlanted: a link that is there at the start is followed only if its owner could read the file.
func TestLinkThatSomebodyPlanted(t *testing.T) {
	needRoot(t)
	needLandlock(t)
	r := passThrough(t, "tail://$ROOT/var/eve*.json<")
	r.write("var/eve.json", `{"n":1}`+"\n")
	r.write("real/good.json", `{"n":2}`+"\n")
	outside, good := secretFile(t), filepath.Join(t.TempDir(), "good.json")
	os.WriteFile(good, []byte(`{"good":true}`+"\n"), 0o644)
	for link, to := range map[string]string{"var/eve-bad.json": outside, "var/eve-good.json": good} {
		if err := os.Symlink(to, r.path(link)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Lchown(r.path("var/eve-bad.json"), 12345, 12345); err != nil {
		t.Fatal(err)
	}
	p := r.start()
	p.until("two events", func() bool { return r.lines("log/out.json") == 2 })
	p.says("cannot read the file", 0)
	p.stop()
	if got := r.read("log/out.json"); strings.Contains(got, "secret") || !strings.Contains(got, "good") {
		t.Errorf("got %s", got)
	}
}

// TestReloadNamesWhatIsOutOfReach: a row that leads to another directory waits for the restart, and nothing is lost meanwhile.
func TestReloadNamesWhatIsOutOfReach(t *testing.T) {
	needLandlock(t)
	other := t.TempDir()
	r := passThrough(t, "tail://$ROOT/var/eve.json<")
	r.write("var/eve.json", `{"n":1}`+"\n")
	p := r.start()
	p.until("first event", func() bool { return r.lines("log/out.json") == 1 })
	config := r.read("config/config.lua")
	r.write("config/config.lua", strings.Replace(config, `"file://out.json"`, `"file://`+other+`/out.json"`, 1))
	from := len(p.text())
	p.signal(syscall.SIGHUP)
	p.says("until a restart", from)
	if text := p.text()[from:]; !strings.Contains(text, "outputs[1].uri: cannot write below "+other) || !strings.Contains(text, "config/config.lua:3") {
		t.Errorf("got %s", text)
	}
	r.append("var/eve.json", `{"n":2}`+"\n")
	p.until("second event in the old place", func() bool { return r.lines("log/out.json") == 2 })
	r.write("config/config.lua", strings.Replace(config, `"file://out.json"`, `"file://out2.json"`, 1))
	from = len(p.text())
	p.signal(syscall.SIGHUP)
	p.says("the new configuration runs", from) // within the log directory it may
	r.append("var/eve.json", `{"n":3}`+"\n")
	p.until("third event in the new place", func() bool { return r.lines("log/out2.json") == 1 })
	p.stop()
	r.write("config/config.lua", strings.Replace(config, `"file://out.json"`, `"file://`+other+`/out.json"`, 1))
	p = r.start()
	r.append("var/eve.json", `{"n":4}`+"\n")
	p.until("after the restart", func() bool { b, _ := os.ReadFile(other + "/out.json"); return strings.Contains(string(b), `{"n":4}`) })
	p.stop()
}

func TestDirectoryOfATailAppearsLater(t *testing.T) {
	needLandlock(t)
	r := passThrough(t, "tail://$ROOT/var/deep/er/eve.json<")
	if err := os.Mkdir(r.path("var"), 0o755); err != nil {
		t.Fatal(err)
	}
	p := r.start()
	r.write("var/deep/er/eve.json", `{"n":1}`+"\n")
	p.until("event", func() bool { return r.lines("log/out.json") == 1 })
	p.stop()
}

func TestLandlockSetting(t *testing.T) {
	f := func(setting, want string) {
		t.Helper()
		r := passThrough(t, "dummy://")
		r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `"dummy://"`, `"dummy://", data = {n = 1}`, 1)+setting+"\n")
		if _, out := r.run("-x", "-v"); !strings.Contains(out, want) {
			t.Errorf("%s: want %q in %s", setting, want, out)
		}
	}
	f(`landlock = "of"`, `one of auto, required, off`)
	f(`may_connect = {"443", "any"}`, `may_connect: has "any" beside ports`)
	f(`may_connect = {"http"}`, `want ports from 1 to 65535`)
	r := passThrough(t, "dummy://")
	r.write("config/config.lua", strings.Replace(r.read("config/config.lua"), `"dummy://"`, `"dummy://", data = {n = 1}`, 1)+"landlock = 'off'\n")
	if code, out := r.run("-x"); code != 0 || strings.Contains(out, "confined") {
		t.Errorf("landlock off: exit %d, %s", code, out)
	}
	needLandlock(t)
	f(`may_read = {"/usr/share", "lists"}`, "access=read path=/usr/share\n")
	f(`may_connect = {"443", "8443"}`, "connect=53,443,8443 bind=none")
	f(`may_connect = "any"`, "connect=any")
}

// TestPortsOfScripts: what a script connected to in setup() stays reachable, other ports do not, and the message says so. A
// server that refuses nobody is at each port.
func TestPortsOfScripts(t *testing.T) {
	needLandlock(t)
	answer := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "hello") })
	one, two := httptest.NewServer(answer), httptest.NewServer(answer)
	defer one.Close()
	defer two.Close()
	r := newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "in", uri = "tail://$ROOT/eve.json<", script = "f", default_analyzer = ""} }
outputs = { {tag = "out", uri = "file://out.json"} }
listen = ""
-- scripts/f.lua --
local h
function setup()
  h = require("ht" .. "tp") -- so that nothing shows that the script connects
  assert(h.get("`+one.URL+`"))
end
function loop(e)
  local a, err = h.get(e.url)
  dragonfly.output_event("out", {status = a and a.status, err = err})
end
-- eve.json --
{"url":"`+one.URL+`"}
{"url":"`+two.URL+`"}
`)
	p := r.start()
	p.until("both", func() bool { return r.lines("log/out.json") == 2 })
	p.stop()
	got := strings.Split(r.read("log/out.json"), "\n")
	if got[0] != `{"status":200}` || !strings.Contains(got[1], "permission denied") || !strings.Contains(got[1], "may_connect") {
		t.Errorf("got %s", got)
	}
	r.write("scripts/config.lua", r.read("scripts/config.lua")+"may_connect = 'any'\n")
	r.write("log/out.json", "")
	r.append("eve.json", `{"url":"`+two.URL+`"}`+"\n")
	p = r.start()
	p.until("with any", func() bool { return r.lines("log/out.json") == 1 })
	p.stop()
	if got := r.read("log/out.json"); got != "{\"status\":200}\n" {
		t.Errorf("got %s", got)
	}
}

// TestFilesOfScripts: what setup() read and wrote elsewhere can be read and written again by a reload.
func TestFilesOfScripts(t *testing.T) {
	needLandlock(t)
	lists, made := t.TempDir(), t.TempDir()
	os.WriteFile(lists+"/names", []byte("a\n"), 0o644)
	r := passThrough(t, "tail://$ROOT/eve.json<")
	r.write("eve.json", "{}\n")
	script := `local name
function setup()
  name = io.open("` + lists + `/names"):read()
  local f = assert(io.open("` + made + `/list", "w"))
  f:write(name) f:close()
end
function loop(e) e.name = name dragonfly.output_event(default_output, e) end
`
	r.write("analyzer/pass.lua", script)
	p := r.start()
	p.until("first event", func() bool { return r.lines("log/out.json") == 1 })
	os.Rename(lists+"/names", lists+"/old")
	os.WriteFile(lists+"/names", []byte("b\n"), 0o644)
	from := len(p.text())
	r.write("analyzer/pass.lua", "-- changed\n"+script)
	p.signal(syscall.SIGHUP)
	p.says("the new scripts run", from)
	r.append("eve.json", "{}\n")
	p.until("second event", func() bool { return r.lines("log/out.json") == 2 })
	p.stop()
	if got := r.read("log/out.json"); got != "{\"name\":\"a\"}\n{\"name\":\"b\"}\n" {
		t.Errorf("got %s", got)
	}
}

// TestStaticBinaryConfinesAllThreads runs the test of package main that starts many threads without cgo, as the binary that we
// ship is built.
func TestStaticBinaryConfinesAllThreads(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "main.test")
	build := exec.Command("go", "test", "-c", "-o", bin, "dragonfly/cmd/dragonfly")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.Command(bin, "-test.run", "^TestAllThreadsAreConfined$", "-test.v")
	cmd.Dir = t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if strings.Contains(string(out), "SKIP") {
		skip(t, "%s", out)
	}
}
