package store

import (
	"math/big"
	"strings"
)

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
