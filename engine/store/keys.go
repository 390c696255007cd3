package store

import (
	"hash/maphash"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
)

var keyCommands = []command{
	{name: "del", min: 2, max: -1, first: 1, last: -1, write: true, run: delKeys},
	{name: "unlink", min: 2, max: -1, first: 1, last: -1, write: true, run: delKeys},
	readN("exists", 2, -1, 1, -1, countKeys),
	readN("touch", 2, -1, 1, -1, countKeys),
	read1("type", 2, 2, func(c *call) Reply {
		if e := c.find(c.args[1]); e != nil {
			return status(e.val.typeName())
		}
		return status("none")
	}),
	free1("expire", 3, -1, func(c *call) Reply { return c.expire(1000, false) }),
	free1("pexpire", 3, -1, func(c *call) Reply { return c.expire(1, false) }),
	free1("expireat", 3, -1, func(c *call) Reply { return c.expire(1000, true) }),
	free1("pexpireat", 3, -1, func(c *call) Reply { return c.expire(1, true) }),
	read1("ttl", 2, 2, func(c *call) Reply { return c.ttl(1000, false) }),
	read1("pttl", 2, 2, func(c *call) Reply { return c.ttl(1, false) }),
	read1("expiretime", 2, 2, func(c *call) Reply { return c.ttl(1000, true) }),
	read1("pexpiretime", 2, 2, func(c *call) Reply { return c.ttl(1, true) }),
	free1("persist", 2, 2, func(c *call) Reply {
		e := c.find(c.args[1])
		if e == nil || e.expire == 0 {
			return integer(0)
		}
		c.setExpire(c.args[1], e, 0)
		return integer(1)
	}),
	writeN("rename", 3, 3, 1, 2, func(c *call) Reply { return c.rename(false) }),
	writeN("renamenx", 3, 3, 1, 2, func(c *call) Reply { return c.rename(true) }),
	writeN("copy", 3, -1, 1, 2, copyKey),
	{name: "keys", min: 2, max: 2, keys: everyKey, run: func(c *call) Reply {
		var list []Reply
		c.each(func(key string, e *entry) {
			if c.args[1] == "*" || match(c.args[1], key) {
				list = append(list, bulk(key))
			}
		})
		return array(list)
	}},
	{name: "scan", min: 2, max: -1, keys: everyKey, run: scan},
	{name: "randomkey", min: 1, max: 1, keys: everyKey, run: func(c *call) Reply {
		first := rand.IntN(shardCount)
		for i := range shardCount {
			for key := range c.s.shards[(first+i)%shardCount].keys { // Go starts at a random place
				if c.find(key) != nil {
					return bulk(key)
				}
			}
		}
		return nilReply
	}},
	{name: "dbsize", min: 1, max: 1, keys: everyKey, run: func(c *call) Reply {
		n := 0
		for i := range c.s.shards {
			n += len(c.s.shards[i].keys)
		}
		return integer(int64(n))
	}},
	{name: "flushdb", min: 1, max: -1, keys: everyKey, write: true, run: flush},
	{name: "flushall", min: 1, max: -1, keys: everyKey, write: true, run: flush},
}

func delKeys(c *call) Reply {
	n := 0
	for _, key := range c.args[1:] {
		n += b2i(c.del(key))
	}
	return integer(int64(n))
}

func countKeys(c *call) Reply {
	n := 0
	for _, key := range c.args[1:] {
		n += b2i(c.find(key) != nil)
	}
	return integer(int64(n))
}

func (c *call) expire(unit int64, absolute bool) Reply {
	var nx, xx, gt, lt bool
	for _, a := range c.args[3:] {
		switch {
		case is(a, "nx"):
			nx = true
		case is(a, "xx"):
			xx = true
		case is(a, "gt"):
			gt = true
		case is(a, "lt"):
			lt = true
		default:
			return Err("ERR Unsupported option " + printable(a))
		}
	}
	if nx && (xx || gt || lt) {
		return Err("ERR NX and XX, GT or LT options at the same time are not compatible")
	}
	if gt && lt {
		return Err("ERR GT and LT options at the same time are not compatible")
	}
	n, good := parseInt(c.args[2])
	if !good {
		return errInt
	}
	invalid := Err("ERR invalid expire time in '" + strings.ToLower(c.args[0]) + "' command")
	if n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return invalid
	}
	n *= unit
	if !absolute {
		if n > math.MaxInt64-c.now() {
			return invalid
		}
		n += c.now()
	}
	e := c.find(c.args[1])
	switch {
	case e == nil,
		nx && e.expire != 0,
		xx && e.expire == 0,
		gt && (e.expire == 0 || n <= e.expire),
		lt && e.expire != 0 && n >= e.expire:
		return integer(0)
	}
	if n <= c.now() {
		c.del(c.args[1])
	} else {
		c.setExpire(c.args[1], e, n)
	}
	return integer(1)
}

