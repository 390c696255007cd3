package luabind

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unsafe"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

// The global table `state` of a script outlives the process: the engine saves it with the checkpoint that belongs to it.
// A script has it only if it, or a file that it requires, names it.
const stateName = "state"

// usesGlobal reports whether compiled code reads or writes a global.
func usesGlobal(p *lua.FunctionProto, name string) bool {
	for _, code := range p.Code {
		if op := int(code >> 26); op == lua.OP_GETGLOBAL || op == lua.OP_SETGLOBAL {
			if s, ok := p.Constants[code&0x3ffff].(lua.LString); ok && string(s) == name {
				return true
			}
		}
	}
	for _, f := range p.FunctionPrototypes {
		if usesGlobal(f, name) {
			return true
		}
	}
	return false
}

var (
	_ engine.StatefulProgram = (*program)(nil)
	_ engine.StateKeeper     = (*script)(nil)
)

// KeepsState implements engine.StatefulProgram.
func (p *program) KeepsState() bool { return p.keepsState }

// restoreState sets the global before the top level runs. The state of another number of workers is given out by rule:
// that of worker n goes to worker n modulo their number, and those that meet are added up.
func (s *script) restoreState() error {
	if !s.program.keepsState {
		return nil
	}
	state := s.L.NewTable()
	for n, data := range s.env.States {
		if s.env.Resharded && n%s.env.Workers != s.env.Shard {
			continue
		}
		old, err := s.decodeState(data)
		if err != nil {
			return err
		}
		if !s.env.Resharded {
			state = old
			break
		}
		addUp(state, old, 0)
	}
	s.globals.RawSetString(stateName, state)
	return nil
}

// migrateState lets the script give out the state of another number of workers itself: migrate(states, worker, workers).
func (s *script) migrateState(out *engine.Results) error {
	migrate, ok := s.globals.RawGetString("migrate").(*lua.LFunction)
	if !ok || !s.program.keepsState || !s.env.Resharded {
		return nil
	}
	all := s.L.CreateTable(len(s.env.States), 0)
	for _, data := range s.env.States {
		old, err := s.decodeState(data)
		if err != nil {
			return err
		}
		all.Append(old)
	}
	var got lua.LValue
	err := s.call(out, s.L.NewFunction(func(L *lua.LState) int {
		L.Push(migrate)
		L.Push(all)
		L.Push(lua.LNumber(s.env.Shard + 1))
		L.Push(lua.LNumber(s.env.Workers))
		L.Call(3, 1)
		got = L.Get(-1)
		return 0
	}))
	if err != nil {
		return err
	}
	if _, ok := got.(*lua.LTable); !ok {
		return &engine.ScriptError{Script: s.program.code.name, Msg: "migrate() returned a " + got.Type().String() + ", want the table that is to be the state of this worker"}
	}
	s.globals.RawSetString(stateName, got)
	return nil
}

// decodeState returns a saved state; nothing saved is an empty table.
func (s *script) decodeState(data []byte) (*lua.LTable, error) {
	if len(data) == 0 {
		return s.L.NewTable(), nil
	}
	var v lua.LValue
	err := s.protected(func(L *lua.LState) { v = unmarshalValue(L, s.views, string(data), nil) })
	t, ok := v.(*lua.LTable)
	if err == nil && !ok {
		err = errors.New("it is no table")
	}
	if err != nil {
		return nil, &engine.ScriptError{Script: s.program.code.name, Msg: fmt.Sprintf("its saved state cannot be decoded (%v): `dragonfly state forget` removes it", err)}
	}
	return t, nil
}

// protected runs f, which may raise.
func (s *script) protected(f func(L *lua.LState)) error {
	s.L.Push(s.L.NewFunction(func(L *lua.LState) int { f(L); return 0 }))
	if err := s.L.PCall(0, 0, nil); err != nil {
		s.L.SetTop(0)
		var api *lua.ApiError
		if errors.As(err, &api) && api.Object != nil {
			return errors.New(s.message(api.Object))
		}
		return err
	}
	return nil
}

// addUp adds src to dst: numbers are added, tables member by member, of other values the first stays.
func addUp(dst, src *lua.LTable, depth int) {
	if depth > marshalDepth {
		return
	}
	src.ForEach(func(k, v lua.LValue) {
		old := dst.RawGet(k)
		a, aok := old.(lua.LNumber)
		b, bok := v.(lua.LNumber)
		to, tok := old.(*lua.LTable)
		from, fok := v.(*lua.LTable)
		switch {
		case old == lua.LNil:
			dst.RawSet(k, v)
		case aok && bok:
			dst.RawSet(k, a+b)
		case tok && fok && to != from:
			addUp(to, from, depth+1)
		}
	})
}

