package luabind

import (
	"reflect"
	"runtime"
	"slices"
	"unsafe"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
)

// Parts of gopher-lua's values that it does not show.
var (
	dictOffset    = privateField[lua.LTable]("dict", reflect.TypeFor[map[lua.LValue]lua.LValue]())
	strdictOffset = privateField[lua.LTable]("strdict", reflect.TypeFor[map[string]lua.LValue]())
	regOffset     = privatePart(reflect.TypeFor[lua.LState](), "reg", nil)
	frameOffset   = privatePart(reflect.TypeFor[lua.LState](), "currentFrame", nil)
	arrayOfReg    = privatePart(partType("reg"), "array", reflect.TypeFor[[]lua.LValue]())
	fnOfFrame     = privatePart(partType("currentFrame"), "Fn", reflect.TypeFor[*lua.LFunction]())
	parentOfFrame = privatePart(partType("currentFrame"), "Parent", partPointer("currentFrame"))
)

// privatePart returns the offset of a field of a type of gopher-lua that may be private itself; want nil is any pointer.
func privatePart(of reflect.Type, name string, want reflect.Type) uintptr {
	f, ok := of.FieldByName(name)
	if !ok || want != nil && f.Type != want || want == nil && f.Type.Kind() != reflect.Pointer {
		panic("BUG: this gopher-lua is another one: " + of.String() + "." + name)
	}
	return f.Offset
}

func partPointer(name string) reflect.Type {
	f, ok := reflect.TypeFor[lua.LState]().FieldByName(name)
	if !ok || f.Type.Kind() != reflect.Pointer {
		panic("BUG: this gopher-lua is another one: LState." + name)
	}
	return f.Type
}

func partType(name string) reflect.Type { return partPointer(name).Elem() }

// registers returns the values of a thread's stack.
func registers(L *lua.LState) []lua.LValue {
	reg := *(*unsafe.Pointer)(unsafe.Add(unsafe.Pointer(L), regOffset))
	if reg == nil {
		return nil
	}
	return *(*[]lua.LValue)(unsafe.Add(reg, arrayOfReg))
}

// Sizes in bytes as Go's allocator rounds them.
const (
	tableSize    = 96
	functionSize = 80
	upvalueSize  = 64
	userDataSize = 48
	stringSize   = 16 // header of a string behind an interface
	numberSize   = 8
	slotSize     = 16      // an interface
	mapSlot      = 56      // of a map from values to values, at its usual load
	mapSize      = 1 << 10 // of the smallest maps of a table, and the index of its keys
	indexSlot    = 48      // of a map from values to integers, and the list of keys
	threadSize   = 1 << 10
	stackSize    = 20 << 10 // goroutine of a coroutine, with what iter.Pull takes
	frameSize    = 80
	goFrameSize  = 1500 // Go's stack below a host function that calls Lua
)

// meter measures what an interpreter holds: all that its globals, registry, threads and upvalues lead to.
//
// Strings may share their bytes, parts of an event do. They are counted one by one at first; only if that is too much the
// meter measures again and counts shared bytes once.
type meter struct {
	vs    *views
	most  int64 // more need not be found
	size  int64
	seen  pointerSet
	todo  []lua.LValue
	exact bool
	spans []span // strings, if exact
}

type span struct{ from, to uintptr }

// sharedString is the length from which on bytes that strings share are looked for.
const sharedString = 64

// measure returns the bytes that s holds. It may stop when it has found more than most. Called by the worker.
func (s *script) measure(most int64) int64 {
	h := &holder{s.L, s.coroutines, s.views, s.out}
	size := s.meter.measure(h, most)
	if size > most && len(s.coroutines.live) > 0 { // many may wait without anybody who could resume them
		runtime.GC()
		runtime.Gosched()
		s.coroutines.bury()
		size = s.meter.measure(h, most)
	}
	return size
}

// holder is what an interpreter can reach its values through.
type holder struct {
	L          *lua.LState
	coroutines *coroutines
	views      *views
	out        *engine.Results // may be nil
}

func (m *meter) measure(s *holder, most int64) int64 {
	m.vs = s.views
	for _, m.exact = range []bool{false, true} {
		if size := m.run(s, most); size <= most || m.exact {
			m.release()
			return size
		}
	}
	return m.size
}

