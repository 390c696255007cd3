package lazyjson

import (
	"bufio"
	"encoding/json"
	"os"
	"strings"
	"testing"
)

var accept = []string{
	`{}`, ` {"a":1} `, `{"a":[]}`, `[1,-0,1.5e+9,0.1E-2]`, `"\ud83d\ude00 \u0000 \/"`, `{"a":{"b":[{"c":null},true,false]}}`,
	"{\"a\"\t:\r\n1 , \"b\" : [ 1 , 2 ] }", `1e400`, `9223372036854775808`, `"\ud800"`, "\"\xff\x80\"", `{"a":1,"a":2}`, `[[[[]]]]`, `"` + strings.Repeat("x", 100) + `"`,
}

var refuse = []string{
	``, ` `, `{`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,}`, `{"a":1]`, `{'a':1}`, `{a:1}`, `[1,]`, `[,1]`, `01`, `-`, `1.`, `.5`, `1e`, `+1`, `tru`, `truee`, `nul`,
	`"abc`, "\"a\nb\"", `"\x"`, `"\u12"`, `"\u12g4"`, `{} {}`, `{"a":1}x`, `[1 2]`, `{"a" 1}`, `{"event_type":"alert"`, "{\"a\":\"\x00\"}", `NaN`, `Infinity`,
	strings.Repeat("[", MaxDepth+1) + strings.Repeat("]", MaxDepth+1),
}

func TestValidateAccepts(t *testing.T) {
	for _, s := range accept {
		if err := Validate(s); err != nil {
			t.Errorf("%q: %v", s, err)
		}
	}
	if err := Validate(strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth)); err != nil {
		t.Error(err)
	}
}

func TestValidateRefuses(t *testing.T) {
	for _, s := range refuse {
		if err := Validate(s); err == nil {
			t.Errorf("%.40q: accepted", s)
		}
		if _, err := IndexObject(nil, s); err == nil {
			t.Errorf("%.40q: indexed", s)
		}
	}
}

func TestSyntaxErrorNamesThePlace(t *testing.T) {
	f := func(s, want string) {
		t.Helper()
		if err := Validate(s); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	f(`{"event_type":"alert"`, `invalid JSON at byte 21: unexpected end`)
	f(`{"a":1,}`, `invalid JSON at byte 7: unexpected '}'`)
	f("{\"a\":\"\x01\"}", `invalid JSON at byte 6: control character 0x01`)
	f(strings.Repeat("[", 5000), `invalid JSON at byte 1000: nested deeper than 1000`)
	f("\ufeff{}", `invalid JSON at byte 0: a byte order mark: JSON begins without it`)
	f("{\u00a0}", `invalid JSON at byte 1: unexpected '\u00a0'`)
	f("{\xff}", `invalid JSON at byte 1: unexpected byte 0xff`)
	f(`["`+strings.Repeat("x", 20), `invalid JSON at byte 22: unexpected end`)
}

func TestIndexObjectFindsMembers(t *testing.T) {
	s := ` { "a" : 1 , "b\u0063" : "x\ny" , "o":{"p":{"q":[1, "two", {"z":3}]}} , "a":2 } `
	fields, err := IndexObject(nil, s)
	if err != nil || len(fields) != 4 {
		t.Fatalf("got %v, %v", fields, err)
	}
	if f := Find(fields, s, "a"); f.Raw(s) != "2" {
		t.Errorf("got %s, want the last duplicate", f.Raw(s))
	}
	if f := Find(fields, s, "bc"); f == nil || f.Text(s) != "x\ny" {
		t.Errorf("escaped key: got %v", f)
	}
	f, _ := FindPath(fields, s, []string{"o", "p", "q"}, nil)
	elements := Members(nil, s, f.ValOff)
	if len(elements) != 3 || elements[1].Text(s) != "two" || elements[2].Raw(s) != `{"z":3}` {
		t.Errorf("got %v", elements)
	}
	if f, _ := FindPath(fields, s, []string{"a", "p"}, nil); f != nil {
		t.Errorf("got %v, want nil", f)
	}
}

func FuzzIndexObject(f *testing.F) {
	for _, s := range append(accept, refuse...) {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		err := Validate(s)
		if want := json.Valid([]byte(s)); want != (err == nil) && strings.Count(s, "[")+strings.Count(s, "{") < MaxDepth {
			t.Fatalf("%q: got %v, encoding/json says %v", s, err, want)
		}
		fields, ierr := IndexObject(nil, s)
		if ierr == ErrNotObject {
			return
		}
		if (ierr == nil) != (err == nil) {
			t.Fatalf("%q: IndexObject %v, Validate %v", s, ierr, err)
		}
		if err != nil {
			return
		}
		var want map[string]json.RawMessage
		if e := json.Unmarshal([]byte(s), &want); e != nil {
			t.Fatal(e)
		}
		for i := range fields {
			if Validate(fields[i].Raw(s)) != nil {
				t.Fatalf("%q: member %q", s, fields[i].Raw(s))
			}
		}
		again := Members(nil, s, uint32(strings.IndexByte(s, '{')))
		if len(again) != len(fields) {
			t.Fatalf("%q: Members %v, IndexObject %v", s, again, fields)
		}
	})
}

func FuzzQuote(f *testing.F) {
	f.Add("plain")
	f.Add("a\"\\/\b\f\n\r\t\x00\x7f\xff€😀")
	f.Fuzz(func(t *testing.T, s string) {
		quoted := string(AppendQuoted(nil, s))
		if err := Validate(quoted); err != nil {
			t.Fatalf("%q: %v", quoted, err)
		}
		if got := Unquote(quoted[1 : len(quoted)-1]); got != s {
			t.Fatalf("got %q, want %q", got, s)
		}
	})
}

func BenchmarkIndexObject(b *testing.B) {
	lines := eveLines(b)
	n := 0
	for _, l := range lines {
		n += len(l)
	}
	b.SetBytes(int64(n / len(lines)))
	var fields []Field
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		fields, _ = IndexObject(fields[:0], lines[i%len(lines)])
		i++
	}
}

func eveLines(tb testing.TB) []string {
	f, err := os.Open("../../test/data/eve.json")
	if err != nil {
		tb.Skip(err)
	}
	defer f.Close()
	var lines []string
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<24)
	for sc.Scan() {
		lines = append(lines, sc.Text())
	}
	return lines
}