// SaveState implements engine.StateKeeper.
func (s *script) SaveState() ([]byte, error) {
	if !s.program.keepsState {
		return nil, nil
	}
	v := s.globals.RawGetString(stateName)
	state, ok := v.(*lua.LTable)
	if !ok {
		return nil, fmt.Errorf("the global `state` is a %s, want a table (a variable of your own wants another name, or `local`)", v.Type().String())
	}
	var data []byte
	limit := s.env.StateMax
	if limit <= 0 {
		limit = maxString
	}
	err := s.protected(func(L *lua.LState) {
		m := newMarshaller(L, s.views)
		m.limit, m.compact = int(limit), true
		m.value(state, 0)
		data = m.buf
	})
	if err == nil {
		return data, nil
	}
	if path, kind := findUnsavable(s.views, state, "state", map[*lua.LTable]bool{}); path != "" {
		return nil, fmt.Errorf("%s is a %s: state may hold strings, numbers, booleans and tables", path, kind)
	}
	return nil, fmt.Errorf("state: %w", err)
}

// findUnsavable returns the path of a value that cannot be saved, and its type.
func findUnsavable(vs *views, t *lua.LTable, path string, seen map[*lua.LTable]bool) (string, string) {
	if seen[t] || len(seen) > 1<<20 {
		return "", ""
	}
	seen[t] = true
	var found, kind string
	vs.each(t, func(k, v lua.LValue) {
		if found != "" {
			return
		}
		at := path + "[" + k.String() + "]"
		if name, ok := k.(lua.LString); ok {
			at = path + "." + string(name)
			if strings.ContainsAny(at[len(path)+1:], " .-:/") || name == "" {
				at = fmt.Sprintf("%s[%q]", path, string(name))
			}
		}
		for _, x := range []lua.LValue{k, v} {
			switch x := x.(type) {
			case *lua.LTable:
				if found == "" {
					found, kind = findUnsavable(vs, x, at, seen)
				}
			case lua.LString, lua.LNumber, lua.LBool:
			case *lua.LUserData:
				if _, ok := x.Value.(exact); !ok && x != vs.null {
					found, kind = at, "userdata"
				}
			default:
				found, kind = at, x.Type().String()
			}
		}
	})
	return found, kind
}

// StateJSON returns a saved state as JSON for people: keys are texts, what cannot be JSON is described.
func StateJSON(data []byte) (string, error) {
	s := &script{program: &program{code: &code{name: "state"}}, L: lua.NewState(lua.Options{SkipOpenLibs: true})}
	defer s.L.Close()
	s.views = newViews(s.L)
	t, err := s.decodeState(data)
	if err != nil {
		return "", err
	}
	return string(s.views.describe(nil, t, map[*lua.LTable]bool{})), nil
}

func (vs *views) describe(out []byte, v lua.LValue, above map[*lua.LTable]bool) []byte {
	t, ok := v.(*lua.LTable)
	if !ok {
		return describeScalar(out, vs, v)
	}
	if above[t] {
		return append(out, `"(this table again)"`...)
	}
	above[t] = true
	defer delete(above, t)
	type pair struct{ k, v lua.LValue }
	var list []pair
	isArray := true
	for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
		list = append(list, pair{k, v})
		isArray = isArray && k == lua.LValue(lua.LNumber(len(list)))
	}
	isArray = isArray && (len(list) > 0 || t.Metatable == lua.LValue(vs.arrayMeta))
	brackets := "{}"
	if isArray {
		brackets = "[]"
	}
	out = append(out, brackets[0])
	for i, p := range list {
		if i > 0 {
			out = append(out, ',')
		}
		if !isArray {
			out = append(lazyjson.AppendQuoted(out, vs.keyText(p.k)), ':')
		}
		out = vs.describe(out, p.v, above)
	}
	return append(out, brackets[1])
}

func (vs *views) keyText(k lua.LValue) string {
	if _, ok := k.(*lua.LTable); ok {
		return "(a table)"
	}
	if s, ok := k.(lua.LString); ok {
		return strings.ToValidUTF8(string(s), "\uFFFD")
	}
	return strings.Trim(string(describeScalar(nil, vs, k)), `"`)
}

func describeScalar(out []byte, vs *views, v lua.LValue) []byte {
	switch v := v.(type) {
	case lua.LBool:
		return strconv.AppendBool(out, bool(v))
	case lua.LString:
		return lazyjson.AppendQuoted(out, strings.ToValidUTF8(string(v), "\uFFFD"))
	case lua.LNumber:
		if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
			return lazyjson.AppendQuoted(out, formatNumber(float64(v)))
		}
		return append(out, formatNumber(float64(v))...)
	case *lua.LUserData:
		if x, ok := v.Value.(exact); ok {
			return append(out, x...)
		}
	}
	return append(out, "null"...)
}

// compact gives back what a table keeps of deleted keys, if that is more than what it holds: gopher-lua never does.
func compact(t *lua.LTable, live int) {
	keys := *(*[]lua.LValue)(unsafe.Add(unsafe.Pointer(t), keysOffset))
	if len(keys) < 64 || len(keys) < 2*live {
		return
	}
	fresh := &lua.LTable{Metatable: t.Metatable}
	t.ForEach(func(k, v lua.LValue) { fresh.RawSet(k, v) })
	*t = *fresh
}