func (m *meter) run(s *holder, most int64) int64 {
	m.most, m.size, m.todo, m.spans = most, 0, m.todo[:0], m.spans[:0]
	m.seen.reset()
	m.roots(s)
	for len(m.todo) > 0 && m.size <= m.most {
		v := m.todo[len(m.todo)-1]
		m.todo = m.todo[:len(m.todo)-1]
		m.container(v)
	}
	if m.exact {
		m.size += m.bytesOfSpans()
	}
	return m.size
}

// release gives back memory after an unusually large measurement.
func (m *meter) release() {
	const keep = 1 << 12
	clear(m.todo[:cap(m.todo)])
	if cap(m.todo) > keep {
		m.todo = nil
	}
	m.spans = nil
	m.seen.release(keep)
}

func (m *meter) roots(s *holder) {
	m.value(s.L.G.Registry)
	m.value(s.L.G.Global)
	m.thread(s.L)
	for r := range s.coroutines.live {
		if r.thread != nil {
			m.size += stackSize
			m.thread(r.thread)
		}
		m.values(r.values)
	}
	m.value(s.views.meta)
	m.values(s.views.strings[:])
	m.size += int64(cap(s.views.buf) + cap(s.views.bodies))
	if s.out != nil {
		for i := range s.out.Emitted {
			m.string(s.out.Emitted[i].Body)
			m.size += 48 + int64(unsafe.Sizeof(s.out.Emitted[i]))
		}
		for i := range s.out.Timers {
			m.string(s.out.Timers[i].Body)
			m.size += int64(unsafe.Sizeof(s.out.Timers[i]))
		}
	}
}

// thread counts a thread's stack. All of its registers hold memory, also those of functions that have ended.
func (m *meter) thread(L *lua.LState) {
	m.size += threadSize
	regs := registers(L)
	m.size += slotSize * int64(cap(regs))
	for _, v := range regs {
		if v != nil {
			m.value(v)
		}
	}
	for f := *(*unsafe.Pointer)(unsafe.Add(unsafe.Pointer(L), frameOffset)); f != nil; f = *(*unsafe.Pointer)(unsafe.Add(f, parentOfFrame)) {
		m.size += frameSize
		if fn := *(**lua.LFunction)(unsafe.Add(f, fnOfFrame)); fn != nil && fn.IsG {
			m.size += goFrameSize
		}
	}
}

func (m *meter) values(list []lua.LValue) {
	for _, v := range list {
		if v != nil {
			m.value(v)
		}
	}
}

// value counts v, and notes it if there may be more behind it.
func (m *meter) value(v lua.LValue) {
	switch v := v.(type) {
	case lua.LString:
		m.size += stringSize
		m.string(string(v))
	case lua.LNumber:
		m.size += numberSize
	case *lua.LTable:
		m.note(unsafe.Pointer(v), v)
	case *lua.LFunction:
		m.note(unsafe.Pointer(v), v)
	case *lua.LUserData:
		m.note(unsafe.Pointer(v), v)
	case *lua.LState:
		m.note(unsafe.Pointer(v), v)
	}
}

func (m *meter) note(p unsafe.Pointer, v lua.LValue) {
	if p != nil && m.seen.add(uintptr(p)) {
		m.todo = append(m.todo, v)
	}
}

func (m *meter) string(s string) {
	if !m.exact || len(s) < sharedString {
		m.size += int64(len(s))
		return
	}
	from := uintptr(unsafe.Pointer(unsafe.StringData(s)))
	m.spans = append(m.spans, span{from, from + uintptr(len(s))})
}

// bytesOfSpans returns the bytes of the strings that were found, each byte once.
func (m *meter) bytesOfSpans() (n int64) {
	slices.SortFunc(m.spans, func(a, b span) int {
		switch {
		case a.from < b.from:
			return -1
		case a.from > b.from:
			return 1
		}
		return 0
	})
	end := uintptr(0)
	for _, s := range m.spans {
		if s.from < end {
			s.from = end
		}
		if s.to > s.from {
			n += int64(s.to - s.from)
			end = s.to
		}
	}
	return n
}

