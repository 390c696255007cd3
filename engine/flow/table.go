package flow

import (
	"math/rand/v2"

	"dragonfly/engine/packet"
)

// state of a flow, as in EVE.
type state uint8

const (
	stateNew state = iota
	stateEstablished
	stateClosed // TCP only
	states
)

var stateNames = [states]string{"new", "established", "closed"}

// Flags of a flow.
const (
	seenToServer uint16 = 1 << iota
	seenToClient
	isV6
	wantsApp  // no application layer yet, and none was refused
	used      // since it was queued for eviction
	turned    // client and server are not in the order of the first packet
	hasParent // in Meter.parents
	alive
)

// entry is one flow. It has no pointers, so that the garbage collector does not look at it; what needs pointers is in the side
// table. Indices of entries are positive, 0 is none.
type entry struct {
	src, dst     packet.Addr // client and server
	start, last  int64       // nanoseconds since 1970
	packets      [2]uint64   // per direction
	bytes        [2]uint64
	hash         uint32
	next         uint32 // of the same bucket, or of the free entries
	timerPrev    uint32 // of the same slot of the wheel
	timerNext    uint32
	classPrev    uint32 // of the same state, in the order of eviction
	classNext    uint32
	side         uint32 // in Meter.sides
	due          uint32 // second at which the wheel looks at it
	sport, dport uint16 // ICMP: type and what answers it; ESP: the SPI
	vlan         [packet.MaxVLANs]uint16
	proto        uint8
	depth        uint8
	vlans        uint8
	tunnel       packet.Tunnel
	state        state
	flags        uint16
	tcp          session
	icmpCode     uint8    // ICMP: not part of the key
	protocols    [5]uint8 // protocolMembers: indices of Meter.names
}

// slabSize is how many entries are allocated at once.
const slabSize = 1 << 10

// table holds the entries, found by hash. Buckets double while packets go on: each insertion moves a few old ones.
type table struct {
	slabs   [][]entry
	mem     *memory
	free    uint32 // first of the free entries
	top     uint32 // entries from here on were never used
	count   int
	buckets []uint32
	old     []uint32 // half as long, being emptied into buckets; nil if none is
	moved   int      // buckets of old that are empty for good
	seed    [3]uint64
}

func newTable() *table {
	t := &table{buckets: make([]uint32, 1<<8), top: 1, seed: [3]uint64{rand.Uint64() | 1, rand.Uint64() | 1, rand.Uint64() | 1}}
	t.mem = newMemory(t)
	return t
}

func (t *table) at(i uint32) *entry { return &t.slabs[i/slabSize][i%slabSize] }

func (t *table) head(hash uint32) *uint32 {
	if t.old != nil {
		if i := int(hash) & (len(t.old) - 1); i >= t.moved {
			return &t.old[i]
		}
	}
	return &t.buckets[int(hash)&(len(t.buckets)-1)]
}

// insert returns a new, empty entry that is in its bucket.
func (t *table) insert(hash uint32) (uint32, *entry) {
	i := t.free
	if i == 0 {
		i = t.top
		t.top++
		if int(i/slabSize) == len(t.slabs) {
			t.slabs = append(t.slabs, t.mem.slab(len(t.slabs)))
		}
	} else {
		t.free = t.at(i).next
	}
	e, head := t.at(i), t.head(hash)
	*e = entry{hash: hash, next: *head, flags: alive}
	*head = i
	t.count++
	t.grow()
	return i, e
}

// remove takes entry i out of its bucket and frees it.
func (t *table) remove(i uint32) {
	e := t.at(i)
	at := t.head(e.hash)
	for *at != i {
		at = &t.at(*at).next
	}
	*at = e.next
	e.flags &^= alive
	e.next, t.free = t.free, i
	t.count--
}

// grow keeps fewer entries than buckets. Per insertion it moves so many buckets that it is done before the next doubling.
func (t *table) grow() {
	if t.old == nil {
		if t.count < len(t.buckets) {
			return
		}
		t.old, t.buckets, t.moved = t.buckets, t.mem.indices(2*len(t.buckets)), 0
	}
	for n := 0; n < 4 && t.moved < len(t.old); n++ {
		i := t.old[t.moved]
		t.old[t.moved] = 0
		t.moved++
		for i != 0 {
			e := t.at(i)
			to := &t.buckets[int(e.hash)&(len(t.buckets)-1)]
			next := e.next
			e.next, *to = *to, i
			i = next
		}
	}
	if t.moved == len(t.old) {
		t.mem.free(t.old)
		t.old = nil
	}
}
