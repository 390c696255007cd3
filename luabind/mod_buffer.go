package luabind

import (
	"encoding/binary"
	"fmt"
	"math"

	lua "github.com/yuin/gopher-lua"
)

// bufferModule is LuaJIT's string.buffer without what needs ffi. The serialization format is LuaJIT's
// (https://luajit.org/ext_buffer.html).
func bufferModule(vs *views) module {
	lib := &bufferLib{vs: vs}
	lib.meta = lib.metatable()
	return module{
		Name: "string.buffer",
		Doc:  "String buffers as LuaJIT's, by require \"string.buffer\": put, putf, set, get, skip, reset, free, tostring, encode, decode, # and `..`. What needs ffi (putcdata, reserve, commit, ref) and options are missing.",
		Funcs: []hostFunc{
			{"new", "new([size]) -> buffer", "An empty buffer. Adding to it is cheaper than `..` in a loop. At most 256 MiB.",
				`local b = require("string.buffer").new() b:put("a", 1):putf("%03d", 7) assert(b:get(1) == "a" and tostring(b) == "1007")`, lib.create},
			{"encode", "encode(value) -> text", "value (nil, boolean, number, string, table) in LuaJIT's binary format. Raises an error for functions and tables nested deeper than 100.",
				`local b = require("string.buffer") assert(b.decode(b.encode({1, x = "y"})).x == "y")`, func(L *lua.LState) int {
					L.Push(lua.LString(lib.encode(L, nil, L.CheckAny(1), 0)))
					return 1
				}},
			{"decode", "decode(text) -> value", "The value that encode wrote. Raises an error for anything else.",
				`local b = require("string.buffer") assert(b.decode(b.encode(5)) == 5)`, func(L *lua.LState) int {
					d := &bufferDecoder{L: L, null: vs.null, s: str(L, 1)}
					v := d.value(0)
					if len(d.s) > 0 {
						L.RaiseError("left-over data in buffer")
					}
					L.Push(v)
					return 1
				}},
		},
	}
}

type bufferLib struct {
	vs   *views
	meta *lua.LTable
}

// buffer is a string buffer of a script.
type buffer struct {
	data []byte
	from int // read up to here
}

func (b *buffer) rest() []byte { return b.data[b.from:] }

func (b *buffer) take(n int) string {
	n = min(n, len(b.data)-b.from)
	s := string(b.data[b.from : b.from+n])
	if b.from += n; b.from == len(b.data) {
		b.data, b.from = b.data[:0], 0
	}
	return s
}

func (b *buffer) check(L *lua.LState) {
	if len(b.data) > maxString {
		b.data = b.data[:b.from]
		L.RaiseError("buffer too large (limit %d bytes)", maxString)
	}
}

func checkBuffer(L *lua.LState, n int) *buffer {
	if u, ok := L.Get(n).(*lua.LUserData); ok {
		if b, ok := u.Value.(*buffer); ok {
			return b
		}
	}
	L.ArgError(n, "buffer expected, got "+L.Get(n).Type().String())
	return nil
}

func (lib *bufferLib) create(L *lua.LState) int {
	if _, ok := L.Get(1).(*lua.LTable); ok || L.Get(2) != lua.LNil {
		L.RaiseError("options of string.buffer (dict, metatable) are not available: create the buffer without them")
	}
	u := L.NewUserData()
	u.Value = &buffer{data: make([]byte, 0, min(max(optInteger(L, 1, 0), 0), 1<<20))}
	u.Metatable = lib.meta
	L.Push(u)
	return 1
}

