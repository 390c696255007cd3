package luabind

import (
	"slices"
	"unsafe"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/lazyjson"
)

// object is the lazy view of one JSON object. Lua is handed the embedded table, which is real (type(e) == "table") and
// stays empty; its metatable's __index and __newindex work on the fields below. A view belongs to one interpreter.
//
// The body and its index are shared and never written. What a script reads is decoded each time, except containers,
// which keep their identity in ovs; what it writes is kept in ovs until the view is encoded.
type object struct {
	lua.LTable // must be first: viewOf casts its address; holds only what is set under keys that are not strings

	body     string
	fields   []lazyjson.Field // members in order; valid if indexed
	off      uint32           // of the brace in body
	end      uint32           // behind the closing brace
	indexed  bool
	root     bool     // the whole body is this object
	dirty    bool     // something here or below was written
	loose    bool     // an array here or below was handed out: a plain table, whose changes nobody reports
	dups     dupState // whether a key stands twice
	differs  bool     // the result of the last comparison
	searches uint8    // of a key among many members; see fieldOf
	parent   *object
	ovs      []overlay
	seen     int32  // position of the last key that next returned
	compared uint32 // the round of the last comparison
	big      *large // nil for all but very large events
}

// overlay is one touched member: a container that was read, a value that was written, or a deletion.
type overlay struct {
	field int // in fields; -1 is a new member
	key   string
	value lua.LValue // lua.LNil: deleted
	array *array     // not nil: value is the table of an array that was read
	set   bool       // written, not only read
}

// array is the shadow of an array that was read: what its table held at first.
type array struct {
	table    *lua.LTable
	body     string
	off      uint32
	end      uint32
	fields   []lazyjson.Field
	values   []lua.LValue // as decoded
	arrays   []*array     // shadows of elements that are arrays, by index; nil if there are none
	compared uint32       // the round of the last comparison
	differs  bool         // its result
}

type dupState uint8

const (
	dupsUnknown dupState = iota
	dupsNone
	dupsSome
)

// views makes and reads the views of one interpreter.
type views struct {
	L         *lua.LState
	lim       *limits        // nil is none
	meta      *lua.LTable    // metatable of every view
	arrayMeta *lua.LTable    // metatable of tables that are arrays even when empty
	exactMeta *lua.LTable    // metatable of exact numbers
	null      *lua.LUserData // JSON null
	strings   [internLen]lua.LValue
	numbers   [internLen]lua.LValue
	small     [256]lua.LValue // 0..255
	buf       []byte          // of cjson.encode
	bodies    []byte          // encoded events, one behind the other; never written again
	slab      []lazyjson.Field
	walk      traversal // of next
	round     uint32    // counts encodings, during which nothing changes
}

func newViews(L *lua.LState) *views {
	vs := &views{L: L, round: 1, meta: L.NewTable(), arrayMeta: L.NewTable(), null: L.NewUserData()}
	vs.meta.RawSetString("__index", L.NewFunction(vs.index))
	vs.meta.RawSetString("__newindex", L.NewFunction(vs.newIndex))
	nullMeta := L.NewTable()
	nullMeta.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LString("userdata: NULL"))
		return 1
	}))
	vs.null.Metatable = nullMeta
	vs.exactMeta = vs.newExactMeta()
	for i := range vs.small {
		vs.small[i] = lua.LNumber(i)
	}
	for i := range vs.strings {
		vs.strings[i] = lua.LString("")
		vs.numbers[i] = lua.LNumber(0)
	}
	return vs
}

// viewOf returns the view behind t, or nil if t is a plain table.
func (vs *views) viewOf(t *lua.LTable) *object {
	if m, ok := t.Metatable.(*lua.LTable); ok && m == vs.meta {
		return (*object)(unsafe.Pointer(t))
	}
	return nil
}

// viewArg is viewOf for argument n of a host function.
func (vs *views) viewArg(L *lua.LState, n int) *object {
	if t, ok := L.Get(n).(*lua.LTable); ok {
		return vs.viewOf(t)
	}
	return nil
}

// value returns the Lua value of an event's body, which must be valid JSON: a view for an object, otherwise the decoded
// value. index is the index of an object's members, or nil if it was not made yet.
func (vs *views) value(body string, index []lazyjson.Field) lua.LValue {
	if index != nil || body[0] == '{' {
		o := &object{body: body, fields: index, indexed: index != nil, root: true, end: uint32(len(body))}
		o.Metatable = vs.meta
		return &o.LTable
	}
	v, _, err := decodeText(vs, body)
	if err != nil {
		panic("BUG: an event is not valid JSON: " + err.Error())
	}
	return v
}

func (vs *views) newChild(parent *object, body string, f *lazyjson.Field) *object {
	o := &object{body: body, off: f.ValOff, end: f.ValEnd, parent: parent}
	o.Metatable = vs.meta
	if len(body) > longBody {
		parent.nest()
		o.big = parent.big
	}
	return o
}

