package store

import (
	"encoding/binary"
	"slices"

	"dragonfly/engine/sketch"
)

// A HyperLogLog as Redis has them: 2^14 registers of 6 bits, MurmurHash64A, and the estimator of O. Ertl ("New cardinality
// estimation algorithms for HyperLogLog sketches", 2017), so that counts equal Redis's. Few registers are kept as a sorted
// list, 4 bytes each, before there are enough for the 12 kB of all.
type hll struct {
	sparse []uint32 // register<<8 | rank, sorted by register
	dense  []uint8  // one byte each; nil while sparse
	cached int64    // the count, -1 when it must be computed
}

const (
	hllRegisters = 1 << 14
	hllSparseMax = 1024 // registers
	hllBits      = 64 - 14
)

func (*hll) typeName() string { return "string" }
func (h *hll) bytes() int64   { return 72 + int64(cap(h.sparse))*4 + int64(len(h.dense)) }

// hllPlace returns the register of an element and its rank: the run of zeros in the rest of the hash, plus 1.
func hllPlace(element string) (register uint32, rank uint8) {
	h := murmur64(element, 0xadc83b19)
	register = uint32(h & (hllRegisters - 1))
	h = h>>14 | 1<<hllBits
	rank = 1
	for h&1 == 0 {
		rank++
		h >>= 1
	}
	return register, rank
}

// murmur64 is MurmurHash64A, little-endian.
func murmur64(s string, seed uint64) uint64 {
	const m, r = 0xc6a4a7935bd1e995, 47
	h := seed ^ uint64(len(s))*m
	b := []byte(s)
	for ; len(b) >= 8; b = b[8:] {
		k := binary.LittleEndian.Uint64(b) * m
		k ^= k >> r
		h = (h ^ k*m) * m
	}
	if len(b) > 0 {
		var tail [8]byte
		copy(tail[:], b)
		h = (h ^ binary.LittleEndian.Uint64(tail[:])) * m
	}
	h ^= h >> r
	h *= m
	return h ^ h>>r
}

// raise sets a register to rank if that is more, and reports whether it was.
func (h *hll) raise(register uint32, rank uint8) bool {
	if h.dense != nil {
		if h.dense[register] >= rank {
			return false
		}
		h.dense[register] = rank
		h.cached = -1
		return true
	}
	i, found := slices.BinarySearchFunc(h.sparse, register, func(a, b uint32) int { return int(a>>8) - int(b) })
	if found {
		if uint8(h.sparse[i]) >= rank {
			return false
		}
		h.sparse[i] = register<<8 | uint32(rank)
	} else {
		h.sparse = slices.Insert(h.sparse, i, register<<8|uint32(rank))
		if len(h.sparse) > hllSparseMax {
			h.densify()
		}
	}
	h.cached = -1
	return true
}

func (h *hll) densify() {
	h.dense = make([]uint8, hllRegisters)
	for _, p := range h.sparse {
		h.dense[p>>8] = uint8(p)
	}
	h.sparse = nil
}

func (h *hll) add(element string) bool { return h.raise(hllPlace(element)) }

// merge raises h's registers to other's.
func (h *hll) merge(other *hll) {
	for _, p := range other.sparse {
		h.raise(p>>8, uint8(p))
	}
	if other.dense != nil {
		if h.dense == nil {
			h.densify()
		}
		for i, rank := range other.dense {
			h.dense[i] = max(h.dense[i], rank)
		}
		h.cached = -1
	}
}

// count estimates how many different elements were added.
func (h *hll) count() int64 {
	if h.cached >= 0 {
		return h.cached
	}
	var histogram [hllBits + 2]int
	if h.dense != nil {
		for _, rank := range h.dense {
			histogram[rank]++
		}
	} else {
		histogram[0] = hllRegisters - len(h.sparse)
		for _, p := range h.sparse {
			histogram[uint8(p)]++
		}
	}
	h.cached = int64(sketch.Cardinality(histogram[:]))
	return h.cached
}

const hllHeader = "HYLL\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80" // dense; the count is not cached

