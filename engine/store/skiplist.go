package store

import (
	"math/rand/v2"
	"strings"
)

// zset is a sorted set: a map by member and a skip list by score and member whose links know how many members they pass, so
// that a rank is found on the way.
type zset struct {
	byMember map[string]*znode
	head     *znode
	tail     *znode
	level    int
	mem      int64
	large    bool // more than Redis keeps as a packed list, once; shows in how scores are kept and ZSCAN prints them
}

type znode struct {
	member string
	score  float64
	back   *znode
	next   []zlink
}

type zlink struct {
	to   *znode
	span int // members from here to there; of the last link, to the end
}

const zlevels = 24 // enough for 4^24 members

func newZset() *zset {
	return &zset{byMember: map[string]*znode{}, head: &znode{next: make([]zlink, zlevels)}, level: 1}
}

func (*zset) typeName() string { return "zset" }
func (z *zset) bytes() int64   { return 500 + z.mem }
func (z *zset) len() int       { return len(z.byMember) }

// znodeBytes is what a member needs beside its bytes: the node, 1.33 links, its place in the map.
const znodeBytes = 130

// before reports whether n stands before (score, member).
func (n *znode) before(score float64, member string) bool {
	return n.score < score || (n.score == score && n.member < member)
}

func randomLevel() int {
	level := 1
	for r := rand.Uint64(); r&3 == 0 && level < zlevels; r >>= 2 {
		level++
	}
	return level
}

// packed says that Redis would keep the set as a packed list, with n members of which the longest has size bytes.
func packed(n, size int) bool { return n <= 128 && size <= 64 }

// insert adds a member that is not there.
func (z *zset) insert(score float64, member string) {
	if !packed(z.len()+1, len(member)) {
		z.large = true
	}
	if !z.large {
		score += 0 // a packed list has no -0
	}
	var prev [zlevels]*znode
	var rank [zlevels]int // of prev
	x, at := z.head, 0
	for i := z.level - 1; i >= 0; i-- {
		for x.next[i].to != nil && x.next[i].to.before(score, member) {
			at += x.next[i].span
			x = x.next[i].to
		}
		prev[i], rank[i] = x, at
	}
	level := randomLevel()
	for ; z.level < level; z.level++ {
		prev[z.level] = z.head
		z.head.next[z.level] = zlink{span: z.len()}
	}
	n := &znode{member: strings.Clone(member), score: score, next: make([]zlink, level)}
	for i := range z.level {
		link := &prev[i].next[i]
		if i >= level {
			link.span++
			continue
		}
		passed := at - rank[i] // members between prev and the new one
		n.next[i] = zlink{link.to, link.span - passed}
		*link = zlink{n, passed + 1}
	}
	if prev[0] != z.head {
		n.back = prev[0]
	}
	if n.next[0].to != nil {
		n.next[0].to.back = n
	} else {
		z.tail = n
	}
	z.byMember[n.member] = n
	z.mem += int64(len(member)) + znodeBytes
}

// settle makes a set that was built as a large one what Redis makes of it: a packed list if it fits.
func (z *zset) settle() {
	z.large = z.len() > 128
	for m := range z.byMember {
		z.large = z.large || !packed(1, len(m))
	}
	if !z.large {
		for _, n := range z.byMember {
			n.score += 0
		}
	}
}

// unlink takes n out of the list.
func (z *zset) unlink(n *znode) {
	x := z.head
	for i := z.level - 1; i >= 0; i-- {
		for x.next[i].to != nil && x.next[i].to != n && x.next[i].to.before(n.score, n.member) {
			x = x.next[i].to
		}
		if x.next[i].to == n {
			x.next[i] = zlink{n.next[i].to, x.next[i].span + n.next[i].span - 1}
		} else {
			x.next[i].span--
		}
	}
	if n.next[0].to != nil {
		n.next[0].to.back = n.back
	} else {
		z.tail = n.back
	}
	for z.level > 1 && z.head.next[z.level-1].to == nil {
		z.level--
	}
}

func (z *zset) remove(n *znode) {
	z.unlink(n)
	delete(z.byMember, n.member)
	z.mem -= int64(len(n.member)) + znodeBytes
}

// set gives member a score, and reports whether the member is new.
func (z *zset) set(member string, score float64) bool {
	n := z.byMember[member]
	if n == nil {
		z.insert(score, member)
		return true
	}
	if !z.large {
		score += 0
	}
	if n.score == score {
		n.score = score // -0 and 0
		return false
	}
	next := n.next[0].to
	if (n.back == nil || n.back.before(score, member)) && (next == nil || !next.before(score, member)) {
		n.score = score // its place stays
		return false
	}
	member = n.member
	z.remove(n)
	z.insert(score, member)
	return false
}

// rank returns how many members stand before n.
func (z *zset) rank(n *znode) int {
	x, at := z.head, 0
	for i := z.level - 1; i >= 0; i-- {
		for x.next[i].to != nil && (x.next[i].to == n || x.next[i].to.before(n.score, n.member)) {
			at += x.next[i].span
			x = x.next[i].to
		}
		if x == n {
			break
		}
	}
	return at - 1
}

// at returns the member with that rank; nil if there is none.
func (z *zset) at(rank int) *znode {
	if rank < 0 {
		return nil
	}
	x, passed := z.head, 0
	for i := z.level - 1; i >= 0; i-- {
		for x.next[i].to != nil && passed+x.next[i].span <= rank+1 {
			passed += x.next[i].span
			x = x.next[i].to
		}
		if passed == rank+1 {
			return x
		}
	}
	return nil
}

// seek returns the first member for which below is false (below is true for a prefix of the set) and its rank.
func (z *zset) seek(below func(*znode) bool) (*znode, int) {
	x, at := z.head, 0
	for i := z.level - 1; i >= 0; i-- {
		for x.next[i].to != nil && below(x.next[i].to) {
			at += x.next[i].span
			x = x.next[i].to
		}
	}
	return x.next[0].to, at
}

// all yields members and scores in order.
func (z *zset) all(yield func(string, float64) bool) {
	for n := z.head.next[0].to; n != nil; n = n.next[0].to {
		if !yield(n.member, n.score) {
			return
		}
	}
}