// members returns the index, which is made on first touch. The memory comes from a slab shared with other views.
func (vs *views) members(o *object) []lazyjson.Field {
	if o.indexed {
		return o.fields
	}
	if o.root {
		for o.body[o.off] != '{' { // white space
			o.off++
		}
	}
	o.fields = vs.scan(o, o.off, o.end)
	o.indexed = true
	return o.fields
}

// slabLen is how many members of neighbouring containers share one allocation.
const slabLen = 512

// scan indexes the container at o.body[off:end].
func (vs *views) scan(o *object, off, end uint32) []lazyjson.Field {
	const room = 24
	if cap(vs.slab)-len(vs.slab) < room {
		vs.slab = make([]lazyjson.Field, 0, slabLen)
	}
	from := len(vs.slab)
	var all []lazyjson.Field
	if len(o.body) <= longBody {
		all = lazyjson.Members(vs.slab, o.body, off)
	} else if spans := o.nest().spansOf(o.body, end-off); spans != nil {
		all = spans.Members(vs.slab, o.body, off)
	} else {
		all = lazyjson.Members(vs.slab, o.body, off)
	}
	fields := all[from:len(all):len(all)]
	if vs.slab = all; cap(all) > slabLen {
		vs.slab = nil
	}
	return fields
}

// fieldRoom returns an empty index with room for n members.
func (vs *views) fieldRoom(n int) []lazyjson.Field {
	if n > 128 {
		return make([]lazyjson.Field, 0, n)
	}
	if cap(vs.slab)-len(vs.slab) < n {
		vs.slab = make([]lazyjson.Field, 0, slabLen)
	}
	from := len(vs.slab)
	vs.slab = vs.slab[:from+n]
	return vs.slab[from : from : from+n]
}

// fieldOf returns the position of the last member with this key, or -1.
func fieldOf(fields []lazyjson.Field, body, key string) int {
	for i := len(fields) - 1; i >= 0; i-- {
		f := &fields[i]
		if int(f.KeyEnd-f.KeyOff) == len(key) && !f.KeyEscaped && body[f.KeyOff:f.KeyEnd] == key {
			return i
		}
		if f.KeyEscaped && f.Key(body) == key {
			return i
		}
	}
	return -1
}

// get returns the member key, or nil.
func (vs *views) get(o *object, key string) lua.LValue {
	if len(o.ovs) > 0 {
		if i := o.overlayOf(key); i >= 0 {
			return o.ovs[i].value
		}
	}
	vs.members(o)
	if i := o.fieldOf(key); i >= 0 {
		return vs.read(o, i)
	}
	return lua.LNil
}

// read decodes member i. Containers are remembered, so that they are the same table when read again.
func (vs *views) read(o *object, i int) lua.LValue {
	f := &o.fields[i]
	switch f.Kind {
	case lazyjson.Object:
		child := vs.newChild(o, o.body, f)
		o.add(overlay{field: i, key: f.Key(o.body), value: &child.LTable})
		return &child.LTable
	case lazyjson.Array:
		a := vs.newArray(o, o.body, f)
		o.add(overlay{field: i, key: f.Key(o.body), value: a.table, array: a})
		for p := o; p != nil && !p.loose; p = p.parent {
			p.loose = true
		}
		return a.table
	}
	return vs.scalar(o.body, f)
}

// newArray decodes an array into a plain table: scalars at once, objects as views, arrays likewise.
func (vs *views) newArray(o *object, body string, f *lazyjson.Field) *array {
	a := &array{body: body, off: f.ValOff, end: f.ValEnd, fields: vs.scan(o, f.ValOff, f.ValEnd)}
	a.table = vs.L.CreateTable(len(a.fields), 0)
	a.table.Metatable = vs.arrayMeta
	a.values = make([]lua.LValue, len(a.fields))
	for i := range a.fields {
		f := &a.fields[i]
		switch f.Kind {
		case lazyjson.Object:
			a.values[i] = &vs.newChild(o, body, f).LTable
		case lazyjson.Array:
			if a.arrays == nil {
				a.arrays = make([]*array, len(a.fields))
			}
			a.arrays[i] = vs.newArray(o, body, f)
			a.values[i] = a.arrays[i].table
		default:
			a.values[i] = vs.scalar(body, f)
		}
		a.table.RawSetInt(i+1, a.values[i])
	}
	return a
}

// set writes the member key; nil deletes it.
func (vs *views) set(o *object, key string, v lua.LValue) {
	for p := o; p != nil && !p.dirty; p = p.parent {
		p.dirty = true
	}
	if i := o.overlayOf(key); i >= 0 {
		ov := &o.ovs[i]
		ov.value, ov.set, ov.array = v, true, nil // a deleted new member stays: next may be asked what follows it
		return
	}
	vs.members(o)
	i := o.fieldOf(key)
	if i < 0 && v == lua.LNil {
		return
	}
	o.add(overlay{field: i, key: key, value: v, set: true})
}

