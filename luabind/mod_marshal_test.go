package luabind

import (
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// marshalLab is an interpreter with json, marshal and an event e as globals.
func marshalLab(t testing.TB) (*lua.LState, *views) {
	L := lua.NewState()
	t.Cleanup(L.Close)
	vs := newViews(L)
	for _, m := range []module{jsonModule(vs), marshalModule(vs)} {
		m.install(L)
	}
	L.SetGlobal("e", vs.value(`{"a":1,"empty":[],"list":[1,{"k":"v"}],"null":null,"big":18446744073709551615}`, nil))
	return L, vs
}

func marshalRuns(t *testing.T, scripts ...string) {
	t.Helper()
	for _, code := range scripts {
		L, _ := marshalLab(t)
		if err := L.DoString(code); err != nil {
			t.Errorf("%s: %v", code, err)
		}
	}
}

func TestMarshalRoundTrips(t *testing.T) {
	marshalRuns(t,
		`for _, v in ipairs{true, false, 0, -1.5, 1/0, 2^53, "", "a\0b", ("x"):rep(5000), json.null} do
			assert(marshal.clone(v) == v) end`,
		`assert(marshal.clone(nil) == nil)`,
		`local n = marshal.clone(0/0) assert(n ~= n)`,
		`assert(1 / marshal.clone(-0) == 1 / -0)`,
		`local d = marshal.clone{1, "two", {3}, x = {y = {z = true}}, [-1] = "m", [0.5] = "h", [true] = "t"}
		assert(d[1] == 1 and d[2] == "two" and d[3][1] == 3 and d.x.y.z and d[-1] == "m" and d[0.5] == "h" and d[true] == "t")`,
		`local a = {} for i = 1, 5000 do a[i] = i end a = marshal.clone(a) assert(#a == 5000 and a[4999] == 4999)`,
		`local k = {} local d = marshal.clone{[k] = 1, k = k} assert(d[d.k] == 1 and d.k ~= k)`,
		`assert(marshal.encode(1):byte() == 0x8e)`,
	)
}

func TestMarshalKeepsReferences(t *testing.T) {
	marshalRuns(t,
		`local t = {} t.self, t[1] = t, {t} local d = marshal.clone(t) assert(d ~= t and d.self == d and d[1][1] == d)`,
		`local s = {1} local d = marshal.clone{s, s, {s}} assert(d[1] == d[2] and d[3][1] == d[1] and d[1] ~= s)`,
		`local a, b = {}, {} a.b, b.a = b, a local d = marshal.clone(a) assert(d.b.a == d)`,
	)
}

func TestMarshalEvents(t *testing.T) {
	marshalRuns(t,
		`e.new = 7 e.a = nil local d = marshal.clone(e) assert(d.new == 7 and d.a == nil and d.list[2].k == "v" and d.null == json.null)`,
		`local d = marshal.clone(e) d.a = 2 assert(e.a == 1)`,
		`local d = marshal.clone{e, e} assert(d[1] == d[2])`,
		`assert(json.encode(marshal.clone(e.empty)) == "[]" and json.encode(marshal.clone(json.array())) == "[]")`,
		`assert(json.encode(marshal.clone(e.big)) == "18446744073709551615")`,
		`local text = json.encode(e) marshal.encode(e) assert(json.encode(e) == text)`,
	)
}

func TestMarshalRefuses(t *testing.T) {
	marshalRuns(t,
		`local ok, err = pcall(marshal.encode, print) assert(not ok and err:find("invalid value type (function)", 1, true), err)`,
		`assert(not pcall(marshal.encode, {{print}}))`,
		`assert(not pcall(marshal.encode, newproxy()))`,
		`local t = {} for i = 1, 1100 do t = {t} end local ok, err = pcall(marshal.encode, t) assert(not ok and err:find("too deep"), err)`,
		`local t = {} for i = 1, 990 do t = {t} end assert(marshal.clone(t))`,
	)
}

func TestMarshalCorruptInput(t *testing.T) {
	L, vs := marshalLab(t)
	good := marshalText(t, L, `return marshal.encode({1, "two", {x = json.null}, e, e})`)
	for i := range good {
		if err := unmarshalPCall(L, vs, good[:i]); err == nil || !strings.Contains(err.Error(), "bad code") {
			t.Errorf("the first %d bytes: %v", i, err)
		}
		for bit := range 8 {
			flipped := []byte(good)
			flipped[i] ^= 1 << bit
			checkBadCode(t, unmarshalPCall(L, vs, string(flipped)))
		}
	}
	huge := "\xff\xff\xff\xff\xff\xff\xff\xff\x7f"
	for _, s := range []string{"", "x", "\x8e", "\x8e\xff", good + "x", "\x8e\x0b", "\x8e\x06" + huge, "\x8e\x0a" + huge, "\x8e\x0a\x00",
		"\x8e\x08\x01\x03\x0b", "\x8e" + strings.Repeat("\x08", 100000), "\x8e" + strings.Repeat("\x08\x03", 100000)} {
		if err := unmarshalPCall(L, vs, s); err == nil || !strings.Contains(err.Error(), "bad code") {
			t.Errorf("%.20q: %v", s, err)
		}
	}
}

func FuzzMarshalDecode(f *testing.F) {
	L, vs := marshalLab(f)
	for _, v := range []string{`nil`, `{1, "two", x = {true}}`, `e`, `{e.big, e.null, e.empty}`, `{[0.5] = -1}`} {
		f.Add(marshalText(f, L, `return marshal.encode(`+v+`)`))
	}
	f.Add("\x8e\x08\x06\x01a\x0a\x00\x0b")
	f.Fuzz(func(t *testing.T, s string) { checkBadCode(t, unmarshalPCall(L, vs, s)) })
}

func marshalText(t testing.TB, L *lua.LState, code string) string {
	t.Helper()
	if err := L.DoString(code); err != nil {
		t.Fatal(err)
	}
	defer L.Pop(1)
	return L.CheckString(-1)
}

// unmarshalPCall decodes s and, if that works, encodes it again.
func unmarshalPCall(L *lua.LState, vs *views, s string) error {
	m := L.GetGlobal("marshal")
	if err := L.CallByParam(lua.P{Fn: L.GetField(m, "decode"), NRet: 1, Protect: true}, lua.LString(s)); err != nil {
		return err
	}
	v := L.Get(-1)
	L.Pop(1)
	return L.CallByParam(lua.P{Fn: L.GetField(m, "encode"), Protect: true}, v)
}

// checkBadCode fails for an error that decode did not raise on purpose; gopher-lua turns panics into errors.
func checkBadCode(t *testing.T, err error) {
	t.Helper()
	if err != nil && !strings.Contains(err.Error(), "bad code") {
		t.Error(err)
	}
}
