package store

import (
	"math"
	"strings"
)

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
