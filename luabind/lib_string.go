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

// stringLib is the string library of one interpreter: Lua 5.1's, byte by byte, with compiled patterns.
type stringLib struct {
	L        *lua.LState
	lim      *limits
	patterns *patterns
	buf      []byte
}

func openString(L *lua.LState, lim *limits) {
	lib := &stringLib{L: L, lim: lim, patterns: &patterns{cache: map[string]*pattern{}, m: matcher{lim: lim}}}
	t := L.CreateTable(0, 20)
	for name, fn := range map[string]lua.LGFunction{
		"byte": lib.byte, "char": lib.char, "find": lib.find, "format": lib.format, "gmatch": lib.gmatch, "gfind": lib.gmatch, "gsub": lib.gsub,
		"len": lib.len, "lower": lib.lower, "match": lib.match, "rep": lib.rep, "reverse": lib.reverse, "sub": lib.sub, "upper": lib.upper,
	} {
		t.RawSetString(name, L.NewFunction(fn))
	}
	t.RawSetString("dump", L.NewFunction(func(L *lua.LState) int { L.RaiseError("unable to dump given function"); return 0 }))
	L.SetGlobal("string", t)
	meta := L.NewTable()
	meta.RawSetString("__index", t)
	L.SetMetatable(lua.LString(""), meta)
}

// str returns argument n as a string; numbers are converted.
func str(L *lua.LState, n int) string {
	switch v := L.Get(n).(type) {
	case lua.LString:
		return string(v)
	case lua.LNumber:
		return formatNumber(float64(v))
	}
	got := "no value"
	if n <= L.GetTop() {
		got = L.Get(n).Type().String()
	}
	L.ArgError(n, "string expected, got "+got)
	return ""
}

// num returns argument n as a number; numeric strings are converted.
func num(L *lua.LState, n int) float64 {
	switch v := L.Get(n).(type) {
	case lua.LNumber:
		return float64(v)
	case lua.LString:
		if x, ok := parseNumber(string(v)); ok {
			return x
		}
	}
	got := "no value"
	if n <= L.GetTop() {
		got = L.Get(n).Type().String()
	}
	L.ArgError(n, "number expected, got "+got)
	return 0
}

func integer(L *lua.LState, n int) int {
	x := num(L, n)
	switch {
	case x >= math.MaxInt64:
		return math.MaxInt64
	case x <= math.MinInt64:
		return math.MinInt64
	case x != x:
		return 0
	}
	return int(x)
}

func optInteger(L *lua.LState, n, otherwise int) int {
	if L.Get(n) == lua.LNil {
		return otherwise
	}
	return integer(L, n)
}

// position turns a Lua index, which counts from 1 and from the end if negative, into 1..: below that it is 0.
func position(i, n int) int {
	if i >= 0 {
		return i
	}
	if -i > n {
		return 0
	}
	return n + i + 1
}

func (lib *stringLib) len(L *lua.LState) int {
	L.Push(lua.LNumber(len(str(L, 1))))
	return 1
}

func (lib *stringLib) sub(L *lua.LState) int {
	s := str(L, 1)
	from, to := position(integer(L, 2), len(s)), position(optInteger(L, 3, -1), len(s))
	from, to = max(from, 1), min(to, len(s))
	if from > to {
		L.Push(lua.LString(""))
	} else {
		L.Push(lua.LString(s[from-1 : to]))
	}
	return 1
}

func (lib *stringLib) byte(L *lua.LState) int {
	s := str(L, 1)
	from := position(optInteger(L, 2, 1), len(s))
	to := min(position(optInteger(L, 3, from), len(s)), len(s))
	from = max(from, 1)
	if to-from >= 100_000 {
		L.RaiseError("string slice too long")
	}
	for i := from; i <= to; i++ {
		L.Push(lua.LNumber(s[i-1]))
	}
	return max(0, to-from+1)
}

func (lib *stringLib) char(L *lua.LState) int {
	b := make([]byte, L.GetTop())
	for i := range b {
		n := integer(L, i+1)
		if n < 0 || n > 255 {
			L.ArgError(i+1, "invalid value")
		}
		b[i] = byte(n)
	}
	L.Push(lua.LString(b))
	return 1
}

func (lib *stringLib) lower(L *lua.LState) int { return lib.mapBytes(L, 'A', 'Z', 32) }
func (lib *stringLib) upper(L *lua.LState) int { return lib.mapBytes(L, 'a', 'z', -32) }