func (c *call) ttl(unit int64, absolute bool) Reply {
	e := c.find(c.args[1])
	switch {
	case e == nil:
		return integer(-2)
	case e.expire == 0:
		return integer(-1)
	case absolute:
		return integer(e.expire / unit)
	}
	return integer((e.expire - c.now() + unit/2) / unit)
}

func (c *call) rename(nx bool) Reply {
	from, to := c.args[1], c.args[2]
	e := c.find(from)
	if e == nil {
		return errNoKey
	}
	same := from == to
	if nx {
		if same || c.find(to) != nil {
			return integer(0)
		}
	}
	if !same {
		val, at := e.val, e.expire
		c.del(from)
		c.del(to)
		moved := c.put(to, val)
		if at != 0 {
			c.setExpire(to, moved, at)
		}
	}
	if nx {
		return integer(1)
	}
	return ok
}

func copyKey(c *call) Reply {
	replace := false
	for i := 3; i < len(c.args); i++ {
		switch {
		case is(c.args[i], "replace"):
			replace = true
		case is(c.args[i], "db") && i+1 < len(c.args):
			i++
			if n, good := parseInt(c.args[i]); !good {
				return errInt
			} else if n < math.MinInt32 || n > math.MaxInt32 {
				return errInt32
			} else if n != 0 {
				return Err("ERR DB index is out of range")
			}
		default:
			return errSyntax
		}
	}
	from, to := c.args[1], c.args[2]
	if from == to {
		return Err("ERR source and destination objects are the same")
	}
	e := c.find(from)
	if e == nil {
		return integer(0)
	}
	if old := c.find(to); old != nil {
		if !replace {
			return integer(0)
		}
		c.del(to)
	}
	val, err := clone(e.val)
	if err != nil {
		return Err("ERR " + err.Error())
	}
	copied := c.put(to, val)
	if e.expire != 0 {
		c.setExpire(to, copied, e.expire)
	}
	return integer(1)
}

// each calls f for every key; all shards are locked.
func (c *call) each(f func(key string, e *entry)) {
	now := c.now()
	for i := range c.s.shards {
		for key, e := range c.s.shards[i].keys {
			if e.expire == 0 || e.expire > now {
				f(key, e)
			}
		}
	}
}

func flush(c *call) Reply {
	if len(c.args) > 2 || (len(c.args) == 2 && !is(c.args[1], "async") && !is(c.args[1], "sync")) {
		return errSyntax
	}
	for i := range c.s.shards {
		sh := &c.s.shards[i]
		for key, e := range sh.keys {
			c.s.drop(sh, key, e)
		}
		sh.keys, sh.expires = map[string]*entry{}, map[string]*entry{}
		sh.writes++
	}
	return ok
}

// scanOptions are those of the SCAN family.
type scanOptions struct {
	cursor  uint64
	count   int
	pattern *string // nil is every name
	kind    *string // nil is every type
}

// fits reports whether the pattern lets name pass.
func (o *scanOptions) fits(name string) bool { return o.pattern == nil || match(*o.pattern, name) }

// parseCursor reads a cursor as C's strtoul does: "" is 0, and -1 the last number of all.
func parseCursor(s string) (cursor uint64, bad *Reply) {
	if i := strings.IndexByte(s, 0); i >= 0 {
		s = s[:i]
	}
	digits := strings.TrimPrefix(s, "-")
	if digits == s {
		digits = strings.TrimPrefix(s, "+")
	}
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil || digits[0] == '+' {
		r := Err("ERR invalid cursor")
		return 0, &r
	}
	if s[0] == '-' {
		n = -n
	}
	return n, nil
}

// parseScan reads the options that stand behind the cursor args[at].
func parseScan(cursor uint64, args []string, at int, keys bool) (o scanOptions, bad *Reply) {
	fail := func(r Reply) (scanOptions, *Reply) { return o, &r }
	o.cursor, o.count = cursor, 10
	for i := at + 1; i < len(args); i += 2 {
		switch a := args[i]; {
		case i+1 >= len(args):
			return fail(errSyntax)
		case is(a, "count"):
			n, good := parseInt(args[i+1])
			if !good {
				return fail(errInt)
			}
			if n < 1 {
				return fail(errSyntax)
			}
			o.count = int(min(n, math.MaxInt32))
		case is(a, "match"):
			if o.pattern = &args[i+1]; *o.pattern == "*" {
				o.pattern = nil
			}
		case keys && is(a, "type"):
			o.kind = &args[i+1]
		default:
			return fail(errSyntax)
		}
	}
	return o, nil
}

