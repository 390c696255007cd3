package luabind

import (
	"encoding/json"
	"math"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

// fuzzLab is a lab for fuzzing: what a call costs is bounded by stop.
func fuzzLab(f *testing.F) (l *lab, call func(t *testing.T, library, name string, args ...lua.LValue) ([]lua.LValue, error)) {
	l = &lab{views: newViews(lua.NewState(lua.Options{SkipOpenLibs: true, CallStackSize: 16 << 10, RegistryMaxSize: 1 << 20})), t: f}
	f.Cleanup(l.L.Close)
	lim := &limits{}
	lim.timeout.Store(int64(time.Second))
	dog := newWatchdog()
	dog.add(lim)
	f.Cleanup(dog.close)
	openLibs(l.L, lim, nil)
	l.open()
	for _, m := range cjsonModules(l.views) {
		m.install(l.L)
	}
	return l, func(t *testing.T, library, name string, args ...lua.LValue) ([]lua.LValue, error) {
		t.Helper()
		lim.begin()
		defer lim.end()
		defer l.L.SetTop(0)
		l.L.SetTop(0)
		fn := l.L.GetField(l.L.GetGlobal(library), name)
		if err := l.L.CallByParam(lua.P{Fn: fn, NRet: lua.MultRet, Protect: true}, args...); err != nil {
			if text := err.Error(); strings.Contains(text, "runtime error") || strings.Contains(text, "BUG") || strings.Contains(text, "goroutine ") {
				t.Fatalf("%s.%s(%v): %v", library, name, args, err) // gopher-lua turns panics into errors
			}
			return nil, err
		}
		var results []lua.LValue
		for i := 1; i <= l.L.GetTop(); i++ {
			results = append(results, l.L.Get(i))
		}
		return results, nil
	}
}

// FuzzCJSON: what is JSON decodes to what encoding/json reads, through cjson and through a view, and encodes to it again.
func FuzzCJSON(f *testing.F) {
	for _, c := range jsonCases(f) {
		if len(c.text) < 40 {
			f.Add(c.text)
		}
	}
	l, call := fuzzLab(f)
	f.Add(strings.Repeat("9", 310))
	f.Fuzz(func(t *testing.T, text string) {
		err := lazyjson.Validate(text)
		r, _ := call(t, "cjson_safe", "decode", lua.LString(text))
		if err == nil && len(r) != 1 {
			t.Fatalf("%q is JSON: got %v", text, r)
		}
		if len(r) != 1 {
			if len(r) != 2 || r[0] != lua.LNil || r[1].String() == "" {
				t.Fatalf("%q: got %v", text, r)
			}
			return
		}
		first, _, encodeErr := l.encode(r[0], false)
		if encodeErr != nil {
			if !strings.Contains(encodeErr.Error(), "NaN or Inf") {
				t.Fatalf("%q: %v", text, encodeErr)
			}
			return
		}
		again, _ := call(t, "cjson_safe", "decode", lua.LString(first))
		if len(again) != 1 {
			t.Fatalf("%q became %q: got %v", text, first, again)
		}
		var one, two any
		second, _, secondErr := l.encode(again[0], false)
		readable := json.Unmarshal([]byte(first), &one) == nil && json.Unmarshal([]byte(second), &two) == nil // no number beyond float64
		if secondErr != nil || second != first && readable && !nearJSON(one, two) {
			t.Fatalf("%q became %q, then %q, %v", text, first, second, secondErr)
		}
		if err != nil {
			return // only lua-cjson reads it
		}
		var want, got any
		if json.Unmarshal([]byte(text), &want) != nil {
			return // a number beyond float64
		}
		if err := json.Unmarshal([]byte(first), &got); err != nil || !nearJSON(got, want) {
			t.Fatalf("%q became %q, %v", text, first, err)
		}
		view, _ := call(t, "json", "decode", lua.LString(text))
		if len(view) != 1 {
			t.Fatalf("%q is JSON: json.decode returns %v", text, view)
		}
		isObject := strings.HasPrefix(strings.TrimLeft(text, " \t\r\n"), "{")
		if body, _, err := l.encode(view[0], false); err != nil || isObject && body != text {
			t.Fatalf("%q: the view that nobody touched became %q, %v", text, body, err)
		}
	})
}

// nearJSON compares values as encoding/json reads them; numbers that are not whole keep 14 digits, {} and [] may be the
// same in Lua.
func nearJSON(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && (a == b || math.Abs(a-b) <= 1e-13*math.Abs(b))
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if w, ok := b[k]; !ok || !nearJSON(v, w) {
				return false
			}
		}
		return true
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !nearJSON(a[i], b[i]) {
				return false
			}
		}
		return true
	}
	return a == b
}

