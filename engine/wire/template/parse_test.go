package template

import (
	"encoding/json"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"dragonfly/engine"
	"dragonfly/engine/lazyjson"
)

// syntaxes are like those of the outputs.
var syntaxes = map[string]Syntax{
	"path":  Path("_unknown", CleanFile),
	"table": Path("_unknown", CleanName),
	"name":  {Missing: "unknown", Clean: func(dst []byte, v string) []byte { return append(dst, strings.ReplaceAll(v, ".", "_")...) }},
	"text":  {Close: CloseTwice, Any: true, Missing: "-", Name: func(name string) bool { return !strings.Contains(name, "{") }},
	"dated": {Close: CloseTwice, Any: true, Missing: "-", Dates: "YmdHMSjyGVF", Name: func(name string) bool { return !strings.Contains(name, "{") }},
	"topic": {Dollar: true, Missing: "unknown", Clean: CleanName, Name: func(name string) bool { return !strings.ContainsAny(name, "{ ") }},
}

func TestSyntaxesKeepTheirWays(t *testing.T) {
	body := `{"a":{"b":"in"},"a.b":"whole","e":"","o":{"x":[1, 2]},"l":[true],"n":null,"t":true,"f":1.50,"u":"\u00e9\ud83d\ude00","a{b":"brace","..":"dots","s p":"space","twice":1,"twice":2}`
	for _, c := range []struct{ syntax, text, want string }{
		{"path", "{a.b}", "in"}, {"text", "{a.b}", "whole"}, {"name", "{a.b}", "in"}, {"topic", "{a.b}", "in"},
		{"path", "{e}{o}{l}{n}{none}", strings.Repeat("_unknown", 5)}, {"name", "{e}{o}{l}{n}{none}", strings.Repeat("unknown", 5)},
		{"text", "{e}|{o}|{l}|{n}|{none}|{o.x}|{o.y}|{f.x}", `|{"x":[1, 2]}|[true]|-|-|[1, 2]|-|-`},
		{"name", "{a.b.c}{e.x}{none.x}", "unknownunknownunknown"},
		{"name", "}} {{ {t} % $", "}} { true % $"}, {"text", "}} } {{ {t} % $", "} } { true % $"}, {"path", "}}{{{t}%%$", "}{true%$"},
		{"topic", "${t}{f}$x", "true1_50$x"}, {"topic", "$${t}", "$true"}, {"topic", "${{t}", "${t}"},
		{"path", "{a{b}", "brace"}, {"name", "{a{b}", "brace"}, {"path", "{s p}", "space"}, {"text", "{..}", "dots"}, {"text", "{.}{a.}", "--"},
		{"name", "{twice}", "2"}, {"topic", "{u}", "______"}, {"text", "{u}", "é😀"},
		{"path", "{{{{{f}}}}}", "{{1.50}}"}, {"dated", "%%Y{t}%Y", "%Ytrue2026"}, {"dated", "%G-%V %j", "2026-01 002"}, {"text", "", ""},
	} {
		tm, err := syntaxes[c.syntax].Parse(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.syntax, err)
			continue
		}
		var r lazyjson.Reader
		if err := r.Reset(body, nil); err != nil {
			t.Fatal(err)
		}
		if got := string(tm.Append(nil, &r, at)); got != c.want {
			t.Errorf("%s %q: got %q, want %q", c.syntax, c.text, got, c.want)
		}
	}
}

func TestParseNamesThePlace(t *testing.T) {
	for _, c := range []struct{ syntax, text, want string }{
		{"path", "x/{a", `"x/{a" has "{a" at byte 3: a { without }`}, {"path", "ab}", `"}" at byte 3: there is no field`},
		{"path", "a%S", `"%S" at byte 2: want a part of the date, one of %Y %m %d %H %M %y %j %F, or %% for a %`}, {"dated", "100%", "want a part of the date"},
		{"name", "{a..b}", "it has not the name of a field"}, {"text", "{a{b}", "it has not the name of a field"}, {"topic", "{s p}", "a field is written {event_type}"},
		{"topic", "x${", `"${" at byte 2`}, {"name", strings.Repeat("{a}", MaxFields+1), "want 1000 fields at most"},
	} {
		if _, err := syntaxes[c.syntax].Parse(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s %q: got %v, want %s", c.syntax, c.text, err, c.want)
		}
	}
}

