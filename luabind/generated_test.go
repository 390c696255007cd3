package luabind

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// generator writes random Lua programs that end and use every kind of statement, with yields in all places where LuaJIT
// allows them. Values are small integers, strings and booleans, so that a program fails only where it says so.
type generator struct {
	rng    *rand.Rand
	b      strings.Builder
	scope  []variable
	depth  int
	names  int
	vararg bool // ... may be used
	loops  int  // loops around this statement in its function
}

type variable struct {
	name string
	kind byte // n number, s string, b boolean, t array of three numbers, f function of two numbers to a number, o object
}

func (g *generator) pick(list ...string) string { return list[g.rng.IntN(len(list))] }

func (g *generator) line(format string, args ...any) {
	g.b.WriteString(strings.Repeat(" ", g.depth))
	fmt.Fprintf(&g.b, format+"\n", args...)
}

func (g *generator) declare(kind byte) string {
	g.names++
	name := string(kind) + strconv.Itoa(g.names)
	if g.rng.IntN(8) == 0 && len(g.scope) > 0 { // shadow
		if v := g.scope[g.rng.IntN(len(g.scope))]; v.kind == kind {
			return v.name
		}
	}
	return name
}

func (g *generator) add(name string, kind byte) { g.scope = append(g.scope, variable{name, kind}) }

// known returns a variable of the kind that is not shadowed by one of another kind.
func (g *generator) known(kind byte) (string, bool) {
	var list []string
	for _, v := range g.scope {
		if v.kind == kind {
			list = append(list, v.name)
		}
	}
	if len(list) == 0 {
		return "", false
	}
	return list[g.rng.IntN(len(list))], true
}

func (g *generator) call(deep int) string {
	f, ok := g.known('f')
	if !ok {
		return "f0(" + g.num(deep) + ", " + g.num(deep) + ")"
	}
	return f + "(" + g.num(deep) + ", " + g.num(deep) + ")"
}

func (g *generator) num(deep int) string {
	if deep <= 0 {
		if n, ok := g.known('n'); ok && g.rng.IntN(3) > 0 {
			return n
		}
		return strconv.Itoa(g.rng.IntN(20))
	}
	deep--
	switch g.rng.IntN(17) {
	case 0:
		return "(" + g.num(deep) + " + " + g.num(deep) + ")"
	case 1:
		return "(" + g.num(deep) + " - " + g.num(deep) + ") % 1000"
	case 2:
		return g.num(deep) + " * " + g.num(deep) + " % 97"
	case 3:
		return "#" + g.atom(g.text(deep))
	case 4, 5:
		return "yield(" + g.num(deep) + ")"
	case 6:
		return g.call(deep)
	case 7:
		if t, ok := g.known('t'); ok {
			return t + "[" + g.num(deep) + " % 3 + 1]"
		}
		return "({" + g.num(deep) + ", " + g.num(deep) + "})[" + g.pick("1", "2") + "]"
	case 8:
		return "(" + g.cond(deep) + " and " + g.num(deep) + " or " + g.num(deep) + ")"
	case 9:
		if o, ok := g.known('o'); ok {
			return o + ":m(" + g.num(deep) + ")"
		}
		return "select('#', " + g.num(deep) + ", " + g.text(deep) + ")"
	case 10:
		if g.vararg {
			return g.pick("select('#', ...)", "(select(1, "+g.num(deep)+", ...))", "#{...}")
		}
		return "tonumber(" + g.num(deep) + " .. '')"
	case 11:
		return "(function(a, ...) return " + g.pick("...", "a + ...", "(...)", "#{a, ...}") + " end)(" + g.num(deep) + ", " + g.num(deep) + ")"
	case 12:
		return "select(2, pcall(f0, " + g.num(deep) + ", " + g.num(deep) + "))"
	case 13:
		return "#{" + g.num(deep) + ", " + g.num(deep) + ", " + g.pick("yield(1, 2)", "f0(1, 2)", "7") + "}"
	case 14:
		return "math.max(" + g.num(deep) + ", " + g.num(deep) + ")"
	case 15:
		if o, ok := g.known('o'); ok {
			return g.pick(o+".missing", "("+o+" + "+g.num(deep)+")", o+"("+g.num(deep)+")", o+".n")
		}
	}
	return g.num(0)
}

func (g *generator) atom(s string) string { return "(" + s + ")" }