// container counts what v holds itself and passes on what that leads to.
func (m *meter) container(v lua.LValue) {
	switch v := v.(type) {
	case *lua.LTable:
		m.table(v)
	case *lua.LFunction:
		m.size += functionSize + int64(len(v.Upvalues))*8
		if v.Env != nil {
			m.value(v.Env)
		}
		for _, u := range v.Upvalues {
			if u != nil && m.seen.add(uintptr(unsafe.Pointer(u))) {
				m.size += upvalueSize
				if x := u.Value(); x != nil {
					m.value(x)
				}
			}
		}
	case *lua.LUserData:
		m.size += userDataSize
		if v.Metatable != nil {
			m.value(v.Metatable)
		}
		m.native(v.Value)
	case *lua.LState:
		if co := coroutineOf(v); co != nil {
			m.size += int64(unsafe.Sizeof(*co)) + int64(unsafe.Sizeof(*co.routine))
			if co.fn != nil {
				m.value(co.fn)
			}
			m.values(co.values)
		}
	}
}

func (m *meter) table(t *lua.LTable) {
	if o := m.vs.viewOf(t); o != nil {
		m.object(o)
	}
	m.size += tableSize
	array := *(*[]lua.LValue)(unsafe.Add(unsafe.Pointer(t), arrayOffset))
	m.size += slotSize * int64(cap(array))
	for _, v := range array {
		if v != nil {
			m.value(v)
		}
	}
	keys := *(*[]lua.LValue)(unsafe.Add(unsafe.Pointer(t), keysOffset))
	m.size += slotSize*int64(cap(keys)) + indexSlot*int64(len(keys)) // also of keys that were deleted: they stay
	strdict := *(*map[string]lua.LValue)(unsafe.Add(unsafe.Pointer(t), strdictOffset))
	dict := *(*map[lua.LValue]lua.LValue)(unsafe.Add(unsafe.Pointer(t), dictOffset))
	if strdict != nil {
		m.size += mapSize + mapSlot*int64(len(strdict))
	}
	if dict != nil {
		m.size += mapSize + mapSlot*int64(len(dict))
	}
	for _, k := range keys {
		m.value(k)
	}
	for _, v := range strdict {
		m.value(v)
	}
	for _, v := range dict {
		m.value(v)
	}
	if t.Metatable != nil {
		m.value(t.Metatable)
	}
}

// object counts the view of an event, which keeps the whole body.
func (m *meter) object(o *object) {
	m.size += int64(unsafe.Sizeof(*o)) - tableSize + int64(cap(o.ovs))*int64(unsafe.Sizeof(overlay{})) + 16*int64(len(o.fields))
	m.string(o.body)
	if o.parent != nil {
		m.value(&o.parent.LTable)
	}
	for i := range o.ovs {
		ov := &o.ovs[i]
		m.string(ov.key)
		if ov.value != nil {
			m.value(ov.value)
		}
		if ov.array != nil {
			m.size += int64(unsafe.Sizeof(*ov.array)) + 32*int64(len(ov.array.fields)) + slotSize*int64(cap(ov.array.values))
		}
	}
}

// pointerSet is a set of addresses: open addressing, 0 is a free slot. It does not keep what it holds from being collected.
type pointerSet struct {
	slots []uintptr
	n     int
}

func (s *pointerSet) reset() {
	if s.slots == nil {
		s.slots = make([]uintptr, 1<<10)
	}
	clear(s.slots)
	s.n = 0
}

func (s *pointerSet) release(keep int) {
	if len(s.slots) > keep {
		s.slots = nil
	}
}

// add adds p and reports whether it is new.
func (s *pointerSet) add(p uintptr) bool {
	if !s.insert(p) {
		return false
	}
	if s.n++; s.n > len(s.slots)/2 {
		old := s.slots
		s.slots = make([]uintptr, 2*len(old))
		for _, q := range old {
			if q != 0 {
				s.insert(q)
			}
		}
	}
	return true
}

func (s *pointerSet) insert(p uintptr) bool {
	mask := uintptr(len(s.slots) - 1)
	i := uintptr(uint64(p)*0x9e3779b97f4a7c15>>20) & mask
	for ; s.slots[i] != 0; i = (i + 1) & mask {
		if s.slots[i] == p {
			return false
		}
	}
	s.slots[i] = p
	return true
}
