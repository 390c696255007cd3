package luabind

import (
	"bufio"
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/lazyjson"
)

// lab is an interpreter with views for tests.
type lab struct {
	*views
	t testing.TB
}

func newLab(t testing.TB) *lab {
	L := lua.NewState(lua.Options{SkipOpenLibs: true, CallStackSize: 16 << 10, RegistryMaxSize: 1 << 20, MinimizeStackMemory: true})
	t.Cleanup(L.Close)
	openLibs(L, &limits{}, io.Discard)
	vs := newViews(L)
	vs.open()
	for _, m := range cjsonModules(vs) {
		m.install(L)
	}
	return &lab{vs, t}
}

// run runs code with the global e as a view of event and returns what e encodes to.
func (l *lab) run(event, code string) string {
	l.t.Helper()
	index, err := lazyjson.IndexObject([]lazyjson.Field{}, event)
	if err != nil {
		l.t.Fatal(err)
	}
	e := l.value(event, index)
	l.L.SetGlobal("e", e)
	c, err := compileScript("test.lua", code)
	if err != nil {
		l.t.Fatal(err)
	}
	l.L.Push(c.function(l.L))
	if err := l.L.PCall(0, 0, nil); err != nil {
		l.t.Fatalf("%s: %v", code, err)
	}
	body, got, err := l.encode(e, true)
	if err != nil {
		l.t.Fatalf("%s: %v", code, err)
	}
	if err := lazyjson.Validate(body); err != nil {
		l.t.Fatalf("%s gives %s: %v", code, body, err)
	}
	if got != nil {
		l.sameIndex(body, got)
	}
	return body
}

func (l *lab) sameIndex(body string, got []lazyjson.Field) {
	l.t.Helper()
	want, err := lazyjson.IndexObject(nil, body)
	if err != nil || len(want) != len(got) {
		l.t.Fatalf("%s: index %v, want %v (%v)", body, got, want, err)
	}
	for i := range want {
		w, g := want[i], got[i]
		if w.Key(body) != g.Key(body) || w.Raw(body) != g.Raw(body) || w.Kind != g.Kind {
			l.t.Fatalf("%s: member %d: index %+v, want %+v", body, i, g, w)
		}
		if w.Kind == lazyjson.String && w.Text(body) != g.Text(body) {
			l.t.Fatalf("%s: member %d: text %q, want %q", body, i, g.Text(body), w.Text(body))
		}
	}
}

const sample = `{"flow_id":1598023201615874,"n":1.0,"s":"a\/b","u":"\u00e9","empty":[],"o":{},"null":null,"list":[1,2.50,"x",null,{"k":"v"},[7]],` +
	`"dns":{"rrname":"example.com","answers":[{"rdata":"1.2.3.4","ttl":60}]},"dup":1,"dup":2,"big":18446744073709551615,"t":true,"e":1e400}`

func TestViewReads(t *testing.T) {
	for _, code := range []string{
		`assert(type(e) == "table" and e.flow_id == 1598023201615874 and tostring(e.flow_id) == "1598023201615874")`,
		`assert(e.n == 1 and e.s == "a/b" and e.u == "é" and e.t == true and e.missing == nil)`,
		`assert(e.dns.rrname == "example.com" and e.dns == e.dns and e.dns.answers[1].ttl == 60 and #e.dns.answers == 1)`,
		`assert(e.null == cjson.null and e.null ~= nil and e.null and tostring(e.null) == "userdata: NULL")`,
		`assert(#e.list == 6 and e.list[2] == 2.5 and e.list[4] == cjson.null and e.list[5].k == "v" and e.list[6][1] == 7)`,
		`assert(e.dup == 2 and e.e == 1/0)`,
		`assert(tostring(e.big) == "18446744073709551615" and e.big == e.big and e.big + 0 > 1e19)`,
		`assert(#e == 0 and next(e.o) == nil and #e.empty == 0 and rawget(e, "t") == true and rawequal(e, e))`,
		`assert(getmetatable(e) == nil and getmetatable(e.list) == nil and e[1] == nil and e[true] == nil)`,
		`local n = 0 for k, v in pairs(e) do n = n + 1 end assert(n == 13, n)`,
		`local s = "" for k in pairs(e.dns) do s = s .. k .. " " end assert(s == "rrname answers ")`,
		`for i, v in ipairs(e) do error("an object has no elements") end local n = 0 for i in ipairs(e.list) do n = i end assert(n == 6)`,
		`local k, v = next(e) assert(k == "flow_id") k, v = next(e, k) assert(k == "n" and v == 1) assert(next(e, "e") == nil)`,
		`assert(cjson.encode(e.dns) == '{"rrname":"example.com","answers":[{"rdata":"1.2.3.4","ttl":60}]}')`,
		`assert(not pcall(next, e, "nokey"))`,
	} {
		if got := newLab(t).run(sample, code); got != sample {
			t.Errorf("%s: reading changed the event:\ngot  %s\nwant %s", code, got, sample)
		}
	}
}

