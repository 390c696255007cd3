package lazyjson

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
)

// jsonCase is one line of testdata/json.txt.
type jsonCase struct {
	name, text string
	accept     bool
}

func jsonCases(t testing.TB) (cases []jsonCase) {
	t.Helper()
	file, err := os.ReadFile("testdata/json.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	for line := range strings.Lines(string(file)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		verdict, rest, _ := strings.Cut(line, " ")
		name, rest, _ := strings.Cut(rest, " ")
		literal, err := strconv.QuotedPrefix(rest)
		if err != nil || names[name] || !strings.Contains(" y n i+ i- ", " "+verdict+" ") {
			t.Fatalf("testdata/json.txt: %s: want a verdict, a name that is new and a Go literal", line)
		}
		names[name] = true
		text, _ := strconv.Unquote(literal)
		cases = append(cases, jsonCase{name, text, verdict == "y" || verdict == "i+"})
	}
	return cases
}

func TestRFC8259(t *testing.T) {
	cases := jsonCases(t)
	if len(cases) < 400 {
		t.Errorf("%d cases, want 400 or more", len(cases))
	}
	for _, c := range cases {
		if err := Validate(c.text); (err == nil) != c.accept {
			t.Errorf("%s: %q: got %v", c.name, c.text, err)
		}
		if got := json.Valid([]byte(c.text)); got != c.accept {
			t.Errorf("%s: %q: encoding/json says %v", c.name, c.text, got)
		}
		for _, around := range [][2]string{{`{"a":`, `}`}, {` { "k" : 0 , "a" : `, ` , "z" : [ ] } `}} {
			s := around[0] + c.text + around[1]
			fields, err := IndexObject(nil, s)
			if want := json.Valid([]byte(s)); (err == nil) != want {
				t.Errorf("%s: %q: got %v, encoding/json says %v", c.name, s, err, want)
			}
			if f := Find(fields, s, "a"); c.accept && (f == nil || f.Raw(s) != strings.Trim(c.text, " \t\r\n")) {
				t.Errorf("%s: %q: got %v", c.name, s, f)
			}
		}
		for _, around := range [][2]string{{`[`, `]`}, {"\t[ [ ] , ", " , 0 ]\n"}, {`{"a":[[{"b":`, `}]]}`}, {`{`, `:1}`}, {`{"x":0,`, `:1}`}} {
			s := around[0] + c.text + around[1]
			if err, want := Validate(s), json.Valid([]byte(s)); (err == nil) != want {
				t.Errorf("%s: %q: got %v, encoding/json says %v", c.name, s, err, want)
			}
		}
	}
}

// What a text is cut to is refused, except a number, of which the beginning may be one, and what is cut behind its end.
func TestTextsCutAnywhereAreRefused(t *testing.T) {
	texts := append(accept, eveLines(t)[:20]...)
	for _, c := range jsonCases(t) {
		if c.accept {
			texts = append(texts, c.text)
		}
	}
	for _, s := range texts {
		whole := strings.Trim(s, " \t\r\n")
		if kinds[whole[0]] == Number {
			continue
		}
		for i := range whole {
			if Validate(whole[:i]) == nil {
				t.Errorf("%q is accepted", whole[:i])
			}
			if _, err := IndexObject(nil, whole[:i]); err == nil {
				t.Errorf("%q is indexed", whole[:i])
			}
		}
	}
}

// One changed, removed or added byte: we and encoding/json judge alike.
func TestTextsWithOneWrongByte(t *testing.T) {
	same := func(s string) {
		t.Helper()
		want := json.Valid([]byte(s))
		if err := Validate(s); (err == nil) != want {
			t.Errorf("%q: got %v, encoding/json says %v", s, err, want)
		}
		if _, err := IndexObject(nil, s); err != ErrNotObject && (err == nil) != want {
			t.Errorf("%q: got %v, encoding/json says %v", s, err, want)
		}
	}
	for _, s := range []string{
		`{"a":[1,-0.5e+10,true,false,null],"b\u00e9\n":{"c":"\ud83d\ude00 text of more than eight bytes","":{}},"d":[[],{}]}`,
		" [ 10 , \"x\" ,\t{ \"y\" : 0 } ] ",
	} {
		for i := range len(s) {
			same(s[:i] + s[i+1:])
			for c := range 256 {
				same(s[:i] + string([]byte{byte(c)}) + s[i+1:])
				same(s[:i] + string([]byte{byte(c)}) + s[i:])
			}
		}
	}
}

