package luabind

import (
	"reflect"
	"slices"
	"unsafe"

	lua "github.com/yuin/gopher-lua"
)

// gopher-lua closes all captured locals of a thread when an error is raised, also those of functions that go on running
// behind a pcall: from then on a closure and the function that made it see different variables. (With an error handler
// it closes none, and closures of functions that have ended see what later takes their registers.) What it keeps them in
// is private, so protected calls look there through these offsets, and set things right: see openUpvalues.
var (
	openOffset   = privateField[lua.LState]("uvcache", reflect.TypeFor[*lua.Upvalue]())
	nextOffset   = privateField[lua.Upvalue]("next", reflect.TypeFor[*lua.Upvalue]())
	closedOffset = privateField[lua.Upvalue]("closed", reflect.TypeFor[bool]())
)

// privateField returns the offset of a field of a struct of gopher-lua.
func privateField[T any](name string, want reflect.Type) uintptr {
	f, ok := reflect.TypeFor[T]().FieldByName(name)
	if !ok || f.Type != want {
		panic("BUG: this gopher-lua is another one: " + reflect.TypeFor[T]().String() + "." + name)
	}
	return f.Offset
}

func openList(L *lua.LState) **lua.Upvalue {
	return (**lua.Upvalue)(unsafe.Add(unsafe.Pointer(L), openOffset))
}

func nextOpen(u *lua.Upvalue) **lua.Upvalue {
	return (**lua.Upvalue)(unsafe.Add(unsafe.Pointer(u), nextOffset))
}

func isClosed(u *lua.Upvalue) *bool { return (*bool)(unsafe.Add(unsafe.Pointer(u), closedOffset)) }

// openUpvalues is the list of captured locals, lowest register first, that were open when a protected call began. All of
// them belong to functions that go on running after it.
type openUpvalues struct {
	list []*lua.Upvalue
	buf  [8]*lua.Upvalue
}

func (o *openUpvalues) save(L *lua.LState) {
	o.list = o.buf[:0]
	for u := *openList(L); u != nil; u = *nextOpen(u) {
		o.list = append(o.list, u)
	}
}

// restore closes what was captured since save, by functions that an error has ended, and opens what was open then: the
// registers still hold those values. It must be called before the registers of the ended functions are cleared.
func (o *openUpvalues) restore(L *lua.LState) {
	for u := *openList(L); u != nil; u = *nextOpen(u) {
		if !slices.Contains(o.list, u) {
			u.Close()
			if u.Value() == nil { // its register is gone
				u.SetValue(lua.LNil)
			}
		}
	}
	*openList(L) = nil
	for i := len(o.list) - 1; i >= 0; i-- {
		u := o.list[i]
		*isClosed(u) = false
		*nextOpen(u) = *openList(L)
		*openList(L) = u
	}
}
