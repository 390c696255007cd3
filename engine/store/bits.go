package store

import "math/bits"

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
