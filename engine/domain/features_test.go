package domain

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"
)

// checkFeatures checks what holds for every name.
func checkFeatures(t *testing.T, name string) []float64 {
	t.Helper()
	x := Features(name, nil)
	if len(x) != len(FeatureNames) {
		t.Fatalf("%q: %d features, want %d", name, len(x), len(FeatureNames))
	}
	for i, v := range x {
		feature := FeatureNames[i]
		if math.IsNaN(v) || math.IsInf(v, 0) {
			t.Fatalf("%q: %s is %v", name, feature, v)
		}
		if v < 0 && !strings.HasPrefix(feature, "gain") {
			t.Fatalf("%q: %s is %v", name, feature, v)
		}
		switch feature {
		case "entropy_share", "distinct", "digits", "vowels", "hex", "rare", "repeated", "changes", "turns", "odd", "usual", "usual_possible":
			if v > 1 {
				t.Fatalf("%q: %s is %v, more than a share", name, feature, v)
			}
		}
	}
	return x
}

func feature(t *testing.T, name, feature string) float64 {
	t.Helper()
	return checkFeatures(t, name)[slices.Index(FeatureNames, feature)]
}

func TestFeaturesAreOfTheChosenLabel(t *testing.T) {
	f := func(name, what string, want float64) {
		t.Helper()
		if got := feature(t, name, what); math.Abs(got-want) > 1e-12 {
			t.Errorf("%q: %s is %v, want %v", name, what, got, want)
		}
	}
	f("www.Example.co.uk.", "length", 7)
	f("www.example.co.uk", "vowels", 3.0/7)
	f("aabb.com", "entropy", 1)
	f("aabb.com", "entropy_share", 0.5)
	f("aabb.com", "repeated", 2.0/3)
	f("ab-12-x.com", "hyphens", 2)
	f("ab-12-x.com", "digits", 2.0/7)
	f("ab-12-x.com", "changes", 4.0/6)
	f("jazzy.com", "rare", 3.0/5)
	f("xn--bcher-kva.de", "length", 6)
	f("xn--bcher-kva.de", "vowels", 2.0/6) // ü counts as u
	f("d1a2b3c4d5.cloudfront.net", "length", 10)
	f("d1a2b3c4d5.cloudfront.net", "digits", 0)
	f("", "length", 0)
	f(strings.Repeat("a", 1000)+".com", "length", maxText)
	same := Features("bücher.de", nil)
	if got := Features("xn--bcher-kva.de", nil); !slices.Equal(got, same) {
		t.Errorf("got %v, want %v", got, same)
	}
}

func TestLetterModelTellsNamesFromNoise(t *testing.T) {
	for _, c := range []struct{ people, machine string }{
		{"newyorktimes.com", "xkqjzvwpbfgh.com"}, {"deutschebank.de", "hqtzkvbwrnxpl.de"}, {"onlineshop.com", "nsoilhenop.com"}, {"restaurant.fr", "tnrtsaarue.fr"},
	} {
		for _, what := range []string{"gain_mean", "gain", "usual"} {
			if p, m := feature(t, c.people, what), feature(t, c.machine, what); p <= m {
				t.Errorf("%s: %v of %s, %v of %s", what, p, c.people, m, c.machine)
			}
		}
		for _, what := range []string{"cost_mean", "gain_worst", "odd"} {
			if p, m := feature(t, c.people, what), feature(t, c.machine, what); p >= m {
				t.Errorf("%s: %v of %s, %v of %s", what, p, c.people, m, c.machine)
			}
		}
	}
}

// Costs are those of a smoothed trigram model, worked out by hand for one name of one letter.
func TestGrams(t *testing.T) {
	g := NewGrams([]string{"a"})
	// symbols seen: a (0) once, end once. p1(a) = (1 + 2/30) / 4; p2(a after end) = (1 + p1) / 2; p3 likewise.
	p1 := (1 + 2.0/30) / 4
	p2 := (1 + p1) / 2
	p3 := (1 + p2) / 2
	if got, want := g.cost[symEnd<<10|symEnd<<5], uint8(math.Round(-math.Log(p3)*nat)); got != want {
		t.Errorf("got %d, want %d", got, want)
	}
	// In every context the probabilities of the 30 symbols sum to 1, but for rounding.
	for context := range 1 << 10 {
		sum := 0.0
		for c := range 30 {
			sum += math.Exp(-float64(Default().cost[context<<5|c]) / nat)
		}
		if sum < 0.95 || sum > 1.05 {
			t.Fatalf("context %d: the probabilities sum to %v", context, sum)
		}
	}
	usual := NewGrams([]string{"shop", "shopping", "workshop"})
	if s := usual.score([]byte("shop")); s.usual != 3 && s.usual != 4 {
		t.Errorf("got %+v", s)
	}
	if s := usual.score([]byte("zzshopzz")); s.usual != 4 || s.stretch != 4 || s.possible != 7 || s.unusual != 6 {
		t.Errorf("got %+v", s)
	}
}

func TestGramsKeepTheirForm(t *testing.T) {
	b, err := Default().MarshalBinary()
	if err != nil || !bytes.Equal(b, gramsFile) {
		t.Errorf("the built-in model changes when it is written again: %v", err)
	}
	for _, bad := range [][]byte{nil, []byte("grams 2\n"), b[:1000], append(slices.Clone(b), 0x80), append(slices.Clone(b), 0xff, 0xff, 0xff, 0xff, 0x0f)} {
		if _, err := ReadGrams(bad); err == nil {
			t.Errorf("%d bytes are taken", len(bad))
		}
	}
}

func FuzzReadGrams(f *testing.F) {
	f.Add([]byte(gramsMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		g, err := ReadGrams(b)
		if (g == nil) == (err == nil) {
			t.Fatalf("got %v and %v", g, err)
		}
		if err == nil {
			g.Features("example.com", nil)
		}
	})
}