// scan returns whole shards, so that keys which exist during the whole scan come up, whatever else changes: the cursor is
// the next shard.
func scan(c *call) Reply {
	cursor, bad := parseCursor(c.args[1])
	if bad != nil {
		return *bad
	}
	o, bad := parseScan(cursor, c.args, 1, true)
	if bad != nil {
		return *bad
	}
	now := c.now()
	list := []Reply{}
	seen, i := 0, o.cursor
	for ; i < shardCount && seen < o.count; i++ {
		for key, e := range c.s.shards[i].keys {
			seen++
			if (e.expire == 0 || e.expire > now) && o.fits(key) && (o.kind == nil || is(*o.kind, e.val.typeName())) {
				list = append(list, bulk(key))
			}
		}
	}
	if i >= shardCount {
		i = 0
	}
	return array([]Reply{bulk(strconv.FormatUint(i, 10)), array(list)})
}

// scanAll is the size up to which HSCAN, SSCAN and ZSCAN return everything at once.
const scanAll = 2048

// scanned picks the members of a scan's step. Above scanAll members they fall into classes by their hash, whose number stays
// the same during the scan: the cursor is the next class and, in its low 6 bits, the logarithm of their number.
func (c *call) scanned(o scanOptions, size int) (in func(member string) bool, next uint64) {
	logarithm, class := o.cursor&63, o.cursor>>6
	if o.cursor == 0 {
		for size>>logarithm > scanAll && logarithm < 40 {
			logarithm++
		}
	}
	classes := uint64(1) << logarithm
	if class+1 < classes {
		next = (class+1)<<6 | logarithm
	}
	return func(member string) bool {
		return (logarithm == 0 || maphash.String(c.s.seed, member)>>(64-logarithm) == class) && o.fits(member)
	}, next
}

// scanOf is HSCAN, SSCAN and ZSCAN: members appends to list what in takes.
func scanOf[T value](name string, size func(v T) int, members func(v T, in func(string) bool, list []Reply) []Reply) command {
	return read1(name, 3, -1, func(c *call) Reply {
		cursor, bad := parseCursor(c.args[2])
		if bad != nil {
			return *bad
		}
		v, e, bad := typed[T](c, c.args[1])
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
		in, next := c.scanned(o, size(v))
		return scanReply(next, members(v, in, nil))
	})
}

func scanReply(next uint64, list []Reply) Reply {
	return array([]Reply{bulk(strconv.FormatUint(next, 10)), array(slices.Clip(list))})
}

// match reports whether s matches Redis's glob pattern p: * ? [a-z] [^a] and \ before a character. As in Redis, only the
// empty pattern matches the empty string; who takes "*" for everything asks for that before.
func match(p, s string) bool {
	if s == "" {
		return p == ""
	}
	steps := 0
	return glob(p, s, &steps)
}

// globSteps bounds what a pattern with many stars may cost.
const globSteps = 1 << 20

func glob(p, s string, steps *int) bool {
	for p != "" {
		if *steps++; *steps > globSteps {
			return false
		}
		switch p[0] {
		case '*':
			for p != "" && p[0] == '*' {
				p = p[1:]
			}
			if p == "" {
				return true
			}
			for i := 0; i <= len(s); i++ {
				if glob(p, s[i:], steps) {
					return true
				}
				if *steps > globSteps {
					return false
				}
			}
			return false
		case '?':
			if s == "" {
				return false
			}
			p, s = p[1:], s[1:]
		case '[':
			if s == "" {
				return false
			}
			hit, rest := globClass(p[1:], s[0])
			if !hit {
				return false
			}
			p, s = rest, s[1:]
		default:
			if p[0] == '\\' && len(p) > 1 {
				p = p[1:]
			}
			if s == "" || s[0] != p[0] {
				return false
			}
			p, s = p[1:], s[1:]
		}
	}
	return s == ""
}

// globClass matches b with the class at the start of p, behind its bracket, and returns what follows the class.
func globClass(p string, b byte) (hit bool, rest string) {
	not := p != "" && p[0] == '^'
	if not {
		p = p[1:]
	}
	for p != "" && p[0] != ']' {
		switch {
		case p[0] == '\\' && len(p) >= 2:
			hit = hit || p[1] == b
			p = p[2:]
		case len(p) >= 3 && p[1] == '-':
			lo, hi := min(int8(p[0]), int8(p[2])), max(int8(p[0]), int8(p[2])) // C's char has a sign
			hit = hit || (lo <= int8(b) && int8(b) <= hi)
			p = p[3:]
		default:
			hit = hit || p[0] == b
			p = p[1:]
		}
	}
	if p != "" {
		p = p[1:]
	}
	return hit != not, p
}
