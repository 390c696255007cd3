package luabind

import (
	"os"
	"strings"
	"testing"
	"time"
)

const lineModel = `{"model":"linear","features":["a","b"],"intercept":1,"coefficients":[10,100]}`

func TestModelModule(t *testing.T) {
	if err := setupError(t, `local m = assert(model.parse('`+lineModel+`'))
		assert(m:predict{1, 2} == 211 and m:predict{a = 1, b = 2} == 211 and m:predict{b = 1, c = 9} == 101)
		assert(m:predict{true, false} == 11 and m:predict{a = cjson.null} == 1)
		assert(m:predict(cjson.decode('{"a":1,"b":2}')) == 211 and m:predict(cjson.decode('[1,2]')) == 211)
		local c, base = m:explain{1, 2} assert(c.a == 10 and c.b == 200 and base == 1)
		for _, case in ipairs{
			{"text", "features expected"}, {{1}, "the model has 2 features, the array 1"}, {{1, 2, 3}, "the array 3"}, {{a = "x"}, 'feature "a" is a string'}, {{a = {}}, 'feature "a" is a table'},
		} do
			local ok, message = pcall(m.predict, m, case[1]) assert(not ok and message:find(case[2], 1, true), message)
		end
		local ok, message = pcall(m.predict, {1, 2}) assert(not ok and message:find("with a colon"), message)
		local three = assert(model.parse('{"model":"logistic","features":["a"],"classes":[4,5,6],"intercept":[0,0,0],"coefficients":[[1],[2],[3]]}'))
		local label, p = three:predict{2} assert(label == 6 and #p == 3 and math.abs(p[1] + p[2] + p[3] - 1) < 1e-12)
		assert(three:explain({2}, 5).a == 4)
		ok, message = pcall(three.explain, three, {2}, 7) assert(not ok and message:find("no class"), message)
		local k = assert(model.parse('{"model":"kmeans","features":["a"],"centers":[[0],[10]]}'))
		local n, distance = k:predict{7} assert(n == 1 and distance == 3)
		local bad, why = model.parse("{}") assert(bad == nil and why:find("none of the keys"))`); err != nil {
		t.Error(err)
	}
}

// TestModelOfAnEvent gives an event as it is to a model, and changes the file meanwhile.
func TestModelOfAnEvent(t *testing.T) {
	s, out, err := load(t, "analyzers/a.lua", `function setup() m = assert(model.load("m.json")) assert(model.load("m.json")) end
function loop(e) dragonfly.analyze_event(default_analyzer, {score = m:predict(e.flow)}) end`, "m.json", lineModel)
	if err != nil {
		t.Fatal(err)
	}
	score := func() string {
		if err := handle(t, s, out, `{"flow":{"b":2,"a":1,"x":[1]}}`); err != nil {
			t.Fatal(err)
		}
		return out.Emitted[0].Body
	}
	if got := score(); got != `{"score":211}` {
		t.Fatalf("got %s", got)
	}
	dir := s.(*script).program.loader.dir
	put := func(text string) {
		if err := os.WriteFile(dir+"/m.new", []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(dir+"/m.new", dir+"/m.json"); err != nil {
			t.Fatal(err)
		}
	}
	until := func(want string) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); score() != want; time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("still %s, want %s", score(), want)
			}
		}
	}
	put(strings.Replace(lineModel, `"intercept":1`, `"intercept":2`, 1))
	until(`{"score":212}`)
	put(`{"model":"lin`) // broken: the old one goes on
	time.Sleep(modelCheck + modelCheck/2)
	until(`{"score":212}`)
	put(strings.Replace(lineModel, `"intercept":1`, `"intercept":3`, 1))
	until(`{"score":213}`)
}
