package luabind

import (
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// matcher returns the interpreter's matcher, or another while a function called by gsub matches.
func (lib *stringLib) matcher() (m *matcher, release func()) {
	if lib.patterns.busy {
		return &matcher{lim: lib.lim}, func() {}
	}
	lib.patterns.busy = true
	return &lib.patterns.m, func() { lib.patterns.busy = false }
}

func (lib *stringLib) pattern(L *lua.LState, n int) *pattern {
	p, err := lib.patterns.compile(str(L, n))
	if err != nil {
		L.RaiseError("%s", err.Error())
	}
	return p
}

func (lib *stringLib) run(L *lua.LState, m *matcher, p *pattern, s string, init int) (start, end int) {
	start, end, err := lib.patterns.find(m, p, s, init)
	if err != nil {
		L.RaiseError("%s", err.Error())
	}
	return start, end
}

// push pushes capture n of a match; a pattern without captures has the whole match as its first.
func (m *matcher) push(L *lua.LState, n, start, end int) {
	if n >= m.p.captures {
		if n != 0 {
			L.RaiseError("%s", errCapture.Error())
		}
		L.Push(lua.LString(m.s[start:end]))
		return
	}
	switch c := m.caps[n]; c.end {
	case capturePosition:
		L.Push(lua.LNumber(c.start + 1))
	case captureOpen:
		L.RaiseError("unfinished capture")
	default:
		L.Push(lua.LString(m.s[c.start:c.end]))
	}
}

func (m *matcher) pushAll(L *lua.LState, start, end int, whole bool) int {
	n := m.p.captures
	if n == 0 && whole {
		n = 1
	}
	for i := range n {
		m.push(L, i, start, end)
	}
	return n
}

func (lib *stringLib) find(L *lua.LState) int {
	s := str(L, 1)
	init := max(position(optInteger(L, 3, 1), len(s))-1, 0)
	if init > len(s) {
		init = len(s) // as Lua 5.1 does
	}
	if lua.LVAsBool(L.Get(4)) {
		return lib.findPlain(L, s, str(L, 2), init)
	}
	p := lib.pattern(L, 2)
	if p.plain {
		return lib.findPlain(L, s, p.literal, init)
	}
	m := &lib.patterns.m
	start, end := lib.run(L, m, p, s, init)
	if start < 0 {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LNumber(start + 1))
	L.Push(lua.LNumber(end))
	return 2 + m.pushAll(L, start, end, false)
}

func (lib *stringLib) findPlain(L *lua.LState, s, part string, init int) int {
	i := strings.Index(s[init:], part)
	if i < 0 {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LNumber(init + i + 1))
	L.Push(lua.LNumber(init + i + len(part)))
	return 2
}

func (lib *stringLib) match(L *lua.LState) int {
	s, p := str(L, 1), lib.pattern(L, 2)
	init := min(max(position(optInteger(L, 3, 1), len(s))-1, 0), len(s))
	m := &lib.patterns.m
	start, end := lib.run(L, m, p, s, init)
	if start < 0 {
		L.Push(lua.LNil)
		return 1
	}
	return m.pushAll(L, start, end, true)
}

func (lib *stringLib) gmatch(L *lua.LState) int {
	s, text := str(L, 1), str(L, 2)
	p := lib.pattern(L, 2)
	if strings.HasPrefix(text, "^") { // no anchor here: it stands for itself
		var err error
		if p, err = lib.patterns.compile("%" + text); err != nil {
			L.RaiseError("%s", err.Error())
		}
	}
	at := 0
	m := &matcher{lim: lib.lim}
	L.Push(L.NewClosure(func(L *lua.LState) int {
		if at > len(s) {
			return 0
		}
		start, end := lib.run(L, m, p, s, at)
		if start < 0 {
			at = len(s) + 1
			return 0
		}
		if at = end; start == end {
			at++
		}
		return m.pushAll(L, start, end, true)
	}, lua.LString(s))) // an upvalue, where the meter sees it
	return 1
}

func (lib *stringLib) gsub(L *lua.LState) int {
	s, p := str(L, 1), lib.pattern(L, 2)
	repl := L.Get(3)
	switch repl.Type() {
	case lua.LTString, lua.LTNumber, lua.LTTable, lua.LTFunction:
	default:
		L.ArgError(3, "string/function/table expected")
	}
	most := optInteger(L, 4, len(s)+1)
	m, release := lib.matcher()
	defer release()
	var out []byte
	at, n, charged := 0, 0, 0
	for n < most {
		start, end := lib.run(L, m, p, s, at)
		if start < 0 {
			break
		}
		if out == nil {
			lib.lim.room(L, len(s))
			charged = len(s)
			out = make([]byte, 0, len(s)+16)
		}
		if n++; n%256 == 0 {
			lib.lim.check(L)
		}
		out = append(out, s[at:start]...)
		out = lib.replacement(L, m, out, repl, start, end)
		if len(out)-charged > bigString {
			lib.lim.grow(L, len(out)-charged, len(out))
			charged = len(out)
		}
		if len(out) > maxString {
			L.RaiseError("resulting string too large")
		}
		if at = end; start == end {
			if end < len(s) {
				out = append(out, s[end])
			}
			at = end + 1
		}
		if at > len(s) || p.anchored {
			break
		}
	}
	if n == 0 {
		L.Push(lua.LString(s))
	} else {
		if at < len(s) {
			out = append(out, s[at:]...)
		}
		L.Push(lua.LString(out))
	}
	L.Push(lua.LNumber(n))
	return 2
}

// replacement appends what stands for a match.
func (lib *stringLib) replacement(L *lua.LState, m *matcher, out []byte, repl lua.LValue, start, end int) []byte {
	var v lua.LValue
	switch r := repl.(type) {
	case *lua.LTable:
		m.push(L, 0, start, end)
		k := L.Get(-1)
		L.Pop(1)
		v = L.GetTable(r, k)
	case *lua.LFunction:
		saved := *m
		L.Push(r)
		n := m.pushAll(L, start, end, true)
		L.Call(n, 1)
		*m = saved
		v = L.Get(-1)
		L.Pop(1)
	default:
		return lib.expand(L, m, out, lua.LVAsString(r), start, end)
	}
	switch v := v.(type) {
	case lua.LString:
		return append(out, v...)
	case lua.LNumber:
		return appendNumber(out, float64(v))
	case *lua.LNilType:
		return append(out, m.s[start:end]...)
	case lua.LBool:
		if !v {
			return append(out, m.s[start:end]...)
		}
	}
	L.RaiseError("invalid replacement value (a %s)", v.Type().String())
	return nil
}

// expand appends a replacement string with its %0 to %9.
func (lib *stringLib) expand(L *lua.LState, m *matcher, out []byte, r string, start, end int) []byte {
	for i := 0; i < len(r); i++ {
		if r[i] != '%' || i+1 == len(r) {
			if r[i] != '%' {
				out = append(out, r[i])
			}
			continue
		}
		i++
		switch c := r[i]; {
		case c == '0':
			out = append(out, m.s[start:end]...)
		case c >= '1' && c <= '9':
			m.push(L, int(c-'1'), start, end)
			out = append(out, lua.LVAsString(L.Get(-1))...)
			L.Pop(1)
		default:
			out = append(out, c)
		}
	}
	return out
}