// FuzzPattern: find, match, gmatch and gsub agree on where a pattern is, and on whether it is one.
func FuzzPattern(f *testing.F) {
	for _, s := range [][2]string{{"key = value", `^(%w+)%s*=%s*(%w*)$`}, {"a(b(c)d)e", "%b()"}, {"THE (quick) fox", "%f[%a]%a+%f[%A]"}, {"aaaaaaaaaaaaaaaaaaaaaaaa", "a*a*a*a*b"},
		{"x", "[]"}, {"x", "[^]x]"}, {"x", "%"}, {"x", "(()"}, {"x", "[a-"}, {"abab", "(ab)%1"}, {"\x00\xff", "[%z\xff]+"}, {"", "-*+?"}, {"ab", "()b()"}, {"x", "%f"}, {"]", "[]]"}, {"a", "[%a-z]"}} {
		f.Add(s[0], s[1], 1)
	}
	_, call := fuzzLab(f)
	f.Fuzz(func(t *testing.T, s, pattern string, init int) {
		if len(s) > 200 || len(pattern) > 100 || strings.Count(pattern, "-")+strings.Count(pattern, "*")+strings.Count(pattern, "+")+strings.Count(pattern, "?") > 6 {
			return // may take until it is stopped
		}
		subject, p, from := lua.LString(s), lua.LString(pattern), lua.LNumber(init)
		found, findErr := call(t, "string", "find", subject, p, from)
		matched, matchErr := call(t, "string", "match", subject, p, from)
		if (findErr == nil) != (matchErr == nil) {
			t.Fatalf("%q in %q: find %v, match %v", pattern, s, findErr, matchErr)
		}
		if findErr != nil {
			return
		}
		if (found[0] == lua.LNil) != (matched[0] == lua.LNil) {
			t.Fatalf("%q in %q from %d: find %v, match %v", pattern, s, init, found, matched)
		}
		if found[0] != lua.LNil {
			start, end := int(found[0].(lua.LNumber)), int(found[1].(lua.LNumber))
			if start < 1 || end < start-1 || end > len(s) {
				t.Fatalf("%q in %q: found at %d to %d", pattern, s, start, end)
			}
			if len(found) == 2 && matched[0].String() != s[start-1:end] || len(found) > 2 && len(found)-2 != len(matched) {
				t.Fatalf("%q in %q: find %v, match %v", pattern, s, found, matched)
			}
		}
		same, err := call(t, "string", "gsub", subject, p, lua.LString("%0"))
		if err == nil && same[0].String() != s {
			t.Fatalf("%q in %q: replaced by itself gives %q", pattern, s, same[0])
		}
	})
}

// FuzzFormat: string.format fails or returns a text of bounded length, and quotes so that Lua reads it again.
func FuzzFormat(f *testing.F) {
	for _, s := range []string{"%d %5.2f %s", "%99.99f", "%-+ #0x%%", "%q", "%c%i%u%o%X%e%E%g%G%a", "%100d", "%.100f", "%", "%5", "%.", "%z", "%ll", "%p", "%-+ #0-+ #0d", "%.0d", "%+.0u"} {
		f.Add(s, "text\x00\n\"\\\r", 1.5)
	}
	l, call := fuzzLab(f)
	f.Fuzz(func(t *testing.T, format, text string, n float64) {
		for _, args := range [][]lua.LValue{{lua.LNumber(n), lua.LNumber(n), lua.LString(text)}, {lua.LString(text), lua.LNumber(-n)}, {}} {
			r, err := call(t, "string", "format", append([]lua.LValue{lua.LString(format)}, args...)...)
			if err == nil && (len(r) != 1 || len(r[0].String()) > (len(format)+1)*(512+8*len(text))) {
				t.Fatalf("%q of %q and %v: %d results", format, text, n, len(r))
			}
		}
		r, err := call(t, "string", "format", lua.LString("%q"), lua.LString(text))
		if err != nil {
			t.Fatal(err)
		}
		c, err := compileScript("q.lua", "return "+r[0].String())
		if err != nil {
			t.Fatalf("%q quoted is %q: %v", text, r[0], err)
		}
		l.L.Push(c.function(l.L))
		if err := l.L.PCall(0, 1, nil); err != nil || l.L.Get(-1) != lua.LString(text) {
			t.Fatalf("%q quoted is %q, which is %q, %v", text, r[0], l.L.Get(-1), err)
		}
	})
}