func (lib *bufferLib) metatable() *lua.LTable {
	L := lib.vs.L
	self := func(f func(L *lua.LState, b *buffer)) lua.LGFunction { // returns the buffer
		return func(L *lua.LState) int {
			b := checkBuffer(L, 1)
			f(L, b)
			b.check(L)
			L.Push(L.Get(1))
			return 1
		}
	}
	text := func(L *lua.LState) int {
		b := checkBuffer(L, 1)
		lib.vs.lim.room(L, len(b.rest()))
		L.Push(lua.LString(b.rest()))
		return 1
	}
	methods := L.NewTable()
	setFuncs(L, methods, map[string]lua.LGFunction{
		"put": self(func(L *lua.LState, b *buffer) {
			for i := 2; i <= L.GetTop(); i++ {
				s := lib.text(L, i)
				lib.vs.lim.room(L, len(s)+len(b.data)/8)
				b.data = append(b.data, s...)
				b.check(L)
			}
		}),
		"putf": self(func(L *lua.LState, b *buffer) {
			format := L.GetField(L.GetGlobal("string"), "format")
			L.Push(format)
			n := L.GetTop()
			for i := 2; i < n; i++ {
				L.Push(L.Get(i))
			}
			L.Call(n-2, 1)
			b.data = append(b.data, lua.LVAsString(L.Get(-1))...)
			L.Pop(1)
		}),
		"set":   self(func(L *lua.LState, b *buffer) { b.data, b.from = append(b.data[:0], lib.text(L, 2)...), 0 }),
		"reset": self(func(L *lua.LState, b *buffer) { b.data, b.from = b.data[:0], 0 }),
		"free":  self(func(L *lua.LState, b *buffer) { *b = buffer{} }),
		"skip":  self(func(L *lua.LState, b *buffer) { b.from += min(max(integer(L, 2), 0), len(b.rest())) }),
		"get": func(L *lua.LState) int {
			b := checkBuffer(L, 1)
			lib.vs.lim.room(L, len(b.rest()))
			top := L.GetTop()
			if top == 1 {
				L.Push(lua.LString(b.take(len(b.rest()))))
				return 1
			}
			for i := 2; i <= top; i++ {
				n := len(b.rest())
				if L.Get(i) != lua.LNil {
					n = max(integer(L, i), 0)
				}
				L.Push(lua.LString(b.take(n)))
			}
			return top - 1
		},
		"tostring": text,
		"encode":   self(func(L *lua.LState, b *buffer) { b.data = lib.encode(L, b.data, L.CheckAny(2), 0) }),
		"decode": func(L *lua.LState) int {
			b := checkBuffer(L, 1)
			d := &bufferDecoder{L: L, null: lib.vs.null, s: string(b.rest())}
			v := d.value(0)
			b.take(len(b.rest()) - len(d.s))
			L.Push(v)
			return 1
		},
	})
	for _, name := range []string{"putcdata", "reserve", "commit", "ref"} {
		methods.RawSetString(name, L.NewFunction(func(L *lua.LState) int {
			L.RaiseError("buffer:%s needs LuaJIT's ffi, which is not available: use put, get and skip", name)
			return 0
		}))
	}
	meta := L.NewTable()
	meta.RawSetString("__index", methods)
	meta.RawSetString("__metatable", lua.LString("buffer"))
	setFuncs(L, meta, map[string]lua.LGFunction{
		"__tostring": text,
		"__len":      func(L *lua.LState) int { L.Push(lua.LNumber(len(checkBuffer(L, 1).rest()))); return 1 },
		"__concat": func(L *lua.LState) int {
			a, b := lib.text(L, 1), lib.text(L, 2)
			lib.vs.lim.room(L, len(a)+len(b))
			L.Push(lua.LString(a + b))
			return 1
		},
	})
	return meta
}

// text returns argument n as put takes it.
func (lib *bufferLib) text(L *lua.LState, n int) string {
	switch v := L.Get(n).(type) {
	case lua.LString, lua.LNumber:
		return scalarText(v)
	case *lua.LTable, *lua.LUserData:
		if L.GetMetaField(v, "__tostring") != lua.LNil {
			return tostring(L, v)
		}
	}
	return str(L, n)
}

// Tags of the format.
const (
	tagNil, tagFalse, tagTrue, tagNull      = 0, 1, 2, 3
	tagInt, tagNum, tagTable, tagInt64      = 6, 7, 8, 0x10
	tagUint64, tagString, maxSerializeDepth = 0x11, 0x20, 100
)

// appendU124 appends a length of 1, 2 or 5 bytes.
func appendU124(b []byte, n uint32) []byte {
	switch {
	case n < 0xe0:
		return append(b, byte(n))
	case n < 0x1fe0:
		n -= 0xe0
		return append(b, byte(0xe0|n>>8), byte(n))
	}
	return binary.LittleEndian.AppendUint32(append(b, 0xff), n)
}

func (lib *bufferLib) encode(L *lua.LState, b []byte, v lua.LValue, depth int) []byte {
	if len(b) > maxString {
		L.RaiseError("buffer too large (limit %d bytes)", maxString)
	}
	if s, ok := v.(lua.LString); ok {
		lib.vs.lim.grow(L, len(s)+16, len(b)+len(s))
	} else {
		lib.vs.lim.grow(L, 16, len(b))
	}
	switch v := v.(type) {
	case *lua.LNilType:
		return append(b, tagNil)
	case lua.LBool:
		if v {
			return append(b, tagTrue)
		}
		return append(b, tagFalse)
	case lua.LNumber:
		return binary.LittleEndian.AppendUint64(append(b, tagNum), math.Float64bits(float64(v)))
	case lua.LString:
		return append(appendU124(b, uint32(len(v)+tagString)), v...)
	case *lua.LUserData:
		if v == lib.vs.null {
			return append(b, tagNull)
		}
		if x, ok := v.Value.(exact); ok {
			return binary.LittleEndian.AppendUint64(append(b, tagNum), math.Float64bits(x.float()))
		}
	case *lua.LTable:
		if depth >= maxSerializeDepth {
			L.RaiseError("too deep to serialize")
		}
		return lib.encodeTable(L, b, v, depth+1)
	}
	L.RaiseError("cannot serialize %s", v.Type().String())
	return nil
}

