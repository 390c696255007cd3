package store

import "slices"

// Redis keeps a stream as a tree of nodes, each a packed list of up to 100 entries or 4096 bytes. XTRIM with ~ drops whole
// nodes only, so that the same commands drop the same entries we book the borders of these nodes, and their sizes.

const (
	nodeEntries = 100  // stream-node-max-entries
	nodeBytes   = 4096 // stream-node-max-bytes
)

// streamNode books one of Redis's nodes. The entries of a stream belong to its nodes in order.
type streamNode struct {
	live, dead  int         // entries that are there, and deleted ones whose place is still taken
	bytes       int         // of the packed list
	first, last streamID    // also when these entries are gone
	master      streamEntry // the first entry: those with the same field names do not repeat them
}

// book counts e, which is appended, into the last node, or into a new one if that is full.
func (s *stream) book(e streamEntry) {
	total := 0
	for _, f := range e.fields {
		total += len(f)
	}
	k := len(s.nodes) - 1
	if k < 0 || s.nodes[k].bytes+total >= nodeBytes || s.nodes[k].live+s.nodes[k].dead >= nodeEntries {
		s.nodes = append(s.nodes, streamNode{bytes: masterBytes(e), first: e.id, master: e})
		k++
	}
	n := &s.nodes[k]
	n.bytes += n.packed(e)
	n.live++
	n.last = e.id
}

// masterBytes is the size of a node without entries: frame, two counters, the number of fields, their names, a zero.
func masterBytes(e streamEntry) int {
	size := 7 + packedInt(1) + packedInt(0) + packedInt(int64(len(e.fields)/2)) + packedInt(0)
	for i := 0; i < len(e.fields); i += 2 {
		size += packedString(e.fields[i])
	}
	return size
}

// packed is the size of e in node n: flags, ID relative to the first, fields, number of elements.
func (n *streamNode) packed(e streamEntry) int {
	fields := int64(len(e.fields) / 2)
	size := packedInt(0) + packedInt(int64(e.id.ms-n.first.ms)) + packedInt(int64(e.id.seq-n.first.seq))
	same := len(e.fields) == len(n.master.fields)
	for i := 0; same && i < len(e.fields); i += 2 {
		same = e.fields[i] == n.master.fields[i]
	}
	elements := fields + 3
	if !same {
		size += packedInt(fields)
		elements += fields + 1
	}
	for i, f := range e.fields {
		if i%2 == 1 || !same {
			size += packedString(f)
		}
	}
	return size + packedInt(elements)
}

// packedInt is the size of an integer in Redis's listpack, with its length behind it.
func packedInt(n int64) int {
	switch {
	case n >= 0 && n < 1<<7:
		return 2
	case n >= -1<<12 && n < 1<<12:
		return 3
	case n >= -1<<15 && n < 1<<15:
		return 4
	case n >= -1<<23 && n < 1<<23:
		return 5
	case n >= -1<<31 && n < 1<<31:
		return 6
	}
	return 10
}

// packedString is the same for a string; one that is an integer is kept as such.
func packedString(s string) int {
	if n, is := parseInt(s); is {
		return packedInt(n)
	}
	size := len(s) + 5
	switch {
	case len(s) < 1<<6:
		size = len(s) + 1
	case len(s) < 1<<12:
		size = len(s) + 2
	}
	for back := size; ; back >>= 7 { // 7 bits of the length in each byte
		size++
		if back < 1<<7 {
			return size
		}
	}
}

// unbook notes that the entry with this ID was deleted.
func (s *stream) unbook(id streamID) {
	k, _ := slices.BinarySearchFunc(s.nodes, id, func(n streamNode, id streamID) int { return n.last.compare(id) })
	s.nodes[k].live--
	s.nodes[k].dead++
	if s.nodes[k].live == 0 {
		s.nodes = slices.Delete(s.nodes, k, k+1)
	}
}

// unbookFirst notes that the first n entries were deleted.
func (s *stream) unbookFirst(n int) {
	gone := 0
	for gone < len(s.nodes) && s.nodes[gone].live <= n {
		n -= s.nodes[gone].live
		gone++
	}
	s.nodes = slices.Delete(s.nodes, 0, gone)
	if n > 0 {
		s.nodes[0].live -= n
		s.nodes[0].dead += n
	}
}

// whole returns how many entries a trimming with ~ removes: those of whole nodes, up to its limit.
func (t *trimming) whole(s *stream) int {
	limit := t.limit
	if limit == 0 {
		limit = 100 * nodeEntries
	}
	n := 0
	for k := range s.nodes {
		live, left := s.nodes[k].live, int64(len(s.entries)-n)
		switch {
		case t.kind == "maxlen" && (left <= t.maxlen || left-int64(live) < t.maxlen),
			limit > 0 && int64(n+live) > limit,
			t.kind == "minid" && s.nodes[k].last.compare(t.minid) >= 0:
			return n
		}
		n += live
	}
	return n
}
