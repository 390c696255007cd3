package store

import (
	"math"
	"math/rand/v2"
	"strconv"
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
	readOf("zscore", 3, 3, nilReply, func(c *call, z *zset) Reply {
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
	readOf("zcard", 2, 2, integer(0), func(c *call, z *zset) Reply { return integer(int64(z.len())) }),
	readOf("zrank", 3, 3, nilReply, func(c *call, z *zset) Reply {
		if n := z.byMember[c.args[2]]; n != nil {
			return integer(int64(z.rank(n)))
		}
		return nilReply
	}),
	readOf("zrevrank", 3, 3, nilReply, func(c *call, z *zset) Reply {
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
	scanOf("zscan", func(z *zset) int { return z.len() }, func(z *zset, in func(string) bool, list []Reply) []Reply {
		for m, score := range z.all {
			if in(m) {
				text := double(score)
				if whole := int64(score); !z.large && math.Abs(score) <= math.MaxInt64/2 && float64(whole) == score {
					text = bulk(strconv.FormatInt(whole, 10))
				}
				list = append(list, bulk(m), text)
			}
		}
		return list
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
