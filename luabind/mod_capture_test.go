package luabind

import (
	"strings"
	"testing"

	"dragonfly/engine"
)

// loadWith loads a shipped or given script whose inputs have counted what statistics returns.
func loadWith(t *testing.T, root, path string, statistics func() []engine.InputStatistics) *shipped {
	t.Helper()
	l, err := NewLoader(root, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p, err := l.Program(path)
	if err != nil {
		t.Fatal(err)
	}
	s := &shipped{t: t, tags: &tags{byRoute: map[engine.Route]string{engine.RouteLog: "log"}, routes: map[string]engine.Route{}}}
	s.script, err = p.Load(engine.ScriptEnv{Stage: path, DefaultAnalyzer: "next", DefaultOutput: "findings", Router: s.tags, Statistics: statistics}, &s.out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.script.Close)
	return s
}

func TestCaptureStatsShowsCountersByTag(t *testing.T) {
	sc, _, err := load(t, "a.lua", `function loop(e) end`)
	if err != nil {
		t.Fatal(err)
	}
	s := sc.(*script)
	s.env.Statistics = func() []engine.InputStatistics {
		return []engine.InputStatistics{
			{Tag: "Wire", Account: engine.Account{Read: 7, Delivered: 4, Dropped: 1, InFlight: 1, DeadLettered: map[string]int64{"malformed": 1}},
				Counters: []engine.Count{{Name: "frames_total", N: 100}, {Name: "kernel_dropped_total", N: 3}, {Name: "decoder_malformed_total", N: 2}, {Name: "decoder_ipv4_trunc_pkt_total", N: 2}, {Name: "flows_total", N: 9}, {Name: "flows_evicted_total", N: 8}}},
			{Tag: "eve", Account: engine.Account{Read: 5}, Counters: []engine.Count{{Name: "flows_total", N: 1}}},
			{Tag: "wire", Account: engine.Account{Read: 1000}}, // the first row with a tag wins
		}
	}
	f := func(line string) {
		t.Helper()
		chunk, err := s.L.LoadString("local c = dragonfly.capture\n" + line)
		if err != nil {
			t.Fatal(err)
		}
		s.L.Push(chunk)
		if err := s.L.PCall(0, 0, nil); err != nil {
			t.Errorf("%s: %v", line, err)
		}
	}
	f(`local s = c.stats("wire") assert(s.frames == 100 and s.kernel_dropped == 3 and s.decoder.ipv4_trunc_pkt == 2 and s.decoder.malformed == 2 and s.flows.total == 9 and s.flows.evicted == 8)`)
	f(`local e = c.stats("WIRE").events assert(e.read == 7 and e.delivered == 4 and e.dropped == 1 and e.in_flight == 1 and e.dead_lettered.malformed == 1)`)
	f(`assert(c.stats("eve").frames == nil and c.stats("nobody") == nil)`)
	f(`local s = c.stats() assert(s.frames == 100 and s.flows.total == 10 and s.events.read == 1012)`)
	f(`local n = 0 for tag, s in pairs(c.inputs()) do n = n + 1 end assert(n == 3 and c.inputs().eve.events.read == 5)`)
	f(`assert(require("dragonfly.capture") == dragonfly.capture and not pcall(c.stats, {}))`)
	f(`c.stats("wire").frames = 1 assert(c.stats("wire").frames == 100)`)
}

func TestCaptureStatsWithoutInputs(t *testing.T) {
	s, out, err := load(t, "a.lua", `function loop(e) e.n = next(dragonfly.capture.inputs()) == nil and next(dragonfly.capture.stats()) == nil dragonfly.output_event("out", e) end`)
	if err != nil {
		t.Fatal(err)
	}
	if err := handle(t, s, out, `{}`); err != nil || !strings.Contains(out.Emitted[0].Body, "true") {
		t.Errorf("got %v %v", out.Emitted, err)
	}
}

// Calls of the module leave a script without the cost of a time limit; a function of that name in another table does not.
func TestAnalysisKnowsCapture(t *testing.T) {
	f := func(source string, want bool) {
		t.Helper()
		c, err := compileScript("a.lua", source)
		if err != nil || c.mayLoop != want {
			t.Errorf("%s: got %v, %v", source, c != nil && c.mayLoop, err)
		}
	}
	f(`function loop(e) e.x = dragonfly.capture.stats("a").frames end`, false)
	f(`local capture = require 'dragonfly.capture' function loop(e) e.x = capture.stats("a").frames end`, false)
	f(`function loop(e) e.x = other.capture.stats("a").frames end`, true)
}
