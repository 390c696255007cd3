package luabind

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"dragonfly/engine"
	"dragonfly/test/parts"
)

// loadWithin loads a script with budgets.
func loadWithin(t testing.TB, source string, memory int64, instructions uint64, log io.Writer) *script {
	t.Helper()
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "a.lua"), []byte(source), 0o644)
	l, err := NewLoader(dir, Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	p, err := l.Program("a.lua")
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Load(engine.ScriptEnv{Stage: "test", DefaultOutput: "out", Timeout: time.Minute, Memory: memory, Instructions: instructions,
		Router: &tags{byRoute: map[engine.Route]string{}, routes: map[string]engine.Route{}}, Log: slog.New(slog.NewTextHandler(log, nil))}, &engine.Results{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s.(*script)
}

func TestMeterIsNearTheTruth(t *testing.T) {
	for _, build := range []string{
		`for i = 1, 100000 do kept[i] = {} end`,
		`for i = 1, 10000 do kept[i] = {x = i + 0.5} end`,
		`for i = 1, 10000 do kept[i] = {1, 2, 3, i + 0.5} end`,
		`for i = 1, 100000 do kept["key " .. i] = i + 0.5 end`,
		`for i = 1, 500000 do kept[i] = i + 0.5 end`,
		`for i = 1, 50000 do kept[i] = string.rep("x", 100) .. i end`,
		`for i = 1, 50000 do kept[i] = function() return i, kept end end`,
		`for i = 1, 1000 do local co = coroutine.wrap(function() coroutine.yield() end) co() kept[i] = co end`,
		`kept = cjson.decode("[" .. string.rep('{"a":{"b":[1,2,3]}},', 5000) .. "1]")`,
		`for i = 1, 3000 do kept[i] = json.decode('{"a":{"b":[1,2,3]},"c":"' .. string.rep("x", 1000) .. '"}') local _ = kept[i].a.b[1] end`,
		`kept = sketch.lru(100000) for i = 1, 50000 do kept:put("key " .. i, {i}) end`,
		`kept = require("string.buffer").new() for i = 1, 100 do kept:put(string.rep("x", 100000)) end`,
	} {
		before := heapNow()
		s := loadWithin(t, "kept = {} "+build+" function loop(e) end", 1<<40, 0, io.Discard)
		truth := heapNow() - before
		held := s.measure(1 << 40)
		runtime.KeepAlive(s)
		if held < truth/2 || held > truth*2 {
			t.Errorf("%s: measured %s, takes %s", build, bytesText(held), bytesText(truth))
		}
	}
}

func TestMeterCountsSharedBytesOnce(t *testing.T) {
	s := loadWithin(t, `kept = {} local s = string.rep("x", 2000000) for i = 1, 1000 do kept[i] = s:sub(i) end function loop(e) end`, 16<<20, 0, io.Discard)
	if held := s.measure(16 << 20); held > 4<<20 {
		t.Errorf("got %s for 1000 parts of one string of 2 MB", bytesText(held))
	}
}

func TestMemoryIsWarnedAboutOnce(t *testing.T) {
	var log parts.Log
	s := loadWithin(t, `kept = string.rep("x", 15000000) n = 0
		function loop(e) for i = 1, 100 do n = n + #string.rep("y", 1000000 + i) end dragonfly.output_event(default_output, {n = n}) end`, 16<<20, 0, &log)
	var out engine.Results
	for range 20 {
		if err := handle(t, s, &out, `{"n":1}`); err != nil {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "more than 80 %"); n != 1 {
		t.Errorf("warned %d times: %s", n, log.String())
	}
}

func TestReplacementThatFailsIsTriedAgain(t *testing.T) {
	marker := filepath.Join(t.TempDir(), "marker")
	source := fmt.Sprintf(`function setup() local f = io.open(%q) if f then f:close() error("the list is away") end end
		function loop(e) if e.attack then kept = string.rep("x", 1e8) end dragonfly.output_event(default_output, {n = e.n}) end`, marker)
	var log parts.Log
	s := loadWithin(t, source, 16<<20, 0, &log)
	var out engine.Results
	if err := handle(t, s, &out, `{"attack":true}`); outcome(err) != "memory" {
		t.Fatal(err)
	}
	os.WriteFile(marker, nil, 0o644)
	for range 3 {
		if err := handle(t, s, &out, `{"n":1}`); err == nil || !strings.Contains(err.Error(), "could not be loaded anew") || !strings.Contains(err.Error(), "the list is away") {
			t.Fatal(err)
		}
	}
	if n := strings.Count(log.String(), "could not be loaded anew"); n != 1 {
		t.Errorf("tried %d times at once", n)
	}
	os.Remove(marker)
	s.spent.again = time.Time{} // the pause is over
	if err := handle(t, s, &out, `{"n":1}`); err != nil || len(out.Emitted) != 1 {
		t.Errorf("%v, %d events", err, len(out.Emitted))
	}
}

func TestSetupOfAReplacementSendsNothing(t *testing.T) {
	s := loadWithin(t, `function setup() dragonfly.output_event(default_output, {hello = 1}) dragonfly.timer_every("next", 1, {}) end
		function loop(e) if e.attack then kept = string.rep("x", 1e8) end dragonfly.output_event(default_output, {n = e.n}) end`, 16<<20, 0, io.Discard)
	var out engine.Results
	if err := handle(t, s, &out, `{"attack":true}`); outcome(err) != "memory" {
		t.Fatal(err)
	}
	if err := handle(t, s, &out, `{"n":1}`); err != nil || len(out.Emitted) != 1 || len(out.Timers) != 0 || out.Emitted[0].Body != `{"n":1}` {
		t.Errorf("%v, %d events, %d timers", err, len(out.Emitted), len(out.Timers))
	}
}

func TestInstructionsAreCountedPerCall(t *testing.T) {
	s := loadWithin(t, `function loop(e) local i = 0 while i < e.n do i = i + 1 end dragonfly.output_event(default_output, {n = i}) end`, 0, 10_000, io.Discard)
	var out engine.Results
	for range 20 {
		if err := handle(t, s, &out, `{"n":1000}`); err != nil {
			t.Fatal(err)
		}
	}
	if err := handle(t, s, &out, `{"n":100000}`); outcome(err) != "instructions" || !strings.Contains(err.Error(), "script_instructions (10000)") {
		t.Errorf("got %v", err)
	}
	if err := handle(t, s, &out, `{"n":1000}`); err != nil {
		t.Error(err)
	}
}

func TestReasonOfScriptErrors(t *testing.T) {
	for want, e := range map[string]engine.ScriptError{
		engine.ReasonScript: {}, engine.ReasonTimeout: {Timeout: true}, engine.ReasonMemory: {Memory: true}, engine.ReasonInstructions: {Instructions: true},
	} {
		if got := e.Reason(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestBudgetsInConfig(t *testing.T) {
	const rows = `inputs = {{tag = "i", uri = "tail:///x", script = "a.lua", default_analyzer = ""}}
		outputs = {} analyzers = {{tag = "a", script = "a.lua", default_analyzer = "", default_output = "", script_memory = "64MiB", script_instructions = 5e6}, {tag = "b", script = "a.lua", default_analyzer = "", default_output = "", script_memory = 0}}`
	kinds := Kinds{Inputs: map[string]engine.InputKind{"tail": {}}, Outputs: map[string]engine.OutputKind{"file": {}}, Exists: func(string) bool { return true },
		Getenv: func(string) (string, bool) { return "", false }}
	cfg, err := LoadConfig("config.lua", []byte(rows), "/", kinds)
	if err != nil {
		t.Fatal(err)
	}
	if f := cfg.Inputs[0].Filter; f.Memory != 256<<20 || f.Instructions != 0 {
		t.Errorf("defaults: got %d bytes, %d instructions", f.Memory, f.Instructions)
	}
	if a, b := cfg.Analyzers[0], cfg.Analyzers[1]; a.Memory != 64<<20 || a.Instructions != 5_000_000 || b.Memory != 0 {
		t.Errorf("rows: got %+v, %+v", a, b)
	}
	if _, err = LoadConfig("config.lua", []byte(`script_memory = "much" `+rows), "/", kinds); err == nil || !strings.Contains(err.Error(), "script_memory") {
		t.Errorf("got %v", err)
	}
}

// BenchmarkLoopingScript is what budgets cost a script that loops: ns per call of about 6000 instructions.
func BenchmarkLoopingScript(b *testing.B) {
	for name, budget := range map[string]struct {
		memory       int64
		instructions uint64
	}{"none": {}, "memory": {memory: 256 << 20}, "both": {256 << 20, 1 << 40}} {
		b.Run(name, func(b *testing.B) {
			s := loadWithin(b, `function loop(e) local i, t = 0, {} while i < 1000 do i = i + 1 t[i % 10 + 1] = i end end`, budget.memory, budget.instructions, io.Discard)
			ev, _ := engine.NewEvent(`{"n":1}`)
			var out engine.Results
			for b.Loop() {
				if err := s.Handle(&ev, &out); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMeter measures interpreters with so many tables of one field.
func BenchmarkMeter(b *testing.B) {
	for _, n := range []int{0, 1000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := loadWithin(b, fmt.Sprintf(`kept = {} for i = 1, %d do kept[i] = {x = i} end function loop(e) end`, n), 1<<40, 0, io.Discard)
			for b.Loop() {
				s.measure(1 << 40)
			}
		})
	}
}
