package luabind

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dragonfly/engine"
)

const (
	binaryModel = `{"model":"logistic","features":["bytes","flow.age"],"intercept":-1,"coefficients":[2,0.5],"classes":["good","bad"]}`
	multiModel  = `{"model":"logistic","features":["a"],"intercept":[0,0,1],"coefficients":[[1],[2],[0]],"classes":["x",7,true]}`
	valueModel  = `{"model":"linear","features":["a","b"],"intercept":10,"coefficients":[1,2],"mean":[5,0]}`
	groupModel  = `{"model":"kmeans","features":["a"],"centers":[[0],[10]],"classes":["low","high"]}`
	oddModel    = `{"model":"isolation_forest","features":["a"],"sample_size":4,"offset":-0.5,"trees":[{"feature":[0,-1,-1],"threshold":[3,0,0],"left":[1,-1,-1],"right":[2,-1,-1],"samples":[4,3,1]}]}`
)

func TestModelPredictsAsDocumented(t *testing.T) {
	s, out, err := load(t, "a.lua", `
		local function near(got, want) assert(math.abs(got - want) < 1e-12, tostring(got) .. " instead of " .. tostring(want)) end
		local two, many, value, group, odd
		function setup()
			two = assert(model.load("models/two.json")) many = assert(model.load("models/many.json"))
			value = assert(model.load("models/value.json")) group = assert(model.load("models/group.json")) odd = assert(model.load("models/odd.json"))
			assert(two.kind == "logistic" and two.task == "binary" and many.task == "multiclass" and value.task == "regression" and group.task == "cluster" and odd.task == "anomaly")
			assert(two.nothing == nil and tostring(two) == "model: logistic, binary, 2 features")
			assert(odd.kind == "isolation_forest" and #odd:classes() == 0)
			assert(table.concat(two:features(), " ") == "bytes flow.age" and table.concat(two:classes(), " ") == "good bad")
			assert(many:classes()[2] == 7 and many:classes()[3] == "true")
		end
		function loop(e)
			local function logistic(x) return 1 / (1 + math.exp(-x)) end
			-- arrays, plain tables by name, events; missing values
			local p, class = two:predict({1, 2})
			near(p, logistic(2)) assert(class == "bad")
			p, class = two:predict({0}) near(p, logistic(-1)) assert(class == "good")
			near(two:predict({}), logistic(-1))
			near(two:predict({nil, 2}), logistic(0))
			near(two:predict({bytes = 1, ["flow.age"] = 2, other = {}}), logistic(2))
			near(two:predict({bytes = true, flow = {age = 2}}), logistic(2))
			near(two:predict({bytes = cjson.null, flow = 7}), logistic(-1))
			near(two:predict(e), logistic(-1 + 2 * 3 + 0.5 * 4))
			near(two:predict(e.list), logistic(-1 + 2 * 5))
			near(two:predict(e.big), logistic(-1 + 2 * 36893488147419103232))
			e.bytes = 0 near(two:predict(e), logistic(1)) e.bytes = nil near(two:predict(e), logistic(1))
			e.flow.age = 10 near(two:predict(e), logistic(-1 + 0.5 * 10))
			e["flow.age"] = 8 near(two:predict(e), logistic(-1 + 0.5 * 8))
			e.bytes = true near(two:predict(e), logistic(-1 + 2 + 0.5 * 8))
			near(two:predict(json.decode('{"bytes":7,"byt\\u0065s":2,"flow":null,"flow.age":false,"x":"y"}')), logistic(-1 + 2 * 2))
			near(two:predict(json.decode('{"bytes":1e400,"flow":{}}')), 1)
			-- the other tasks
			local label, shares = many:predict({1})
			local sum = math.exp(1) + math.exp(2) + math.exp(1)
			assert(label == 7) near(shares[7], math.exp(2) / sum) near(shares.x, math.exp(1) / sum) near(shares["true"], shares.x)
			local v, detail = value:predict({a = 6, b = 1}) near(v, 13) assert(detail == nil)
			near(value:predict({b = 1}), 12)
			local g, distance = group:predict({7}) assert(g == "high") near(distance, 3)
			local score, decision = odd:predict({9})
			local function c(n) return 2 * (math.log(n - 1) + 0.57721566490153286) - 2 * (n - 1) / n end
			near(score, 2 ^ (-1 / c(4))) near(decision, 0.5 - score)
			near(odd:predict({1}), 2 ^ (-(1 + c(3)) / c(4)))
			-- explanations
			local parts, base = two:explain({bytes = 1, flow = {age = 2}})
			near(base, -1) near(parts.bytes, 2) near(parts["flow.age"], 1)
			parts, base = two:explain({1, 2}, "good") near(base, 1) near(parts.bytes, -2)
			parts, base = many:explain({1}) near(base, 0) near(parts.a, 2)
			parts, base = many:explain({1}, "x") near(parts.a, 1)
			parts, base = value:explain({6, 1}) near(base, 10) near(parts.a, 1) near(parts.b, 2)
			parts, base = odd:explain({9}) near(2 ^ (base + parts.a), score)
			parts, base = group:explain({7}) near(base + parts.a, 9)
			parts, base = group:explain({7}, "low") near(parts.a, 49)
			dragonfly.output_event("out", "done")
		end`,
		"models/two.json", binaryModel, "models/many.json", multiModel, "models/value.json", valueModel, "models/group.json", groupModel, "models/odd.json", oddModel)
	if err != nil {
		t.Fatal(err)
	}
	if err := handle(t, s, out, `{"bytes":3,"flow":{"age":4},"list":[5,null],"big":{"bytes":36893488147419103232}}`); err != nil || len(out.Emitted) != 1 {
		t.Error(err, out.Emitted)
	}
}

