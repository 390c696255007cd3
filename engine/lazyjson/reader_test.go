package lazyjson

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// TestReaderFindsWhatFindPathFinds asks one Reader for paths of random objects in random order, also for the same ones again.
func TestReaderFindsWhatFindPathFinds(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var r Reader
	found, nested := 0, 0
	for range 20_000 {
		s := `{"a":` + randomJSON(rng, 3) + `,"b":` + randomJSON(rng, 3) + `,"":` + randomJSON(rng, 2) + `,"a.b":1}`
		index, err := IndexObject(nil, s)
		if err != nil {
			t.Fatal(err)
		}
		given := index
		if rng.IntN(2) == 0 {
			given = nil
		}
		if err := r.Reset(s, given); err != nil || r.Body() != s {
			t.Fatalf("%s: %v", s, err)
		}
		for range 12 {
			var path []string
			for range 1 + rng.IntN(3) {
				path = append(path, []string{"a", "b", ""}[rng.IntN(3)])
			}
			want, _ := FindPath(index, s, path, nil)
			got := r.Find(path)
			if (got == nil) != (want == nil) || got != nil && *got != *want {
				t.Fatalf("%q of %s: got %v, want %v", path, s, got, want)
			}
			name := strings.Join(path, ".")
			byName, ok := FindName(index, s, name)
			if slices.Equal(path, []string{"a", "b"}) { // there is a member "a.b"
				if byName.Raw(s) != "1" {
					t.Fatalf("%s: got %s", s, byName.Raw(s))
				}
			} else if ok != (want != nil) || ok && byName != *want {
				t.Fatalf("%q of %s: got %v, want %v", name, s, byName, want)
			}
			text, ok := r.Scalar(path)
			if want == nil {
				if ok {
					t.Fatalf("%q of %s: got %q", path, s, text)
				}
				continue
			}
			if found++; len(path) > 1 {
				nested++
			}
			if plain := want.Kind >= Array || want.Kind == Null; ok == plain || ok && text != want.Plain(s) {
				t.Fatalf("%q of %s: got %q, %v", path, s, text, ok)
			}
		}
	}
	if found < 1000 || nested < 1000 {
		t.Errorf("only %d found, %d of them in objects", found, nested)
	}
}

func TestReaderOfWhatIsNoObject(t *testing.T) {
	var r Reader
	if r.Find([]string{"a"}) != nil || r.Find([]string{"a", "b"}) != nil {
		t.Error("the zero value has fields")
	}
	if err := r.Reset(`{"a":{"b":1}}`, nil); err != nil || r.Find([]string{"a", "b"}) == nil {
		t.Fatal(err)
	}
	for _, s := range []string{"", "[1]", `{"a":{"b":1}`, "null"} {
		if err := r.Reset(s, nil); err == nil || r.Find([]string{"a", "b"}) != nil || r.Find([]string{"a"}) != nil {
			t.Errorf("%q: %v, or it has fields", s, err)
		}
	}
}

func TestFindingDoesNotAllocate(t *testing.T) {
	s := `{"event_type":"alert","alert":{"severity":3,"signature":"x","metadata":{"a":1}}}`
	var r Reader
	path, deep := []string{"alert", "severity"}, []string{"alert", "metadata", "a"}
	got := testing.AllocsPerRun(100, func() {
		r.Reset(s, nil)
		one, _ := r.Scalar(path)
		two, _ := r.Scalar(deep)
		f, ok := FindName(r.index, s, "alert.metadata.a")
		if one != "3" || two != "1" || !ok || f.Raw(s) != "1" {
			t.Error(one, two, f)
		}
	})
	if got != 0 {
		t.Errorf("got %v allocations", got)
	}
}
