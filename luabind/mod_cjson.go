package luabind

import (
	"strconv"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/lazyjson"
)

// cjsonModules returns cjson, cjson_safe, json and marshal.
func cjsonModules(vs *views) []module {
	return []module{
		newCJSON(vs, "cjson", "JSON as in lua-cjson 2.1.0. It raises errors.", false),
		newCJSON(vs, "cjson_safe", "JSON as in lua-cjson 2.1.0. It returns nil and a message where cjson raises an error.", true),
		jsonModule(vs), marshalModule(vs),
	}
}

// cjson is one instance: the settings that scripts can change are its own.
type cjson struct {
	vs          *views
	name        string
	safe        bool
	f           encodeFormat
	decodeDepth int
	decodeAny   bool
	keepBuffer  bool
}

func newCJSON(vs *views, name, doc string, safe bool) module {
	c := &cjson{vs: vs, name: name, safe: safe, f: eventFormat, decodeDepth: lazyjson.MaxDepth, decodeAny: true, keepBuffer: true}
	c.f.cjson = true
	return c.module(name, doc)
}

func (c *cjson) module(name, doc string) module {
	returns := ""
	if c.safe {
		returns = " | nil, message"
	}
	return module{Name: name, Doc: doc, Values: map[string]lua.LValue{
		"null": c.vs.null, "_NAME": lua.LString("cjson"), "_VERSION": lua.LString("2.1.0"),
	}, Funcs: []hostFunc{
		{"encode", "encode(value) -> text" + returns,
			"JSON of a value. A table with the keys 1..n is an array, `{}` an object, an array that was decoded stays one even if it is empty; an event that no one changed is its own text.",
			`assert(` + name + `.encode({1, "a", true}) == '[1,"a",true]')`, c.encode},
		{"decode", "decode(text) -> value" + returns,
			"The value of a JSON text as whole tables. null is `cjson.null`, which is not nil and counts as true.",
			`assert(` + name + `.decode('{"a":[1,2]}').a[2] == 2)`, c.decode},
		{"new", "new() -> cjson", "Another instance with settings of its own.", `assert(` + name + `.new().encode(1) == "1")`, c.newInstance},
		{"encode_sparse_array", "encode_sparse_array([convert [, ratio [, safe]]]) -> convert, ratio, safe",
			"When an array with holes is refused (convert false) or written as an object (true).",
			`assert(` + name + `.encode_sparse_array() == false)`, c.sparseArray},
		{"encode_max_depth", "encode_max_depth([depth]) -> depth", "Deepest nesting that encode accepts, default 1000.",
			`assert(` + name + `.encode_max_depth() == 1000)`, setting(&c.f.maxDepth, 1, 1<<20)},
		{"decode_max_depth", "decode_max_depth([depth]) -> depth", "Deepest nesting that decode accepts, default 1000.",
			`assert(` + name + `.decode_max_depth() == 1000)`, setting(&c.decodeDepth, 1, 1<<20)},
		{"encode_number_precision", "encode_number_precision([digits]) -> digits",
			"Significant digits of numbers that are not integers, 1 to 17, default 14.",
			`assert(` + name + `.encode_number_precision() == 14)`, setting(&c.f.precision, 1, 17)},
		{"encode_keep_buffer", "encode_keep_buffer([keep]) -> keep", "Has no effect; there for lua-cjson.",
			`assert(` + name + `.encode_keep_buffer() == true)`, flag(&c.keepBuffer, nil)},
		{"encode_invalid_numbers", `encode_invalid_numbers([true | false | "null"]) -> setting`,
			"Whether NaN and infinities are written; default false, an error.",
			`assert(` + name + `.encode_invalid_numbers() == false)`, flag(&c.f.invalid, &c.f.invalidNull)},
		{"decode_invalid_numbers", "decode_invalid_numbers([true | false]) -> setting",
			"Whether decode accepts NaN, Infinity and hexadecimal numbers, default true.",
			`assert(` + name + `.decode_invalid_numbers() == true)`, flag(&c.decodeAny, nil)},
	}}
}