func (lib *stringLib) mapBytes(L *lua.LState, low, high byte, shift int) int {
	s := str(L, 1)
	i := 0
	for i < len(s) && (s[i] < low || s[i] > high) {
		i++
	}
	if i == len(s) {
		L.Push(lua.LString(s))
		return 1
	}
	b := []byte(s)
	for ; i < len(b); i++ {
		if b[i] >= low && b[i] <= high {
			b[i] = byte(int(b[i]) + shift)
		}
	}
	L.Push(lua.LString(b))
	return 1
}

func (lib *stringLib) reverse(L *lua.LState) int {
	s := str(L, 1)
	b := make([]byte, len(s))
	for i := range b {
		b[i] = s[len(s)-1-i]
	}
	L.Push(lua.LString(b))
	return 1
}

func (lib *stringLib) rep(L *lua.LState) int {
	s, n, sep := str(L, 1), integer(L, 2), ""
	if L.Get(3) != lua.LNil {
		sep = str(L, 3)
	}
	if n <= 0 || len(s)+len(sep) == 0 {
		L.Push(lua.LString(""))
		return 1
	}
	if n > maxString/(len(s)+len(sep)) {
		L.RaiseError("resulting string too large")
	}
	if sep == "" {
		L.Push(lua.LString(strings.Repeat(s, n)))
	} else {
		L.Push(lua.LString(strings.Repeat(s+sep, n-1) + s))
	}
	return 1
}

// matcher returns the interpreter's matcher, or another while a function called by gsub matches.
func (lib *stringLib) matcher() (m *matcher, release func()) {
	if lib.patterns.busy {
		return &matcher{lim: lib.lim}, func() {}
	}
	lib.patterns.busy = true
	return &lib.patterns.m, func() { lib.patterns.busy = false }
}

func (lib *stringLib) pattern(L *lua.LState, n int) *pattern {
	p, err := lib.patterns.compile(str(L, n))
	if err != nil {
		L.RaiseError("%s", err.Error())
	}
	return p
}

func (lib *stringLib) run(L *lua.LState, m *matcher, p *pattern, s string, init int) (start, end int) {
	start, end, err := lib.patterns.find(m, p, s, init)
	if err != nil {
		L.RaiseError("%s", err.Error())
	}
	return start, end
}

// push pushes capture n of a match; a pattern without captures has the whole match as its first.
func (m *matcher) push(L *lua.LState, n, start, end int) {
	if n >= m.p.captures {
		if n != 0 {
			L.RaiseError("%s", errCapture.Error())
		}
		L.Push(lua.LString(m.s[start:end]))
		return
	}
	switch c := m.caps[n]; c.end {
	case capturePosition:
		L.Push(lua.LNumber(c.start + 1))
	case captureOpen:
		L.RaiseError("unfinished capture")
	default:
		L.Push(lua.LString(m.s[c.start:c.end]))
	}
}

func (m *matcher) pushAll(L *lua.LState, start, end int, whole bool) int {
	n := m.p.captures
	if n == 0 && whole {
		n = 1
	}
	for i := range n {
		m.push(L, i, start, end)
	}
	return n
}

func (lib *stringLib) find(L *lua.LState) int {
	s := str(L, 1)
	init := max(position(optInteger(L, 3, 1), len(s))-1, 0)
	if init > len(s) {
		init = len(s) // as Lua 5.1 does
	}
	if lua.LVAsBool(L.Get(4)) {
		return lib.findPlain(L, s, str(L, 2), init)
	}
	p := lib.pattern(L, 2)
	if p.plain {
		return lib.findPlain(L, s, p.literal, init)
	}
	m := &lib.patterns.m
	start, end := lib.run(L, m, p, s, init)
	if start < 0 {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LNumber(start + 1))
	L.Push(lua.LNumber(end))
	return 2 + m.pushAll(L, start, end, false)
}

func (lib *stringLib) findPlain(L *lua.LState, s, part string, init int) int {
	i := strings.Index(s[init:], part)
	if i < 0 {
		L.Push(lua.LNil)
		return 1
	}
	L.Push(lua.LNumber(init + i + 1))
	L.Push(lua.LNumber(init + i + len(part)))
	return 2
}