func (g *generator) text(deep int) string {
	if deep <= 0 {
		if s, ok := g.known('s'); ok && g.rng.IntN(3) > 0 {
			return s
		}
		return g.pick(`"a"`, `"bc"`, `""`, `"x y"`)
	}
	deep--
	switch g.rng.IntN(8) {
	case 0, 1:
		return g.text(deep) + " .. " + g.atom(g.num(deep)) + " .. " + g.text(deep)
	case 2:
		return "tostring(" + g.num(deep) + ")"
	case 3:
		return "table.concat({" + g.num(deep) + ", " + g.text(deep) + ", " + g.num(deep) + "}, ',')"
	case 4:
		return g.atom(g.text(deep)) + ":" + g.pick("upper()", "sub(1, 9)", "rep(1)", "sub("+g.num(deep)+")")
	case 5:
		return "(" + g.cond(deep) + " and " + g.text(deep) + " or " + g.text(deep) + ")"
	case 6:
		return "('a' .. yield(" + g.num(deep) + "))"
	}
	return g.text(0)
}

func (g *generator) cond(deep int) string {
	if deep <= 0 {
		if b, ok := g.known('b'); ok {
			return b
		}
		return g.pick("true", "false")
	}
	deep--
	switch g.rng.IntN(7) {
	case 0:
		return "not " + g.atom(g.cond(deep))
	case 1:
		return "(" + g.cond(deep) + " and " + g.cond(deep) + ")"
	case 2:
		return "(" + g.cond(deep) + " or " + g.cond(deep) + ")"
	case 3:
		return "(" + g.text(deep) + ") == (" + g.text(deep) + ")"
	case 4:
		return "(pcall(f0, " + g.num(deep) + ", 1))"
	}
	return "(" + g.num(deep) + ") " + g.pick("<", "<=", ">", "==", "~=") + " (" + g.num(deep) + ")"
}

func (g *generator) value(kind byte, deep int) string {
	switch kind {
	case 'n':
		return g.num(deep)
	case 's':
		return "(" + g.text(deep) + "):sub(1, 40)"
	default:
		return g.cond(deep)
	}
}

// block writes statements in a scope of their own.
func (g *generator) block(statements int) {
	g.depth++
	scope := len(g.scope)
	for range statements {
		g.statement()
	}
	g.scope = g.scope[:scope]
	g.depth--
}

// body writes a function's statements and its last return.
func (g *generator) body(params []variable, vararg bool, result string) {
	scope, va, loops := g.scope, g.vararg, g.loops
	g.scope = append(g.scope[:len(g.scope):len(g.scope)], params...)
	g.vararg, g.loops = vararg, 0
	g.depth++
	for range 1 + g.rng.IntN(3) {
		g.statement()
	}
	if result == "" {
		result = g.num(2)
	}
	g.line("return %s", result)
	g.depth--
	g.scope, g.vararg, g.loops = scope, va, loops
}