func TestViewWrites(t *testing.T) {
	f := func(event, code, want string) {
		t.Helper()
		if got := newLab(t).run(event, code); got != want {
			t.Errorf("%s: got %s, want %s", code, got, want)
		}
	}
	f(`{"a":1}`, `e.b = 2`, `{"a":1,"b":2}`)
	f(`{}`, `e.b = "x"`, `{"b":"x"}`)
	f(` { } `, `e.b = "x"`, ` {"b":"x" } `)
	f(" \t{}", `e.b = "x"`, " \t{\"b\":\"x\"}")
	f(`{"a":1.0,"b":1.0}`, `e.a = 5`, `{"a":5,"b":1.0}`)
	f(`{"a":1,"b":2,"c":3}`, `e.a = nil`, `{"b":2,"c":3}`)
	f(`{"a":1,"b":2,"c":3}`, `e.c = nil e.d = 4`, `{"a":1,"b":2,"d":4}`)
	f(`{"a":1}`, `e.a = nil`, `{}`)
	f(`{"a":1}`, `e.x = 1 e.x = nil`, `{"a":1}`)
	f(`{"a":1}`, `e.a = nil e.a = 3`, `{"a":3}`)
	f(`{"a":1}`, `e.a = cjson.null`, `{"a":null}`)
	f(`{"d":{"x":1.0,"y":[1.0]},"z":1.0}`, `e.d.x = 2`, `{"d":{"x":2,"y":[1.0]},"z":1.0}`)
	f(`{"d":{"x":1.0,"y":[1.0,2.0]}}`, `e.d.y[2] = 3`, `{"d":{"x":1.0,"y":[1.0,3]}}`)
	f(`{"y":[1.0,{"a":1.0},[3.0]]}`, `e.y[2].a = 2`, `{"y":[1.0,{"a":2},[3.0]]}`)
	f(`{"y":[1.0,{"a":1.0},[3.0]]}`, `e.y[3][2] = "n"`, `{"y":[1.0,{"a":1.0},[3.0,"n"]]}`)
	f(`{"y":[1,2]}`, `table.insert(e.y, 3)`, `{"y":[1,2,3]}`)
	f(`{"y":[1,2]}`, `table.remove(e.y, 1) table.remove(e.y)`, `{"y":[]}`)
	f(`{"y":[3,1,2]}`, `table.sort(e.y)`, `{"y":[1,2,3]}`)
	f(`{"y":[1,2]}`, `e.y.name = "now an object"`, `{"y":{"1":1,"2":2,"name":"now an object"}}`)
	f(`{"a":1}`, `e.new = {}`, `{"a":1,"new":{}}`)
	f(`{"a":1}`, `e.new = {1, {x = "y"}}`, `{"a":1,"new":[1,{"x":"y"}]}`)
	f(`{"a":{"b":1.0}}`, `e.copy = e.a e.a.b = 2`, `{"a":{"b":2},"copy":{"b":2}}`)
	f(`{"dup":1,"x":1,"dup":2}`, `e.dup = 3`, `{"x":1,"dup":3}`)
	f(`{"dup":1,"x":1,"dup":2}`, `e.dup = nil`, `{"x":1}`)
	f(`{"dup":1,"x":1,"dup":2}`, `e.x = 9`, `{"dup":1,"x":9,"dup":2}`)
	f(`{"a":1}`, `e[1] = "one" e[true and 2] = "two"`, `{"a":1,"1":"one","2":"two"}`)
	f(`{"a":1}`, `table.insert(e, "x")`, `{"a":1,"1":"x"}`)
	f(`{"a":1}`, `rawset(e, "a", 2)`, `{"a":2}`)
	f(`{"a":1,"b":{"c":2}}`, `setmetatable(e, {__index = {z = 1}}) assert(e.z == 1 and e.a == 1) e.a = 7`, `{"a":7,"b":{"c":2}}`)
	f(`{"a":1,"b":2}`, `for k, v in pairs(e) do e[k] = v + 1 end`, `{"a":2,"b":3}`)
	f(`{"big":18446744073709551615}`, `e.copy = e.big`, `{"big":18446744073709551615,"copy":18446744073709551615}`)
	f(`{"a\u0062":1}`, `assert(e.ab == 1) e.ab = 2`, `{"a\u0062":2}`)
	f(` { "a" : 1 , "b" : 2 } `, `e.a = 3 e.c = 4`, ` { "a" : 3 , "b" : 2,"c":4 } `)
	f(`{"a":1}`, `e.s = "q\"\\\n\1é" e.f = 0.1 e.g = 2/3 e.i = 1598023201615874 e.b = false`,
		`{"a":1,"s":"q\"\\\n\u0001é","f":0.1,"g":0.66666666666667,"i":1598023201615874,"b":false}`)
}