// FuzzDate: os.date takes any format and time; os.time is the way back.
func FuzzDate(f *testing.F) {
	for _, s := range []string{"%c", "!%Y-%m-%dT%H:%M:%S%z", "*t", "!*t", "%", "%E", "%Ey%Od%O", "%+%J%\xff%%", "%a%A%b%B%C%D%e%F%g%G%h%I%j%k%l%n%p%r%R%s%t%T%u%U%V%w%W%x%X%y%Z"} {
		f.Add(s, 1598023201.5)
	}
	_, call := fuzzLab(f)
	f.Fuzz(func(t *testing.T, format string, at float64) {
		r, err := call(t, "os", "date", lua.LString(format), lua.LNumber(at))
		if err == nil && (len(r) != 1 || len(r[0].String()) > 64*(len(format)+2)) {
			t.Fatalf("%q at %v: got %v", format, at, r)
		}
		if at = math.Trunc(at); math.Abs(at) > 1e11 || math.IsNaN(at) {
			return
		}
		table, err := call(t, "os", "date", lua.LString("*t"), lua.LNumber(at))
		if err != nil {
			t.Fatal(err)
		}
		if back, err := call(t, "os", "time", table[0]); err != nil || float64(back[0].(lua.LNumber)) != at {
			t.Fatalf("%v became %v, %v", at, back, err)
		}
	})
}

// FuzzAddress: addresses and prefixes are those of net/netip, and masks; what they print they read again.
func FuzzAddress(f *testing.F) {
	for _, s := range []string{"10.0.0.1", "::ffff:10.0.0.1", "fe80::1%eth0", "10.0.0.0/8", "10.0.0.0/255.0.0.0", "fd00::/8", "::ffff:10.0.0.0/104", "10.0.0.0/255.0.255.0", "1.2.3.4/", "/8", "1.2.3.4/08", "::1/129"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ip, ok := parseAddress(text)
		want, err := netip.ParseAddr(text)
		if ok != (err == nil && len(text) <= maxAddress) || ok && ip != want.Unmap().WithZone("") {
			t.Fatalf("%q: got %v, %v; net/netip says %v, %v", text, ip, ok, want, err)
		}
		p, ok := parsePrefix(text)
		if q, err := netip.ParsePrefix(text); err == nil && (!ok || !q.Addr().Is4In6() && p != q.Masked()) {
			t.Fatalf("%q: got %v, %v, want %v", text, p, ok, q)
		}
		if ok {
			if again, ok := parsePrefix(p.String()); !ok || again != p || p != p.Masked() {
				t.Fatalf("%q is %v, which reads as %v", text, p, again)
			}
		}
		if a, b, ok := parseRange(text, text); ok && (a != b || !a.IsValid()) {
			t.Fatalf("%q: a range from %v to %v", text, a, b)
		}
	})
}

// FuzzOption: a quantity in config.lua is refused with a sentence or within the option's range.
func FuzzOption(f *testing.F) {
	for _, s := range []string{"16MiB", "250ms", "1h", "12", "-1", "1e400", "nan", "inf", "-inf", "0x10", "1_0", "1.5k", "99999999999T", "1e300", " 7 ", "", "k", "9223372036854775808", "2562048h"} {
		f.Add(s)
	}
	c := &config{}
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, "$") {
			return // a variable
		}
		for _, o := range []engine.Option{{Type: engine.Int}, {Type: engine.Bytes}, {Type: engine.Duration}, {Type: engine.Number}, {Type: engine.Bytes, Min: 64, Max: 1 << 30}, {Type: engine.Duration, Min: 1, Max: 3600}} {
			got, want := c.quantity(&o, lua.LString(text))
			if (got == nil) == (want == "") {
				t.Fatalf("%q: got %v and %q", text, got, want)
			}
			n, text := 0.0, text
			switch got := got.(type) {
			case nil:
				continue
			case int64:
				n = float64(got)
			case time.Duration:
				n = got.Seconds()
			case float64:
				n = got
			}
			if n < 0 || n < o.Min || o.Max > 0 && n > o.Max || math.IsInf(n, 0) || n != n {
				t.Fatalf("%q: type %v: got %v", text, o.Type, got)
			}
		}
	})
}