func (g *generator) statement() {
	if g.b.Len() > 3000 {
		g.line("out(%s)", g.num(1))
		return
	}
	small := g.depth > 4
	switch n := g.rng.IntN(26); {
	case n < 3:
		kind := "nsb"[g.rng.IntN(3)]
		e := g.value(kind, 3)
		name := g.declare(kind)
		g.line("local %s = %s", name, e)
		g.add(name, kind)
	case n == 3:
		a, b := g.num(2), g.num(2)
		x, y := g.declare('n'), g.declare('n')
		g.line("local %s, %s = %s", x, y, g.pick(a+", "+b, a+", yield("+b+")", "two("+a+", "+b+")"))
		g.add(x, 'n')
		g.add(y, 'n')
	case n < 7:
		kind := "nsb"[g.rng.IntN(3)]
		if v, ok := g.known(kind); ok {
			e := g.value(kind, 3)
			if g.rng.IntN(2) == 0 {
				e = g.pick(v+" and "+e, e)
			}
			if kind == 's' {
				e = g.pick(e, v+" .. "+g.num(1)+" % 7", "("+v+":sub(1, 9))")
			}
			if kind == 'n' {
				e = g.pick(e, "(f0("+v+", "+v+"))", "f0("+v+", "+v+")")
			}
			g.line("%s = %s", v, e)
		}
	case n == 7:
		a, ok1 := g.known('n')
		b, ok2 := g.known('n')
		if ok1 && ok2 && a != b {
			g.line("%s, %s = %s", a, b, g.pick(b+", "+a, "two("+b+", "+a+")", "f0("+b+", "+a+"), "+a, g.num(2)+", "+g.num(2), "yield("+a+"), "+b))
		}
	case n == 8:
		e := "{" + g.num(2) + ", " + g.num(2) + ", " + g.num(2) + "}"
		if g.rng.IntN(3) == 0 {
			e = "{" + g.num(2) + ", two(" + g.num(1) + ", " + g.num(1) + ")}"
		}
		t := g.declare('t')
		g.line("local %s = %s", t, e)
		g.add(t, 't')
	case n == 9:
		if t, ok := g.known('t'); ok {
			k := g.num(1) + " % 3 + 1"
			if v, ok := g.known('n'); ok && g.rng.IntN(2) == 0 {
				g.line("%s, %s[%s] = %s, %s", v, t, k, g.num(2), g.num(2))
			} else {
				g.line("%s[%s] = %s", t, k, g.num(2))
			}
		}
	case n == 10 || n == 11:
		g.line("out(%s, %s)", g.num(3), g.text(3))
	case n == 12 && !small:
		first, last := g.num(1), g.num(1)
		i := g.declare('n')
		g.line("for %s = %s %% 5, %s %% 5 do", i, first, last)
		g.loop(variable{i, 'n'})
		g.line("end")
	case n == 13 && !small:
		list := "{" + g.num(2) + ", " + g.num(2) + "}"
		if t, ok := g.known('t'); ok {
			list = t
		}
		k, v := g.declare('n'), g.declare('n')
		if k == v {
			return
		}
		g.line("for %s, %s in %s do", k, v, g.pick("ipairs("+list+")", "count("+g.num(1)+" % 4)", "each("+list+")"))
		g.loop(variable{k, 'n'}, variable{v, 'n'})
		g.line("end")
	case n == 14 && !small:
		g.names++
		c := "c" + strconv.Itoa(g.names)
		g.line("local %s = 0", c)
		until := g.cond(2)
		if g.rng.IntN(2) == 0 {
			g.line("while %s < 3 and (%s) do", c, until)
			g.line(" %s = %s + 1", c, c)
			g.loop()
			g.line("end")
		} else {
			g.line("repeat")
			g.line(" %s = %s + 1", c, c)
			g.loop()
			g.line("until %s > 2 or (%s)", c, until)
		}
	case n == 15 && !small:
		g.line("if %s then", g.cond(3))
		g.block(1 + g.rng.IntN(2))
		if g.rng.IntN(2) == 0 {
			g.line("elseif %s then", g.cond(2))
			g.block(1)
		}
		if g.rng.IntN(2) == 0 {
			g.line("else")
			g.block(1)
		}
		g.line("end")
	case (n == 16 || n == 17) && !small:
		f, a, b := g.declare('f'), g.declare('n'), g.declare('n')
		if a == b {
			return
		}
		params, vararg := a+", "+b, false
		if g.rng.IntN(3) == 0 {
			params, vararg = params+", ...", true
		}
		g.line(g.pick("local function %s(%s)", "local %s = function(%s)"), f, params)
		// A function does not know itself, so nothing recurs.
		g.body([]variable{{a, 'n'}, {b, 'n'}}, vararg, "")
		g.line("end")
		g.add(f, 'f')
	case n == 18 && !small:
		e := g.num(1)
		x, p := g.declare('n'), g.declare('n')
		g.names++
		ok := "ok" + strconv.Itoa(g.names)
		g.line("local %s, %s = pcall(function(%s)", ok, x, p)
		vararg := g.vararg
		g.vararg = false // it stands in the function
		end := g.pick("", "", "error("+g.num(1)+" % 9, 0)", "error({code = "+g.num(1)+"})", "yield("+g.num(1)+", "+g.num(1)+")")
		g.vararg = vararg
		if strings.HasPrefix(end, "error") {
			g.body([]variable{{p, 'n'}}, false, "("+end+")")
		} else {
			g.body([]variable{{p, 'n'}}, false, end)
		}
		g.line("end, %s)", e)
		g.line("%s = type(%s) == 'table' and %s.code or tonumber(%s) or 1", x, x, x, x)
		g.add(x, 'n')
	case n == 19 && !small:
		f := g.names
		g.names++
		p := g.declare('n')
		g.line("local w%d = coroutine.wrap(function(%s)", f, p)
		g.body([]variable{{p, 'n'}}, false, "")
		g.line("end)")
		for range 1 + g.rng.IntN(2) {
			g.line("out(pcall(w%d, %s))", f, g.num(1))
		}
	case n == 20 && !small:
		o := g.declare('o')
		m := g.declare('n')
		g.line("local %s = object(%s)", o, g.num(1))
		g.line("function %s:m(%s)", o, m)
		g.scopeWithout(func() { g.body([]variable{{m, 'n'}}, false, g.pick("", "(self.n or 0) + "+m, "self.k(self, "+m+")")) })
		g.line("end")
		g.add(o, 'o')
	case n == 21:
		if t, ok := g.known('t'); ok {
			g.line("out(unpack(%s, 1, 3))", t)
		}
	case n == 22:
		g.line("out(xpcall(function() %s end, function(m) return tostring(m) .. '!' end))", g.pick("error('e', 0)", "return yield(4)", "return f0(1, 2), yield(5)"))
	case n == 23 && g.vararg:
		g.line("out(...)")
	case n == 24 && g.loops > 0:
		g.line("if %s then break end", g.cond(2))
	case n == 25 && !small:
		g.line("do")
		g.block(2)
		g.line("end")
	}
}