// encode returns the dense form that Redis has: what GET shows.
func (h *hll) encode() string {
	b := make([]byte, len(hllHeader)+hllRegisters*6/8)
	copy(b, hllHeader)
	registers := b[len(hllHeader):]
	set := func(i int, rank uint8) {
		at, shift := i*6/8, i*6%8
		registers[at] |= rank << shift
		if shift > 2 {
			registers[at+1] |= rank >> (8 - shift)
		}
	}
	for i, rank := range h.dense {
		set(i, rank)
	}
	for _, p := range h.sparse {
		set(int(p>>8), uint8(p))
	}
	return string(b)
}

// decodeHLL reads a dense or sparse HyperLogLog as Redis writes them.
func decodeHLL(s string) *hll {
	if len(s) < 16 || s[:4] != "HYLL" || s[4] > 1 {
		return nil
	}
	body := s[16:]
	h := &hll{cached: -1}
	if s[4] == 0 {
		if len(body) != hllRegisters*6/8 {
			return nil
		}
		for i := range hllRegisters {
			at, shift := i*6/8, i*6%8
			rank := body[at] >> shift
			if shift > 2 {
				rank |= body[at+1] << (8 - shift)
			}
			if rank &= 63; rank > hllBits+1 {
				return nil
			} else if rank > 0 {
				h.raise(uint32(i), rank)
			}
		}
		return h
	}
	i := 0
	for k := 0; k < len(body); k++ {
		switch b := body[k]; {
		case b < 0x40: // 00xxxxxx: zeros
			i += int(b) + 1
		case b < 0x80: // 01xxxxxx yyyyyyyy: more zeros
			if k++; k >= len(body) {
				return nil
			}
			i += int(b&0x3f)<<8 | int(body[k]) + 1
		default: // 1vvvvvxx: ranks
			for range int(b&3) + 1 {
				if i >= hllRegisters {
					return nil
				}
				h.raise(uint32(i), b>>2&31+1)
				i++
			}
		}
	}
	if i != hllRegisters {
		return nil
	}
	return h
}

var errHLL = Err("WRONGTYPE Key is not a valid HyperLogLog string value.")

// hllAt returns the HyperLogLog at key, nil if there is none.
func (c *call) hllAt(key string) (*hll, *entry, *Reply) {
	e := c.find(key)
	if e == nil {
		return nil, nil, nil
	}
	switch v := e.val.(type) {
	case *hll:
		return v, e, nil
	case *text:
		if h := decodeHLL(v.String()); h != nil {
			e.val = h
			c.changed(e)
			return h, e, nil
		}
		return nil, nil, &errHLL
	}
	return nil, nil, &wrongType
}

// mergedHLL returns the union of the HyperLogLogs at all keys of the command.
func (c *call) mergedHLL() (*hll, *Reply) {
	all := &hll{cached: -1}
	for _, key := range c.args[1:] {
		h, e, bad := c.hllAt(key)
		if bad != nil {
			return nil, bad
		}
		if e != nil {
			all.merge(h)
		}
	}
	return all, nil
}

var hllCommands = []command{
	write1("pfadd", 2, -1, func(c *call) Reply {
		h, e, bad := c.hllAt(c.args[1])
		if bad != nil {
			return *bad
		}
		changed := e == nil
		if e == nil {
			h = &hll{cached: -1}
			e = c.put(c.args[1], h)
		}
		for _, element := range c.args[2:] {
			changed = h.add(element) || changed
		}
		if changed {
			c.changed(e)
		}
		return boolean(changed)
	}),
	{name: "pfcount", min: 2, max: -1, first: 1, last: -1, write: true, run: func(c *call) Reply {
		if len(c.args) == 2 {
			h, e, bad := c.hllAt(c.args[1])
			if bad != nil {
				return *bad
			}
			if e == nil {
				return integer(0)
			}
			if h.cached < 0 {
				c.changed(e) // Redis keeps the count with the value: who watches the key sees a change
			}
			return integer(h.count())
		}
		all, bad := c.mergedHLL()
		if bad != nil {
			return *bad
		}
		return integer(all.count())
	}},
	writeN("pfmerge", 2, -1, 1, -1, func(c *call) Reply {
		all, bad := c.mergedHLL()
		if bad != nil {
			return *bad
		}
		dest := c.args[1]
		if h, e, _ := c.hllAt(dest); e != nil {
			h.merge(all)
			h.cached = -1
			c.changed(e)
		} else {
			c.put(dest, all)
		}
		return ok
	}),
}
