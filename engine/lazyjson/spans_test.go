package lazyjson

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// sameMembers compares Spans with Members for each container of the valid text s, from the one at off down.
func sameMembers(t *testing.T, x *Spans, s string, off uint32) {
	t.Helper()
	want, got := Members(nil, s, off), x.Members(nil, s, off)
	if !slices.Equal(want, got) {
		t.Fatalf("%q at %d: got %v, want %v", s, off, got, want)
	}
	for _, f := range want {
		if f.Kind == Object || f.Kind == Array {
			sameMembers(t, x, s, f.ValOff)
		}
	}
}

func TestSpansFindTheSameMembers(t *testing.T) {
	pad := strings.Repeat(" ", shortSpan)
	for _, s := range []string{
		`{}`, `[]`, `{` + pad + `}`, `[` + pad + `]`, `{"a":{}}`, `{"a":[[{"b":` + pad + `1}]],"c":{"]":"}\""}}`,
		`{"a" : [ 1 , [2,[` + pad + `3]] , {"k" : {"x":"` + pad + `"} } ] , "a" : {"b":[]}}`, strings.Repeat(`[`, 500) + strings.Repeat(`]`, 500),
		strings.Repeat(`{"a":[1,`, 300) + `{}` + strings.Repeat(`],"b":"x"}`, 300),
	} {
		sameMembers(t, NewSpans(s, 0), s, 0)
	}
	for _, s := range eveLines(t) {
		sameMembers(t, NewSpans(s, 0), s, 0)
	}
	rng := rand.New(rand.NewPCG(1, 1))
	for range 500 {
		s := randomJSON(rng, 6)
		if Validate(s) != nil {
			t.Fatal(s)
		}
		if s[0] == '{' || s[0] == '[' {
			sameMembers(t, NewSpans(s, 0), s, 0)
		}
	}
}

// randomJSON returns a JSON text of at most so many levels.
func randomJSON(rng *rand.Rand, depth int) string {
	pick := func(list ...string) string { return list[rng.IntN(len(list))] }
	kind := rng.IntN(10)
	if depth == 0 {
		kind = rng.IntN(4)
	}
	space := pick("", "", "", " ", "\t\r\n")
	if kind < 4 {
		return pick(`1`, `-0.5e+7`, `"x"`, `"}]\""`, `"\ud83d"`, `null`, `true`, `"`+strings.Repeat("s", rng.IntN(40))+`"`)
	}
	var parts []string
	for range rng.IntN(5) {
		v := randomJSON(rng, depth-1)
		if kind < 7 {
			v = pick(`"a"`, `"b"`, `"\u0061"`, `""`) + space + ":" + space + v
		}
		parts = append(parts, space+v+space)
	}
	if kind < 7 {
		return "{" + space + strings.Join(parts, ",") + "}"
	}
	return "[" + space + strings.Join(parts, ",") + "]"
}
