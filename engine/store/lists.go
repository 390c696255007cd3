package store

import (
	"math"
	"slices"
	"strings"
)

// list is a deque: a ring that grows.
type list struct {
	ring    []string // its size is a power of two
	head, n int
	mem     int64
}

func (*list) typeName() string { return "list" }
func (l *list) bytes() int64   { return 72 + l.mem + int64(len(l.ring))*16 }

func (l *list) at(i int) *string { return &l.ring[(l.head+i)&(len(l.ring)-1)] }

func (l *list) resize(size int) {
	ring := make([]string, size)
	for i := range l.n {
		ring[i] = *l.at(i)
	}
	l.ring, l.head = ring, 0
}

func (l *list) push(s string, left bool) {
	if l.n == len(l.ring) {
		l.resize(max(4, 2*l.n))
	}
	s = strings.Clone(s)
	l.mem += int64(len(s))
	l.n++
	if left {
		l.head = (l.head - 1) & (len(l.ring) - 1)
		l.ring[l.head] = s
	} else {
		*l.at(l.n - 1) = s
	}
}

func (l *list) pop(left bool) string {
	p := l.at(0)
	if !left {
		p = l.at(l.n - 1)
	}
	s := *p
	*p = ""
	if left {
		l.head = (l.head + 1) & (len(l.ring) - 1)
	}
	l.n--
	l.mem -= int64(len(s))
	if len(l.ring) > 16 && l.n < len(l.ring)/4 {
		l.resize(len(l.ring) / 2)
	}
	return s
}

// slice returns the elements [i, j) as a copy.
func (l *list) slice(i, j int) []string {
	out := make([]string, 0, j-i)
	for ; i < j; i++ {
		out = append(out, *l.at(i))
	}
	return out
}

// replace makes items the content.
func (l *list) replace(items []string) {
	size := 4
	for size < len(items) {
		size *= 2
	}
	*l = list{ring: make([]string, size), n: copy(make([]string, size), items)}
	copy(l.ring, items)
	for _, s := range items {
		l.mem += int64(len(s))
	}
}

func (c *call) listAt(key string) (*list, *entry, *Reply) {
	l, e, bad := typed[*list](c, key)
	if bad == nil && e == nil {
		l = &list{}
		e = c.put(key, l)
	}
	return l, e, bad
}

func (c *call) listShrunk(key string, l *list, e *entry) {
	if l.n == 0 {
		c.del(key)
	} else {
		c.changed(e)
	}
}

// index turns a place that may count from the end into one that may be out of range.
func (l *list) index(i int64) int {
	if i < 0 {
		i += int64(l.n)
	}
	if i < 0 || i >= int64(l.n) {
		return -1
	}
	return int(i)
}

