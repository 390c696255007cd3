package luabind

import (
	"hash/maphash"
	"strings"

	"dragonfly/engine/lazyjson"
)

const (
	manyMembers  = 64      // with fewer members, or touched ones, looking through all of them is fast
	manySearches = 8       // looking through many members so often is cheaper than an index
	longBody     = 4 << 10 // bytes; in a shorter body each container may be read once for each level around it
)

// large is what a view has in addition when it, or the event that it is of, is so large that the plain way would take
// time in the square of its length. Events of sensors never get there; hostile ones do.
type large struct {
	owner    *object  // others that point here use nest only
	nest     *nest    // shared by all views of a body; nil if it is not used
	fields   keyIndex // the last member of each key; empty if it is not used
	repeats  []uint64 // a bit for each member whose key stands before, too
	repeated bool     // whether there is one
	ovs      keyIndex // of the first indexed overlays
	indexed  int
}

// nest keeps the cost of deep nesting down.
type nest struct {
	read  int             // bytes of containers that were read
	spans *lazyjson.Spans // made when that is several times the body
}

// large returns o's own.
func (o *object) large() *large {
	if o.big == nil {
		o.big = &large{owner: o}
	} else if o.big.owner != o {
		o.big = &large{owner: o, nest: o.big.nest}
	}
	return o.big
}

// nest returns that of o's body. What is in o shares o.big after this.
func (o *object) nest() *nest {
	if o.big == nil || o.big.nest == nil {
		o.large().nest = &nest{}
	}
	return o.big.nest
}

// spansOf returns what makes reading a container of body faster, or nil while that does not pay.
func (n *nest) spansOf(body string, size uint32) *lazyjson.Spans {
	if n.spans == nil {
		if n.read += int(size); n.read > 4*len(body) {
			n.spans = lazyjson.NewSpans(body, uint32(strings.IndexByte(body, '{')))
		}
	}
	return n.spans
}

// fieldOf returns the position of the last member with this key, or -1. The view must be indexed.
func (o *object) fieldOf(key string) int {
	if len(o.fields) < manyMembers {
		return fieldOf(o.fields, o.body, key)
	}
	if o.searches < manySearches {
		o.searches++
		return fieldOf(o.fields, o.body, key)
	}
	return o.indexFields().fields.find(key, o.fieldKey)
}

// overlayOf returns the position in ovs of the member key, or -1.
func (o *object) overlayOf(key string) int {
	if len(o.ovs) < manyMembers {
		for i := range o.ovs {
			if o.ovs[i].key == key {
				return i
			}
		}
		return -1
	}
	b := o.large()
	for ; b.indexed < len(o.ovs); b.indexed++ {
		b.ovs.put(b.indexed, o.overlayKey)
	}
	return b.ovs.find(key, o.overlayKey)
}

// repeatedAt reports whether a member before the one at i has its key; i is the last of them.
func (o *object) repeatedAt(i int) bool {
	if len(o.fields) < manyMembers {
		return fieldOf(o.fields[:i], o.body, o.fieldKey(i)) >= 0
	}
	b := o.indexFields()
	return b.repeated && b.repeats[i/64]>>(i%64)&1 != 0
}

func (o *object) fieldKey(i int) string   { return o.fields[i].Key(o.body) }
func (o *object) overlayKey(i int) string { return o.ovs[i].key }

// indexFields makes the index of the members, once.
func (o *object) indexFields() *large {
	b := o.large()
	if b.fields.n > 0 {
		return b
	}
	for i := range o.fields {
		if b.fields.put(i, o.fieldKey) {
			if !b.repeated {
				b.repeated, b.repeats = true, make([]uint64, len(o.fields)/64+1)
			}
			b.repeats[i/64] |= 1 << (i % 64)
		}
	}
	return b
}

// keyIndex finds positions of a list by their keys: an open hash table, half full at most. The zero value is empty.
type keyIndex struct {
	seed  maphash.Seed // so that nobody can choose keys that meet
	slots []uint32     // position + 1; 0 is free
	n     int
}

// find returns the position whose key is key, or -1; keyAt returns the key at a position.
func (x *keyIndex) find(key string, keyAt func(int) string) int {
	if x.n == 0 {
		return -1
	}
	return int(x.slots[x.slot(key, keyAt)]) - 1
}

// put adds a position, or puts it in the place of the one that has its key: then it returns true.
func (x *keyIndex) put(at int, keyAt func(int) string) bool {
	if 2*x.n >= len(x.slots) {
		x.grow(keyAt)
	}
	s := x.slot(keyAt(at), keyAt)
	had := x.slots[s] != 0
	x.slots[s] = uint32(at + 1)
	if !had {
		x.n++
	}
	return had
}

func (x *keyIndex) grow(keyAt func(int) string) {
	old := x.slots
	if old == nil {
		x.seed = maphash.MakeSeed()
	}
	x.slots = make([]uint32, max(4*manyMembers, 2*len(old)))
	for _, p := range old {
		if p != 0 {
			x.slots[x.slot(keyAt(int(p-1)), keyAt)] = p
		}
	}
}

// slot returns where key is, or the free slot where it belongs.
func (x *keyIndex) slot(key string, keyAt func(int) string) int {
	mask := uint64(len(x.slots) - 1)
	for s := maphash.String(x.seed, key) & mask; ; s = (s + 1) & mask {
		if p := x.slots[s]; p == 0 || keyAt(int(p-1)) == key {
			return int(s)
		}
	}
}