func TestViewOfOneEventDoesNotShowInAnother(t *testing.T) {
	l := newLab(t)
	a := l.run(`{"x":{"y":1}}`, `kept = e kept.x.y = 5`)
	b := l.run(`{"x":{"y":1}}`, `assert(e.x.y == 1 and kept.x.y == 5) e.other = kept.x kept.x.y = 6`)
	if a != `{"x":{"y":5}}` || b != `{"x":{"y":1},"other":{"y":6}}` {
		t.Errorf("got %s and %s", a, b)
	}
}

func TestEncodeRefuses(t *testing.T) {
	f := func(code, want string) {
		t.Helper()
		l := newLab(t)
		index, _ := lazyjson.IndexObject(nil, `{"a":1}`)
		e := l.value(`{"a":1}`, index)
		l.L.SetGlobal("e", e)
		if err := l.L.DoString(code); err != nil {
			t.Fatal(err)
		}
		if _, _, err := l.encode(e, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", code, err, want)
		}
	}
	f(`e.f = print`, "Cannot serialise function")
	f(`e.n = 0/0`, "must not be NaN or Inf")
	f(`e.self = e`, "excessive depth")
	f(`local t = {} t.t = t e.t = t`, "excessive depth")
	f(`local t = {} t[100] = 1 e.t = t`, "excessively sparse array")
	f(`e.t = {[true] = 1}`, "table key must be a number or string")
}

func TestCJSON(t *testing.T) {
	l := newLab(t)
	l.run(`{}`, `
		assert(cjson.encode({a = "/\127"}) == '{"a":"\\/\\u007f"}')
		assert(cjson.encode({}) == "{}" and cjson.encode(cjson.decode("[]")) == "[]")
		assert(cjson.encode({1, 2, nil, 4}) == "[1,2,null,4]")
		assert(cjson.decode('{"a":null}').a == cjson.null and cjson.null == cjson_safe.null)
		local v, err = cjson_safe.decode("{")
		assert(v == nil and err == "Expected object key string but found T_END at character 2", err)
		v, err = cjson_safe.decode("xyz")
		assert(v == nil and err == "Expected value but found invalid token at character 1", err)
		v, err = cjson_safe.decode('{"a":1]')
		assert(err == "Expected comma or object end but found T_ARR_END at character 7", err)
		assert(not pcall(cjson.decode, "{"))
		assert(cjson.decode("[0x1F, -Infinity, 007]")[1] == 31)
		assert(cjson_safe.encode(print) == nil)
		local c = cjson.new() c.encode_number_precision(3) assert(c.encode(2/3) == "0.667" and cjson.encode(2/3) == "0.66666666666667")
		c.encode_invalid_numbers("null") assert(c.encode(0/0) == "null")`)
}

// corpora returns the shipped events and, where they are at hand, the large reference files.
func corpora(tb testing.TB) []string {
	files := []string{"../test/data/eve.json"}
	more, _ := filepath.Glob("../../shared/data/reference/eve/*.json")
	if len(more) == 0 && os.Getenv("CI") == "true" {
		tb.Fatal("the reference events are missing")
	}
	return append(files, more...)
}

func eachLine(tb testing.TB, file string, f func(line string)) {
	r, err := os.Open(file)
	if err != nil {
		tb.Fatal(err)
	}
	defer r.Close()
	b := bufio.NewReaderSize(r, 1<<20)
	for {
		line, err := b.ReadString('\n')
		if line = strings.TrimSpace(line); line != "" {
			f(line)
		}
		if err != nil {
			return
		}
	}
}