func (lib *stringLib) match(L *lua.LState) int {
	s, p := str(L, 1), lib.pattern(L, 2)
	init := min(max(position(optInteger(L, 3, 1), len(s))-1, 0), len(s))
	m := &lib.patterns.m
	start, end := lib.run(L, m, p, s, init)
	if start < 0 {
		L.Push(lua.LNil)
		return 1
	}
	return m.pushAll(L, start, end, true)
}

func (lib *stringLib) gmatch(L *lua.LState) int {
	s, text := str(L, 1), str(L, 2)
	p := lib.pattern(L, 2)
	if strings.HasPrefix(text, "^") { // no anchor here: it stands for itself
		var err error
		if p, err = lib.patterns.compile("%" + text); err != nil {
			L.RaiseError("%s", err.Error())
		}
	}
	at := 0
	m := &matcher{lim: lib.lim}
	L.Push(L.NewFunction(func(L *lua.LState) int {
		if at > len(s) {
			return 0
		}
		start, end := lib.run(L, m, p, s, at)
		if start < 0 {
			at = len(s) + 1
			return 0
		}
		if at = end; start == end {
			at++
		}
		return m.pushAll(L, start, end, true)
	}))
	return 1
}

func (lib *stringLib) gsub(L *lua.LState) int {
	s, p := str(L, 1), lib.pattern(L, 2)
	repl := L.Get(3)
	switch repl.Type() {
	case lua.LTString, lua.LTNumber, lua.LTTable, lua.LTFunction:
	default:
		L.ArgError(3, "string/function/table expected")
	}
	most := optInteger(L, 4, len(s)+1)
	m, release := lib.matcher()
	defer release()
	var out []byte
	at, n := 0, 0
	for n < most {
		start, end := lib.run(L, m, p, s, at)
		if start < 0 {
			break
		}
		if out == nil {
			out = make([]byte, 0, len(s)+16)
		}
		n++
		out = append(out, s[at:start]...)
		out = lib.replacement(L, m, out, repl, start, end)
		if len(out) > maxString {
			L.RaiseError("resulting string too large")
		}
		if at = end; start == end {
			if end < len(s) {
				out = append(out, s[end])
			}
			at = end + 1
		}
		if at > len(s) || p.anchored {
			break
		}
	}
	if n == 0 {
		L.Push(lua.LString(s))
	} else {
		if at < len(s) {
			out = append(out, s[at:]...)
		}
		L.Push(lua.LString(out))
	}
	L.Push(lua.LNumber(n))
	return 2
}

// replacement appends what stands for a match.
func (lib *stringLib) replacement(L *lua.LState, m *matcher, out []byte, repl lua.LValue, start, end int) []byte {
	var v lua.LValue
	switch r := repl.(type) {
	case *lua.LTable:
		m.push(L, 0, start, end)
		k := L.Get(-1)
		L.Pop(1)
		v = L.GetTable(r, k)
	case *lua.LFunction:
		saved := *m
		L.Push(r)
		n := m.pushAll(L, start, end, true)
		L.Call(n, 1)
		*m = saved
		v = L.Get(-1)
		L.Pop(1)
	default:
		return lib.expand(L, m, out, lua.LVAsString(r), start, end)
	}
	switch v := v.(type) {
	case lua.LString:
		return append(out, v...)
	case lua.LNumber:
		return appendNumber(out, float64(v))
	case *lua.LNilType:
		return append(out, m.s[start:end]...)
	case lua.LBool:
		if !v {
			return append(out, m.s[start:end]...)
		}
	}
	L.RaiseError("invalid replacement value (a %s)", v.Type().String())
	return nil
}

// expand appends a replacement string with its %0 to %9.
func (lib *stringLib) expand(L *lua.LState, m *matcher, out []byte, r string, start, end int) []byte {
	for i := 0; i < len(r); i++ {
		if r[i] != '%' || i+1 == len(r) {
			if r[i] != '%' {
				out = append(out, r[i])
			}
			continue
		}
		i++
		switch c := r[i]; {
		case c == '0':
			out = append(out, m.s[start:end]...)
		case c >= '1' && c <= '9':
			m.push(L, int(c-'1'), start, end)
			out = append(out, lua.LVAsString(L.Get(-1))...)
			L.Pop(1)
		default:
			out = append(out, c)
		}
	}
	return out
}

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
		return quoteLua(out, str(L, arg))
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
