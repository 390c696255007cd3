package store

import (
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

func (c *call) zsetAt(key string) (*zset, *entry, *Reply) {
	z, e, bad := typed[*zset](c, key)
	if bad == nil && e == nil {
		z = newZset()
		e = c.put(key, z)
	}
	return z, e, bad
}

func (c *call) zsetShrunk(key string, z *zset, e *entry) {
	if z.len() == 0 {
		c.del(key)
	} else {
		c.changed(e)
	}
}

// zread makes a command that answers something about one sorted set, missing if there is none.
func zread(name string, least, most int, missing Reply, f func(c *call, z *zset) Reply) command {
	return read1(name, least, most, func(c *call) Reply {
		z, e, bad := typed[*zset](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return missing
		}
		return f(c, z)
	})
}

var zsetCommands = []command{
	write1("zadd", 4, -1, func(c *call) Reply { return c.zadd(false) }),
	write1("zincrby", 4, 4, func(c *call) Reply { return c.zadd(true) }),
	free1("zrem", 3, -1, func(c *call) Reply {
		z, e, bad := typed[*zset](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return integer(0)
		}
		gone := 0
		for _, m := range c.args[2:] {
			if n := z.byMember[m]; n != nil {
				z.remove(n)
				gone++
			}
		}
		if gone > 0 {
			c.zsetShrunk(c.args[1], z, e)
		}
		return integer(int64(gone))
	}),
	zread("zscore", 3, 3, nilReply, func(c *call, z *zset) Reply {
		if n := z.byMember[c.args[2]]; n != nil {
			return double(n.score)
		}
		return nilReply
	}),
	read1("zmscore", 3, -1, func(c *call) Reply {
		z, e, bad := typed[*zset](c, c.args[1])
		if bad != nil {
			return *bad
		}
		list := make([]Reply, len(c.args)-2)
		for i, m := range c.args[2:] {
			if e == nil {
				break
			}
			if n := z.byMember[m]; n != nil {
				list[i] = double(n.score)
			}
		}
		return array(list)
	}),
	zread("zcard", 2, 2, integer(0), func(c *call, z *zset) Reply { return integer(int64(z.len())) }),
	zread("zrank", 3, 3, nilReply, func(c *call, z *zset) Reply {
		if n := z.byMember[c.args[2]]; n != nil {
			return integer(int64(z.rank(n)))
		}
		return nilReply
	}),
	zread("zrevrank", 3, 3, nilReply, func(c *call, z *zset) Reply {
		if n := z.byMember[c.args[2]]; n != nil {
			return integer(int64(z.len() - 1 - z.rank(n)))
		}
		return nilReply
	}),
	read1("zcount", 4, 4, func(c *call) Reply { return c.zcount(byScore) }),
	read1("zlexcount", 4, 4, func(c *call) Reply { return c.zcount(byLex) }),
	read1("zrange", 4, -1, func(c *call) Reply { return c.zrange(zquery{key: c.args[1], at: 2, auto: true}, "") }),
	read1("zrevrange", 4, -1, func(c *call) Reply { return c.zrange(zquery{key: c.args[1], at: 2, rev: true}, "") }),
	read1("zrangebyscore", 4, -1, func(c *call) Reply { return c.zrange(zquery{key: c.args[1], at: 2, by: byScore}, "") }),
	read1("zrevrangebyscore", 4, -1, func(c *call) Reply { return c.zrange(zquery{key: c.args[1], at: 2, by: byScore, rev: true}, "") }),
	read1("zrangebylex", 4, -1, func(c *call) Reply { return c.zrange(zquery{key: c.args[1], at: 2, by: byLex}, "") }),
	read1("zrevrangebylex", 4, -1, func(c *call) Reply { return c.zrange(zquery{key: c.args[1], at: 2, by: byLex, rev: true}, "") }),
	writeN("zrangestore", 5, -1, 1, 2, func(c *call) Reply {
		return c.zrange(zquery{key: c.args[2], at: 3, auto: true, store: true}, c.args[1])
	}),
	free1("zremrangebyrank", 4, 4, func(c *call) Reply { return c.zremRange(byRank) }),
	free1("zremrangebyscore", 4, 4, func(c *call) Reply { return c.zremRange(byScore) }),
	free1("zremrangebylex", 4, 4, func(c *call) Reply { return c.zremRange(byLex) }),
	free1("zpopmin", 2, -1, func(c *call) Reply { return c.zpop(false) }),
	free1("zpopmax", 2, -1, func(c *call) Reply { return c.zpop(true) }),
	{name: "zmpop", min: 4, max: -1, keys: numbered(1), write: true, run: zmpop},
	{name: "zunion", min: 3, max: -1, keys: numbered(1), run: func(c *call) Reply { return c.zalgebra(union, 1, "") }},
	{name: "zinter", min: 3, max: -1, keys: numbered(1), run: func(c *call) Reply { return c.zalgebra(inter, 1, "") }},
	{name: "zdiff", min: 3, max: -1, keys: numbered(1), run: func(c *call) Reply { return c.zalgebra(diff, 1, "") }},
	{name: "zunionstore", min: 4, max: -1, keys: numbered(2, 1), write: true, memory: true, run: func(c *call) Reply { return c.zalgebra(union, 2, c.args[1]) }},
	{name: "zinterstore", min: 4, max: -1, keys: numbered(2, 1), write: true, memory: true, run: func(c *call) Reply { return c.zalgebra(inter, 2, c.args[1]) }},
	{name: "zdiffstore", min: 4, max: -1, keys: numbered(2, 1), write: true, memory: true, run: func(c *call) Reply { return c.zalgebra(diff, 2, c.args[1]) }},
	{name: "zintercard", min: 3, max: -1, keys: numbered(1), run: func(c *call) Reply { return c.zalgebra(inter, 1, "") }},
	read1("zrandmember", 2, -1, func(c *call) Reply {
		count, withScores, bad := c.randomArgs("withscores")
		if bad != nil {
			return *bad
		}
		z, e, bad := typed[*zset](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if len(c.args) == 2 {
			if e == nil {
				return nilReply
			}
			return bulk(z.at(rand.IntN(z.len())).member)
		}
		if e == nil {
			return emptyArray()
		}
		var picked []*znode
		if count < 0 {
			for range min(-count, randomMax) {
				picked = append(picked, z.at(rand.IntN(z.len())))
			}
		} else {
			for n := z.head.next[0].to; n != nil; n = n.next[0].to {
				picked = append(picked, n)
			}
			rand.Shuffle(len(picked), func(i, j int) { picked[i], picked[j] = picked[j], picked[i] })
			picked = picked[:min(count, int64(len(picked)))]
		}
		return array(znodes(picked, withScores))
	}),
	read1("zscan", 3, -1, func(c *call) Reply {
		cursor, bad := parseCursor(c.args[2])
		if bad != nil {
			return *bad
		}
		z, e, bad := typed[*zset](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return scanReply(0, nil)
		}
		o, bad := parseScan(cursor, c.args, 2, false)
		if bad != nil {
			return *bad
		}
		in, next := c.scanned(o, z.len())
		var list []Reply
		for m, score := range z.all {
			if in(m) {
				text := double(score)
				if whole := int64(score); !z.large && math.Abs(score) <= math.MaxInt64/2 && float64(whole) == score {
					text = bulk(strconv.FormatInt(whole, 10))
				}
				list = append(list, bulk(m), text)
			}
		}
		return scanReply(next, list)
	}),
}

func znodes(nodes []*znode, withScores bool) []Reply {
	list := make([]Reply, 0, len(nodes)*(1+b2i(withScores)))
	for _, n := range nodes {
		list = append(list, bulk(n.member))
		if withScores {
			list = append(list, double(n.score))
		}
	}
	return list
}

// zadd is ZADD, and ZINCRBY with incr.
func (c *call) zadd(incr bool) Reply {
	var nx, xx, gt, lt, ch bool
	i := 2
options:
	for ; i < len(c.args); i++ {
		switch a := c.args[i]; {
		case is(a, "nx"):
			nx = true
		case is(a, "xx"):
			xx = true
		case is(a, "gt"):
			gt = true
		case is(a, "lt"):
			lt = true
		case is(a, "ch"):
			ch = true
		case is(a, "incr"):
			incr = true
		default:
			break options
		}
	}
	pairs := c.args[i:]
	switch {
	case len(pairs) == 0 || len(pairs)%2 != 0:
		return errSyntax
	case nx && xx:
		return Err("ERR XX and NX options at the same time are not compatible")
	case (gt && nx) || (lt && nx) || (gt && lt):
		return Err("ERR GT, LT, and/or NX options at the same time are not compatible")
	case incr && len(pairs) > 2:
		return Err("ERR INCR option supports a single increment-element pair")
	}
	scores := make([]float64, len(pairs)/2)
	for j := range scores {
		var good bool
		if scores[j], good = parseFloat(pairs[2*j]); !good {
			return errFloat
		}
	}
	z, e, bad := typed[*zset](c, c.args[1])
	if bad != nil {
		return *bad
	}
	if e == nil {
		if xx {
			if incr {
				return nilReply
			}
			return integer(0)
		}
		z, e, _ = c.zsetAt(c.args[1])
	}
	added, updated := 0, 0
	var result Reply
	for j, score := range scores {
		m := pairs[2*j+1]
		n := z.byMember[m]
		if n == nil {
			if !xx {
				z.insert(score, m)
				added++
				result = double(score)
			}
			continue
		}
		if nx {
			continue
		}
		if incr {
			if score += n.score; score != score {
				if z.len() == 0 {
					c.del(c.args[1])
				}
				return errNaN
			}
		}
		if (gt && score <= n.score) || (lt && score >= n.score) {
			continue
		}
		if score != n.score {
			z.set(m, score)
			updated++
		}
		result = double(score)
	}
	if z.len() == 0 {
		c.del(c.args[1])
	} else if added+updated > 0 {
		c.changed(e)
	}
	if incr {
		return result
	}
	if ch {
		return integer(int64(added + updated))
	}
	return integer(int64(added))
}

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

func (c *call) zcount(by zorder) Reply {
	r, bad := interval(by, c.args[2], c.args[3])
	if bad != nil {
		return *bad
	}
	z, e, bad := typed[*zset](c, c.args[1])
	if bad != nil {
		return *bad
	}
	if e == nil {
		return integer(0)
	}
	i, j := r.ranks(z)
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
	r, bad := interval(by, c.args[2], c.args[3])
	if bad != nil {
		return *bad
	}
	z, e, bad := typed[*zset](c, c.args[1])
	if bad != nil {
		return *bad
	}
	if e == nil {
		return integer(0)
	}
	i, j := r.ranks(z)
	for _, n := range z.slice(i, j, false) {
		z.remove(n)
	}
	if j > i {
		c.zsetShrunk(c.args[1], z, e)
	}
	return integer(int64(max(j-i, 0)))
}

// zpopN removes the count lowest or highest members.
func (c *call) zpopN(key string, z *zset, e *entry, count int64, highest bool) []*znode {
	var out []*znode
	for range min(count, int64(z.len())) {
		n := z.head.next[0].to
		if highest {
			n = z.tail
		}
		out = append(out, n)
		z.remove(n)
	}
	if len(out) > 0 {
		c.zsetShrunk(key, z, e)
	}
	return out
}

func (c *call) zpop(highest bool) Reply {
	if len(c.args) > 3 {
		return errSyntax
	}
	count := int64(1)
	if len(c.args) == 3 {
		var good bool
		if count, good = parseInt(c.args[2]); !good || count < 0 {
			return Err("ERR value is out of range, must be positive")
		}
	}
	z, e, bad := typed[*zset](c, c.args[1])
	if bad != nil {
		return *bad
	}
	if e == nil {
		return emptyArray()
	}
	return array(znodes(c.zpopN(c.args[1], z, e, count, highest), true))
}

func zmpop(c *call) Reply {
	keys, where, count, bad := c.popArgs(func(s string) bool { return is(s, "min") || is(s, "max") })
	if bad != nil {
		return *bad
	}
	for _, key := range keys {
		z, e, bad := typed[*zset](c, key)
		if bad != nil {
			return *bad
		}
		if e == nil {
			continue
		}
		pairs := []Reply{}
		for _, n := range c.zpopN(key, z, e, count, is(where, "max")) {
			pairs = append(pairs, array([]Reply{bulk(n.member), double(n.score)}))
		}
		return array([]Reply{bulk(key), array(pairs)})
	}
	return nilReply
}

// scored is an operand of ZUNION and the like: a sorted set, or a set whose members have score 1.
type scored struct {
	z      *zset
	s      *members
	weight float64
}

func (o *scored) len() int {
	switch {
	case o.z != nil:
		return o.z.len()
	case o.s != nil:
		return o.s.len()
	}
	return 0
}

func (o *scored) score(m string) (float64, bool) {
	switch {
	case o.z != nil:
		if n := o.z.byMember[m]; n != nil {
			return o.weigh(n.score), true
		}
	case o.s.has(m):
		return o.weigh(1), true
	}
	return 0, false
}

func (o *scored) weigh(score float64) float64 {
	if score *= o.weight; score == score {
		return score
	}
	return 0
}

func (o *scored) all(yield func(string, float64) bool) {
	switch {
	case o.z != nil:
		for m, score := range o.z.all {
			if !yield(m, o.weigh(score)) {
				return
			}
		}
	case o.s != nil:
		for m := range o.s.dict.all {
			if !yield(m, o.weigh(1)) {
				return
			}
		}
	}
}

// zalgebra is ZUNION, ZINTER, ZDIFF, their STORE forms and ZINTERCARD; at is the place of the number of keys.
func (c *call) zalgebra(op algebra, at int, dest string) Reply {
	name := strings.ToLower(c.args[0])
	isCard, isStore := name == "zintercard", strings.HasSuffix(name, "store")
	n, good := parseInt(c.args[at])
	if !good {
		return errInt
	}
	if n < 1 {
		return Err("ERR at least 1 input key is needed for '" + name + "' command")
	}
	if n > int64(len(c.args)-at-1) {
		return errSyntax
	}
	rest := c.args[at+1+int(n):]
	operands := make([]scored, n)
	for i, key := range c.args[at+1 : at+1+int(n)] {
		operands[i].weight = 1
		if e := c.find(key); e != nil {
			switch v := e.val.(type) {
			case *zset:
				operands[i].z = v
			case *members:
				operands[i].s = v
			default:
				return wrongType
			}
		}
	}
	withScores, limit := false, int64(0)
	aggregate := "sum"
	for i := 0; i < len(rest); i++ {
		switch a := rest[i]; {
		case !isCard && op != diff && is(a, "weights") && len(rest)-i > int(n):
			for k := range operands {
				i++
				w, good := parseFloat(rest[i])
				if !good {
					return Err("ERR weight value is not a float")
				}
				operands[k].weight = w
			}
		case !isCard && op != diff && is(a, "aggregate") && i+1 < len(rest):
			i++
			if aggregate = strings.ToLower(rest[i]); aggregate != "sum" && aggregate != "min" && aggregate != "max" {
				return errSyntax
			}
		case !isCard && !isStore && is(a, "withscores"):
			withScores = true
		case isCard && is(a, "limit") && i+1 < len(rest):
			i++
			if limit, good = parseInt(rest[i]); !good || limit < 0 {
				return Err("ERR LIMIT can't be negative")
			}
		default:
			return errSyntax
		}
	}
	join := func(a, b float64) float64 {
		switch aggregate {
		case "min":
			if b < a {
				return b
			}
			return a
		case "max":
			if b > a {
				return b
			}
			return a
		}
		if sum := a + b; sum == sum {
			return sum
		}
		return 0
	}
	result := newZset()
	result.large = true
	if op != diff { // the order in which scores are added, which shows in their last digit
		slices.SortStableFunc(operands, func(a, b scored) int { return a.len() - b.len() })
	}
	switch op {
	case inter:
		least := &operands[0]
		count := int64(0)
	next:
		for m := range least.all {
			score := math.NaN()
			for i := range operands {
				s, has := operands[i].score(m)
				if !has {
					continue next
				}
				if i == 0 {
					score = s
				} else {
					score = join(score, s)
				}
			}
			if isCard {
				if count++; count == limit {
					break
				}
				continue
			}
			result.set(m, score)
		}
		if isCard {
			return integer(count)
		}
	case union:
		for i := range operands {
			for m, score := range operands[i].all {
				if old := result.byMember[m]; old != nil {
					score = join(old.score, score)
				}
				result.set(m, score)
			}
		}
	case diff:
	members:
		for m, score := range operands[0].all {
			for i := range operands[1:] {
				if _, has := operands[1+i].score(m); has {
					continue members
				}
			}
			result.set(m, score)
		}
	}
	if !isStore {
		return array(znodes(result.slice(0, result.len(), false), withScores))
	}
	result.settle()
	c.del(dest)
	if result.len() > 0 {
		c.put(dest, result)
	}
	return integer(int64(result.len()))
}
