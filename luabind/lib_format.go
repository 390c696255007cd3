package luabind

import (
	"bytes"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
)

// format is string.format as C's printf does it.
func (lib *stringLib) format(L *lua.LState) int {
	f := str(L, 1)
	out := lib.buf[:0]
	arg := 1
	for i := 0; i < len(f); i++ {
		if f[i] != '%' {
			out = append(out, f[i])
			continue
		}
		if i++; i >= len(f) {
			L.RaiseError("invalid option '%%' to 'format'")
		}
		if f[i] == '%' {
			out = append(out, '%')
			continue
		}
		start := i
		for i < len(f) && strings.IndexByte("-+ #0", f[i]) >= 0 {
			i++
		}
		flags := f[start:i]
		width, precision := -1, -1
		width, i = digitsOf(f, i)
		if i < len(f) && f[i] == '.' {
			if precision, i = digitsOf(f, i+1); precision < 0 {
				precision = 0
			}
		}
		if len(flags) > 5 || width > 99 || precision > 99 {
			L.RaiseError("invalid format (width or precision too long)")
		}
		if i >= len(f) {
			L.RaiseError("invalid option '%%%s' to 'format'", f[start:])
		}
		arg++
		out = lib.directive(L, out, f[i], f[start:i+1], flags, width, precision, arg)
	}
	lib.buf = out
	if cap(out) > 64<<10 {
		lib.buf = nil
	}
	L.Push(lua.LString(out))
	return 1
}

// digitsOf reads at most two digits at s[i:]; -1 if there are none.
func digitsOf(s string, i int) (n, next int) {
	n = -1
	for i < len(s) && s[i]-'0' <= 9 {
		n = max(n, 0)*10 + int(s[i]-'0')
		i++
		if n > 999 {
			break
		}
	}
	return n, i
}

func (lib *stringLib) directive(L *lua.LState, out []byte, verb byte, spec, flags string, width, precision, arg int) []byte {
	spec = "%" + strings.TrimRight(spec, string(verb))
	switch verb {
	case 'c':
		return pad(out, []byte{byte(integer(L, arg))}, flags, width)
	case 'd', 'i':
		if n := toInt64(num(L, arg)); n == 0 && precision == 0 {
			sign := ""
			if i := strings.IndexAny(flags, "+ "); i >= 0 {
				sign = flags[i : i+1]
			}
			return pad(out, []byte(sign), flags, width)
		}
		return append(out, fmt.Sprintf(dropZeroFlag(spec, flags, precision)+"d", toInt64(num(L, arg)))...)
	case 'u':
		return append(out, fmt.Sprintf(strings.NewReplacer("+", "", " ", "").Replace(dropZeroFlag(spec, flags, precision))+"d", uint64(toInt64(num(L, arg))))...)
	case 'x', 'X', 'o':
		if num(L, arg) == 0 && verb != 'o' {
			spec, flags = strings.ReplaceAll(spec, "#", ""), strings.ReplaceAll(flags, "#", "")
		}
		return append(out, fmt.Sprintf(strings.NewReplacer("+", "", " ", "").Replace(dropZeroFlag(spec, flags, precision))+string(verb), uint64(toInt64(num(L, arg))))...)
	case 'e', 'E', 'f', 'F', 'g', 'G', 'a', 'A':
		return lib.float(out, verb, flags, width, precision, num(L, arg))
	case 'q':
		s := str(L, arg)
		lib.lim.grow(L, 2*len(s), len(out)+2*len(s))
		return quoteLua(out, s)
	case 'p':
		return pad(out, pointerText(L.CheckAny(arg)), flags, width)
	case 's':
		if arg > L.GetTop() {
			L.ArgError(arg, "no value")
		}
		s := tostring(L, L.Get(arg))
		if precision >= 0 && precision < len(s) {
			s = s[:precision]
		}
		if len(s) > bigString {
			lib.lim.grow(L, len(s), len(out)+len(s))
		}
		return pad(out, []byte(s), flags, width)
	}
	L.RaiseError("invalid option '%s%c' to 'format'", spec, verb)
	return nil
}

// dropZeroFlag removes the flag 0 where C ignores it: with a precision or with -.
func dropZeroFlag(spec, flags string, precision int) string {
	if strings.Contains(flags, "0") && (precision >= 0 || strings.Contains(flags, "-")) {
		return "%" + strings.ReplaceAll(flags, "0", "") + spec[1+len(flags):]
	}
	return spec
}

// toInt64 converts as C's cast of a double to long long on x86 does.
func toInt64(n float64) int64 {
	if n != n || n >= 1<<63 && n < 1<<64 {
		if n == n {
			return int64(uint64(n))
		}
		return math.MinInt64
	}
	if n >= 1<<63 || n < -1<<63 {
		return math.MinInt64
	}
	return int64(n)
}

