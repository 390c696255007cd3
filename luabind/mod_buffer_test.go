package luabind

import (
	"testing"

	lua "github.com/yuin/gopher-lua"
)

// What decode accepts, encode writes so that decode gives the same text again.
func FuzzBufferDecode(f *testing.F) {
	L := lua.NewState(lua.Options{SkipOpenLibs: true, CallStackSize: 1 << 10})
	lib := &bufferLib{vs: newViews(L)}
	for _, s := range []string{"\x00", "\x21a", "\x09\x01\x21a\x02", "\x0d\x03\x01\x01\x02\x21x\x08", "\x0c\xff\xff\xff\xff\xff", "\x09\x01\x06\xff\xff\xff\x03\x01"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var first, second []byte
		defer L.SetTop(0)
		L.Push(L.NewFunction(func(L *lua.LState) int {
			v := (&bufferDecoder{L: L, null: lib.vs.null, s: s}).value(0)
			first = lib.encode(L, nil, v, 0)
			return 0
		}))
		if L.PCall(0, 0, nil) != nil {
			return // refused
		}
		L.Push(L.NewFunction(func(L *lua.LState) int {
			second = lib.encode(L, nil, (&bufferDecoder{L: L, null: lib.vs.null, s: string(first)}).value(0), 0)
			return 0
		}))
		if err := L.PCall(0, 0, nil); err != nil || len(first) != len(second) {
			t.Errorf("%q: got %q, then %q, %v", s, first, second, err)
		}
	})
}
