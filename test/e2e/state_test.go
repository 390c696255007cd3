package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"syscall"
	"testing"
)

// stateful is a root whose filter and analyzer count in their state; finish() tells what they have counted.
func stateful(t *testing.T, workers int, settings string) *root {
	return newRoot(t, fmt.Sprintf(`
-- scripts/config.lua --
inputs = { {tag = "in", uri = "tail://$ROOT/in.json<", script = "f", default_analyzer = "count"} }
analyzers = { {tag = "count", script = "count", default_output = "out", workers = %d, shard_by = "n"} }
outputs = { {tag = "out", uri = "file://out.json"} }
listen = ""
%s
-- scripts/f.lua --
function loop(e) state.read = (state.read or 0) + 1 dragonfly.analyze_event(default_analyzer, e) end
-- analyzers/count.lua --
function loop(e)
  state.n = (state.n or 0) + 1
  state.sum = (state.sum or 0) + e.n
  dragonfly.output_event(default_output, e)
end
`, workers, settings))
}

// counted returns what dragonfly state says that the analyzer's workers have counted.
func (r *root) counted() (n, sum, read int) {
	r.t.Helper()
	code, out := r.run("state", "show")
	if code != 0 {
		r.t.Fatalf("exit %d: %s", code, out)
	}
	for line := range strings.Lines(out) {
		stage, text, _ := strings.Cut(line, ": ")
		var got struct{ N, Sum, Read int }
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			r.t.Fatalf("%v: %s", err, line)
		}
		if strings.HasPrefix(stage, "filter in") {
			read = got.Read
		}
		n, sum = n+got.N, sum+got.Sum
	}
	return n, sum, read
}

func (r *root) wantCounted(n int) {
	r.t.Helper()
	if got, sum, read := r.counted(); got != n || sum != n*(n-1)/2 || read != n {
		_, out := r.run("state", "show")
		r.t.Fatalf("got %d events counted, sum %d, %d read, want %d, %d and %d\n%s", got, sum, read, n, n*(n-1)/2, n, out)
	}
}

func numbered(from, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "{\"n\":%d}\n", from+i)
	}
	return b.String()
}

// What scripts keep is exact after kills, reloads of scripts and of config.lua, and with another number of workers.
func TestStateIsExact(t *testing.T) {
	r := stateful(t, 1, "")
	n := 0
	add := func() { r.append("in.json", numbered(n, 20_000)); n += 20_000 }
	all := func() bool { return strings.Contains(r.read("log/out.json"), fmt.Sprintf("{\"n\":%d}\n", n-1)) } // the last: it may come twice
	for i := range 3 {
		p := r.start()
		add()
		p.until("some events", func() bool { return r.lines("log/out.json") > n-20_000+5_000*i })
		p.signal(syscall.SIGKILL)
		<-p.ended
	}
	p := r.start()
	p.until("all events", all)
	p.stop()
	r.wantCounted(n)

	p = r.start()
	r.write("analyzers/count.lua", r.read("analyzers/count.lua")+"\n-- changed")
	add()
	p.signal(syscall.SIGHUP)
	p.until("the new script", func() bool { return strings.Contains(p.text(), "the new scripts run") })
	add()
	r.write("scripts/config.lua", strings.Replace(r.read("scripts/config.lua"), "workers = 1", "workers = 3", 1))
	p.signal(syscall.SIGHUP)
	p.until("three workers", func() bool { return strings.Contains(p.text(), "the new configuration runs") })
	if !strings.Contains(p.text(), "the state that 1 workers had is given to 3") {
		t.Errorf("nobody told of the new number of workers:\n%s", p.text())
	}
	add()
	p.until("all events", all)
	p.stop()
	r.wantCounted(n)

	r.write("scripts/config.lua", strings.Replace(r.read("scripts/config.lua"), "workers = 3", "workers = 2", 1))
	p = r.start()
	add()
	p.until("all events", all)
	p.signal(syscall.SIGKILL)
	<-p.ended
	p = r.start()
	add()
	p.until("all events", all)
	p.stop()
	r.wantCounted(n)
}