func (lib *stringLib) float(out []byte, verb byte, flags string, width, precision int, n float64) []byte {
	var s []byte
	neg := math.Signbit(n)
	upper := verb < 'a'
	prefix := 0 // bytes that zeros do not go before
	switch {
	case n != n:
		s = append(s, "nan"...)
	case math.IsInf(n, 0):
		s = append(s, "inf"...)
	case verb|0x20 == 'a':
		s, prefix = hexFloat(math.Abs(n), precision, strings.Contains(flags, "#")), 2
	default:
		if precision < 0 {
			precision = 6
		}
		s = cFloat(nil, math.Abs(n), verb|0x20, precision, strings.Contains(flags, "#"))
	}
	if upper {
		s = bytes.ToUpper(s)
	}
	sign := ""
	switch {
	case neg:
		sign = "-"
	case strings.Contains(flags, "+"):
		sign = "+"
	case strings.Contains(flags, " "):
		sign = " "
	}
	if strings.Contains(flags, "0") && !strings.Contains(flags, "-") && n == n && !math.IsInf(n, 0) {
		for len(s)+len(sign) < width {
			s = slices.Insert(s, prefix, '0')
		}
	}
	return pad(out, append([]byte(sign), s...), flags, width)
}

// hexFloat formats n >= 0 as C's %a: 0x1.8p+1.
func hexFloat(n float64, precision int, alternate bool) []byte {
	mantissa, exponent, _ := strings.Cut(strconv.FormatFloat(n, 'x', precision, 64), "p")
	if alternate && !strings.Contains(mantissa, ".") {
		mantissa += "."
	}
	digits := strings.TrimLeft(exponent[1:], "0")
	return []byte(mantissa + "p" + exponent[:1] + "0"[:max(0, 1-len(digits))] + digits)
}

// pointerText is the address that tostring shows.
func pointerText(v lua.LValue) []byte {
	switch v.(type) {
	case *lua.LTable, *lua.LFunction, *lua.LUserData, *lua.LState:
		return fmt.Appendf(nil, "%p", v)
	}
	return []byte("NULL")
}

// cFloat formats n >= 0 as LuaJIT does: as C, but ties are rounded up. verb is 'e', 'f' or 'g'.
func cFloat(dst []byte, n float64, verb byte, precision int, alternate bool) []byte {
	if verb == 'g' {
		precision = max(precision, 1)
		n = upAtTie(n, 'e', precision-1)
		if alternate {
			text := strconv.FormatFloat(n, 'e', precision-1, 64)
			exp, _ := strconv.Atoi(text[strings.IndexByte(text, 'e')+1:])
			if exp < -4 || exp >= precision {
				return withPoint(append(dst, text...))
			}
			return withPoint(strconv.AppendFloat(dst, n, 'f', precision-1-exp, 64))
		}
		return strconv.AppendFloat(dst, n, 'g', precision, 64)
	}
	dst = strconv.AppendFloat(dst, upAtTie(n, verb, precision), verb, precision, 64)
	if alternate {
		dst = withPoint(dst)
	}
	return dst
}

// upAtTie returns a slightly larger number if n lies exactly between two numbers with so many digits.
func upAtTie(n float64, verb byte, precision int) float64 {
	const more = 30
	text := strconv.FormatFloat(n, verb, precision+more, 64)
	if i := strings.IndexByte(text, 'e'); i >= 0 {
		text = text[:i]
	}
	if rest := text[len(text)-more:]; rest[0] == '5' && strings.Trim(rest[1:], "0") == "" {
		return math.Nextafter(n, math.Inf(1))
	}
	return n
}

// withPoint adds the point that the flag # asks for.
func withPoint(s []byte) []byte {
	if bytes.IndexByte(s, '.') >= 0 {
		return s
	}
	if i := bytes.IndexByte(s, 'e'); i >= 0 {
		return append(append(append([]byte{}, s[:i]...), '.'), s[i:]...)
	}
	return append(s, '.')
}

func pad(out, s []byte, flags string, width int) []byte {
	fill := width - len(s)
	if fill <= 0 {
		return append(out, s...)
	}
	if strings.Contains(flags, "-") {
		return append(append(out, s...), bytes.Repeat([]byte{' '}, fill)...)
	}
	return append(append(out, bytes.Repeat([]byte{' '}, fill)...), s...)
}

// quoteLua appends s so that Lua reads it back.
func quoteLua(out []byte, s string) []byte {
	out = append(out, '"')
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"' || c == '\\' || c == '\n':
			out = append(out, '\\', c)
		case c == 0 || c < ' ' || c == 0x7f:
			if i+1 < len(s) && s[i+1]-'0' <= 9 {
				out = append(out, fmt.Sprintf("\\%03d", c)...)
			} else {
				out = append(out, fmt.Sprintf("\\%d", c)...)
			}
		default:
			out = append(out, c)
		}
	}
	return append(out, '"')
}
