package luabind

import (
	"encoding/binary"
	"math"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/lazyjson"
)

// marshalModule copies values by way of a string, as lua-marshal does.
func marshalModule(vs *views) module {
	return module{Name: "marshal", Doc: "Copies of values: tables may be shared and contain themselves. The format is our own.", Funcs: []hostFunc{
		{"encode", "encode(value [, constants]) -> text",
			"A string that decode turns into a copy of value. Metatables are not kept, except that `__persist(t)` may return what is stored for t. Tables, functions and userdata that are elements of the array constants are stored as their index; other functions and userdata raise an error.",
			`local t = {1} t.self = t assert(#marshal.encode(t) > 0)`, func(L *lua.LState) int {
				L.Push(lua.LString(marshalValue(L, vs, L.CheckAny(1), L.OptTable(2, nil))))
				return 1
			}},
		{"decode", "decode(text [, constants]) -> value",
			"The value of a string made by encode, with constants as they were there. Raises \"bad code\" for any other.",
			`assert(marshal.decode(marshal.encode({a = 1})).a == 1)`, func(L *lua.LState) int {
				L.Push(unmarshalValue(L, vs, L.CheckString(1), L.OptTable(2, nil)))
				return 1
			}},
		{"clone", "clone(value [, constants]) -> value", "A deep copy; constants are not copied.",
			`local a = {{}} local b = marshal.clone(a) assert(b[1] ~= a[1])`, func(L *lua.LState) int {
				constants := L.OptTable(2, nil)
				L.Push(unmarshalValue(L, vs, string(marshalValue(L, vs, L.CheckAny(1), constants)), constants))
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
	mConst // an element of constants, by index
)

const (
	marshalDepth = 1000
	marshalHoles = 1 << 22 // the most array elements that a value may lack: they cost memory but no text
)

// holes returns how many elements an array of n lacks below key, if key is one that gopher-lua keeps in its array part.
func holes(n int, key lua.LValue) int {
	k, ok := key.(lua.LNumber)
	if !ok || k < 1 || k >= lua.LNumber(lua.MaxArrayIndex) || k != lua.LNumber(int(k)) {
		return 0
	}
	return max(0, int(k)-n-1)
}

type marshaller struct {
	L         *lua.LState
	vs        *views
	buf       []byte
	holes     int
	seen      map[*lua.LTable]int
	persisted map[*lua.LTable]lua.LValue // what __persist returned
	constants map[lua.LValue]int
	limit     int  // of the text in bytes
	compact   bool // tables give back the memory of deleted keys
}

func newMarshaller(L *lua.LState, vs *views) *marshaller {
	return &marshaller{L: L, vs: vs, buf: []byte{marshalMagic}, seen: map[*lua.LTable]int{}, limit: maxString}
}

func marshalValue(L *lua.LState, vs *views, v lua.LValue, constants *lua.LTable) []byte {
	m := newMarshaller(L, vs)
	if constants != nil {
		m.constants = map[lua.LValue]int{}
		for i := constants.MaxN(); i > 0; i-- { // the first of two wins
			switch c := constants.RawGetInt(i).(type) {
			case *lua.LTable, *lua.LFunction, *lua.LUserData:
				m.constants[c] = i
			}
		}
	}
	m.value(v, 0)
	return m.buf
}

// check raises unless n more bytes are within the limit.
func (m *marshaller) check(n int) {
	if len(m.buf)+n > m.limit {
		m.L.RaiseError("the encoded value is longer than %d bytes", m.limit)
	}
}

func (m *marshaller) text(kind byte, s string) {
	m.check(len(s))
	m.buf = append(binary.AppendUvarint(append(m.buf, kind), uint64(len(s))), s...)
}

func (m *marshaller) value(v lua.LValue, depth int) {
	if depth > marshalDepth {
		m.L.RaiseError("value is nested too deep")
	}
	if m.constant(v) {
		return
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

// constant writes v and reports true if it is a constant.
func (m *marshaller) constant(v lua.LValue) bool {
	if m.constants == nil {
		return false
	}
	n, ok := m.constants[v]
	if ok {
		m.buf = binary.AppendUvarint(append(m.buf, mConst), uint64(n))
	}
	return ok
}

func (m *marshaller) table(t *lua.LTable, depth int) {
	if n, ok := m.seen[t]; ok {
		m.buf = binary.AppendUvarint(append(m.buf, mRef), uint64(n))
		return
	}
	if v := m.persist(t); v != nil {
		m.value(v, depth+1)
		return
	}
	m.seen[t] = len(m.seen)
	kind := byte(mTable)
	if t.Metatable == lua.LValue(m.vs.arrayMeta) {
		kind = mArray
	}
	m.buf = append(m.buf, kind)
	next, n, live := t.Next, 0, 0
	o := m.vs.viewOf(t)
	if o != nil {
		next = func(k lua.LValue) (lua.LValue, lua.LValue) { return m.vs.next(m.L, o, k) }
	}
	for k, v := next(lua.LNil); k != lua.LNil; k, v = next(k) {
		m.hole(&n, k)
		m.value(k, depth+1)
		m.value(v, depth+1)
		m.check(0)
		live++
	}
	m.buf = append(m.buf, mEnd)
	if m.compact && o == nil {
		compact(t, live)
	}
}

// hole counts what an array of *n elements lacks below key.
func (m *marshaller) hole(n *int, key lua.LValue) {
	if k, ok := key.(lua.LNumber); ok {
		if m.holes += holes(*n, k); m.holes > marshalHoles {
			m.L.RaiseError("array is too sparse")
		}
		*n = max(*n, int(min(k, lua.LNumber(lua.MaxArrayIndex))))
	}
}

// persist returns what t's __persist wants stored in its place; nil if it has none.
func (m *marshaller) persist(t *lua.LTable) lua.LValue {
	if v, ok := m.persisted[t]; ok {
		return v
	}
	f := m.L.GetMetaField(t, "__persist")
	if f == lua.LNil {
		return nil
	}
	m.L.Push(f)
	m.L.Push(t)
	m.L.Call(1, 1)
	v := m.L.Get(-1)
	m.L.Pop(1)
	switch v.(type) {
	case *lua.LFunction:
		if _, ok := m.constants[v]; !ok {
			m.L.RaiseError("__persist: functions are not supported, return a value to store")
		}
	case *lua.LNilType:
		m.L.RaiseError("__persist must return a value")
	}
	if m.persisted == nil {
		m.persisted = map[*lua.LTable]lua.LValue{}
	}
	m.persisted[t] = v
	return v
}

type unmarshaller struct {
	L         *lua.LState
	vs        *views
	s         string
	holes     int
	tables    []*lua.LTable
	constants *lua.LTable // may be nil
}

func unmarshalValue(L *lua.LState, vs *views, s string, constants *lua.LTable) lua.LValue {
	u := &unmarshaller{L: L, vs: vs, s: s, constants: constants}
	if u.byte() != marshalMagic {
		u.bad()
	}
	v := u.value(u.byte(), 0)
	if u.s != "" || v == nil {
		u.bad()
	}
	return v
}

func (u *unmarshaller) bad() { u.L.RaiseError("bad code") }

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
	if depth > marshalDepth {
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
		return u.vs.internString(u.take(u.uvarint()))
	case mExact:
		return u.exact()
	case mTable, mArray:
		return u.table(kind, depth)
	case mRef:
		n := u.uvarint()
		if n >= uint64(len(u.tables)) {
			u.bad()
		}
		return u.tables[n]
	case mConst:
		return u.constant()
	case mEnd:
		return nil
	}
	u.bad()
	return nil
}

// exact decodes an exact number; its text goes into JSON as it is, so it must be a number.
func (u *unmarshaller) exact() lua.LValue {
	s := u.take(u.uvarint())
	if s == "" || s[0] != '-' && s[0]-'0' > 9 || s[len(s)-1]-'0' > 9 || lazyjson.Validate(s) != nil {
		u.bad()
	}
	return u.vs.newExact(s)
}

func (u *unmarshaller) constant() lua.LValue {
	n := u.uvarint()
	if u.constants == nil || n == 0 || n > uint64(u.constants.MaxN()) {
		u.bad()
	}
	return u.constants.RawGetInt(int(n))
}

func (u *unmarshaller) table(kind byte, depth int) lua.LValue {
	t := u.L.CreateTable(0, 1)
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
		if v == nil || v == lua.LNil || k == lua.LNil {
			u.bad()
		}
		if n, ok := k.(lua.LNumber); ok {
			if u.holes += holes(t.MaxN(), n); n != n || u.holes > marshalHoles {
				u.bad()
			}
		}
		t.RawSet(k, v)
	}
}
