package luabind

import (
	"math"
	"strconv"
)

// appendNumber appends n as scripts print it and as JSON is written: integers with all their digits, everything else as
// C's %.14g, like Lua 5.1. Unlike Lua 5.1, integers from 1e15 up to 2^63 keep their digits too, so that a flow_id
// survives. Not a number and the infinities become nan, inf and -inf.
func appendNumber(dst []byte, n float64) []byte {
	if i := int64(n); float64(i) == n && (i != 0 || !math.Signbit(n)) && n < 1<<63 {
		return strconv.AppendInt(dst, i, 10)
	}
	switch {
	case n != n:
		return append(dst, "nan"...)
	case math.IsInf(n, 1):
		return append(dst, "inf"...)
	case math.IsInf(n, -1):
		return append(dst, "-inf"...)
	}
	return strconv.AppendFloat(dst, n, 'g', 14, 64)
}

func formatNumber(n float64) string {
	var buf [32]byte
	return string(appendNumber(buf[:0], n))
}