func TestNamerDoesNotAllocateForTheSameName(t *testing.T) {
	tm, err := syntaxes["dated"].Parse("eve-{event_type}-{alert.severity}-%Y.%m.%d-%V")
	if err != nil {
		t.Fatal(err)
	}
	n := tm.Namer()
	ev := engine.Event{Body: `{"event_type":"alert","alert":{"severity":3}}`} // also without its index
	if got := n.At(&ev, at); got != "eve-alert-3-2026.01.02-01" {
		t.Fatal(got)
	}
	if got := testing.AllocsPerRun(100, func() { n.At(&ev, at) }); got != 0 {
		t.Errorf("got %v allocations", got)
	}
}

func TestNamerTakesWhatIsNoObject(t *testing.T) {
	n, err := Name("k:{a}", nil)
	if err != nil {
		t.Fatal(err)
	}
	for body, want := range map[string]string{`{"a":1}`: "k:1", `[1]`: "k:unknown", `{"a":`: "k:unknown", ``: "k:unknown", `"{"`: "k:unknown"} {
		if got := n.Of(&engine.Event{Body: body}); got != want {
			t.Errorf("%s: got %q, want %q", body, got, want)
		}
	}
}

func TestPatternTakesWhatIsNoUTF8(t *testing.T) {
	for _, text := range []string{"\xff\xfe{a}\xff", "\xff", "\ufffd%Y", strings.Repeat("x", 239) + "{a}", "é{a}\xc3"} {
		for _, body := range []string{`{"a":"😀"}`, `{"a":"x"}`, `{}`} {
			tm, err := Path("é", CleanFile).Parse(text)
			if err != nil {
				t.Fatal(err)
			}
			var r lazyjson.Reader
			r.Reset(body, nil)
			got := tm.Append(nil, &r, at)
			if !tm.Pattern(FilePart).Match(got) {
				t.Errorf("%.20q: the pattern does not match %q", text, got)
			}
		}
	}
}

// printed is the text of a template.
func printed(s Syntax, t *Template) string {
	var b strings.Builder
	for _, p := range t.parts {
		switch {
		case p.text != "":
			b.WriteString(s.Quote(p.text))
		case p.path != nil:
			if s.Dollar {
				b.WriteByte('$')
			}
			b.WriteString("{" + p.name[0] + "}")
		default:
			b.WriteString("%" + string(p.verb))
		}
	}
	return b.String()
}