func TestModelRefusesWrongArguments(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		s, out, err := load(t, "a.lua", "local m = assert(model.load('m.json'))\nfunction loop(e)\n"+body+"\nend", "m.json", binaryModel)
		if err != nil {
			t.Fatal(err)
		}
		if err := handle(t, s, out, `{"bytes":"3","list":[1,{}]}`); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
	}
	f(`m:predict(e)`, `feature "bytes": number expected, got string`)
	f(`m:predict(e.list)`, `feature "flow.age": number expected, got table`)
	f(`m:predict({1, 2, 3})`, `3 values, the model has 2 features`)
	f(`m:predict({bytes = print})`, `feature "bytes": number expected, got function`)
	f(`m:predict(1)`, `features expected, as an array or by name, got number`)
	f(`m:predict()`, `features expected, as an array or by name, got nil`)
	f(`m.predict({1, 2})`, `model expected, got table: call it as m:predict(...)`)
	f(`m:explain({1, 2}, "ugly")`, `the model has no class "ugly"`)
	f(`m.x = 1`, `attempt to index`)
	f(`model.load()`, `string expected`)
	f(`error(select(2, model.parse('{"model":"linear"}')))`, `model: features: 0 names, want 1 to 65536`)
	f(`error(select(2, model.load('none.json')))`, `none.json`)
	f(`error(select(2, model.load('.')))`, `not a file`)
	f(`error(select(2, model.load('/dev/zero')))`, `not a file`)
	f(`error(select(2, model.load('../../etc/passwd')))`, `escapes`)
	f(`model.parse('{"model":"forest","task":"regression","features":["a"],"trees":[{"feature":[-1],"threshold":[0],"left":[-1],"right":[-1],"value":[1]}]}'):explain({1})`, `lack the number of training rows`)
}

