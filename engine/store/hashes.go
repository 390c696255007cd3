package store

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

// hash is a map of fields.
type hash struct {
	fields dict[string]
	mem    int64 // bytes of fields and values
}

func (*hash) typeName() string { return "hash" }
func (h *hash) bytes() int64   { return 80 + h.mem + h.fields.memory(16) }

// set sets a field and reports whether it is new.
func (h *hash) set(field, val string) bool {
	if p := h.fields.get(field); p != nil {
		h.mem += int64(len(val) - len(*p))
		*p = val
		return false
	}
	h.mem += int64(len(field) + len(val))
	return h.fields.put(field, val)
}

func (h *hash) del(field string) bool {
	val, ok := h.fields.del(field)
	if ok {
		h.mem -= int64(len(field) + len(val))
	}
	return ok
}

// hashAt returns the hash at key for writing: a new one if there is none.
func (c *call) hashAt(key string) (*hash, *entry, *Reply) {
	h, e, bad := typed[*hash](c, key)
	if bad == nil && e == nil {
		h = &hash{}
		e = c.put(key, h)
	}
	return h, e, bad
}

// field returns a field of the hash at the key for reading.
func (c *call) field() (val *string, bad *Reply) {
	h, e, bad := typed[*hash](c, c.args[1])
	if bad != nil || e == nil {
		return nil, bad
	}
	return h.fields.get(c.args[2]), nil
}

var hashCommands = []command{
	write1("hset", 4, -1, func(c *call) Reply { return c.hset("hset") }),
	write1("hmset", 4, -1, func(c *call) Reply { return c.hset("hmset") }),
	write1("hsetnx", 4, 4, func(c *call) Reply {
		if val, bad := c.field(); bad != nil {
			return *bad
		} else if val != nil {
			return integer(0)
		}
		h, e, _ := c.hashAt(c.args[1])
		h.set(c.args[2], strings.Clone(c.args[3]))
		c.changed(e)
		return integer(1)
	}),
	read1("hget", 3, 3, func(c *call) Reply {
		val, bad := c.field()
		if bad != nil {
			return *bad
		}
		if val == nil {
			return nilReply
		}
		return bulk(*val)
	}),
	read1("hmget", 3, -1, func(c *call) Reply {
		h, e, bad := typed[*hash](c, c.args[1])
		if bad != nil {
			return *bad
		}
		elems := make([]Reply, len(c.args)-2)
		if e != nil {
			for i, f := range c.args[2:] {
				if val := h.fields.get(f); val != nil {
					elems[i] = bulk(*val)
				}
			}
		}
		return array(elems)
	}),
	read1("hgetall", 2, 2, func(c *call) Reply { return c.hashList(true, true) }),
	read1("hkeys", 2, 2, func(c *call) Reply { return c.hashList(true, false) }),
	read1("hvals", 2, 2, func(c *call) Reply { return c.hashList(false, true) }),
	readOf("hlen", 2, 2, integer(0), func(c *call, h *hash) Reply {
		return integer(int64(h.fields.len()))
	}),
	read1("hexists", 3, 3, func(c *call) Reply {
		val, bad := c.field()
		if bad != nil {
			return *bad
		}
		return boolean(val != nil)
	}),
	read1("hstrlen", 3, 3, func(c *call) Reply {
		val, bad := c.field()
		if bad != nil {
			return *bad
		}
		if val == nil {
			return integer(0)
		}
		return integer(int64(len(*val)))
	}),
	free1("hdel", 3, -1, func(c *call) Reply {
		h, e, bad := typed[*hash](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return integer(0)
		}
		n := 0
		for _, f := range c.args[2:] {
			n += b2i(h.del(f))
		}
		if h.fields.len() == 0 {
			c.del(c.args[1])
		} else if n > 0 {
			c.changed(e)
		}
		return integer(int64(n))
	}),
	write1("hincrby", 4, 4, func(c *call) Reply {
		by, good := parseInt(c.args[3])
		if !good {
			return errInt
		}
		val, bad := c.field()
		if bad != nil {
			return *bad
		}
		var n int64
		if val != nil {
			if n, good = parseInt(*val); !good {
				return Err("ERR hash value is not an integer")
			}
		}
		if (by > 0 && n > math.MaxInt64-by) || (by < 0 && n < math.MinInt64-by) {
			return Err("ERR increment or decrement would overflow")
		}
		h, e, _ := c.hashAt(c.args[1])
		h.set(c.args[2], strconv.FormatInt(n+by, 10))
		c.changed(e)
		return integer(n + by)
	}),
	write1("hincrbyfloat", 4, 4, func(c *call) Reply {
		by, good := longDouble(c.args[3])
		if !good {
			return errFloat
		}
		if by.IsInf() {
			return Err("ERR value is NaN or Infinity")
		}
		val, bad := c.field()
		if bad != nil {
			return *bad
		}
		was := new(big.Float)
		if val != nil {
			if was, good = longDouble(*val); !good {
				return Err("ERR hash value is not a float")
			}
		}
		s, good := addFloat(was, by)
		if !good {
			return Err("ERR increment would produce NaN or Infinity")
		}
		h, e, _ := c.hashAt(c.args[1])
		h.set(c.args[2], s)
		c.changed(e)
		return bulk(s)
	}),
	read1("hrandfield", 2, -1, func(c *call) Reply {
		count, withValues, bad := c.randomArgs("withvalues")
		if bad != nil {
			return *bad
		}
		h, e, bad := typed[*hash](c, c.args[1])
		if bad != nil {
			return *bad
		}
		if len(c.args) == 2 {
			if e == nil {
				return nilReply
			}
			return bulk(h.fields.random().key)
		}
		if e == nil {
			return emptyArray()
		}
		return array(randomItems(&h.fields, count, func(list []Reply, it *item[string]) []Reply {
			list = append(list, bulk(it.key))
			if withValues {
				list = append(list, bulk(it.val))
			}
			return list
		}))
	}),
	scanOf("hscan", func(h *hash) int { return h.fields.len() }, func(h *hash, in func(string) bool, list []Reply) []Reply {
		for f, v := range h.fields.all {
			if in(f) {
				list = append(list, bulk(f), bulk(v))
			}
		}
		return list
	}),
}

