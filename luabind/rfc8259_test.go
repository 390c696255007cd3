package luabind

import (
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/lazyjson"
)

// jsonCase is one line of engine/lazyjson/testdata/json.txt, which says what its columns mean.
type jsonCase struct {
	name, text    string
	accept, cjson bool // by us, by cjson.decode
}

func jsonCases(t testing.TB) (cases []jsonCase) {
	t.Helper()
	file, err := os.ReadFile("../engine/lazyjson/testdata/json.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(file)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		words := strings.SplitN(line, " ", 3)
		literal, err := strconv.QuotedPrefix(words[2])
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		text, _ := strconv.Unquote(literal)
		c := jsonCase{name: words[1], text: text, accept: words[0] == "y" || words[0] == "i+"}
		switch strings.TrimSpace(words[2][len(literal):]) {
		case "":
			c.cjson = c.accept
		case "cjson:y":
			c.cjson = true
		case "cjson:n":
		default:
			t.Fatalf("%s: want cjson:y, cjson:n or nothing behind the text", line)
		}
		cases = append(cases, c)
	}
	return cases
}

// call calls a function of a module with a string; ok is false if the first result is nil.
func (l *lab) call(module, name, text string) (v lua.LValue, ok bool) {
	l.t.Helper()
	fn := l.L.GetField(l.L.GetGlobal(module), name)
	if err := l.L.CallByParam(lua.P{Fn: fn, NRet: 2, Protect: true}, lua.LString(text)); err != nil {
		l.t.Errorf("%s.%s(%.50q): %v", module, name, text, err)
		return lua.LNil, false
	}
	v, message := l.L.Get(-2), l.L.Get(-1)
	l.L.Pop(2)
	if v == lua.LNil && lua.LVAsString(message) == "" {
		l.t.Errorf("%s.%s(%.50q): nil without a message", module, name, text)
	}
	return v, v != lua.LNil
}

func TestRFC8259InLua(t *testing.T) {
	l := newLab(t)
	for _, c := range jsonCases(t) {
		if _, ok := l.call("json", "decode", c.text); ok != c.accept {
			t.Errorf("%s: json.decode(%q): accepted is %v", c.name, c.text, ok)
		}
		v, ok := l.call("cjson_safe", "decode", c.text)
		if ok != c.cjson {
			t.Errorf("%s: cjson.decode(%q): accepted is %v", c.name, c.text, ok)
		}
		if ok {
			if body, _, err := l.encode(v, false); err == nil && lazyjson.Validate(body) != nil {
				t.Errorf("%s: %q becomes %q, which is no JSON", c.name, c.text, body)
			}
		}
	}
}

// Scripts that pass an event on, read all of it, or write to another field leave each value byte for byte as it came.
func TestWhatNoScriptWritesKeepsItsBytes(t *testing.T) {
	s, out, err := load(t, "a.lua", `
		local function walk(t) for k, v in pairs(t) do if type(v) == "table" then walk(v) end end return t end
		function loop(e)
			dragonfly.output_event("out", e)
			dragonfly.output_event("out", walk(e))
			local kept = e.list
			e.n = 2
			dragonfly.output_event("out", e)
			e.o.n = 2
			dragonfly.output_event("out", e)
			e.list[1] = 2
			dragonfly.output_event("out", e)
		end`)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range jsonCases(t) {
		if !c.accept {
			continue
		}
		event := func(n, on, list string) string {
			return `{"v" : ` + c.text + `,"n":` + n + `,"o":{ "v":` + c.text + `,"n":` + on + `},"list":[` + list + `,` + strings.TrimSpace(c.text) + `] ,"v": ` + c.text + `}`
		}
		if err := handle(t, s, out, event("1", "1", "1")); err != nil || len(out.Emitted) != 5 {
			t.Errorf("%s: %d events, %v", c.name, len(out.Emitted), err)
			continue
		}
		for i, want := range []string{event("1", "1", "1"), event("1", "1", "1"), event("2", "1", "1"), event("2", "2", "1"), event("2", "2", "2")} {
			if got := out.Emitted[i].Body; got != want {
				t.Errorf("%s: event %d:\ngot  %q\nwant %q", c.name, i, got, want)
			}
		}
	}
}

// lua-cjson judges as our cjson does, but for lone surrogates, which it refuses, and for what follows a NUL behind the
// value, which it does not see.
func TestRFC8259AsInLuaCJSON(t *testing.T) {
	needs(t, "luajit")
	var script strings.Builder
	script.WriteString(`local ok, cjson = pcall(require, "cjson") if not ok then print("no cjson") os.exit() end
		local function try(name, text) print(name, (pcall(cjson.decode, text))) end` + "\n")
	want := map[string]bool{}
	for _, c := range jsonCases(t) {
		if strings.HasPrefix(c.name, "surrogate_") && !strings.HasPrefix(c.name, "surrogate_raw") || c.name == "nul_byte_behind" {
			continue
		}
		want[c.name] = c.cjson
		script.WriteString(`try("` + c.name + `", "`)
		for i := range len(c.text) {
			fmt.Fprintf(&script, `\%03d`, c.text[i])
		}
		script.WriteString("\")\n")
	}
	cmd := exec.Command("luajit", "-")
	cmd.Stdin = strings.NewReader(script.String())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if string(out) == "no cjson\n" {
		t.Skip("lua-cjson is missing")
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	for _, line := range lines {
		name, accepted, _ := strings.Cut(line, "\t")
		if (accepted == "true") != want[name] {
			t.Errorf("%s: lua-cjson says %s", name, accepted)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("%d answers to %d cases", len(lines), len(want))
	}
}

// The table in README.md says what scripts read; each of its rows is true.
func TestReadmeSaysWhatLuaReads(t *testing.T) {
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(readme), "### Numbers and text that JSON allows and Lua does not\n")
	section, _, _ = strings.Cut(section, "\n#")
	rows := 0
	for line := range strings.Lines(section) {
		cells := strings.Split(strings.TrimSpace(line), " | ")
		if len(cells) != 3 || !strings.HasPrefix(cells[0], "| `") {
			continue
		}
		rows++
		text, expression, copied := codeOf(cells[0]), codeOf(cells[1]), codeOf(cells[2])
		s, out, err := load(t, "a.lua", "function loop(e) local v = e.v assert("+expression+") e.copy = v dragonfly.output_event('out', e) end")
		if err != nil {
			t.Errorf("%s: %v", line, err)
			continue
		}
		if strings.HasPrefix(text, "{") {
			text, _ = strings.CutPrefix(strings.TrimSuffix(text, "}"), `{"v":`)
		}
		err = handle(t, s, out, `{"v":`+text+`}`)
		if strings.Contains(cells[2], "error") {
			if err == nil || !strings.Contains(err.Error(), copied) {
				t.Errorf("%s: got %v", line, err)
			}
			continue
		}
		if want := `{"v":` + text + `,"copy":` + copied + `}`; err != nil || out.Emitted[0].Body != want {
			t.Errorf("%s: got %v, %v, want %s", line, out.Emitted, err, want)
		}
	}
	if rows < 15 {
		t.Errorf("%d rows in the README, want 15 or more", rows)
	}
}

// codeOf returns what stands between back quotes.
func codeOf(cell string) string {
	_, cell, _ = strings.Cut(cell, "`")
	cell, _, _ = strings.Cut(cell, "`")
	return cell
}
