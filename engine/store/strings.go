package store

import (
	"math"
	"strconv"
	"strings"
)

// text is a string value. A number that a command made is kept as one until somebody wants the text.
type text struct {
	s     string
	n     int64
	isInt bool
}

func (*text) typeName() string { return "string" }
func (t *text) bytes() int64   { return 40 + int64(len(t.s)) }

func (t *text) String() string {
	if t.isInt {
		return strconv.FormatInt(t.n, 10)
	}
	return t.s
}

// stringAt returns the string at key; a HyperLogLog is one too.
func (c *call) stringAt(key string) (s string, e *entry, bad *Reply) {
	e = c.find(key)
	if e == nil {
		return "", nil, nil
	}
	switch v := e.val.(type) {
	case *text:
		return v.String(), e, nil
	case *hll:
		return v.encode(), e, nil
	}
	return "", nil, &wrongType
}

// setString makes s the value of e, or of key if e is nil. The time to live stays.
func (c *call) setString(key string, e *entry, s string) {
	if e == nil {
		c.put(key, &text{s: s})
		return
	}
	e.val = &text{s: s}
	c.changed(e)
}

var stringCommands = []command{
	read1("get", 2, 2, func(c *call) Reply {
		s, e, bad := c.stringAt(c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return nilReply
		}
		return bulk(s)
	}),
	write1("set", 3, -1, set),
	write1("setnx", 3, 3, func(c *call) Reply {
		if c.find(c.args[1]) != nil {
			return integer(0)
		}
		c.put(c.args[1], &text{s: strings.Clone(c.args[2])})
		return integer(1)
	}),
	write1("setex", 4, 4, func(c *call) Reply { return c.setFor(1000) }),
	write1("psetex", 4, 4, func(c *call) Reply { return c.setFor(1) }),
	write1("getset", 3, 3, func(c *call) Reply {
		s, e, bad := c.stringAt(c.args[1])
		if bad != nil {
			return *bad
		}
		c.put(c.args[1], &text{s: strings.Clone(c.args[2])})
		if e == nil {
			return nilReply
		}
		return bulk(s)
	}),
	free1("getdel", 2, 2, func(c *call) Reply {
		s, e, bad := c.stringAt(c.args[1])
		if bad != nil {
			return *bad
		}
		if e == nil {
			return nilReply
		}
		c.del(c.args[1])
		return bulk(s)
	}),
	write1("getex", 2, -1, getex),
	readN("mget", 2, -1, 1, -1, func(c *call) Reply {
		elems := make([]Reply, len(c.args)-1)
		for i, key := range c.args[1:] {
			if s, e, bad := c.stringAt(key); bad == nil && e != nil {
				elems[i] = bulk(s)
			}
		}
		return array(elems)
	}),
	{name: "mset", min: 3, max: -1, first: 1, last: -1, step: 2, write: true, memory: true, run: func(c *call) Reply {
		if len(c.args)%2 == 0 {
			return errArity("mset")
		}
		for i := 1; i < len(c.args); i += 2 {
			c.put(c.args[i], &text{s: strings.Clone(c.args[i+1])})
		}
		return ok
	}},
	{name: "msetnx", min: 3, max: -1, first: 1, last: -1, step: 2, write: true, memory: true, run: func(c *call) Reply {
		if len(c.args)%2 == 0 {
			return errArity("msetnx")
		}
		for i := 1; i < len(c.args); i += 2 {
			if c.find(c.args[i]) != nil {
				return integer(0)
			}
		}
		for i := 1; i < len(c.args); i += 2 {
			c.put(c.args[i], &text{s: strings.Clone(c.args[i+1])})
		}
		return integer(1)
	}},
	write1("append", 3, 3, func(c *call) Reply {
		s, e, bad := c.stringAt(c.args[1])
		if bad != nil {
			return *bad
		}
		if len(s)+len(c.args[2]) > maxString {
			return errTooLong
		}
		c.setString(c.args[1], e, s+c.args[2])
		return integer(int64(len(s) + len(c.args[2])))
	}),
	read1("strlen", 2, 2, func(c *call) Reply {
		s, _, bad := c.stringAt(c.args[1])
		if bad != nil {
			return *bad
		}
		return integer(int64(len(s)))
	}),
	read1("getrange", 4, 4, getRange),
	read1("substr", 4, 4, getRange),
	write1("setrange", 4, 4, setRange),
	write1("incr", 2, 2, func(c *call) Reply { return c.incr(1) }),
	write1("decr", 2, 2, func(c *call) Reply { return c.incr(-1) }),
	write1("incrby", 3, 3, func(c *call) Reply {
		n, good := parseInt(c.args[2])
		if !good {
			return errInt
		}
		return c.incr(n)
	}),
	write1("decrby", 3, 3, func(c *call) Reply {
		n, good := parseInt(c.args[2])
		if !good {
			return errInt
		}
		if n == math.MinInt64 {
			return Err("ERR decrement would overflow")
		}
		return c.incr(-n)
	}),
	write1("incrbyfloat", 3, 3, incrByFloat),
	write1("setbit", 4, 4, setBit),
	read1("getbit", 3, 3, func(c *call) Reply {
		at, good := bitOffset(c.args[2])
		if !good {
			return Err("ERR bit offset is not an integer or out of range")
		}
		s, _, bad := c.stringAt(c.args[1])
		if bad != nil {
			return *bad
		}
		if at>>3 >= int64(len(s)) {
			return integer(0)
		}
		return integer(int64(s[at>>3] >> (7 - at&7) & 1))
	}),
	read1("bitcount", 2, -1, bitCount),
}