var listCommands = []command{
	write1("lpush", 3, -1, func(c *call) Reply { return c.push(true, false) }),
	write1("rpush", 3, -1, func(c *call) Reply { return c.push(false, false) }),
	write1("lpushx", 3, -1, func(c *call) Reply { return c.push(true, true) }),
	write1("rpushx", 3, -1, func(c *call) Reply { return c.push(false, true) }),
	free1("lpop", 2, -1, func(c *call) Reply { return c.pop(true) }),
	free1("rpop", 2, -1, func(c *call) Reply { return c.pop(false) }),
	readOf("llen", 2, 2, integer(0), func(c *call, l *list) Reply {
		return integer(int64(l.n))
	}),
	read1("lrange", 4, 4, func(c *call) Reply {
		from, good1 := parseInt(c.args[2])
		to, good2 := parseInt(c.args[3])
		if !good1 || !good2 {
			return errInt
		}
		l, e, bad := typed[*list](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return emptyArray()
		}
		return bulks(l.slice(span(from, to, l.n)))
	}),
	readOf("lindex", 3, 3, nilReply, func(c *call, l *list) Reply {
		i, good := parseInt(c.args[2])
		if !good {
			return errInt
		}
		if at := l.index(i); at >= 0 {
			return bulk(*l.at(at))
		}
		return nilReply
	}),
	write1("lset", 4, 4, func(c *call) Reply {
		l, e, bad := typed[*list](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return errNoKey
		}
		i, good := parseInt(c.args[2])
		if !good {
			return errInt
		}
		at := l.index(i)
		if at < 0 {
			return errIndex
		}
		p := l.at(at)
		l.mem += int64(len(c.args[3]) - len(*p))
		*p = strings.Clone(c.args[3])
		c.changed(e)
		return ok
	}),
	write1("linsert", 5, 5, func(c *call) Reply {
		after := is(c.args[2], "after")
		if !after && !is(c.args[2], "before") {
			return errSyntax
		}
		l, e, bad := typed[*list](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return integer(0)
		}
		items := l.slice(0, l.n)
		i := slices.Index(items, c.args[3])
		if i < 0 {
			return integer(-1)
		}
		l.replace(slices.Insert(items, i+b2i(after), strings.Clone(c.args[4])))
		c.changed(e)
		return integer(int64(l.n))
	}),
	free1("lrem", 4, 4, func(c *call) Reply {
		count, good := parseInt(c.args[2])
		if !good {
			return errInt
		}
		l, e, bad := typed[*list](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return integer(0)
		}
		items := l.slice(0, l.n)
		if count < 0 {
			slices.Reverse(items)
		}
		n := int64(0)
		limit := count
		if limit < 0 {
			limit = -max(limit, -math.MaxInt64)
		}
		items = slices.DeleteFunc(items, func(s string) bool {
			if s != c.args[3] || (limit != 0 && n == limit) {
				return false
			}
			n++
			return true
		})
		if count < 0 {
			slices.Reverse(items)
		}
		if n > 0 {
			l.replace(items)
			c.listShrunk(c.args[1], l, e)
		}
		return integer(n)
	}),
	free1("ltrim", 4, 4, func(c *call) Reply {
		from, good1 := parseInt(c.args[2])
		to, good2 := parseInt(c.args[3])
		if !good1 || !good2 {
			return errInt
		}
		l, e, bad := typed[*list](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return ok
		}
		i, j := span(from, to, l.n)
		for k := l.n; k > j && j-i > 0; k-- {
			l.pop(false)
		}
		if j-i == 0 {
			i = l.n
		}
		for range i {
			l.pop(true)
		}
		c.listShrunk(c.args[1], l, e)
		return ok
	}),
	read1("lpos", 3, -1, lpos),
	writeN("lmove", 5, 5, 1, 2, func(c *call) Reply {
		from, good1 := side(c.args[3])
		to, good2 := side(c.args[4])
		if !good1 || !good2 {
			return errSyntax
		}
		return c.lmove(from, to)
	}),
	writeN("rpoplpush", 3, 3, 1, 2, func(c *call) Reply { return c.lmove(false, true) }),
	{name: "lmpop", min: 4, max: -1, keys: numbered(1), write: true, run: lmpop},
}

// side reads LEFT or RIGHT.
func side(s string) (left, good bool) { return is(s, "left"), is(s, "left") || is(s, "right") }

func (c *call) push(left, only bool) Reply {
	l, e, bad := typed[*list](c, c.args[1])
	if bad != nil {
		return *bad
	}
	if e == nil {
		if only {
			return integer(0)
		}
		l, e, _ = c.listAt(c.args[1])
	}
	for _, s := range c.args[2:] {
		l.push(s, left)
	}
	c.changed(e)
	return integer(int64(l.n))
}

func (c *call) pop(left bool) Reply {
	if len(c.args) > 3 {
		return errArity(strings.ToLower(c.args[0]))
	}
	count, many := int64(1), len(c.args) == 3
	if many {
		var good bool
		if count, good = parseInt(c.args[2]); !good || count < 0 {
			return Err("ERR value is out of range, must be positive")
		}
	}
	l, e, bad := typed[*list](c, c.args[1])
	if bad != nil {
		return *bad
	}
	if e == nil {
		return nilReply
	}
	if !many {
		s := l.pop(left)
		c.listShrunk(c.args[1], l, e)
		return bulk(s)
	}
	return bulks(c.popN(c.args[1], l, e, count, left))
}