func TestViewKeepsRealEvents(t *testing.T) {
	l := newLab(t)
	if err := l.L.DoString(`
		function touch(t) for k, v in pairs(t) do if type(v) == "table" then touch(v) end end return t end
		function mark(e) e.event_type = "marked" return e end`); err != nil {
		t.Fatal(err)
	}
	call := func(name string, v lua.LValue) string {
		l.L.Push(l.L.GetGlobal(name))
		l.L.Push(v)
		if err := l.L.PCall(1, 1, nil); err != nil {
			t.Fatal(err)
		}
		defer l.L.Pop(1)
		body, index, err := l.encode(l.L.Get(-1), true)
		if err != nil {
			t.Fatal(err)
		}
		if index != nil {
			l.sameIndex(body, index)
		}
		return body
	}
	for _, file := range corpora(t) {
		eachLine(t, file, func(line string) {
			index, err := lazyjson.IndexObject(nil, line)
			if err != nil {
				t.Fatal(err)
			}
			if got := call("touch", l.value(line, index)); got != line {
				t.Fatalf("%s: walking changed\n%.300s\nto\n%.300s", file, line, got)
			}
			got := call("mark", l.value(line, index))
			f := lazyjson.Find(index, line, "event_type")
			want := line[:f.ValOff] + `"marked"` + line[f.ValEnd:]
			if got != want {
				t.Fatalf("%s: got\n%.300s\nwant\n%.300s", file, got, want)
			}
		})
	}
}

// FuzzView runs random operations on a view and on the same JSON as plain tables: both must agree.
func FuzzView(f *testing.F) {
	f.Add(sample, []byte{0, 1, 2, 3, 4, 5, 6, 7, 8, 9})
	f.Add(`{"a":{"b":[1,{"c":[]}]},"a":2}`, []byte{9, 8, 7, 1, 0, 2, 200, 14, 3})
	const ops = `
		local function pick(t, n) -- the n-th table below t, depth first
			local list = {t}
			local i = 1
			while list[i] do
				local t, keys = list[i], {}
				for k in pairs(t) do keys[#keys + 1] = k end
				table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
				for _, k in ipairs(keys) do if type(t[k]) == "table" then list[#list + 1] = t[k] end end
				i = i + 1
			end
			return list[n % #list + 1]
		end
		local function key(t, n)
			local keys = {}
			for k in pairs(t) do keys[#keys + 1] = k end
			table.sort(keys, function(a, b) return tostring(a) < tostring(b) end) -- a key that comes back stands elsewhere
			if #keys == 0 then return "new" end
			return keys[n % #keys + 1]
		end
		function apply(t, op, a, b)
			local x = pick(t, a)
			op = op % 8
			if op == 0 then x["k" .. b % 5] = b
			elseif op == 1 then local k = key(x, b) if type(k) == "string" then x[k] = nil end
			elseif op == 2 then local k = key(x, b) x[k] = "v" .. b
			elseif op == 3 then x["sub" .. b % 3] = {n = b, list = {b, "x"}}
			elseif op == 4 then local k = key(x, b) x[k] = {}
			elseif op == 5 and #x > 0 then table.insert(x, b)
			elseif op == 6 and #x > 0 then table.remove(x)
			elseif op == 7 then local k = key(x, b) local v = x[k] if type(v) ~= "table" then x["copy"] = v end
			end
		end`
	f.Fuzz(func(t *testing.T, body string, script []byte) {
		index, err := lazyjson.IndexObject(nil, body)
		if err != nil || len(body) > 2000 || len(script) > 60 {
			return
		}
		l := newLab(t)
		if hasDup(body) {
			return // plain tables keep another order
		}
		if err := l.L.DoString(ops); err != nil {
			t.Fatal(err)
		}
		view := l.value(body, index)
		plain, _, err := decodeText(l.views, body)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i+2 < len(script); i += 3 {
			for _, v := range []lua.LValue{view, plain} {
				l.L.Push(l.L.GetGlobal("apply"))
				l.L.Push(v)
				for _, b := range script[i : i+3] {
					l.L.Push(lua.LNumber(b))
				}
				if err := l.L.PCall(4, 0, nil); err != nil {
					t.Fatal(err)
				}
			}
		}
		got, gotIndex, err1 := l.encode(view, true)
		want, _, err2 := l.encode(plain, false)
		if (err1 == nil) != (err2 == nil) {
			t.Fatalf("%s: view %v, plain %v", body, err1, err2)
		}
		if err1 != nil {
			return
		}
		if gotIndex != nil {
			l.sameIndex(got, gotIndex)
		}
		if !sameJSON(t, got, want) {
			t.Fatalf("%s with %v:\nview  %s\nplain %s", body, script, got, want)
		}
	})
}