func (c *call) hset(name string) Reply {
	if len(c.args)%2 != 0 {
		return errArity(name)
	}
	h, e, bad := c.hashAt(c.args[1])
	if bad != nil {
		return *bad
	}
	n := 0
	for i := 2; i < len(c.args); i += 2 {
		n += b2i(h.set(c.args[i], strings.Clone(c.args[i+1])))
	}
	c.changed(e)
	if name == "hmset" {
		return ok
	}
	return integer(int64(n))
}

func (c *call) hashList(keys, vals bool) Reply {
	h, e, bad := typed[*hash](c, c.args[1])
	if bad != nil {
		return *bad
	}
	if e == nil {
		return emptyArray()
	}
	list := make([]Reply, 0, h.fields.len()*(b2i(keys)+b2i(vals)))
	for f, v := range h.fields.all {
		if keys {
			list = append(list, bulk(f))
		}
		if vals {
			list = append(list, bulk(v))
		}
	}
	return array(list)
}

// randomArgs reads "[count [with]]" of HRANDFIELD, SRANDMEMBER and ZRANDMEMBER.
func (c *call) randomArgs(with string) (count int64, has bool, bad *Reply) {
	if len(c.args) == 2 {
		return 1, false, nil
	}
	count, good := parseInt(c.args[2])
	if !good {
		return 0, false, &errInt
	}
	if count == math.MinInt64 {
		r := Err("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")
		return 0, false, &r
	}
	if len(c.args) > 4 || (len(c.args) == 4 && !is(c.args[3], with)) {
		return 0, false, &errSyntax
	}
	if len(c.args) == 4 && (count < -math.MaxInt64/2 || count > math.MaxInt64/2) {
		r := Err("ERR value is out of range")
		return 0, false, &r
	}
	return count, len(c.args) == 4, nil
}

// randomMax bounds the replies to "-count": a million members with repetition are a mistake.
const randomMax = 1 << 20

// randomItems picks count different items, or -count with repetition.
func randomItems[V any](d *dict[V], count int64, add func([]Reply, *item[V]) []Reply) []Reply {
	list := []Reply{}
	if count < 0 {
		for range min(-count, randomMax) {
			list = add(list, d.random())
		}
		return list
	}
	for _, it := range d.sample(int(min(count, int64(d.len())))) {
		list = add(list, it)
	}
	return list
}