// modelLoader returns a Loader whose root holds m.json, and a function that replaces the file.
func modelLoader(t testing.TB, script string) (l *Loader, start func(*slog.Logger) engine.Script, write func(string)) {
	t.Helper()
	dir := t.TempDir()
	l, err := NewLoader(dir, Options{Stdout: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	version := 0
	write = func(text string) {
		t.Helper()
		version++
		name := filepath.Join(dir, fmt.Sprintf("m%d", version))
		err := os.WriteFile(name, []byte(text), 0o644)
		if err == nil {
			err = os.Rename(name, filepath.Join(dir, "m.json"))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "a.lua"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	start = func(log *slog.Logger) engine.Script {
		t.Helper()
		p, err := l.Program("a.lua")
		if err != nil {
			t.Fatal(err)
		}
		var out engine.Results
		s, err := p.Load(engine.ScriptEnv{Stage: "test", Log: log, Timeout: time.Second,
			Router: &tags{byRoute: map[engine.Route]string{}, routes: map[string]engine.Route{}}}, &out)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(s.Close)
		return s
	}
	return l, start, write
}

func linearText(features string, intercept float64) string {
	return fmt.Sprintf(`{"model":"linear","features":[%s],"intercept":%v,"coefficients":[%s]}`, features, intercept,
		strings.TrimSuffix(strings.Repeat("1,", strings.Count(features, ",")+1), ","))
}

func TestModelFollowsItsFile(t *testing.T) {
	l, start, write := modelLoader(t, `local m = assert(model.load("m.json")) function loop(e) dragonfly.output_event("out", tostring(m:predict(e))) end`)
	var text bytes.Buffer
	log := slog.New(slog.NewTextHandler(&text, nil))
	write(linearText(`"a"`, 1))
	s := start(log)
	predicts := func(want string) {
		t.Helper()
		var out engine.Results
		if err := handle(t, s, &out, `{"a":1,"b":10}`); err != nil {
			t.Fatal(err)
		}
		var got string
		json.Unmarshal([]byte(out.Emitted[0].Body), &got)
		if got == "" {
			got = out.Emitted[0].Body
		}
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
	predicts("2")
	write(linearText(`"a"`, 5))
	predicts("2") // no one has looked yet
	l.checkModels()
	predicts("6")
	write(linearText(`"b","a"`, 5)) // other features
	l.checkModels()
	predicts("16")
	write(`{"model":"linear","features":["a"],"intercept":1,"coefficients":[1,2]}`)
	for range 3 {
		l.checkModels()
	}
	predicts("16")
	if n := strings.Count(text.String(), "level=WARN"); n != 1 || !strings.Contains(text.String(), "row 0 has 2 numbers for 1 features") {
		t.Errorf("got %d warnings, want one: %s", n, text.String())
	}
	os.Remove(filepath.Join(l.dir, "m.json"))
	for range 3 {
		l.checkModels()
	}
	predicts("16")
	if n := strings.Count(text.String(), "level=WARN"); n != 2 {
		t.Errorf("got %d warnings, want two: %s", n, text.String())
	}
	write(linearText(`"a"`, 7))
	l.checkModels()
	predicts("8")
	if n := strings.Count(text.String(), "model loaded anew"); n != 3 {
		t.Errorf("got %d, want 3: %s", n, text.String())
	}
}

func TestModelThatIsTouchedIsNotParsedAgain(t *testing.T) {
	l, start, write := modelLoader(t, `local m = assert(model.load("m.json")) function loop(e) end`)
	write(linearText(`"a"`, 1))
	start(slog.New(slog.DiscardHandler))
	file := l.models.files["m.json"].Value()
	before := file.current.Load()
	old := time.Now().Add(-time.Hour)
	for i := range 3 { // also with an old time stamp: then unchanged files are not read
		if err := os.Chtimes(filepath.Join(l.dir, "m.json"), old, old.Add(time.Duration(i)*time.Second)); err != nil {
			t.Fatal(err)
		}
		l.checkModels()
		if !file.settled || file.current.Load() != before {
			t.Error("the model was parsed again")
		}
	}
}

func TestWorkersShareOneModel(t *testing.T) {
	l, start, write := modelLoader(t, `local m, n = model.load("m.json"), model.parse('`+linearText(`"a"`, 1)+`') function loop(e) m:predict(e) n:predict(e) end`)
	write(linearText(`"a"`, 1))
	for range 3 {
		start(slog.New(slog.DiscardHandler))
	}
	if len(l.models.files) != 1 || len(l.models.parsed) != 1 {
		t.Errorf("got %d files and %d contents, want one of each", len(l.models.files), len(l.models.parsed))
	}
}

func TestModelFilesAreLookedAtEverySecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l, start, write := modelLoader(t, `local m = assert(model.load("m.json")) function loop(e) end`)
		write(linearText(`"a"`, 1))
		start(slog.New(slog.DiscardHandler))
		f := l.models.files["m.json"].Value()
		before := f.current.Load()
		write(linearText(`"a"`, 2))
		time.Sleep(checkEvery - time.Millisecond)
		if f.current.Load() != before {
			t.Error("looked too early")
		}
		time.Sleep(2 * time.Millisecond)
		synctest.Wait()
		if f.current.Load() == before {
			t.Error("the new file was not seen")
		}
	})
}

func TestModelsThatNoScriptUsesAreForgotten(t *testing.T) {
	l, start, write := modelLoader(t, `local m = assert(model.load("m.json")) function loop(e) end`)
	write(linearText(`"a"`, 1))
	func() {
		p, err := l.Program("a.lua")
		if err != nil {
			t.Fatal(err)
		}
		var out engine.Results
		s, err := p.Load(engine.ScriptEnv{}, &out)
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}()
	left := func() int {
		runtime.GC()
		l.checkModels()
		l.models.mu.Lock()
		defer l.models.mu.Unlock()
		return len(l.models.files) + len(l.models.parsed)
	}
	for i := 0; left() > 0; i++ {
		if i == 1000 {
			t.Fatalf("got %d, want nothing left", left())
		}
		runtime.Gosched()
	}
	start(slog.New(slog.DiscardHandler)) // and can be loaded again
}

func TestModelChangesWhileWorkersPredict(t *testing.T) {
	l, start, write := modelLoader(t, `local m = assert(model.load("m.json")) function loop(e) local v = m:predict(e) assert(v == 2 or v == 16, v) end`)
	texts := []string{linearText(`"a"`, 1), linearText(`"b","a"`, 5)}
	write(texts[0])
	ev, err := engine.NewEvent(`{"a":1,"b":10}`)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	done := make(chan struct{})
	for range 2 {
		s := start(slog.New(slog.DiscardHandler))
		wg.Go(func() {
			var out engine.Results
			for {
				select {
				case <-done:
					return
				default:
				}
				ev := ev
				if err := s.Handle(&ev, &out); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	for i := range 50 {
		write(texts[i%2])
		l.checkModels()
	}
	close(done)
	wg.Wait()
}

func TestModelByAbsolutePath(t *testing.T) {
	l, start, write := modelLoader(t, "")
	write(linearText(`"a"`, 1))
	other := filepath.Join(t.TempDir(), "other.json")
	if err := os.WriteFile(other, []byte(linearText(`"a"`, 2)), 0o644); err != nil {
		t.Fatal(err)
	}
	script := fmt.Sprintf(`local m, n = assert(model.load(%q)), assert(model.load(%q)) assert(m:predict({1}) == 2 and n:predict({1}) == 3) function loop(e) end`, filepath.Join(l.dir, "m.json"), other)
	if err := os.WriteFile(filepath.Join(l.dir, "a.lua"), []byte(script), 0o644); err != nil {
		t.Fatal(err)
	}
	start(slog.New(slog.DiscardHandler))
}

func TestModelPredictAllocatesOnlyItsResult(t *testing.T) {
	row := make([]string, 23)
	for i := range row {
		row[i] = fmt.Sprintf(`"f%d"`, i)
	}
	_, start, write := modelLoader(t, `local m = assert(model.load("m.json")) local x = {} for i, n in ipairs(m:features()) do x[n] = i end function loop(e) `+strings.Repeat(`m:predict(x) `, 100)+`end`)
	write(linearText(strings.Join(row, ","), 1))
	s := start(slog.New(slog.DiscardHandler))
	ev, err := engine.NewEvent(`{}`)
	if err != nil {
		t.Fatal(err)
	}
	var out engine.Results
	if n := testing.AllocsPerRun(20, func() {
		if err := s.Handle(&ev, &out); err != nil {
			t.Fatal(err)
		}
	}); n > 110 {
		t.Errorf("got %v allocations for 100 calls, want 1 for each: its number", n)
	}
}

// BenchmarkModelPredict is one call from Lua of a logistic model with 23 features; the loop around it included.
func BenchmarkModelPredict(b *testing.B) {
	row := make([]string, 23)
	for i := range row {
		row[i] = fmt.Sprintf(`"feature_%d"`, i)
	}
	text := strings.Replace(linearText(strings.Join(row, ","), 1), "linear", "logistic", 1)
	var members []string
	for i := range row {
		members = append(members, fmt.Sprintf("%s:%v", row[i], float64(i+1)/100))
	}
	for _, kind := range []string{"array", "named", "event"} {
		b.Run(kind, func(b *testing.B) {
			key := map[string]string{"array": "i", "named": "n", "event": "n"}[kind]
			row := map[string]string{"event": "e"}[kind]
			if row == "" {
				row = "x"
			}
			_, start, write := modelLoader(b, `local m = assert(model.load("m.json")) local x = {} for i, n in ipairs(m:features()) do x[`+key+`] = i / 100 end function loop(e) for i = 1, 1000 do m:predict(`+row+`) end end`)
			write(text)
			s := start(slog.New(slog.DiscardHandler))
			ev, err := engine.NewEvent("{" + strings.Join(members, ",") + "}")
			if err != nil {
				b.Fatal(err)
			}
			var out engine.Results
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Handle(&ev, &out); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/predict")
		})
	}
}