// failed reports a failure as the instance does.
func (c *cjson) failed(L *lua.LState, err error) int {
	if !c.safe {
		L.RaiseError("%s", err.Error())
	}
	return failed(L, err)
}

func (c *cjson) encode(L *lua.LState) int {
	if L.GetTop() != 1 {
		L.ArgError(1, "expected 1 argument")
	}
	c.vs.round++
	e := encoder{vs: c.vs, f: &c.f, buf: c.vs.buf[:0]}
	e.value(L.Get(1))
	c.vs.keep(e.buf)
	if e.err != nil {
		return c.failed(L, e.err)
	}
	L.Push(lua.LString(e.buf))
	return 1
}

func (c *cjson) decode(L *lua.LState) int {
	if L.GetTop() != 1 {
		L.ArgError(1, "expected 1 argument")
	}
	d := decoder{vs: c.vs, s: L.CheckString(1), maxDepth: c.decodeDepth, invalid: c.decodeAny}
	v, err := d.document()
	if err != nil {
		return c.failed(L, err)
	}
	L.Push(v)
	return 1
}

func (c *cjson) newInstance(L *lua.LState) int {
	m := newCJSON(c.vs, c.name, "", c.safe)
	L.Push(m.table(L))
	return 1
}

func (c *cjson) sparseArray(L *lua.LState) int {
	if L.GetTop() >= 1 && L.Get(1) != lua.LNil {
		c.f.sparseObject = L.CheckBool(1)
	}
	c.f.sparseRatio = L.OptInt(2, c.f.sparseRatio)
	c.f.sparseSafe = L.OptInt(3, c.f.sparseSafe)
	L.Push(lua.LBool(c.f.sparseObject))
	L.Push(lua.LNumber(c.f.sparseRatio))
	L.Push(lua.LNumber(c.f.sparseSafe))
	return 3
}

// setting is a host function that sets and returns *n.
func setting(n *int, low, high int) lua.LGFunction {
	return func(L *lua.LState) int {
		if L.GetTop() > 0 && L.Get(1) != lua.LNil {
			i := L.CheckInt(1)
			if i < low || i > high {
				L.ArgError(1, "expected integer between "+strconv.Itoa(low)+" and "+strconv.Itoa(high))
			}
			*n = i
		}
		L.Push(lua.LNumber(*n))
		return 1
	}
}

// flag is a host function that sets and returns *b, or "null" where null is not nil.
func flag(b, null *bool) lua.LGFunction {
	return func(L *lua.LState) int {
		if L.GetTop() > 0 && L.Get(1) != lua.LNil {
			if s, ok := L.Get(1).(lua.LString); ok && s == "null" && null != nil {
				*b, *null = false, true
			} else {
				switch s {
				case "on":
					*b = true
				case "off":
					*b = false
				default:
					*b = L.CheckBool(1)
				}
				if null != nil {
					*null = false
				}
			}
		}
		if null != nil && *null {
			L.Push(lua.LString("null"))
		} else {
			L.Push(lua.LBool(*b))
		}
		return 1
	}
}

// appendPrecision appends n with so many significant digits, integers with all of theirs.
func appendPrecision(dst []byte, n float64, digits int) []byte {
	if i := int64(n); float64(i) == n && n < 1<<63 && n > -1<<63 {
		return strconv.AppendInt(dst, i, 10)
	}
	return strconv.AppendFloat(dst, n, 'g', digits, 64)
}

// appendCJSON quotes s as lua-cjson does: with / and DEL escaped.
func appendCJSON(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c == '/':
			dst = append(dst, '\\', c)
		case c == '\b':
			dst = append(dst, `\b`...)
		case c == '\t':
			dst = append(dst, `\t`...)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\f':
			dst = append(dst, `\f`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c < ' ' || c == 0x7f:
			const hex = "0123456789abcdef"
			dst = append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