// hasDup reports whether any object in body has a key twice.
func hasDup(body string) bool {
	var v any
	d := json.NewDecoder(strings.NewReader(body))
	d.UseNumber()
	if d.Decode(&v) != nil {
		return true
	}
	b, err := json.Marshal(v)
	return err != nil || bytes.Count(b, []byte(`":`)) != strings.Count(body, `":`)
}

func sameJSON(t *testing.T, a, b string) bool {
	canon := func(s string) string {
		var v any
		if err := json.Unmarshal([]byte(s), &v); err != nil {
			if strings.Contains(err.Error(), "cannot unmarshal number") {
				return ""
			}
			t.Fatalf("%s: %v", s, err)
		}
		out, _ := json.Marshal(emptyAlike(v))
		return string(out)
	}
	return canon(a) == canon(b)
}

// emptyAlike makes [] and {} the same: a plain table that was emptied does not know what it was.
func emptyAlike(v any) any {
	switch v := v.(type) {
	case map[string]any:
		if len(v) == 0 {
			return []any{}
		}
		for k := range v {
			v[k] = emptyAlike(v[k])
		}
	case []any:
		for i := range v {
			v[i] = emptyAlike(v[i])
		}
	}
	return v
}

func BenchmarkView(b *testing.B) {
	run := func(name, code string) {
		b.Run(name, func(b *testing.B) {
			l := newLab(b)
			var lines []string
			var indexes [][]lazyjson.Field
			eachLine(b, "../test/data/eve.json", func(line string) {
				index, err := lazyjson.IndexObject(nil, line)
				if err != nil {
					b.Fatal(err)
				}
				lines, indexes = append(lines, line), append(indexes, index)
			})
			l.L.SetGlobal("emit", l.L.NewFunction(func(L *lua.LState) int {
				if _, _, err := l.encode(L.Get(1), true); err != nil {
					L.RaiseError("%s", err.Error())
				}
				return 0
			}))
			c, err := compileScript("bench.lua", code)
			if err != nil {
				b.Fatal(err)
			}
			l.L.Push(c.function(l.L))
			if err := l.L.PCall(0, 0, nil); err != nil {
				b.Fatal(err)
			}
			loop := l.L.GetGlobal("loop")
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				l.L.Push(loop)
				l.L.Push(l.value(lines[i], indexes[i]))
				if err := l.L.PCall(1, 0, nil); err != nil {
					b.Fatal(err)
				}
				if i++; i == len(lines) {
					i = 0
				}
			}
		})
	}
	run("pass", `local emit = emit function loop(e) emit(e) end`)
	run("read", `local emit = emit function loop(e) local t = e.event_type end`)
	run("set2", `local emit = emit function loop(e) e.tag = "x" e.score = 0.5 emit(e) end`)
	run("realistic", `local emit = emit local n = {}
		function loop(e)
			local p = e.proto
			local f = e.flow
			local b = f and f.bytes_toserver or 0
			local d = e.dns and e.dns.rrname or e.http and e.http.hostname or ""
			local tld = string.match(d, "%.([%w]+)$") or "none"
			n[tld] = (n[tld] or 0) + 1
			e.dragonfly = {tld = tld, count = n[tld], proto = p, bytes = b}
			emit(e)
		end`)
	run("walk", `local function walk(t) local n = 0 for k, v in pairs(t) do n = n + 1 if type(v) == "table" then n = n + walk(v) end end return n end
		function loop(e) walk(e) end`)
}

func TestViewsAreEmptiedByTheirOwnLoop(t *testing.T) {
	s, out, err := load(t, "a.lua", `function loop(e)
		e.x, e.y, e.z = 1, 2, 3
		local n = 0
		for k in pairs(e) do e[k] = nil n = n + 1 end
		assert(next(e) == nil)
		for i = 1, 100 do e["t" .. i] = i e["t" .. i] = nil end
		for k in pairs(e) do error(k) end
		e.n = n
		dragonfly.output_event("out", e)
	end`)
	if err != nil {
		t.Fatal(err)
	}
	if err := handle(t, s, out, `{"a":1,"b":{"c":1},"d":[1]}`); err != nil || out.Emitted[0].Body != `{"n":6}` {
		t.Errorf("got %v, %v", out.Emitted, err)
	}
}