// FuzzRequire: no name leads out of ROOT.
func FuzzRequire(f *testing.F) {
	for _, s := range []string{"lib", "../secret", "a/../../secret", "/secret", "./lib.lua", "..", "", "\x00", "analyzers/../lib", "link", "....//secret", "a.b.c", "link/../../secret"} {
		f.Add(s)
	}
	dir := f.TempDir()
	root := filepath.Join(dir, "root")
	os.MkdirAll(filepath.Join(root, "a", "b"), 0o755)
	os.WriteFile(filepath.Join(dir, "secret.lua"), []byte("return 'outside'"), 0o644)
	os.WriteFile(filepath.Join(root, "lib.lua"), []byte("return 'inside'"), 0o644)
	os.Symlink("../secret.lua", filepath.Join(root, "link.lua"))
	os.Symlink("..", filepath.Join(root, "up"))
	f.Add("up/secret")
	loader, err := NewLoader(root, Options{})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { loader.Close() })
	l, _ := fuzzLab(f)
	f.Fuzz(func(t *testing.T, name string) {
		c, err := loader.find(name)
		if (c == nil) == (err == nil) {
			t.Fatalf("%q: got %v and %v", name, c, err)
		}
		if err != nil {
			return
		}
		defer l.L.SetTop(0)
		l.L.Push(c.function(l.L))
		if err := l.L.PCall(0, 1, nil); err != nil || l.L.Get(-1) != lua.LString("inside") {
			t.Fatalf("%q: got %v, %v", name, l.L.Get(-1), err)
		}
	})
}

// FuzzExample: the header of a script is read, or refused with the line; what is read is JSON.
func FuzzExample(f *testing.F) {
	f.Add("-- Sentence.\n-- Takes: x\n-- Example config:\n-- a = \"b\"\n-- Example input:\n-- {\"a\":\\\n--  1}\n-- Example output:\n-- out {\"a\":1}\n-- {}\nlocal x")
	f.Add("-- Example input:\n-- {\n")
	f.Add("-- example output:\n--\\\n--\\")
	f.Fuzz(func(t *testing.T, source string) {
		ex, ok, err := ParseExample(source)
		if err != nil && (!ok || !strings.HasPrefix(err.Error(), "line ")) {
			t.Fatalf("%q: %v, %v", source, ok, err)
		}
		for _, in := range ex.Input {
			if !json.Valid([]byte(in)) {
				t.Fatalf("%q: input %q", source, in)
			}
		}
		for _, out := range ex.Output {
			if !json.Valid([]byte(out.JSON)) || out.Line < 1 || out.Line > strings.Count(source, "\n")+1 {
				t.Fatalf("%q: output %+v", source, out)
			}
		}
	})
}

// FuzzSource: rewriting what LuaJIT reads keeps the lines, and what was rewritten stays as it is.
func FuzzSource(f *testing.F) {
	for _, s := range []string{`x = "\x41\u{20ac}\z  y" .. 0x1p4`, "local f = function() end", "--[==[\n]]\n]==] a = 0b101", "'\\\n' [[\n]] 007 .5 1..2", "\"", "[=", "\\z", "'\\u{110000}'", "0x", "1e+"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		got, err := standardSource("a.lua", source)
		if err != nil {
			return
		}
		if g, w := strings.Count(got, "\n"), strings.Count(source, "\n"); g > w {
			t.Fatalf("%q became %q: %d lines, want %d", source, got, g, w)
		}
		if _, err := compileScript("a.lua", source); err != nil {
			return // no Lua
		}
		again, err := standardSource("a.lua", got)
		if err != nil {
			t.Fatalf("%q became %q: %v", source, got, err)
		}
		if strings.ReplaceAll(again, "nil or function", "function") != strings.ReplaceAll(got, "nil or function", "function") {
			t.Fatalf("%q became %q, then %q", source, got, again)
		}
	})
}
