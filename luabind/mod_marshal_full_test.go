package luabind

import (
	"strings"
	"testing"
)

func TestMarshalSparse(t *testing.T) {
	marshalRuns(t,
		`local d = marshal.clone{[5] = "x"} assert(d[5] == "x")`,
		`local d = marshal.clone{nil, 2, nil, 4} assert(d[1] == nil and d[2] == 2 and d[4] == 4)`,
		`assert(marshal.clone{[65535] = 1}[65535] == 1 and marshal.clone{[2^40] = 1}[2^40] == 1)`,
		`local a = json.array() for i = 1, 1100000 do a[i] = true end assert(#marshal.clone(a) == 1100000)`,
		`local t = {} t[5000000] = 1 local ok, err = pcall(marshal.encode, t) assert(not ok and err:find("too sparse"), err)`,
	)
}

func TestMarshalConstants(t *testing.T) {
	marshalRuns(t,
		`local k, f = {}, function() end local d = marshal.clone({k, f, {k}}, {f, k}) assert(d[1] == k and d[2] == f and d[3][1] == k)`,
		`local text = marshal.encode({print}, {print}) assert(marshal.decode(text, {type})[1] == type)`,
		`local text = marshal.encode({print}, {print}) for _, c in ipairs{false, {}} do
			local ok, err = pcall(marshal.decode, text, c or nil) assert(not ok and err:find("bad code"), err) end`,
	)
}

func TestMarshalPersist(t *testing.T) {
	marshalRuns(t,
		`local o = setmetatable({x = 1}, {__persist = function(o) return {saved = o.x} end}) local d = marshal.clone{o, o}
		assert(d[1].saved == 1 and d[1] == d[2])`,
		`local o = setmetatable({}, {__persist = function() return function() end end})
		local ok, err = pcall(marshal.encode, o) assert(not ok and err:find("not supported"), err)`,
		`local o = setmetatable({}, {__persist = function() end}) assert(not pcall(marshal.encode, o))`,
		`local o = setmetatable({}, {__persist = function(o) return o end}) assert(not pcall(marshal.encode, o))`,
		`local o = setmetatable({1}, {}) assert(marshal.clone(o)[1] == 1)`,
	)
}

func TestMarshalCorruptValues(t *testing.T) {
	L, vs := marshalLab(t)
	key := "\x05\x00\x00\x00\x00\x00\x00\x58\x41" // 2^22+2^21
	for _, s := range []string{"\x8e\x07\x03abc", "\x8e\x07\x021 ", "\x8e\x07\x00", "\x8e\x07\x02{}", "\x8e\x08\x03\x01\x0b", "\x8e\x08" + key + "\x03\x0b"} {
		if err := unmarshalPCall(L, vs, s); err == nil || !strings.Contains(err.Error(), "bad code") {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestJSONPretty(t *testing.T) {
	marshalRuns(t,
		`assert(json.pretty({1}) == "[\n  1\n]" and json.pretty({1}, "\t") == "[\n\t1\n]" and json.pretty({1}, 4) == "[\n    1\n]")`,
		`assert(not pcall(json.pretty, {1}, "x") and not pcall(json.pretty, {1}, -1))`,
		`local v, err = json.pretty(print) assert(v == nil and err)`,
	)
}
