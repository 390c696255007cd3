package luabind

import (
	"fmt"
	"math"
	"strings"
	"unsafe"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

// encodeFormat is what cjson lets scripts choose about encoding.
type encodeFormat struct {
	cjson        bool // escape / and DEL as lua-cjson does
	precision    int  // significant digits of numbers that are not integers
	maxDepth     int
	sparseRatio  int // an array with more holes than this is refused ...
	sparseSafe   int // ... if it is longer than this
	sparseObject bool
	invalid      bool // write nan and inf instead of refusing them
	invalidNull  bool // write null for nan and inf
}

var eventFormat = encodeFormat{precision: 14, maxDepth: lazyjson.MaxDepth, sparseRatio: 2, sparseSafe: 10}

// encoder writes one Lua value as JSON.
type encoder struct {
	vs    *views
	f     *encodeFormat
	buf   []byte
	depth int
	err   error // the first

	charged int // bytes of buf that the budget knows of
}

// charge tells the budget how much buf has grown.
func (e *encoder) charge() {
	n := len(e.buf) - e.charged
	e.charged = len(e.buf)
	if err := e.vs.lim.take(n, len(e.buf)); err != nil && e.err == nil {
		e.err = err
	}
}

// encode returns v as JSON: the event that a script emits. An untouched view of a whole event is its own body at no cost;
// a touched one is spliced from its body and what was written. With wantIndex it also returns the index of the members
// if that is cheap.
func (vs *views) encode(v lua.LValue, wantIndex bool) (body string, index []lazyjson.Field, err error) {
	t, ok := v.(*lua.LTable)
	if !ok {
		return vs.encodePlain(v)
	}
	o := vs.viewOf(t)
	if o == nil {
		return vs.encodePlain(v)
	}
	vs.round++
	if !vs.changed(o) {
		if !o.root {
			return o.body[o.off:o.end], nil, nil
		}
		if o.indexed {
			index = o.fields
		}
		return o.body, index, nil
	}
	e := encoder{vs: vs, f: &eventFormat, buf: vs.room(int(o.end - o.off))}
	if o.root && wantIndex {
		index = e.splice(o, true)
	} else {
		e.object(o)
	}
	if e.err != nil {
		return "", nil, e.err
	}
	return vs.text(e.buf), index, nil
}

func (vs *views) encodePlain(v lua.LValue) (string, []lazyjson.Field, error) {
	vs.round++
	e := encoder{vs: vs, f: &eventFormat, buf: vs.room(0)}
	e.value(v)
	if e.err != nil {
		return "", nil, e.err
	}
	return vs.text(e.buf), nil, nil
}

// bodyChunk is the size of the memory that neighbouring events are encoded into: one allocation for many, and no copy
// (BenchmarkView/set2: 1219 -> 1010 ns, 6 -> 4 allocations).
const bodyChunk = 32 << 10

// room returns an empty buffer for the next event, behind the last one; size is what it will need at least.
func (vs *views) room(size int) []byte {
	if size += 512; cap(vs.bodies)-len(vs.bodies) < size {
		vs.bodies = engine.NewChunk(max(bodyChunk, size))[:0]
	}
	n := len(vs.bodies)
	return vs.bodies[n:n:cap(vs.bodies)]
}

// text makes the event of what was written into room's buffer. One that outgrew it has memory of its own.
func (vs *views) text(buf []byte) string {
	if len(buf) == 0 {
		return ""
	}
	n := len(vs.bodies)
	if whole := vs.bodies[:cap(vs.bodies)]; n < len(whole) && &whole[n] == &buf[0] {
		vs.bodies = whole[:n+len(buf)]
	}
	return unsafe.String(&buf[0], len(buf))
}

// keep keeps a buffer for the next encode unless it is unusually large.
func (vs *views) keep(buf []byte) {
	if cap(buf) <= 256<<10 {
		vs.buf = buf
	}
}

// changed reports whether o or anything below it differs from its body.
func (vs *views) changed(o *object) bool {
	if !o.dirty && !o.loose {
		return false
	}
	if o.compared != vs.round {
		o.compared, o.differs = vs.round, vs.objectDiffers(o)
	}
	return o.differs
}

// objectDiffers is changed without its memory: without it, a change below n levels would be looked for n times.
func (vs *views) objectDiffers(o *object) bool {
	if k, _ := o.LTable.Next(lua.LNil); k != lua.LNil {
		return true
	}
	for i := range o.ovs {
		ov := &o.ovs[i]
		switch {
		case ov.set:
			return true
		case ov.array != nil:
			if vs.arrayChanged(ov.array) {
				return true
			}
		default:
			child := vs.viewOf(ov.value.(*lua.LTable))
			if child == nil || vs.changed(child) {
				return true
			}
		}
	}
	return false
}

func (vs *views) arrayChanged(a *array) bool {
	if a.compared != vs.round {
		a.compared, a.differs = vs.round, vs.arrayDiffers(a)
	}
	return a.differs
}

func (vs *views) arrayDiffers(a *array) bool {
	if a.table.Metatable != lua.LValue(vs.arrayMeta) {
		return true
	}
	n, ok := arrayLen(a.table)
	if !ok || n != len(a.values) {
		return true
	}
	for i, v := range a.values {
		if a.table.RawGetInt(i+1) != v {
			return true
		}
		t, ok := v.(*lua.LTable)
		if !ok {
			continue
		}
		if o := vs.viewOf(t); o != nil {
			if vs.changed(o) {
				return true
			}
		} else if a.arrays == nil || a.arrays[i] == nil || vs.arrayChanged(a.arrays[i]) {
			return true
		}
	}
	return false
}

// arrayLen returns the length of t if it has only the keys 1..n (with holes).
func arrayLen(t *lua.LTable) (n int, ok bool) {
	if n = t.MaxN(); n == 0 {
		k, _ := t.Next(lua.LNil)
		return 0, k == lua.LNil
	}
	k, _ := t.Next(lua.LNumber(n))
	return n, k == lua.LNil
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

// enter counts the depth; it is false where the value is too deep.
func (e *encoder) enter() bool {
	if e.depth++; e.depth > e.f.maxDepth {
		e.fail("Cannot serialise, excessive depth (%d): does a table contain itself?", e.depth)
	}
	return e.err == nil
}

func (e *encoder) value(v lua.LValue) {
	if len(e.buf)-e.charged > bigString {
		e.charge()
	}
	if e.err != nil {
		return
	}
	switch v := v.(type) {
	case lua.LString:
		e.text(string(v))
	case lua.LNumber:
		e.number(float64(v))
	case lua.LBool:
		if v {
			e.buf = append(e.buf, "true"...)
		} else {
			e.buf = append(e.buf, "false"...)
		}
	case *lua.LNilType:
		e.buf = append(e.buf, "null"...)
	case *lua.LTable:
		if o := e.vs.viewOf(v); o != nil {
			e.object(o)
		} else {
			e.table(v)
		}
	case *lua.LUserData:
		if x, ok := v.Value.(exact); ok {
			e.buf = append(e.buf, x...)
		} else if v == e.vs.null {
			e.buf = append(e.buf, "null"...)
		} else {
			e.fail("Cannot serialise userdata: type not supported")
		}
	default:
		e.fail("Cannot serialise %s: type not supported", v.Type())
	}
}

func (e *encoder) text(s string) {
	if len(s) > bigString {
		if err := e.vs.lim.take(len(s), len(e.buf)+len(s)); err != nil && e.err == nil {
			e.err = err
			return
		}
		e.charged += len(s)
	}
	if !e.f.cjson {
		e.buf = lazyjson.AppendQuoted(e.buf, s)
		return
	}
	e.buf = appendCJSON(e.buf, s)
}

func (e *encoder) number(n float64) {
	if math.IsNaN(n) || math.IsInf(n, 0) {
		switch {
		case e.f.invalidNull:
			e.buf = append(e.buf, "null"...)
		case e.f.invalid:
			e.buf = appendNumber(e.buf, n)
		default:
			e.fail("Cannot serialise number: must not be NaN or Inf")
		}
		return
	}
	if e.f.precision == 14 {
		e.buf = appendNumber(e.buf, n)
		return
	}
	e.buf = appendPrecision(e.buf, n, e.f.precision)
}

// table writes a plain table: an array if its keys are 1..n, else an object in the order in which keys were added.
func (e *encoder) table(t *lua.LTable) {
	if !e.enter() {
		return
	}
	n, isArray := arrayLen(t)
	switch {
	case isArray && n > 0 && e.sparse(t, n):
		if !e.f.sparseObject {
			e.fail("Cannot serialise table: excessively sparse array")
			return
		}
		e.members(t)
	case isArray && (n > 0 || t.Metatable == lua.LValue(e.vs.arrayMeta)):
		e.buf = append(e.buf, '[')
		for i := 1; i <= n; i++ {
			if i > 1 {
				e.buf = append(e.buf, ',')
			}
			e.value(t.RawGetInt(i))
		}
		e.buf = append(e.buf, ']')
	default:
		e.members(t)
	}
	e.depth--
}

// sparse reports whether most of the elements of an array are holes.
func (e *encoder) sparse(t *lua.LTable, n int) bool {
	if n <= e.f.sparseSafe || e.f.sparseRatio <= 0 {
		return false
	}
	items := 0
	for i := 1; i <= n; i++ {
		if t.RawGetInt(i) != lua.LNil {
			items++
		}
	}
	return n > items*e.f.sparseRatio
}

func (e *encoder) members(t *lua.LTable) {
	e.buf = append(e.buf, '{')
	first := true
	for k, v := t.Next(lua.LNil); k != lua.LNil; k, v = t.Next(k) {
		if !first {
			e.buf = append(e.buf, ',')
		}
		first = false
		e.key(k)
		e.value(v)
		if e.err != nil {
			return
		}
	}
	e.buf = append(e.buf, '}')
}

func (e *encoder) key(k lua.LValue) {
	switch k := k.(type) {
	case lua.LString:
		e.text(string(k))
	case lua.LNumber:
		e.buf = append(e.buf, '"')
		e.buf = appendNumber(e.buf, float64(k))
		e.buf = append(e.buf, '"')
	default:
		e.fail("Cannot serialise %s: table key must be a number or string", k.Type())
	}
	e.buf = append(e.buf, ':')
}

// object writes a view: its bytes if nothing changed, else spliced.
func (e *encoder) object(o *object) {
	if len(e.buf)-e.charged > bigString {
		e.charge()
	}
	if !e.vs.changed(o) {
		e.buf = append(e.buf, o.body[o.off:o.end]...)
		return
	}
	e.splice(o, false)
}

// splice writes a changed view: the spans that nobody touched as they stand, the changed values in their places, new
// members at the end. With wantIndex it returns the index of what it wrote, if no member was removed.
func (e *encoder) splice(o *object, wantIndex bool) []lazyjson.Field {
	if !e.enter() {
		return nil
	}
	defer func() { e.depth-- }()
	fields := e.vs.members(o)
	replaced, whole := o.touched()
	if !whole {
		e.spliceMembers(o, fields)
		return nil
	}
	var index []lazyjson.Field
	if wantIndex {
		index = e.vs.fieldRoom(len(fields) + len(o.ovs) + 2)
	}
	base, copied, shift := len(e.buf), o.off, uint32(0)
	if base != 0 || o.off != 0 {
		index, wantIndex = nil, false
	}
	byField := o.overlaysByField(len(fields))
	for i := range fields {
		if !replaced && !wantIndex {
			break // there are only new members
		}
		f := &fields[i]
		ov := o.overlayAt(byField, i)
		if ov == nil {
			if wantIndex {
				g := *f
				g.KeyOff, g.KeyEnd, g.ValOff, g.ValEnd = f.KeyOff+shift, f.KeyEnd+shift, f.ValOff+shift, f.ValEnd+shift
				index = append(index, g)
			}
			continue
		}
		e.buf = append(e.buf, o.body[copied:f.ValOff]...)
		start := uint32(len(e.buf))
		e.overlay(o, ov, f)
		copied = f.ValEnd
		if wantIndex {
			index = append(index, fieldAt(e.buf, f.KeyOff+shift, f.KeyEnd+shift, start, f.KeyEscaped))
			shift = uint32(len(e.buf)) - f.ValEnd
		}
	}
	last := o.off + 1 + uint32(strings.IndexByte(o.body[o.off:], '{')) // white space may come before
	if len(fields) > 0 {
		last = fields[len(fields)-1].ValEnd
	}
	e.buf = append(e.buf, o.body[copied:last]...)
	index = e.added(o, len(fields) > 0, index, wantIndex)
	e.buf = append(e.buf, o.body[last:o.end]...)
	return index
}

// fieldAt describes the value that was just written from start to the end of buf.
func fieldAt(buf []byte, keyOff, keyEnd, start uint32, keyEscaped bool) lazyjson.Field {
	f := lazyjson.Field{KeyOff: keyOff, KeyEnd: keyEnd, ValOff: start, ValEnd: uint32(len(buf)), KeyEscaped: keyEscaped}
	f.Kind = lazyjson.KindOf(buf[start])
	f.ValEscaped = f.Kind == lazyjson.String // perhaps: decoding finds out
	return f
}

// added writes the members that the script added.
func (e *encoder) added(o *object, comma bool, index []lazyjson.Field, wantIndex bool) []lazyjson.Field {
	next := func() {
		if comma {
			e.buf = append(e.buf, ',')
		}
		comma = true
	}
	for i := range o.ovs {
		ov := &o.ovs[i]
		if ov.field >= 0 || ov.value == lua.LNil {
			continue
		}
		next()
		keyOff := uint32(len(e.buf)) + 1
		e.text(ov.key)
		keyEnd := uint32(len(e.buf)) - 1
		e.buf = append(e.buf, ':')
		start := uint32(len(e.buf))
		e.value(ov.value)
		if wantIndex && e.err == nil {
			index = append(index, fieldAt(e.buf, keyOff, keyEnd, start, int(keyEnd-keyOff) != len(ov.key)))
		}
	}
	for k, v := o.LTable.Next(lua.LNil); k != lua.LNil; k, v = o.LTable.Next(k) {
		next()
		keyOff := uint32(len(e.buf)) + 1
		e.key(k)
		start := uint32(len(e.buf))
		e.value(v)
		if wantIndex && e.err == nil {
			index = append(index, fieldAt(e.buf, keyOff, start-2, start, false))
		}
	}
	return index
}

// overlay writes the value of a touched member.
func (e *encoder) overlay(o *object, ov *overlay, f *lazyjson.Field) {
	if ov.array != nil {
		e.array(ov.array)
		return
	}
	e.value(ov.value)
}

// array writes an array that was read: elements that nobody touched as they stand.
func (e *encoder) array(a *array) {
	if !e.vs.arrayChanged(a) {
		e.buf = append(e.buf, a.body[a.off:a.end]...)
		return
	}
	n, ok := arrayLen(a.table)
	if !ok || a.table.Metatable != lua.LValue(e.vs.arrayMeta) {
		e.table(a.table)
		return
	}
	if !e.enter() {
		return
	}
	e.buf = append(e.buf, '[')
	for i := range n {
		if i > 0 {
			e.buf = append(e.buf, ',')
		}
		v := a.table.RawGetInt(i + 1)
		switch {
		case i >= len(a.values) || v != a.values[i]:
			e.value(v)
		case a.arrays != nil && a.arrays[i] != nil:
			e.array(a.arrays[i])
		case a.fields[i].Kind == lazyjson.Object:
			e.value(v)
		default:
			e.buf = append(e.buf, a.fields[i].Raw(a.body)...)
		}
	}
	e.buf = append(e.buf, ']')
	e.depth--
}

// spliceMembers writes a changed view member by member: where some are removed.
func (e *encoder) spliceMembers(o *object, fields []lazyjson.Field) {
	e.buf = append(e.buf, '{')
	comma := false
	for i := range fields {
		f := &fields[i]
		var ov *overlay
		if j := o.overlayOf(f.Key(o.body)); j >= 0 {
			if ov = &o.ovs[j]; ov.set && (ov.field != i || ov.value == lua.LNil) {
				continue // removed, or an earlier one of two
			}
			if ov.field != i {
				ov = nil
			}
		}
		if comma {
			e.buf = append(e.buf, ',')
		}
		comma = true
		e.buf = append(e.buf, '"')
		e.buf = append(e.buf, f.RawKey(o.body)...)
		e.buf = append(e.buf, '"', ':')
		if ov != nil {
			e.overlay(o, ov, f)
		} else {
			e.buf = append(e.buf, f.Raw(o.body)...)
		}
	}
	e.added(o, comma, nil, false)
	e.buf = append(e.buf, '}')
}

// touched reports whether any member that came with o is to be written anew, and whether all of them stay: none was
// removed, and none was written that stands twice.
func (o *object) touched() (replaced, whole bool) {
	whole = true
	for i := range o.ovs {
		ov := &o.ovs[i]
		if ov.field < 0 {
			continue
		}
		replaced = true
		if ov.value == lua.LNil || ov.set && o.repeatedAt(ov.field) {
			whole = false
		}
	}
	return replaced, whole
}

// overlaysByField returns the overlay of each field if there are many of both; else nil: looking through ovs is faster.
func (o *object) overlaysByField(n int) []int32 {
	if len(o.ovs) <= 8 {
		return nil
	}
	by := make([]int32, n)
	for i := range o.ovs {
		if f := o.ovs[i].field; f >= 0 {
			by[f] = int32(i + 1)
		}
	}
	return by
}

func (o *object) overlayAt(byField []int32, field int) *overlay {
	if byField != nil {
		if i := byField[field]; i > 0 {
			return &o.ovs[i-1]
		}
		return nil
	}
	for i := range o.ovs {
		if o.ovs[i].field == field {
			return &o.ovs[i]
		}
	}
	return nil
}
