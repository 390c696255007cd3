package store

import (
	"slices"
	"strings"
)

// members is a set.
type members struct {
	dict[struct{}]
	mem int64
}

func (*members) typeName() string { return "set" }
func (s *members) bytes() int64   { return 80 + s.mem + s.memory(0) }

func (s *members) add(m string) bool {
	if s.put(m, struct{}{}) {
		s.mem += int64(len(m))
		return true
	}
	return false
}

func (s *members) remove(m string) bool {
	_, ok := s.del(m)
	if ok {
		s.mem -= int64(len(m))
	}
	return ok
}

func (s *members) has(m string) bool { return s != nil && s.get(m) != nil }

func (c *call) setAt(key string) (*members, *entry, *Reply) {
	s, e, bad := typed[*members](c, key)
	if bad == nil && e == nil {
		s = &members{}
		e = c.put(key, s)
	}
	return s, e, bad
}

// shrunk books that members left the set at key, which may be empty now.
func (c *call) shrunk(key string, s *members, e *entry) {
	if s.len() == 0 {
		c.del(key)
	} else {
		c.changed(e)
	}
}

var setCommands = []command{
	write1("sadd", 3, -1, func(c *call) Reply {
		s, e, bad := c.setAt(c.args[1])
		if bad != nil {
			return *bad
		}
		n := 0
		for _, m := range c.args[2:] {
			n += b2i(s.add(m))
		}
		if n > 0 {
			c.changed(e)
		}
		return integer(int64(n))
	}),
	free1("srem", 3, -1, func(c *call) Reply {
		s, e, bad := typed[*members](c, c.args[1])
		if bad != nil {
			return *bad
		}
		n := 0
		if e != nil {
			for _, m := range c.args[2:] {
				n += b2i(s.remove(m))
			}
			if n > 0 {
				c.shrunk(c.args[1], s, e)
			}
		}
		return integer(int64(n))
	}),
	readOf("smembers", 2, 2, emptyArray(), func(c *call, s *members) Reply {
		list := make([]Reply, 0, s.len())
		for m := range s.all {
			list = append(list, bulk(m))
		}
		return array(list)
	}),
	read1("sismember", 3, 3, func(c *call) Reply {
		s, _, bad := typed[*members](c, c.args[1])
		if bad != nil {
			return *bad
		}
		return boolean(s.has(c.args[2]))
	}),
	read1("smismember", 3, -1, func(c *call) Reply {
		s, _, bad := typed[*members](c, c.args[1])
		if bad != nil {
			return *bad
		}
		list := make([]Reply, 0, len(c.args)-2)
		for _, m := range c.args[2:] {
			list = append(list, boolean(s.has(m)))
		}
		return array(list)
	}),
	readOf("scard", 2, 2, integer(0), func(c *call, s *members) Reply {
		return integer(int64(s.len()))
	}),
	free1("spop", 2, -1, func(c *call) Reply {
		if len(c.args) > 3 {
			return errSyntax
		}
		var count int64 = 1
		if len(c.args) == 3 {
			var good bool
			if count, good = parseInt(c.args[2]); !good || count < 0 {
				return Err("ERR value is out of range, must be positive")
			}
		}
		s, e, bad := typed[*members](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if len(c.args) == 2 {
			if e == nil {
				return nilReply
			}
			m := s.random().key
			s.remove(m)
			c.shrunk(c.args[1], s, e)
			return bulk(m)
		}
		list := []Reply{}
		if e != nil && count > 0 {
			for _, it := range s.sample(int(min(count, int64(s.len())))) {
				list = append(list, bulk(it.key))
			}
			for _, r := range list {
				s.remove(r.Str)
			}
			c.shrunk(c.args[1], s, e)
		}
		return array(list)
	}),
	read1("srandmember", 2, -1, func(c *call) Reply {
		if len(c.args) > 3 {
			return errSyntax
		}
		count, _, bad := c.randomArgs("")
		if bad != nil {
			return *bad
		}
		s, e, bad := typed[*members](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if len(c.args) == 2 {
			if e == nil {
				return nilReply
			}
			return bulk(s.random().key)
		}
		if e == nil {
			return emptyArray()
		}
		return array(randomItems(&s.dict, count, func(list []Reply, it *item[struct{}]) []Reply { return append(list, bulk(it.key)) }))
	}),
	writeN("smove", 4, 4, 1, 2, func(c *call) Reply {
		from, to, m := c.args[1], c.args[2], c.args[3]
		s, e, bad := typed[*members](c, from)
		if bad != nil {
			return *bad
		}
		if e == nil {
			return integer(0)
		}
		if _, _, bad = typed[*members](c, to); bad != nil {
			return *bad
		}
		if from == to {
			return boolean(s.has(m))
		}
		if !s.remove(m) {
			return integer(0)
		}
		c.shrunk(from, s, e)
		t, te, _ := c.setAt(to)
		t.add(m)
		c.changed(te)
		return integer(1)
	}),
	readN("sinter", 2, -1, 1, -1, func(c *call) Reply { return c.setAlgebra(inter, c.args[1:], "") }),
	readN("sunion", 2, -1, 1, -1, func(c *call) Reply { return c.setAlgebra(union, c.args[1:], "") }),
	readN("sdiff", 2, -1, 1, -1, func(c *call) Reply { return c.setAlgebra(diff, c.args[1:], "") }),
	writeN("sinterstore", 3, -1, 1, -1, func(c *call) Reply { return c.setAlgebra(inter, c.args[2:], c.args[1]) }),
	writeN("sunionstore", 3, -1, 1, -1, func(c *call) Reply { return c.setAlgebra(union, c.args[2:], c.args[1]) }),
	writeN("sdiffstore", 3, -1, 1, -1, func(c *call) Reply { return c.setAlgebra(diff, c.args[2:], c.args[1]) }),
	{name: "sintercard", min: 3, max: -1, keys: numbered(1), run: func(c *call) Reply {
		n, limit, bad := c.cardArgs()
		if bad != nil {
			return *bad
		}
		sets := make([]*members, n)
		for i, key := range c.args[2 : 2+n] {
			if sets[i], _, bad = typed[*members](c, key); bad != nil {
				return *bad
			}
		}
		count := int64(0)
		for range combine(inter, sets) {
			if count++; count == limit {
				break
			}
		}
		return integer(count)
	}},
	scanOf("sscan", func(s *members) int { return s.len() }, func(s *members, in func(string) bool, list []Reply) []Reply {
		for m := range s.all {
			if in(m) {
				list = append(list, bulk(m))
			}
		}
		return list
	}),
}

// cardArgs reads "numkeys key ... [LIMIT n]" of SINTERCARD and ZINTERCARD.
func (c *call) cardArgs() (n int, limit int64, bad *Reply) {
	fail := func(text string) (int, int64, *Reply) { r := Err(text); return 0, 0, &r }
	keys, good := parseInt(c.args[1])
	if !good || keys < 1 {
		return fail("ERR numkeys should be greater than 0")
	}
	if keys > int64(len(c.args)-2) {
		return fail("ERR Number of keys can't be greater than number of args")
	}
	for i := 2 + int(keys); i < len(c.args); i += 2 {
		if !is(c.args[i], "limit") || i+1 >= len(c.args) {
			return 0, 0, &errSyntax
		}
		if limit, good = parseInt(c.args[i+1]); !good || limit < 0 {
			return fail("ERR LIMIT can't be negative")
		}
	}
	return int(keys), limit, nil
}

type algebra int

const (
	inter algebra = iota
	union
	diff
)

// combine yields the members of the result, each once. Missing sets are nil.
func combine(op algebra, sets []*members) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		switch op {
		case inter:
			if slices.Contains(sets, nil) {
				return
			}
			least := slices.MinFunc(sets, func(a, b *members) int { return a.len() - b.len() })
			for m := range least.all {
				if !slices.ContainsFunc(sets, func(s *members) bool { return !s.has(m) }) && !yield(m) {
					return
				}
			}
		case union:
			for i, s := range sets {
				if s == nil {
					continue
				}
				for m := range s.all {
					if !slices.ContainsFunc(sets[:i], func(s *members) bool { return s.has(m) }) && !yield(m) {
						return
					}
				}
			}
		case diff:
			if sets[0] == nil {
				return
			}
			for m := range sets[0].all {
				if !slices.ContainsFunc(sets[1:], func(s *members) bool { return s.has(m) }) && !yield(m) {
					return
				}
			}
		}
	}
}

// setAlgebra answers SINTER, SUNION, SDIFF, or stores the result in dest.
func (c *call) setAlgebra(op algebra, keys []string, dest string) Reply {
	sets := make([]*members, len(keys))
	for i, key := range keys {
		var bad *Reply
		if sets[i], _, bad = typed[*members](c, key); bad != nil {
			return *bad
		}
	}
	store := strings.HasSuffix(strings.ToLower(c.args[0]), "store")
	if !store {
		list := []Reply{}
		for m := range combine(op, sets) {
			list = append(list, bulk(m))
		}
		return array(list)
	}
	result := &members{}
	for m := range combine(op, sets) {
		result.add(m)
	}
	c.del(dest)
	if result.len() > 0 {
		c.put(dest, result)
	}
	return integer(int64(result.len()))
}