func TestStateCommand(t *testing.T) {
	r := stateful(t, 2, "")
	if code, out := r.run("state"); code != 0 || !strings.Contains(out, "nothing was remembered yet") {
		t.Errorf("exit %d: %s", code, out)
	}
	p := r.start()
	r.append("in.json", numbered(0, 10))
	p.until("all events", func() bool { return r.lines("log/out.json") == 10 })
	if code, out := r.run("state", "forget", "filter in"); code != 1 || !strings.Contains(out, "in use by the process") {
		t.Errorf("while it runs: exit %d: %s", code, out)
	}
	if code, out := r.run("-x"); code != 1 || !strings.Contains(out, "one root is for one Dragonfly at a time") {
		t.Errorf("a second process: exit %d: %s", code, out)
	}
	p.stop()
	if code, out := r.run("state"); code != 0 || !strings.Contains(out, r.path("in.json")+"  80 ") || !strings.Contains(out, "analyzer count  2 ") {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out := r.run("state", "json"); code != 0 || !strings.Contains(out, `"offset": 80`) || !strings.Contains(out, `"read": 10`) {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out := r.run("state", "forget", "analyzer nosuch"); code != 1 || !strings.Contains(out, `only of "analyzer count", "filter in"`) {
		t.Errorf("exit %d: %s", code, out)
	}
	if code, out := r.run("state", "forget", "analyzer count"); code != 0 {
		t.Errorf("exit %d: %s", code, out)
	}
	if n, _, read := r.counted(); n != 0 || read != 10 {
		t.Errorf("got %d, %d", n, read)
	}
	if code, _ := r.run("state", "nosuch"); code != 2 {
		t.Errorf("exit %d", code)
	}
	r.write("scripts/config.lua", strings.ReplaceAll(r.read("scripts/config.lua"), `tag = "in"`, `tag = "other"`))
	if out := r.start().stop(); !strings.Contains(out, `the state of a stage that config.lua does not name is kept`) {
		t.Errorf("nobody told of the state that is left over:\n%s", out)
	}
	r.write("state/checkpoint.json", `{"version":2,`)
	if code, out := r.run("state"); code != 1 || !strings.Contains(out, "unexpected end of JSON") {
		t.Errorf("damaged: exit %d: %s", code, out)
	}
}

// An analyzer that does not return is taken out; its neighbour gets every event.
func TestBreakerKeepsNeighboursGoing(t *testing.T) {
	r := newRoot(t, `
-- scripts/config.lua --
inputs = { {tag = "in", uri = "tail://$ROOT/in.json<", script = "f"} }
analyzers = {
  {tag = "good", script = "good", default_output = "out"},
  {tag = "bad", script = "bad", default_output = "out2", breaker = "pass", script_timeout = "200ms"},
}
outputs = { {tag = "out", uri = "file://out.json"}, {tag = "out2", uri = "file://out2.json"} }
listen = ""
-- scripts/f.lua --
function loop(e) dragonfly.analyze_event("good", e) dragonfly.analyze_event("bad", e) end
-- analyzers/good.lua --
function loop(e) dragonfly.output_event(default_output, e) end
-- analyzers/bad.lua --
function loop(e) while true do end end
`)
	p := r.start()
	r.append("in.json", numbered(0, 20_000))
	p.until("all events", func() bool { return r.lines("log/out.json") == 20_000 && r.lines("log/out2.json") >= 19_990 })
	out := p.stop()
	if !strings.Contains(out, "the script is taken out after repeated faults, its events pass it by") {
		t.Errorf("nobody told:\n%s", out)
	}
	if n := r.lines("log/out2.json") + r.lines("log/dead-letter.json"); n != 20_000 {
		t.Errorf("got %d events that passed or are dead letters, want 20000", n)
	}
}
