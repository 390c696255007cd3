package luabind

import (
	"encoding/binary"
	"errors"
	"math"

	lua "github.com/yuin/gopher-lua"
)

// marshalModule copies values by way of a string, as lua-marshal does.
func marshalModule(vs *views) module {
	return module{Name: "marshal", Doc: "Copies of values: tables may be shared and contain themselves. The format is our own.", Funcs: []hostFunc{
		{"encode", "encode(value) -> text", "A string that decode turns into a copy of value. Metatables are not kept. Raises an error for functions and userdata.",
			`local t = {1} t.self = t assert(#marshal.encode(t) > 0)`, func(L *lua.LState) int {
				L.Push(lua.LString(marshalValue(L, vs, L.CheckAny(1))))
				return 1
			}},
		{"decode", "decode(text) -> value", "The value of a string made by encode. Raises \"bad code\" for any other.",
			`assert(marshal.decode(marshal.encode({a = 1})).a == 1)`, func(L *lua.LState) int {
				L.Push(unmarshalValue(L, vs, L.CheckString(1)))
				return 1
			}},
		{"clone", "clone(value) -> value", "A deep copy.", `local a = {{}} local b = marshal.clone(a) assert(b[1] ~= a[1])`, func(L *lua.LState) int {
			L.Push(unmarshalValue(L, vs, string(marshalValue(L, vs, L.CheckAny(1)))))
			return 1
		}},
	}}
}

// The first byte of marshalled text, and the kinds of values.
const (
	marshalMagic = 0x8e
	mNil         = iota
	mFalse
	mTrue
	mNull
	mNumber
	mString
	mExact
	mTable // its entries, then mEnd
	mArray // likewise, marked as an array
	mRef   // a table that came before, by number
	mEnd
)

type marshaller struct {
	L    *lua.LState
	vs   *views
	buf  []byte
	seen map[*lua.LTable]int
}

func marshalValue(L *lua.LState, vs *views, v lua.LValue) []byte {
	m := &marshaller{L: L, vs: vs, buf: []byte{marshalMagic}, seen: map[*lua.LTable]int{}}
	m.value(v, 0)
	return m.buf
}

func (m *marshaller) text(kind byte, s string) {
	m.buf = append(binary.AppendUvarint(append(m.buf, kind), uint64(len(s))), s...)
}

func (m *marshaller) value(v lua.LValue, depth int) {
	if depth > 1000 {
		m.L.RaiseError("value is nested too deep")
	}
	switch v := v.(type) {
	case *lua.LNilType:
		m.buf = append(m.buf, mNil)
	case lua.LBool:
		if v {
			m.buf = append(m.buf, mTrue)
		} else {
			m.buf = append(m.buf, mFalse)
		}
	case lua.LNumber:
		m.buf = binary.LittleEndian.AppendUint64(append(m.buf, mNumber), math.Float64bits(float64(v)))
	case lua.LString:
		m.text(mString, string(v))
	case *lua.LTable:
		m.table(v, depth)
	case *lua.LUserData:
		if x, ok := v.Value.(exact); ok {
			m.text(mExact, string(x))
		} else if v == m.vs.null {
			m.buf = append(m.buf, mNull)
		} else {
			m.L.RaiseError("invalid value type (userdata)")
		}
	default:
		m.L.RaiseError("invalid value type (%s)", v.Type().String())
	}
}

func (m *marshaller) table(t *lua.LTable, depth int) {
	if n, ok := m.seen[t]; ok {
		m.buf = binary.AppendUvarint(append(m.buf, mRef), uint64(n))
		return
	}
	m.seen[t] = len(m.seen)
	kind := byte(mTable)
	if t.Metatable == lua.LValue(m.vs.arrayMeta) {
		kind = mArray
	}
	m.buf = append(m.buf, kind)
	next := t.Next
	if o := m.vs.viewOf(t); o != nil {
		next = func(k lua.LValue) (lua.LValue, lua.LValue) { return m.vs.next(m.L, o, k) }
	}
	for k, v := next(lua.LNil); k != lua.LNil; k, v = next(k) {
		m.value(k, depth+1)
		m.value(v, depth+1)
	}
	m.buf = append(m.buf, mEnd)
}

type unmarshaller struct {
	L      *lua.LState
	vs     *views
	s      string
	tables []*lua.LTable
}

var errBadCode = errors.New("bad code")

func unmarshalValue(L *lua.LState, vs *views, s string) lua.LValue {
	u := &unmarshaller{L: L, vs: vs, s: s}
	if u.byte() != marshalMagic {
		u.bad()
	}
	v := u.value(u.byte(), 0)
	if u.s != "" || v == nil {
		u.bad()
	}
	return v
}

func (u *unmarshaller) bad() { u.L.RaiseError("%s", errBadCode.Error()) }

func (u *unmarshaller) byte() byte { return u.take(1)[0] }

func (u *unmarshaller) take(n uint64) string {
	if n > uint64(len(u.s)) {
		u.bad()
	}
	out := u.s[:n]
	u.s = u.s[n:]
	return out
}

func (u *unmarshaller) uvarint() uint64 {
	n, size := binary.Uvarint([]byte(u.s[:min(len(u.s), binary.MaxVarintLen64)]))
	if size <= 0 {
		u.bad()
	}
	u.s = u.s[size:]
	return n
}

// value decodes a value of a kind; nil for mEnd.
func (u *unmarshaller) value(kind byte, depth int) lua.LValue {
	if depth > 1001 {
		u.bad()
	}
	switch kind {
	case mNil:
		return lua.LNil
	case mFalse:
		return lua.LFalse
	case mTrue:
		return lua.LTrue
	case mNull:
		return u.vs.null
	case mNumber:
		return lua.LNumber(math.Float64frombits(binary.LittleEndian.Uint64([]byte(u.take(8)))))
	case mString:
		return lua.LString(u.take(u.uvarint()))
	case mExact:
		return u.vs.newExact(u.take(u.uvarint()))
	case mTable, mArray:
		return u.table(kind, depth)
	case mRef:
		n := u.uvarint()
		if n >= uint64(len(u.tables)) {
			u.bad()
		}
		return u.tables[n]
	case mEnd:
		return nil
	}
	u.bad()
	return nil
}

func (u *unmarshaller) table(kind byte, depth int) lua.LValue {
	t := u.L.NewTable()
	if kind == mArray {
		t.Metatable = u.vs.arrayMeta
	}
	u.tables = append(u.tables, t)
	for {
		k := u.value(u.byte(), depth+1)
		if k == nil {
			return t
		}
		v := u.value(u.byte(), depth+1)
		if n, isNumber := k.(lua.LNumber); v == nil || k == lua.LNil || isNumber && (n != n || n > 1<<20 && kind == mArray) {
			u.bad()
		}
		if n, ok := k.(lua.LNumber); ok && (n < 1 || int(n) > t.MaxN()+1) {
			t.RawSetH(k, v) // a corrupt key must not make a huge array
			continue
		}
		t.RawSet(k, v)
	}
}
