package store

import (
	"slices"
	"strings"
)

type zorder int

const (
	byRank zorder = iota
	byScore
	byLex
)

// zrange is an interval of a sorted set.
type zinterval struct {
	by               zorder
	from, to         int64 // byRank
	min, max         float64
	minOpen, maxOpen bool
	lo, hi           string
	loInf, hiInf     int // byLex: -1 is "-", 1 is "+"
}

func parseScoreBound(s string) (f float64, open, good bool) {
	if strings.HasPrefix(s, "(") {
		s, open = s[1:], true
	}
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	if s == "" {
		return 0, open, true
	}
	f, _, good = strtod(strings.TrimLeft(s, " \t\n\v\f\r"))
	return f, open, good && f == f
}

func parseLexBound(s string) (text string, inf int, open, good bool) {
	switch {
	case s == "-":
		return "", -1, false, true
	case s == "+":
		return "", 1, false, true
	case strings.HasPrefix(s, "["):
		return s[1:], 0, false, true
	case strings.HasPrefix(s, "("):
		return s[1:], 0, true, true
	}
	return "", 0, false, false
}

// interval reads a range's ends.
func interval(by zorder, lo, hi string) (r zinterval, bad *Reply) {
	fail := func(e Reply) (zinterval, *Reply) { return r, &e }
	r.by = by
	var good1, good2 bool
	switch by {
	case byRank:
		r.from, good1 = parseInt(lo)
		r.to, good2 = parseInt(hi)
		if !good1 || !good2 {
			return fail(errInt)
		}
	case byScore:
		r.min, r.minOpen, good1 = parseScoreBound(lo)
		r.max, r.maxOpen, good2 = parseScoreBound(hi)
		if !good1 || !good2 {
			return fail(Err("ERR min or max is not a float"))
		}
	case byLex:
		r.lo, r.loInf, r.minOpen, good1 = parseLexBound(lo)
		r.hi, r.hiInf, r.maxOpen, good2 = parseLexBound(hi)
		if !good1 || !good2 {
			return fail(Err("ERR min or max not valid string range item"))
		}
	}
	return r, nil
}

// below and above report whether n stands before the start and behind the end.
func (r *zinterval) below(n *znode) bool {
	if r.by == byScore {
		return n.score < r.min || (r.minOpen && n.score == r.min)
	}
	if r.loInf != 0 {
		return r.loInf > 0
	}
	return n.member < r.lo || (r.minOpen && n.member == r.lo)
}

func (r *zinterval) above(n *znode) bool {
	if r.by == byScore {
		return n.score > r.max || (r.maxOpen && n.score == r.max)
	}
	if r.hiInf != 0 {
		return r.hiInf < 0
	}
	return n.member > r.hi || (r.maxOpen && n.member == r.hi)
}

// ranks returns the interval as ranks [i, j).
func (r *zinterval) ranks(z *zset) (i, j int) {
	if r.by == byRank {
		return span(r.from, r.to, z.len())
	}
	_, i = z.seek(r.below)
	_, j = z.seek(func(n *znode) bool { return !r.above(n) })
	return i, max(i, j)
}

// zspan returns the sorted set at the first key and the ranks i to j that lie in the interval of the next two arguments. A
// key that is not there has none.
func (c *call) zspan(by zorder) (z *zset, e *entry, i, j int, bad *Reply) {
	r, bad := interval(by, c.args[2], c.args[3])
	if bad != nil {
		return nil, nil, 0, 0, bad
	}
	z, e, bad = typed[*zset](c, c.args[1])
	if bad == nil && e != nil {
		i, j = r.ranks(z)
	}
	return z, e, i, j, bad
}

func (c *call) zcount(by zorder) Reply {
	_, _, i, j, bad := c.zspan(by)
	if bad != nil {
		return *bad
	}
	return integer(int64(j - i))
}

// zquery says what a ZRANGE is asked for.
type zquery struct {
	key   string
	at    int // of the range's ends in the arguments
	by    zorder
	auto  bool // BYSCORE, BYLEX and REV may be given
	rev   bool
	store bool
}

func (c *call) zrange(q zquery, dest string) Reply {
	withScores, limited := false, false
	offset, count := int64(0), int64(-1)
	for i := q.at + 2; i < len(c.args); i++ {
		switch a := c.args[i]; {
		case !q.store && is(a, "withscores"):
			withScores = true
		case is(a, "limit") && i+2 < len(c.args):
			var good1, good2 bool
			offset, good1 = parseInt(c.args[i+1])
			count, good2 = parseInt(c.args[i+2])
			if !good1 || !good2 {
				return errInt
			}
			limited = true
			i += 2
		case q.auto && !q.rev && is(a, "rev"):
			q.rev = true
		case q.auto && q.by == byRank && is(a, "bylex"):
			q.by = byLex
		case q.auto && q.by == byRank && is(a, "byscore"):
			q.by = byScore
		default:
			return errSyntax
		}
	}
	if limited && count != -1 && q.by == byRank {
		return Err("ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX")
	}
	if withScores && q.by == byLex {
		return Err("ERR syntax error, WITHSCORES not supported in combination with BYLEX")
	}
	lo, hi := c.args[q.at], c.args[q.at+1]
	if q.rev && q.by != byRank {
		lo, hi = hi, lo
	}
	r, bad := interval(q.by, lo, hi)
	if bad != nil {
		return *bad
	}
	z, e, bad := typed[*zset](c, q.key)
	if bad != nil {
		return *bad
	}
	picked := []*znode{}
	if e != nil {
		i, j := r.ranks(z)
		if q.by == byRank && q.rev {
			i, j = z.len()-j, z.len()-i
		}
		if q.by != byRank && limited {
			size := int64(j - i)
			if offset < 0 || offset > size {
				offset = size
			}
			take := size - offset
			if count >= 0 {
				take = min(take, count)
			}
			if q.rev {
				j -= int(offset)
				i = j - int(take)
			} else {
				i += int(offset)
				j = i + int(take)
			}
		}
		picked = z.slice(i, j, q.rev)
	}
	if !q.store {
		return array(znodes(picked, withScores))
	}
	result := newZset()
	result.large = len(picked) > 128
	for _, n := range picked {
		result.set(n.member, n.score)
	}
	c.del(dest)
	if result.len() > 0 {
		c.put(dest, result)
	}
	return integer(int64(result.len()))
}

// slice returns the members with ranks [i, j), in reverse order with rev.
func (z *zset) slice(i, j int, rev bool) []*znode {
	list := make([]*znode, 0, max(j-i, 0))
	if j <= i {
		return list
	}
	n := z.at(i)
	for ; i < j; i++ {
		list = append(list, n)
		n = n.next[0].to
	}
	if rev {
		slices.Reverse(list)
	}
	return list
}

func (c *call) zremRange(by zorder) Reply {
	z, e, i, j, bad := c.zspan(by)
	if bad != nil {
		return *bad
	}
	if e == nil {
		return integer(0)
	}
	for _, n := range z.slice(i, j, false) {
		z.remove(n)
	}
	if j > i {
		c.zsetShrunk(c.args[1], z, e)
	}
	return integer(int64(max(j-i, 0)))
}