func (o *object) add(ov overlay) {
	if o.ovs == nil {
		o.ovs = make([]overlay, 0, 2)
	} else if len(o.ovs) >= 16 && len(o.ovs) == cap(o.ovs) {
		o.ovs = slices.DeleteFunc(o.ovs, func(old overlay) bool { return old.field < 0 && old.value == lua.LNil })
		if o.big != nil && o.big.owner == o {
			o.big.ovs, o.big.indexed = keyIndex{}, 0
		}
	}
	o.ovs = append(o.ovs, ov)
}

// index is __index of views.
func (vs *views) index(L *lua.LState) int {
	if key, ok := L.Get(2).(lua.LString); ok {
		if t, ok := L.Get(1).(*lua.LTable); ok {
			if o := vs.viewOf(t); o != nil {
				L.Push(vs.get(o, string(key)))
				return 1
			}
		}
	}
	L.Push(lua.LNil) // other keys are found in the table itself
	return 1
}

// newIndex is __newindex of views.
func (vs *views) newIndex(L *lua.LState) int {
	o := vs.viewArg(L, 1)
	if o == nil {
		L.ArgError(1, "event expected")
	}
	vs.rawSet(o, L.Get(2), L.Get(3))
	return 0
}

// rawSet writes under any key.
func (vs *views) rawSet(o *object, key, v lua.LValue) {
	if k, ok := key.(lua.LString); ok {
		vs.set(o, string(k), v)
		return
	}
	for p := o; p != nil && !p.dirty; p = p.parent {
		p.dirty = true
	}
	o.LTable.RawSet(key, v)
}

// hasDups reports whether a key stands twice in o. A one-word bloom filter answers most objects.
func (vs *views) hasDups(o *object) bool {
	if o.dups == dupsUnknown {
		o.dups = dupsNone
		fields := vs.members(o)
		if len(fields) >= manyMembers {
			if o.indexFields().repeated {
				o.dups = dupsSome
			}
			return o.dups == dupsSome
		}
		var mask uint64
		for i := range fields {
			f := &fields[i]
			h := uint64(f.KeyEnd - f.KeyOff)
			if h > 0 {
				h += uint64(o.body[f.KeyOff])*7 + uint64(o.body[f.KeyEnd-1])*31
			}
			bit := uint64(1) << (h & 63)
			if mask&bit != 0 && fieldOf(fields[:i], o.body, f.Key(o.body)) >= 0 {
				o.dups = dupsSome
				break
			}
			mask |= bit
		}
	}
	return o.dups == dupsSome
}

// next returns the member after key (nil: the first) in JSON order, then new members in the order they were added, then
// what the table itself holds. It is stateless but remembers where the last call was.
func (vs *views) next(L *lua.LState, o *object, key lua.LValue) (lua.LValue, lua.LValue) {
	fields := vs.members(o)
	i := 0
	switch k := key.(type) {
	case *lua.LNilType:
	case lua.LString:
		if i = vs.position(o, string(k)); i < 0 {
			L.RaiseError("invalid key to 'next'")
		}
		i++
	default:
		return vs.tableNext(L, &o.LTable, key)
	}
	dups := vs.hasDups(o)
	for ; i < len(fields); i++ {
		k := fields[i].Key(o.body)
		if dups && o.fieldOf(k) != i {
			continue // it is shown where it stands last
		}
		v := lua.LValue(nil)
		if j := o.overlayOf(k); j >= 0 {
			v = o.ovs[j].value
		} else {
			v = vs.read(o, i)
		}
		if v != lua.LNil {
			o.seen = int32(i)
			return vs.internString(k), v
		}
	}
	for ; i-len(fields) < len(o.ovs); i++ {
		if ov := &o.ovs[i-len(fields)]; ov.field < 0 && ov.value != lua.LNil {
			o.seen = int32(i)
			return lua.LString(ov.key), ov.value
		}
	}
	return vs.tableNext(L, &o.LTable, lua.LNil)
}

// position returns where key stands in the order of next: its field, or behind them its overlay.
func (vs *views) position(o *object, key string) int {
	fields := o.fields
	at := func(i int) bool {
		if i < len(fields) {
			return fields[i].Key(o.body) == key
		}
		i -= len(fields)
		return i < len(o.ovs) && o.ovs[i].field < 0 && o.ovs[i].key == key
	}
	if at(int(o.seen)) {
		return int(o.seen)
	}
	if i := o.fieldOf(key); i >= 0 {
		return i
	}
	if i := o.overlayOf(key); i >= 0 && o.ovs[i].field < 0 {
		return len(fields) + i
	}
	return -1
}

// materialize makes o a plain table: its members become the table's own.
func (vs *views) materialize(o *object) {
	var keys, values []lua.LValue
	for k, v := vs.next(vs.L, o, lua.LNil); k != lua.LNil; k, v = vs.next(vs.L, o, k) {
		if _, ok := k.(lua.LString); !ok {
			break // already in the table
		}
		keys, values = append(keys, k), append(values, v)
	}
	for p := o.parent; p != nil; p = p.parent {
		p.dirty = true
	}
	o.Metatable = lua.LNil
	o.ovs, o.fields, o.body, o.big = nil, nil, "", nil
	for i := range keys {
		o.LTable.RawSet(keys[i], values[i])
	}
}
