package luabind

import (
	"math"
	"reflect"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// gopher-lua's LTable.Next skips the first key behind the array part for a key that is gone or was never there, so next
// reads the parts of the table itself.
var (
	arrayOffset = privateField[lua.LTable]("array", reflect.TypeFor[[]lua.LValue]())
	keysOffset  = privateField[lua.LTable]("keys", reflect.TypeFor[[]lua.LValue]())
	indexOffset = privateField[lua.LTable]("k2i", reflect.TypeFor[map[lua.LValue]int]())
)

// traversal is a traversal of tables; it remembers where in the keys of the last table it was. The zero value is ready.
type traversal struct {
	table *lua.LTable
	at    int // of the key that next returned last
}

// next returns the pair of t behind key, or lua.LNil, as Lua's next: keys may be deleted and fields assigned meanwhile.
// A key that t never had raises an error.
func (w *traversal) next(L *lua.LState, t *lua.LTable, key lua.LValue) (k, v lua.LValue) {
	array := *(*[]lua.LValue)(unsafe.Add(unsafe.Pointer(t), arrayOffset))
	keys := *(*[]lua.LValue)(unsafe.Add(unsafe.Pointer(t), keysOffset))
	i, inArray := 0, false // i counts in array, then in keys
	if key == lua.LNil {
		inArray = true
	} else if n, ok := key.(lua.LNumber); ok && n >= 1 && n < lua.LNumber(lua.MaxArrayIndex) && float64(n) == math.Trunc(float64(n)) {
		if i, inArray = int(n), int(n) <= len(array); !inArray {
			if i > cap(array) {
				L.RaiseError("invalid key to 'next'")
			}
			i = 0 // the array has become shorter
		}
	} else if w.table == t && w.at < len(keys) && keys[w.at] == key {
		i = w.at + 1
	} else {
		index, ok := (*(*map[lua.LValue]int)(unsafe.Add(unsafe.Pointer(t), indexOffset)))[key]
		if !ok {
			L.RaiseError("invalid key to 'next'")
		}
		i = index + 1
	}
	if inArray {
		for ; i < len(array); i++ {
			if array[i] != lua.LNil {
				return lua.LNumber(i + 1), array[i]
			}
		}
		i = 0
	}
	for ; i < len(keys); i++ {
		if v := t.RawGetH(keys[i]); v != lua.LNil {
			w.table, w.at = t, i
			return keys[i], v
		}
	}
	return lua.LNil, lua.LNil
}

func (vs *views) tableNext(L *lua.LState, t *lua.LTable, key lua.LValue) (k, v lua.LValue) {
	return vs.walk.next(L, t, key)
}
