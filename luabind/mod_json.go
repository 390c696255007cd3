package luabind

import (
	"bytes"
	"encoding/json"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/lazyjson"
)

// jsonModule is our own JSON module: events as they are, no escaping of "/", failures as nil and a message.
func jsonModule(vs *views) module {
	return module{Name: "json", Doc: "JSON without the peculiarities of cjson.", Values: map[string]lua.LValue{"null": vs.null}, Funcs: []hostFunc{
		{"encode", "encode(value) -> text | nil, message", "JSON of a value; an event that no one changed is its own text.",
			`assert(json.encode({a = "/"}) == '{"a":"/"}')`, func(L *lua.LState) int {
				body, _, err := vs.encode(L.CheckAny(1), false)
				if err != nil {
					return failed(L, err)
				}
				L.Push(lua.LString(strings.Clone(body)))
				return 1
			}},
		{"decode", "decode(text) -> value | nil, message", "The value of a JSON text; objects are decoded where they are touched, like events.",
			`assert(json.decode('{"a":{"b":1}}').a.b == 1)`, func(L *lua.LState) int {
				text := L.CheckString(1)
				index, err := lazyjson.IndexObject([]lazyjson.Field{}, text)
				if err == lazyjson.ErrNotObject {
					index, err = nil, lazyjson.Validate(text)
				}
				if err != nil {
					return failed(L, err)
				}
				L.Push(vs.value(text, index))
				return 1
			}},
		{"pretty", "pretty(value [, indent]) -> text | nil, message",
			"JSON with line ends, for reading by eye. indent is a number of spaces up to 16, default 2, or a string of white space.",
			`assert(json.pretty({1}) == "[\n  1\n]")`, func(L *lua.LState) int {
				indent := jsonIndent(L, 2)
				body, _, err := vs.encode(L.CheckAny(1), false)
				var b bytes.Buffer
				if err == nil {
					n := prettyLen(body, len(indent))
					err = vs.lim.take(n, n)
				}
				if err == nil {
					err = json.Indent(&b, []byte(body), "", indent)
				}
				if err != nil {
					return failed(L, err)
				}
				L.Push(lua.LString(b.String()))
				return 1
			}},
		{"array", "array([t]) -> t", "Marks a table as an array, so that it is `[]` when it is empty; without t a new one.",
			`assert(json.encode(json.array()) == "[]")`, func(L *lua.LState) int {
				t := L.OptTable(1, L.NewTable())
				if t.Metatable == lua.LNil {
					t.Metatable = vs.arrayMeta
				}
				L.Push(t)
				return 1
			}},
	}}
}

// prettyLen returns about how long a JSON text is with line ends and so many bytes of indent per level.
func prettyLen(body string, indent int) int {
	n, depth, quoted := len(body), 0, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
			n += 1 + depth*indent
		case c == '}' || c == ']':
			depth--
			n += 1 + depth*indent
		case c == ',':
			n += 1 + depth*indent
		case c == ':':
			n++
		}
	}
	return n
}

// jsonIndent returns argument n of pretty as the text of one level.
func jsonIndent(L *lua.LState, n int) string {
	switch v := L.Get(n).(type) {
	case *lua.LNilType:
		return "  "
	case lua.LString:
		if len(v) <= 16 && strings.Trim(string(v), " \t") == "" {
			return string(v)
		}
	case lua.LNumber:
		if v >= 0 && v <= 16 {
			return strings.Repeat(" ", int(v))
		}
	}
	L.ArgError(n, "0 to 16 spaces, or a string of white space expected")
	return ""
}