func (c *call) popN(key string, l *list, e *entry, count int64, left bool) []string {
	out := []string{}
	for range min(count, int64(l.n)) {
		out = append(out, l.pop(left))
	}
	if len(out) > 0 {
		c.listShrunk(key, l, e)
	}
	return out
}

func (c *call) lmove(fromLeft, toLeft bool) Reply {
	from, to := c.args[1], c.args[2]
	l, e, bad := typed[*list](c, from)
	if bad != nil {
		return *bad
	}
	if e == nil {
		return nilReply
	}
	if _, _, bad = typed[*list](c, to); bad != nil {
		return *bad
	}
	s := l.pop(fromLeft)
	if from == to {
		l.push(s, toLeft)
		c.changed(e)
		return bulk(s)
	}
	c.listShrunk(from, l, e)
	t, te, _ := c.listAt(to)
	t.push(s, toLeft)
	c.changed(te)
	return bulk(s)
}

func lpos(c *call) Reply {
	rank, count, maxlen := int64(1), int64(-1), int64(0)
	for i := 3; i < len(c.args); i += 2 {
		if i+1 >= len(c.args) {
			return errSyntax
		}
		n, good := parseInt(c.args[i+1])
		switch {
		case is(c.args[i], "rank"):
			if !good {
				return errInt
			}
			if n == math.MinInt64 {
				n = -1 // what it comes to in Redis 7.0, which cannot negate it
			}
			if n == 0 {
				return Err("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to start from the end of the list")
			}
			rank = n
		case is(c.args[i], "count"):
			if !good || n < 0 {
				return Err("ERR COUNT can't be negative")
			}
			count = n
		case is(c.args[i], "maxlen"):
			if !good || n < 0 {
				return Err("ERR MAXLEN can't be negative")
			}
			maxlen = n
		default:
			return errSyntax
		}
	}
	l, e, bad := typed[*list](c, c.args[1])
	if bad != nil {
		return *bad
	}
	found := []Reply{}
	if e != nil {
		skip := rank - 1
		if rank < 0 {
			skip = -rank - 1
		}
		for k := range l.n {
			if maxlen != 0 && int64(k) >= maxlen {
				break
			}
			i := k
			if rank < 0 {
				i = l.n - 1 - k
			}
			if *l.at(i) != c.args[2] {
				continue
			}
			if skip > 0 {
				skip--
				continue
			}
			found = append(found, integer(int64(i)))
			if count == -1 || int64(len(found)) == count {
				break
			}
		}
	}
	if count != -1 {
		return array(found)
	}
	if len(found) == 0 {
		return nilReply
	}
	return found[0]
}

// popArgs reads "numkeys key ... WHERE [COUNT n]" of LMPOP and ZMPOP; where says what may stand for WHERE.
func (c *call) popArgs(where func(string) bool) (keys []string, at string, count int64, bad *Reply) {
	fail := func(r Reply) ([]string, string, int64, *Reply) { return nil, "", 0, &r }
	n, good := parseInt(c.args[1])
	if !good || n < 1 {
		return fail(Err("ERR numkeys should be greater than 0"))
	}
	if n >= int64(len(c.args)-2) || n > math.MaxInt32 {
		return fail(errSyntax)
	}
	rest := c.args[2+int(n):]
	if !where(rest[0]) {
		return fail(errSyntax)
	}
	count = -1
	for i := 1; i < len(rest); i += 2 {
		if count != -1 || !is(rest[i], "count") || i+1 >= len(rest) {
			return fail(errSyntax)
		}
		if count, good = parseInt(rest[i+1]); !good || count < 1 {
			return fail(Err("ERR count should be greater than 0"))
		}
	}
	if count == -1 {
		count = 1
	}
	return c.args[2 : 2+int(n)], rest[0], count, nil
}

func lmpop(c *call) Reply {
	keys, where, count, bad := c.popArgs(func(s string) bool { _, good := side(s); return good })
	if bad != nil {
		return *bad
	}
	left, _ := side(where)
	for _, key := range keys {
		l, e, bad := typed[*list](c, key)
		if bad != nil {
			return *bad
		}
		if e != nil {
			return array([]Reply{bulk(key), bulks(c.popN(key, l, e, count, left))})
		}
	}
	return nilReply
}
