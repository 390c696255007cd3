package luabind

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/lazyjson"
)

// largeEvent returns an event with some 300 members, of which some have the same key, and deep ones below.
func largeEvent(rng *rand.Rand) string {
	var b strings.Builder
	for i := range 300 {
		key := fmt.Sprintf("k%d", i)
		if rng.IntN(20) == 0 {
			key = fmt.Sprintf("k%d", rng.IntN(300))
		}
		if rng.IntN(20) == 0 {
			key = `\u006b` + key[1:]
		}
		value := []string{fmt.Sprint(i), fmt.Sprintf(`"text %d"`, i), fmt.Sprintf(`{"a":%d,"b":{"c":[1,{"d":%d}]}}`, i, i), `[1,[2,{"x":3}],"y"]`, `{}`, `[]`}[rng.IntN(6)]
		fmt.Fprintf(&b, `"%s":%s,`, key, value)
	}
	deep := strings.Repeat(`{"a":1,"d":`, 20) + `[[{"e":"` + strings.Repeat("x", 500) + `"}]]` + strings.Repeat(`,"z":[2]}`, 20)
	return `{` + b.String() + `"deep":` + deep + `}`
}

// A view of a large event does what a whole table does.
func TestLargeViewIsLikeATable(t *testing.T) {
	l := newLab(t)
	if err := l.L.DoString(`
		local function keys(t) local n = 0 for k, v in pairs(t) do n = n + 1 end return n end
		local function walk(t) local n = 0 for k, v in pairs(t) do n = n + 1 if type(v) == "table" then n = n + walk(v) end end return n end
		function apply(t, op, k, v)
			if op == 0 then t[k] = v
			elseif op == 1 then t[k] = nil
			elseif op == 2 then return type(t[k]) == "table" and "table" or tostring(t[k])
			elseif op == 3 then local x = t[k] if type(x) == "table" then x.a = v end
			elseif op == 4 then local x = t[k] if type(x) == "table" and x.b then x.b.c[2].d = v end
			elseif op == 5 then return keys(t)
			elseif op == 6 then return walk(t)
			elseif op == 7 then for i = 1, 100 do t["new" .. i] = v end
			elseif op == 8 then for i = 1, 100 do t["new" .. i] = nil end
			elseif op == 9 then local d = t.deep for i = 1, 19 do d = d.d end d[k] = v d.d[1][1].e = v
			end
		end`); err != nil {
		t.Fatal(err)
	}
	apply := func(v lua.LValue, args ...lua.LValue) string {
		t.Helper()
		if err := l.L.CallByParam(lua.P{Fn: l.L.GetGlobal("apply"), NRet: 1, Protect: true}, append([]lua.LValue{v}, args...)...); err != nil {
			t.Fatal(err)
		}
		defer l.L.Pop(1)
		return l.L.Get(-1).String()
	}
	rng := rand.New(rand.NewPCG(4, 4))
	for round := range 20 {
		body := largeEvent(rng)
		index, err := lazyjson.IndexObject(nil, body)
		if err != nil {
			t.Fatal(err)
		}
		view := l.value(body, index)
		if round%2 == 1 {
			view = l.value(body, nil)
		}
		plain, _, err := decodeText(l.views, body)
		if err != nil {
			t.Fatal(err)
		}
		for range 150 {
			op, key, value := lua.LNumber(rng.IntN(10)), lua.LString(fmt.Sprintf("k%d", rng.IntN(310))), lua.LNumber(rng.IntN(9))
			if got, want := apply(view, op, key, value), apply(plain, op, key, value); got != want {
				t.Fatalf("round %d: %v %s: got %s, want %s", round, op, key, got, want)
			}
			if rng.IntN(10) > 0 {
				continue
			}
			got, gotIndex, err := l.encode(view, true)
			if err != nil {
				t.Fatal(err)
			}
			want, _, _ := l.encode(plain, false)
			if gotIndex != nil {
				l.sameIndex(got, gotIndex)
			}
			if !sameJSON(t, got, want) {
				t.Fatalf("round %d, after %v %s:\nview  %s\nplain %s", round, op, key, got, want)
			}
		}
	}
}

// Each of these takes part of a second, and many of them if something works in the square of the length.
func TestHostileEventsTakeTimeLikeTheirLength(t *testing.T) {
	const n = 100_000 // bytes
	list := func(format string) string {
		var b strings.Builder
		for i := 0; b.Len() < n; i++ {
			fmt.Fprintf(&b, format, i)
		}
		return b.String()
	}
	repeat := strings.Repeat
	numbers := `[` + repeat("1,", n/2) + `1]`
	for name, event := range map[string]string{
		"members":              `{` + list(`"k%d":1,`) + `"z":1}`,
		"objects":              `{` + list(`"k%d":{},`) + `"z":1}`,
		"arrays":               `{` + list(`"k%d":[],`) + `"z":1}`,
		"escaped keys":         `{` + list(`"\u006b%d":1,`) + `"z":1}`,
		"equal keys":           `{` + repeat(`"a":{},`, n/7) + `"z":1}`,
		"pairs of equal keys":  `{` + list(`"k%d":1,`) + list(`"k%d":1,`) + `"z":1}`,
		"one repeated, last":   `{` + list(`"k%d":1,`) + `"k0":1}`,
		"numbers in objects":   repeat(`{"d":`, 900) + numbers + repeat(`}`, 900),
		"numbers in arrays":    `{"d":` + repeat(`[`, 900) + numbers + repeat(`]`, 900) + `}`,
		"objects behind lists": repeat(`{"a":[`+repeat("1,", n/600)+`1],"d":`, 300) + `1` + repeat(`}`, 300),
		"many deep arrays":     `{"d":[` + repeat(repeat(`[`, 900)+repeat(`]`, 900)+`,`, n/1800) + `1]}`,
		"many deep objects":    `{"d":[` + repeat(repeat(`{"a":`, 900)+`1`+repeat(`}`, 900)+`,`, n/5400) + `1]}`,
	} {
		for _, code := range []string{
			`local function walk(t) for k, v in pairs(t) do if type(v) == "table" then walk(v) end end end walk(e) cjson.encode(e)`,
			`local function walk(t) for k, v in pairs(t) do if type(v) == "table" then walk(v) else t[k] = 2 end end end walk(e)`,
			`local function walk(t) for k, v in pairs(t) do if type(v) == "table" then walk(v) else t[k] = nil end end end walk(e)`,
			`local d = e while type(d.d) == "table" do d = d.d end d.x = 1`,
			`for i = 1, 20000 do e["new" .. i] = i end for i = 1, 20000, 2 do e["new" .. i] = nil end`,
			`assert(marshal.clone(e)) setmetatable(e, nil)`,
		} {
			l := newLab(t)
			body := l.run(event, code)
			if len(body) < 2 {
				t.Errorf("%s: %s: got %q", name, code, body)
			}
		}
	}
}