// incr adds by to the integer at the key.
func (c *call) incr(by int64) Reply {
	t, e, bad := typed[*text](c, c.args[1])
	if bad != nil {
		if _, isHLL := c.find(c.args[1]).val.(*hll); isHLL {
			return errInt
		}
		return *bad
	}
	if e == nil {
		c.put(c.args[1], &text{n: by, isInt: true})
		return integer(by)
	}
	n := t.n
	if !t.isInt {
		var good bool
		if n, good = parseInt(t.s); !good {
			return errInt
		}
	}
	if (by > 0 && n > math.MaxInt64-by) || (by < 0 && n < math.MinInt64-by) {
		return Err("ERR increment or decrement would overflow")
	}
	*t = text{n: n + by, isInt: true}
	c.changed(e)
	return integer(t.n)
}

// span turns Redis's inclusive range with negative places into a slice [from, to) of n things.
func span(from, to int64, n int) (int, int) {
	size := int64(n)
	if from < 0 {
		from = max(from+size, 0)
	}
	if to < 0 {
		to += size
	}
	if to >= size {
		to = size - 1
	}
	if from > to || from >= size || to < 0 {
		return 0, 0
	}
	return int(from), int(to) + 1
}

func getRange(c *call) Reply {
	from, good1 := parseInt(c.args[2])
	to, good2 := parseInt(c.args[3])
	if !good1 || !good2 {
		return errInt
	}
	s, _, bad := c.stringAt(c.args[1])
	if bad != nil {
		return *bad
	}
	if from < 0 && to < 0 && from > to {
		return bulk("")
	}
	if to < 0 {
		to = max(to+int64(len(s)), 0)
	}
	i, j := span(from, to, len(s))
	return bulk(s[i:j])
}

func setRange(c *call) Reply {
	at, good := parseInt(c.args[2])
	if !good {
		return errInt
	}
	if at < 0 {
		return errOffset
	}
	s, e, bad := c.stringAt(c.args[1])
	if bad != nil {
		return *bad
	}
	patch := c.args[3]
	if patch == "" {
		return integer(int64(len(s)))
	}
	if at > maxString || at+int64(len(patch)) > maxString {
		return errTooLong
	}
	b := make([]byte, max(len(s), int(at)+len(patch)))
	copy(b, s)
	copy(b[at:], patch)
	c.setString(c.args[1], e, string(b))
	return integer(int64(len(b)))
}