// scopeWithout hides objects: a method that calls a method could recur.
func (g *generator) scopeWithout(f func()) {
	saved := g.scope
	g.scope = nil
	for _, v := range saved {
		if v.kind != 'o' {
			g.scope = append(g.scope, v)
		}
	}
	f()
	g.scope = saved
}

func (g *generator) loop(vars ...variable) {
	scope := len(g.scope)
	g.scope = append(g.scope, vars...)
	g.loops++
	closure := g.rng.IntN(4) == 0
	if v, ok := g.known('n'); ok && closure {
		g.line(" keep(function() %s = %s + 1 return %s end)", v, v, v)
	}
	g.block(1 + g.rng.IntN(3))
	g.loops--
	g.scope = g.scope[:scope]
}

const generatedHead = `
local yield = coroutine.yield
local kept = {}
local steps = 0
local function out(...)
  local t = {}
  for i = 1, select("#", ...) do
    local v = (select(i, ...))
    t[i] = type(v) == "table" and "table " .. tostring(v.code) or type(v) == "function" and "function" or tostring(v)
  end
  print(table.concat(t, " "))
end
local function f0(a, b) b = a + b b = (math.abs(b)) return b % 50 end
local function two(a, b) return b, a end
local function count(n) local i = 0 return function() i = i + 1 if i <= n then return i, yield(i) end end end
local function each(list) return function(l, i) i = i + 1 if l[i] then return i, (yield(l[i])) end end, list, 0 end
local function keep(f) if #kept < 20 then kept[#kept + 1] = f end end
local function object(n)
  return setmetatable({n = n, k = function(self, a) self.n = (self.n + a) % 100 return self.n end}, {
    __index = function(t, k) return yield(3) end, __add = function(a, b) return yield(b) end, __call = function(self, a) return a, yield(a) end})
end
local function run(name, f)
  print(name)
  kept = {}
  local co = coroutine.create(f)
  local sent = 0
  for step = 1, 60 do
    local r = {coroutine.resume(co, step, step + 1, step + 2)}
    if not r[1] and type(r[2]) == "string" then r[2] = r[2]:gsub("^.-:%d+: ", "") end
    out(unpack(r, 1, 4))
    if coroutine.status(co) == "dead" then break end
  end
  for i, f in ipairs(kept) do local ok, v = pcall(f) out(ok, ok and v) end
end
`

func (g *generator) program(name string) string {
	g.b.Reset()
	g.line("run(%q, function(n1, n2, ...)", name)
	g.scope, g.names = nil, 2
	g.body([]variable{{"n1", 'n'}, {"n2", 'n'}}, true, g.pick("", "n1, n2, ..."))
	g.line("end)")
	return g.b.String()
}

// TestGeneratedProgramsAgreeWithLuaJIT runs random programs in both. LUA_SEED and LUA_PROGRAMS ask for others.
func TestGeneratedProgramsAgreeWithLuaJIT(t *testing.T) {
	needs(t, "luajit")
	seed, programs := uint64(1), 2500
	if s := os.Getenv("LUA_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	if s := os.Getenv("LUA_PROGRAMS"); s != "" {
		programs, _ = strconv.Atoi(s)
	}
	g := &generator{rng: rand.New(rand.NewPCG(seed, 1))}
	bad := 0
	for done := 0; done < programs; {
		var file strings.Builder
		file.WriteString(generatedHead)
		sources := map[string]string{}
		for range min(100, programs-done) {
			name := fmt.Sprintf("program %d", done)
			sources[name] = g.program(name)
			file.WriteString(sources[name])
			done++
		}
		path := filepath.Join(t.TempDir(), "a.lua")
		if err := os.WriteFile(path, []byte(file.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		text, err := exec.Command("luajit", "-joff", path).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, text[max(0, len(text)-500):])
		}
		got, want := split(runLua(t, path)), split(string(text))
		for name, source := range sources {
			if got[name] != want[name] {
				if bad++; bad <= 3 {
					t.Errorf("seed %d, %s:\n%s\ngot\n%s\nwant\n%s", seed, name, source, got[name], want[name])
				}
			}
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d programs differ", bad, programs)
	}
}

// split returns the output of each program.
func split(text string) map[string]string {
	list := map[string]string{}
	name := ""
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "program ") {
			name = strings.TrimSpace(line)
			continue
		}
		list[name] += line
	}
	return list
}
