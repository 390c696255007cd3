package store

import (
	"math"
	"math/big"
	"math/bits"
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

// longDoubleMax is one more than the bytes that Redis reads as a long double.
const longDoubleMax = 5 << 10

// longDouble is Redis's arithmetic for INCRBYFLOAT: the 64-bit mantissa of x87, so that 0.1 + 0.2 is 0.3.
func longDouble(s string) (*big.Float, bool) {
	if s, good := cFloat(s); good && len(s) < longDoubleMax {
		low := strings.ToLower(s)
		if strings.Contains(low, "nan") {
			return nil, false
		}
		switch strings.TrimLeft(low, "+-") {
		case "inf", "infinity":
			return new(big.Float).SetInf(low[0] == '-'), true
		}
		base := 10
		switch {
		case strings.Contains(low, "0x"):
			base = 0
		case strings.Contains(low, "p"): // Go knows 1p3
			return nil, false
		}
		f, _, err := big.ParseFloat(s, base, 64, big.ToNearestEven)
		if err != nil || f.MantExp(nil) > 16384 || f.MantExp(nil) < -16444 || f.Sign() == 0 && nonzero(s) {
			return nil, false
		}
		return f, true
	}
	return nil, false
}

// addFloat adds two numbers as INCRBYFLOAT does. The result has at most 17 decimals.
func addFloat(a, b *big.Float) (string, bool) {
	if a.IsInf() || b.IsInf() {
		return "", false
	}
	sum := new(big.Float).SetPrec(64).Add(a, b)
	if sum.MantExp(nil) > 16384 {
		return "", false
	}
	s := sum.Text('f', 17)
	s = strings.TrimSuffix(strings.TrimRight(s, "0"), ".")
	if s == "-0" {
		s = "0"
	}
	return s, true
}

func incrByFloat(c *call) Reply {
	old, e, bad := c.stringAt(c.args[1])
	if bad != nil {
		return *bad
	}
	was := new(big.Float)
	var good bool
	if e != nil {
		if was, good = longDouble(old); !good {
			return errFloat
		}
	}
	by, good := longDouble(c.args[2])
	if !good {
		return errFloat
	}
	s, good := addFloat(was, by)
	if !good {
		return Err("ERR increment would produce NaN or Infinity")
	}
	c.setString(c.args[1], e, s)
	return bulk(s)
}

// expiryArg reads the number of EX, PX, EXAT, PXAT and returns the end in Unix milliseconds.
func (c *call) expiryArg(arg string, unit int64, absolute bool) (int64, *Reply) {
	n, good := parseInt(arg)
	if !good {
		return 0, &errInt
	}
	invalid := Err("ERR invalid expire time in '" + strings.ToLower(c.args[0]) + "' command")
	if n <= 0 || n > math.MaxInt64/unit {
		return 0, &invalid
	}
	n *= unit
	if !absolute {
		if n > math.MaxInt64-c.now() {
			return 0, &invalid
		}
		n += c.now()
	}
	return n, nil
}

// setFor is SETEX and PSETEX.
func (c *call) setFor(unit int64) Reply {
	at, bad := c.expiryArg(c.args[2], unit, false)
	if bad != nil {
		return *bad
	}
	e := c.put(c.args[1], &text{s: strings.Clone(c.args[3])})
	c.setExpire(c.args[1], e, at)
	return ok
}

// lifeOptions are those of SET and GETEX.
type lifeOptions struct {
	given, nx, xx, get, keep, persist bool
	arg                               string
	unit                              int64
	absolute                          bool
}

// option reads args[i] and returns how many arguments it took, 0 for an error.
func (o *lifeOptions) option(args []string, i int, isSet bool) int {
	switch a := args[i]; {
	case isSet && is(a, "nx") && !o.xx:
		o.nx = true
	case isSet && is(a, "xx") && !o.nx:
		o.xx = true
	case isSet && is(a, "get"):
		o.get = true
	case isSet && is(a, "keepttl") && !o.given:
		o.keep = true
	case !isSet && is(a, "persist") && !o.given:
		o.persist = true
	default:
		unit, absolute := int64(1000), false
		switch {
		case is(a, "ex"):
		case is(a, "px"):
			unit = 1
		case is(a, "exat"):
			absolute = true
		case is(a, "pxat"):
			unit, absolute = 1, true
		default:
			return 0
		}
		another := o.given && (o.unit != unit || o.absolute != absolute) // the same may come twice
		if another || o.keep || o.persist || i+1 >= len(args) {
			return 0
		}
		o.given, o.arg, o.unit, o.absolute = true, args[i+1], unit, absolute
		return 2
	}
	return 1
}

func set(c *call) Reply {
	var o lifeOptions
	for i := 3; i < len(c.args); {
		n := o.option(c.args, i, true)
		if n == 0 {
			return errSyntax
		}
		i += n
	}
	var at int64
	if o.given {
		var bad *Reply
		if at, bad = c.expiryArg(o.arg, o.unit, o.absolute); bad != nil {
			return *bad
		}
	}
	key := c.args[1]
	e := c.find(key)
	answer := ok
	if o.get {
		s, old, bad := c.stringAt(key)
		if bad != nil {
			return *bad
		}
		if answer = nilReply; old != nil {
			answer = bulk(s)
		}
	}
	if (o.nx && e != nil) || (o.xx && e == nil) {
		if o.get {
			return answer
		}
		return nilReply
	}
	var keep int64
	if e != nil && o.keep {
		keep = e.expire
	}
	if t, isText := valueOf(e).(*text); isText && keep == 0 && at == 0 && e.expire == 0 {
		*t = text{s: strings.Clone(c.args[2])}
		c.changed(e)
		return answer
	}
	e = c.put(key, &text{s: strings.Clone(c.args[2])})
	if at+keep != 0 {
		c.setExpire(key, e, at+keep)
	}
	return answer
}

func valueOf(e *entry) value {
	if e == nil {
		return nil
	}
	return e.val
}

func getex(c *call) Reply {
	var o lifeOptions
	for i := 2; i < len(c.args); {
		n := o.option(c.args, i, false)
		if n == 0 {
			return errSyntax
		}
		i += n
	}
	s, e, bad := c.stringAt(c.args[1])
	if bad != nil {
		return *bad
	}
	if e == nil {
		return nilReply
	}
	if o.given {
		at, bad := c.expiryArg(o.arg, o.unit, o.absolute)
		if bad != nil {
			return *bad
		}
		if at <= c.now() {
			c.del(c.args[1])
		} else {
			c.setExpire(c.args[1], e, at)
		}
	} else if o.persist && e.expire != 0 {
		c.setExpire(c.args[1], e, 0)
	}
	return bulk(s)
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

func bitOffset(s string) (int64, bool) {
	n, good := parseInt(s)
	return n, good && n >= 0 && n>>3 < maxString
}

func setBit(c *call) Reply {
	at, good := bitOffset(c.args[2])
	if !good {
		return Err("ERR bit offset is not an integer or out of range")
	}
	if c.args[3] != "0" && c.args[3] != "1" {
		return Err("ERR bit is not an integer or out of range")
	}
	s, e, bad := c.stringAt(c.args[1])
	if bad != nil {
		return *bad
	}
	b := make([]byte, max(len(s), int(at>>3)+1))
	copy(b, s)
	mask := byte(1) << (7 - at&7)
	old := b[at>>3]
	b[at>>3] &^= mask
	if c.args[3] == "1" {
		b[at>>3] |= mask
	}
	if len(b) > len(s) || b[at>>3] != old {
		c.setString(c.args[1], e, string(b))
	}
	return boolean(old&mask != 0)
}

func bitCount(c *call) Reply {
	s, e, bad := c.stringAt(c.args[1])
	if bad != nil {
		return *bad
	}
	if e == nil {
		return integer(0)
	}
	if len(c.args) == 3 || len(c.args) > 5 {
		return errSyntax
	}
	var from, to int64 = 0, -1
	byBit := false
	if len(c.args) >= 4 {
		var good1, good2 bool
		from, good1 = parseInt(c.args[2])
		to, good2 = parseInt(c.args[3])
		if !good1 || !good2 {
			return errInt
		}
		if from < 0 && to < 0 && from > to {
			return integer(0) // before the unit is looked at, as in Redis
		}
		if len(c.args) == 5 {
			switch {
			case is(c.args[4], "bit"):
				byBit = true
			case !is(c.args[4], "byte"):
				return errSyntax
			}
		}
	}
	n := len(s)
	if byBit {
		n *= 8
	}
	if to < 0 {
		to = max(to+int64(n), 0)
	}
	i, j := span(from, to, n)
	count := 0
	if !byBit {
		for k := i; k < j; k++ {
			count += bits.OnesCount8(s[k])
		}
		return integer(int64(count))
	}
	for k := i; k < j; {
		if k&7 == 0 && k+8 <= j {
			count += bits.OnesCount8(s[k>>3])
			k += 8
			continue
		}
		count += int(s[k>>3] >> (7 - k&7) & 1)
		k++
	}
	return integer(int64(count))
}