// eventFor returns an object that has value in the fields of t, as far as they fit together.
func eventFor(t *Template, value string) string {
	top := map[string]any{}
	for _, p := range t.parts {
		if p.path == nil {
			continue
		}
		at := top
		for i, key := range p.path {
			if i == len(p.path)-1 {
				if at[key] == nil {
					at[key] = value
				}
				break
			}
			next, ok := at[key].(map[string]any)
			if !ok {
				if at[key] != nil {
					break
				}
				next = map[string]any{}
				at[key] = next
			}
			at = next
		}
	}
	text, err := json.Marshal(top)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func FuzzTemplate(f *testing.F) {
	for _, text := range []string{"", "eve", "{a}", "%Y/%m/%d/{event_type}/{src_ip}.json.gz", "x/.{a}{b}.", "{{{a}}}", "${a}-$${b}$", "{a.b}.{a.c}", "%%{{}}", "{", "%", "}",
		"{a..b}", "\xff{a}\xc3/é{b}", strings.Repeat("{a}", 20), strings.Repeat("y", 190) + "{a}", "{}", "%G.%V", "a/../{b}", "${{a}", "{a.b}{a.b.c}"} {
		for _, value := range []string{"dns", "../../etc", ".", "..", "", "é😀", "\x00\n/\\", "a.b c*>"} {
			f.Add(text, value)
		}
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		if len(text) > 300 || len(value) > 1000 {
			return
		}
		for kind, s := range syntaxes {
			quoted, err := s.Parse(s.Quote(text))
			if err != nil || !quoted.Fixed() || quoted.Namer().Of(&engine.Event{}) != text {
				t.Fatalf("%s: %q is quoted as %q: %v", kind, text, s.Quote(text), err)
			}
			tm, err := s.Parse(text)
			if err != nil {
				if !strings.Contains(err.Error(), " at byte ") || !utf8.ValidString(err.Error()) {
					t.Fatalf("%s %q: %v", kind, text, err)
				}
				continue
			}
			again, err := s.Parse(printed(s, tm))
			if err != nil || !reflect.DeepEqual(again.parts, tm.parts) {
				t.Fatalf("%s %q is printed as %q: %v", kind, text, printed(s, tm), err)
			}
			body := eventFor(tm, value)
			var r lazyjson.Reader
			if err := r.Reset(body, nil); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			got := string(tm.Append(nil, &r, at))
			n, ev := tm.Namer(), engine.Event{Body: body}
			if one, two := n.At(&ev, at), n.At(&ev, at); one != got || two != got {
				t.Fatalf("%s %q of %s: got %q, then %q and %q", kind, text, body, got, one, two)
			}
			empty := string(tm.Append(nil, &lazyjson.Reader{}, time.Time{}))
			if tm.Fixed() && empty != got {
				t.Fatalf("%s %q is fixed, and %q and %q", kind, text, got, empty)
			}
			if kind == "path" {
				checkPath(t, tm, text, got)
				checkPath(t, tm, text, string(tm.Append(nil, &lazyjson.Reader{}, at)))
			}
		}
	})
}

// checkPath checks that got, made of text by tm, is where text says.
func checkPath(t *testing.T, tm *Template, text, got string) {
	if len(tm.parts) < 16 && !tm.Pattern(FilePart).MatchString(got) { // with more it takes long
		t.Fatalf("%q: the pattern does not match %q", text, got)
	}
	if n := strings.Count(got, "/"); n != tm.Depth() {
		t.Fatalf("%q has the depth %d, and %q %d", text, tm.Depth(), got, n)
	}
	fixed := string(tm.Append(nil, &lazyjson.Reader{}, at)) // "_unknown" is harmless
	for i, elem := range strings.Split(got, "/") {
		was := strings.Split(fixed, "/")[i]
		if (elem == "." || elem == ".." || elem == "") && elem != was || strings.ContainsRune(elem, 0) && !strings.ContainsRune(was, 0) || utf8.ValidString(text) && !utf8.ValidString(elem) {
			t.Fatalf("%q: %q is in %q", text, elem, got)
		}
		if len(elem) > max(maxElement, len(text)+utf8.UTFMax) {
			t.Fatalf("%q: %q has %d bytes", text, elem, len(elem))
		}
	}
	depth := func(path string) int { return strings.Count(filepath.Clean(path), "/") }
	if filepath.IsLocal(fixed) != filepath.IsLocal(got) || depth(fixed) != depth(got) {
		t.Fatalf("%q became %q", text, got)
	}
}

func BenchmarkNamer(b *testing.B) {
	ev, err := engine.NewEvent(`{"timestamp":"2026-11-21T00:00:00.000000+0000","flow_id":123,"event_type":"alert","src_ip":"10.0.0.1","alert":{"action":"allowed","gid":1,"signature_id":2,"signature":"x y z","severity":3}}`)
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range [][2]string{{"text", "eve"}, {"topic", "eve-{event_type}"}, {"name", "eve.{alert.severity}"}, {"dated", "eve-{event_type}-%Y.%m.%d"}, {"path", "%Y/%m/%d/{event_type}/{src_ip}.json"}} {
		tm, err := syntaxes[c[0]].Parse(c[1])
		if err != nil {
			b.Fatal(err)
		}
		n := tm.Namer()
		b.Run(c[0], func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				n.At(&ev, at)
			}
		})
	}
}