func TestNestingHasALimit(t *testing.T) {
	repeat := strings.Repeat
	for name, f := range map[string]func(depth int) string{
		"arrays":                  func(n int) string { return repeat("[", n) + repeat("]", n) },
		"arrays with space":       func(n int) string { return repeat(" [\n", n) + repeat(" ]\t", n) },
		"arrays behind elements":  func(n int) string { return repeat(`["x",1,{},`, n-1) + `[]` + repeat(`]`, n-1) },
		"objects":                 func(n int) string { return repeat(`{"a":`, n-1) + `{}` + repeat(`}`, n-1) },
		"objects behind members":  func(n int) string { return repeat(`{"a":1,"a":[],"b":`, n-1) + `{}` + repeat(`}`, n-1) },
		"objects before members":  func(n int) string { return repeat(`{"a":`, n-1) + `{}` + repeat(`,"z":"x"}`, n-1) },
		"arrays and objects":      func(n int) string { return repeat(`[{"a":`, n/2) + `1` + repeat(`}]`, n/2) },
		"objects around an array": func(n int) string { return repeat(`{"a":`, n-1) + `[0]` + repeat(`}`, n-1) },
	} {
		for _, depth := range []int{MaxDepth, MaxDepth + 2, 10_000, 100_000} {
			s := f(depth)
			err := Validate(s)
			if accepted := err == nil; accepted != (depth <= MaxDepth) || !accepted && !strings.Contains(err.Error(), "nested deeper than 1000") {
				t.Errorf("%s: %d deep: got %v", name, depth, err)
			}
			if _, err := IndexObject(nil, s); err != ErrNotObject && (err == nil) != (depth <= MaxDepth) {
				t.Errorf("%s: %d deep: IndexObject: %v", name, depth, err)
			}
			if err := Validate(s[:len(s)/2]); err == nil {
				t.Errorf("%s: %d deep: the half is accepted", name, depth)
			}
		}
	}
	if s := repeat("[", MaxDepth+1) + repeat("]", MaxDepth+1); Validate(s) == nil {
		t.Errorf("nested one deeper than %d: accepted", MaxDepth)
	}
}

// What takes memory or time: each of these takes milliseconds, and minutes if something works in the square of the length.
func TestLargeTexts(t *testing.T) {
	const quarter = 250_000 // of a million
	repeat := strings.Repeat
	var keys strings.Builder
	for i := range 4 * quarter {
		keys.WriteString(`,"k` + strconv.Itoa(i) + `":` + strconv.Itoa(i))
	}
	for name, s := range map[string]string{
		"string":            `{"a":"` + repeat("x", 40*quarter) + `"}`,
		"string of escapes": `{"a":"` + repeat(`\"`, 5*quarter) + `"}`,
		"string of \\u":     `{"a":"` + repeat(`\ud83d`, 2*quarter) + `"}`,
		"not UTF-8":         `{"a":"` + repeat("\xff", 10*quarter) + `"}`,
		"key":               `{"` + repeat("k", 10*quarter) + `":1}`,
		"escaped key":       `{"` + repeat(`\u006b`, quarter) + `":1}`,
		"digits":            `{"a":` + repeat("1", 10*quarter) + `}`,
		"fraction":          `{"a":0.` + repeat("1", 10*quarter) + `}`,
		"exponent":          `{"a":1e` + repeat("1", 10*quarter) + `}`,
		"space":             `{"a":1` + repeat(" ", 10*quarter) + `}`,
		"keys":              `{` + keys.String()[1:] + `}`,
		"equal keys":        `{` + repeat(`"a":1,`, quarter) + `"a":1}`,
		"empty keys":        `{` + repeat(`"":0,`, quarter) + `"":0}`,
		"empty arrays":      `{"a":[` + repeat("[],", 3*quarter) + `[]]}`,
		"elements":          `{"a":[` + repeat("1,", 3*quarter) + `1]}`,
	} {
		fields, err := IndexObject(nil, s)
		if err != nil || Validate(s) != nil || len(fields) == 0 {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if last := &fields[len(fields)-1]; Find(fields, s, last.Key(s)) != last {
			t.Errorf("%s: the last member is not found", name)
		} else if last.Kind == String && len(last.Text(s)) < quarter {
			t.Errorf("%s: %d bytes", name, len(last.Text(s)))
		}
		for _, cut := range []string{s[:len(s)-1], s[:len(s)-2], s + "x"} {
			if Validate(cut) == nil {
				t.Errorf("%s: accepted when it is cut or goes on", name)
			}
		}
	}
}

func TestUnquoteOfWhatLuaCannotTell(t *testing.T) {
	const bad = "\uFFFD"
	for raw, want := range map[string]string{
		`\ud800`: bad, `\udc00x`: bad + "x", `\ud83dabc`: bad + "abc", `\ud83d\n`: bad + "\n", `\ud83d\u0041`: bad + "A",
		`\ud83d\ud83d`: bad + bad, `\ud83d\ud83d\ude00`: bad + "😀", `\ude00\ud83d`: bad + bad, `\ud83d\ude00`: "😀",
		`\u0000`: "\x00", `\u005cn`: `\n`, `\\u0041`: `\u0041`, "\xff\\t": "\xff\t", `\ufffe`: "\uFFFE",
	} {
		if got := Unquote(raw); got != want {
			t.Errorf("%s: got %q, want %q", raw, got, want)
		}
	}
}