func (lib *bufferLib) encodeTable(L *lua.LState, b []byte, t *lua.LTable, depth int) []byte {
	if o := lib.vs.viewOf(t); o != nil {
		var members []byte
		n := uint32(0)
		for k, v := lib.vs.next(L, o, lua.LNil); k != lua.LNil; k, v = lib.vs.next(L, o, k) {
			members = lib.encode(L, lib.encode(L, members, k, depth), v, depth)
			n++
		}
		if n == 0 {
			return append(b, tagTable)
		}
		return append(appendU124(append(b, tagTable|1), n), members...)
	}
	size := t.MaxN()
	var w traversal
	members := uint32(0)
	start := lua.LValue(lua.LNumber(size))
	if size == 0 {
		start = lua.LNil
	}
	for k, _ := w.next(L, t, start); k != lua.LNil; k, _ = w.next(L, t, k) {
		members++
	}
	tag := byte(tagTable)
	if members > 0 {
		tag |= 1
	}
	if size > 0 {
		tag |= 4
	}
	b = append(b, tag)
	if size > 0 {
		b = appendU124(b, uint32(size)+1)
	}
	if members > 0 {
		b = appendU124(b, members)
	}
	for i := 1; i <= size; i++ {
		b = lib.encode(L, b, t.RawGetInt(i), depth)
	}
	for k, v := w.next(L, t, start); k != lua.LNil; k, v = w.next(L, t, k) {
		b = lib.encode(L, lib.encode(L, b, k, depth), v, depth)
	}
	return b
}

// bufferDecoder reads one value; s is what follows.
type bufferDecoder struct {
	L     *lua.LState
	null  lua.LValue
	s     string
	made  int // bytes that the budget does not know of
	total int // and those it knows of
	gaps  int // slots of arrays that large integer keys have left empty
}

// maxGaps is the most empty slots of one decode: an integer key takes room for all below it.
const maxGaps = 1 << 20

func (d *bufferDecoder) bytes(n int) string {
	if n > len(d.s) {
		d.L.RaiseError("unexpected end of buffer")
	}
	b := d.s[:n]
	d.s = d.s[n:]
	return b
}

func (d *bufferDecoder) u124() uint32 {
	n := uint32(d.bytes(1)[0])
	switch {
	case n == 0xff:
		return binary.LittleEndian.Uint32([]byte(d.bytes(4)))
	case n >= 0xe0:
		return (n-0xe0)<<8 + uint32(d.bytes(1)[0]) + 0xe0
	}
	return n
}

func (d *bufferDecoder) value(depth int) lua.LValue {
	tag := d.u124()
	if tag >= tagString {
		return lua.LString(d.bytes(int(tag - tagString)))
	}
	switch tag {
	case tagNil:
		return lua.LNil
	case tagFalse, tagTrue:
		return lua.LBool(tag == tagTrue)
	case tagNull:
		return d.null
	case tagInt:
		return lua.LNumber(int32(binary.LittleEndian.Uint32([]byte(d.bytes(4)))))
	case tagNum:
		return lua.LNumber(math.Float64frombits(binary.LittleEndian.Uint64([]byte(d.bytes(8)))))
	case tagInt64:
		return lua.LNumber(int64(binary.LittleEndian.Uint64([]byte(d.bytes(8)))))
	case tagUint64:
		return lua.LNumber(binary.LittleEndian.Uint64([]byte(d.bytes(8))))
	case tagTable, tagTable | 1, tagTable | 2, tagTable | 3, tagTable | 4, tagTable | 5:
		if depth >= maxSerializeDepth {
			d.L.RaiseError("too deep to deserialize")
		}
		return d.table(tag, depth+1)
	}
	d.L.RaiseError("%s", fmt.Sprintf("bad tag 0x%02x in buffer", tag))
	return lua.LNil
}

// charge tells the budget now and then how much was made.
func (d *bufferDecoder) charge(n int) {
	if d.made += n; d.made > 16*bigString {
		d.total += d.made
		limitsOf(d.L).grow(d.L, d.made, d.total)
		d.made = 0
	}
}

func (d *bufferDecoder) table(tag uint32, depth int) lua.LValue {
	d.charge(arrayCost)
	t := d.L.CreateTable(0, 0)
	last, members := 0, 0
	if tag&6 != 0 {
		last = int(d.u124())
	}
	if tag&1 != 0 {
		members = int(d.u124())
	}
	first := 0
	if tag&4 != 0 {
		first = 1
	}
	for i := first; i < last; i++ {
		d.charge(valueCost)
		t.RawSet(lua.LNumber(i), d.value(depth))
	}
	for range members {
		d.charge(memberCost)
		k := d.value(depth)
		v := d.value(depth)
		if v == lua.LNil {
			continue
		}
		if n, ok := k.(lua.LNumber); ok && n >= 1 && n < lua.LNumber(lua.MaxArrayIndex) && float64(n) == math.Trunc(float64(n)) {
			if d.gaps += max(0, int(n)-last); d.gaps > maxGaps {
				d.L.RaiseError("integer keys in buffer too far apart (limit %d)", maxGaps)
			}
			last = max(last, int(n)+1)
		}
		d.L.RawSet(t, k, v)
	}
	return t
}
