package lines

import (
	"strings"
	"testing"

	"dragonfly/engine/lazyjson"
)

func TestResyncFindsTheWholeEvent(t *testing.T) {
	whole, cut := `{"timestamp":"x","n":1}`, `{"timestamp":"x","pay`
	nested := `{"timestamp":"x","in":{"timestamp":"y"}}`
	many := strings.Repeat(cut, 50)
	for _, c := range [][3]string{
		{whole, whole, ""}, {nested, nested, ""}, {"", "", ""}, {"text", "text", ""}, {cut, cut, ""}, {cut + cut, cut + cut, ""},
		{cut + whole, cut, whole}, {cut + nested, cut, nested}, {cut + cut + whole, cut + cut, whole}, {many + whole, many, whole},
		{whole + whole, whole, whole}, {`x` + whole, `x`, whole},
	} {
		if broken, rest := Resync(c[0]); broken != c[1] || rest != c[2] {
			t.Errorf("%s: got %q, %q", c[0], broken, rest)
		}
	}
}

func FuzzResync(f *testing.F) {
	f.Add(`{"timestamp":1{"timestamp":2}`)
	f.Add(`{"timestamp":{"timestamp":2}}`)
	f.Fuzz(func(t *testing.T, line string) {
		broken, rest := Resync(line)
		if broken+rest != line {
			t.Fatalf("%q became %q and %q", line, broken, rest)
		}
		if rest != "" && (lazyjson.Validate(rest) != nil || lazyjson.Validate(line) == nil || broken == "") {
			t.Fatalf("%q was separated into %q and %q", line, broken, rest)
		}
	})
}

func BenchmarkResync(b *testing.B) {
	line := `{"timestamp":"2026-11-20T10:00:00.000000+0000","flow_id":1598023201615874,` + strings.Repeat(`"key":{"a":1,"b":"text"},`, 17) + `"last":1}`
	b.ReportAllocs()
	b.SetBytes(int64(len(line)))
	for b.Loop() {
		Resync(line)
	}
}
