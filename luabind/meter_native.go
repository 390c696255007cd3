package luabind

import (
	"reflect"
	"unsafe"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/store"
)

// native counts what a userdata holds in Go: sketches, caches, buffers, queues of connections.
func (m *meter) native(v any) {
	switch v := v.(type) {
	case nil, *luaModel: // models are the Loader's: all workers share them
	case *luaFile:
		m.size += 8 << 10
	case exact:
		m.size += stringSize + int64(len(v))
	case *buffer:
		m.size += int64(unsafe.Sizeof(*v)) + int64(cap(v.data))
	case *networkSet:
		m.size += networkCost*int64(v.table.Size()) + slotSize*int64(cap(v.rows))
		for _, row := range v.rows {
			m.values(row)
		}
	case *hiredisConn:
		m.commands(v.queue)
		m.replies(v.replies)
	default:
		m.reflected(reflect.ValueOf(v))
	}
}

// networkCost is about what a network takes in a set.
const networkCost = 100

func (m *meter) commands(queue [][]string) {
	for _, c := range queue {
		m.size += 24 + stringSize*int64(cap(c))
		for _, s := range c {
			m.string(s)
		}
	}
}

func (m *meter) replies(list []store.Reply) {
	m.size += int64(cap(list)) * int64(unsafe.Sizeof(store.Reply{}))
	for i := range list {
		m.string(list[i].Str)
		m.replies(list[i].Elems)
	}
}

// reflected counts a value of any type of this program. It does not follow interfaces, functions and channels, except for
// values of Lua.
func (m *meter) reflected(v reflect.Value) {
	if m.size > m.most {
		return
	}
	switch v.Kind() {
	case reflect.String:
		m.string(v.String())
	case reflect.Pointer:
		if v.IsNil() || !m.seen.add(v.Pointer()) {
			return
		}
		m.size += int64(v.Type().Elem().Size())
		m.reflected(v.Elem())
	case reflect.Struct:
		for i := range v.NumField() {
			m.reflected(v.Field(i))
		}
	case reflect.Slice, reflect.Array:
		if v.Kind() == reflect.Slice {
			m.size += int64(v.Cap()) * int64(v.Type().Elem().Size())
		}
		if !scalar(v.Type().Elem()) {
			for i := range v.Len() {
				m.reflected(v.Index(i))
			}
		}
	case reflect.Map:
		each := 2 * int64(v.Type().Key().Size()+v.Type().Elem().Size()+1)
		m.size += each * int64(v.Len())
		if !scalar(v.Type().Key()) || !scalar(v.Type().Elem()) {
			for it := v.MapRange(); it.Next(); {
				m.reflected(it.Key())
				m.reflected(it.Value())
			}
		}
	case reflect.Interface:
		if v.Type() == luaValueType && !v.IsNil() {
			m.luaValue(v.Elem())
		}
	}
}

var luaValueType = reflect.TypeFor[lua.LValue]()

// luaValue counts a value of Lua that was found in a private field.
func (m *meter) luaValue(v reflect.Value) {
	switch v.Type() {
	case reflect.TypeFor[lua.LString]():
		m.value(lua.LString(v.String()))
	case reflect.TypeFor[lua.LNumber]():
		m.size += numberSize
	case reflect.TypeFor[*lua.LTable]():
		m.value((*lua.LTable)(v.UnsafePointer()))
	case reflect.TypeFor[*lua.LFunction]():
		m.value((*lua.LFunction)(v.UnsafePointer()))
	case reflect.TypeFor[*lua.LUserData]():
		m.value((*lua.LUserData)(v.UnsafePointer()))
	case reflect.TypeFor[*lua.LState]():
		m.value((*lua.LState)(v.UnsafePointer()))
	}
}

// scalar reports whether values of a type lead to nothing else.
func scalar(t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Struct:
		for i := range t.NumField() {
			if !scalar(t.Field(i).Type) {
				return false
			}
		}
		return true
	case reflect.Array:
		return scalar(t.Elem())
	case reflect.String, reflect.Pointer, reflect.Slice, reflect.Map, reflect.Interface, reflect.Func, reflect.Chan, reflect.UnsafePointer:
		return false
	}
	return true
}
