package luabind

import (
	"errors"
	"fmt"
	"math"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/parse"

	"dragonfly/engine"
)

// code is a compiled file, shared by all interpreters.
type code struct {
	name      string // relative to ROOT
	proto     *lua.FunctionProto
	usesState bool     // it names the global state: see state.go
	mayLoop   bool     // a callback may run without end: see analyze.go
	requires  []string // constant arguments of require
}

// compileScript compiles source. Before that it rewrites what gopher-lua does slowly or wrongly:
//
//   - a .. b .. c becomes one call of a host function: faster, and numbers get Lua's text;
//   - table constructors longer than bigTable are built in parts: gopher-lua drops elements behind the 25550th;
//   - what LuaJIT reads and gopher-lua does not, and what gopher-lua compiles wrongly: see standardSource, rewriter.
//
// The host functions are constants of the code: no script can name, see or change them.
func compileScript(name, source string) (*code, error) {
	if strings.HasPrefix(source, "\x1b") {
		return nil, &engine.ScriptError{Script: name, Msg: "is Lua bytecode, want source text"}
	}
	if strings.HasPrefix(source, "#") { // #!/usr/bin/lua
		source = "--" + source
	}
	text, err := standardSource(name, source)
	if err != nil {
		return nil, err
	}
	chunk, err := parse.Parse(strings.NewReader(text), name)
	if err != nil {
		return nil, parseError(name, err)
	}
	c := &code{name: name}
	c.mayLoop, c.requires = analyze(chunk)
	r := &rewriter{taken: map[string]bool{}}
	chunk = r.block(chunk)
	r.name()
	if c.proto, err = lua.Compile(chunk, name); err != nil {
		var ce *lua.CompileError
		if errors.As(err, &ce) {
			return nil, &engine.ScriptError{Script: name, Line: ce.Line, Msg: ce.Message}
		}
		return nil, &engine.ScriptError{Script: name, Msg: err.Error()}
	}
	r.link(c.proto)
	c.usesState = usesGlobal(c.proto, stateName)
	return c, nil
}

func parseError(name string, err error) error {
	var pe *parse.Error
	if !errors.As(err, &pe) {
		return &engine.ScriptError{Script: name, Msg: err.Error()}
	}
	msg := strings.TrimSpace(pe.Message)
	if pe.Token != "" {
		msg = fmt.Sprintf("%s near %q", msg, pe.Token)
	}
	if pe.Pos.Line == parse.EOF {
		return &engine.ScriptError{Script: name, Msg: msg + ": the file ends in the middle of a statement"}
	}
	return &engine.ScriptError{Script: name, Line: pe.Pos.Line, Msg: msg}
}

// The host functions of rewritten code. All interpreters share them: they have no upvalues, and nothing writes to them.
var (
	concatFunction    = sharedFunction(concat)
	joinFunction      = sharedFunction(joinTables)
	minusZeroFunction = sharedFunction(func(L *lua.LState) int { L.Push(lua.LNumber(math.Copysign(0, -1))); return 1 })
)

func sharedFunction(fn lua.LGFunction) *lua.LFunction {
	return &lua.LFunction{IsG: true, Env: &lua.LTable{Metatable: lua.LNil}, GFunction: fn}
}

// function returns the file's main function for an interpreter.
func (c *code) function(L *lua.LState) *lua.LFunction { return L.NewFunctionFromProto(c.proto) }

// concat is .. for any number of operands.
func concat(L *lua.LState) int {
	n := L.GetTop()
	var buf [256]byte
	out := buf[:0]
	for i := 1; i <= n; i++ {
		switch v := L.Get(i).(type) {
		case lua.LString:
			out = append(out, v...)
		case lua.LNumber:
			out = appendNumber(out, float64(v))
		default:
			L.Push(concatMeta(L, n))
			return 1
		}
		if len(out) > maxString {
			L.RaiseError("string too long")
		}
	}
	L.Push(lua.LString(out))
	return 1
}

// concatMeta folds the operands from the right, as Lua does, with __concat where an operand has it.
func concatMeta(L *lua.LState, n int) lua.LValue {
	v := L.Get(n)
	for i := n - 1; i >= 1; i-- {
		left := L.Get(i)
		if lua.LVCanConvToString(left) && lua.LVCanConvToString(v) {
			v = lua.LString(scalarText(left) + scalarText(v))
			continue
		}
		meta := L.GetMetaField(left, "__concat")
		if meta == lua.LNil {
			meta = L.GetMetaField(v, "__concat")
		}
		if meta == lua.LNil {
			bad := v
			if !lua.LVCanConvToString(left) {
				bad = left
			}
			L.RaiseError("attempt to concatenate a %s value", bad.Type().String())
		}
		L.Push(meta)
		L.Push(left)
		L.Push(v)
		L.Call(2, 1)
		v = L.Get(-1)
		L.Pop(1)
	}
	return v
}

func scalarText(v lua.LValue) string {
	if n, ok := v.(lua.LNumber); ok {
		return formatNumber(float64(n))
	}
	return lua.LVAsString(v)
}

// joinTables moves the array parts of all its arguments into one table.
func joinTables(L *lua.LState) int {
	total := 0
	for i := 1; i <= L.GetTop(); i++ {
		total += L.CheckTable(i).MaxN()
	}
	out := L.CreateTable(total, 0)
	for i, at := 1, 1; i <= L.GetTop(); i++ {
		t := L.CheckTable(i)
		n := t.MaxN()
		for j := 1; j <= n; j++ {
			out.RawSetInt(at, t.RawGetInt(j))
			at++
		}
		var w traversal
		for k, v := w.next(L, t, lua.LNumber(n)); k != lua.LNil; k, v = w.next(L, t, k) {
			out.RawSet(k, v)
		}
	}
	L.Push(out)
	return 1
}
