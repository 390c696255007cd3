package domain

import (
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func TestMeasure(t *testing.T) {
	f := func(text string, want Stats) {
		t.Helper()
		got := Measure(text)
		if math.Abs(got.Entropy-want.Entropy) > 1e-12 {
			t.Errorf("%q: entropy %v, want %v", text, got.Entropy, want.Entropy)
		}
		got.Entropy = want.Entropy
		if got != want {
			t.Errorf("%q:\n got %+v\nwant %+v", text, got, want)
		}
	}
	f("", Stats{})
	f("a", Stats{Length: 1, Letters: 1, Vowels: 1, Distinct: 1, Hex: 1, VowelRun: 1, RepeatRun: 1})
	f("google", Stats{Length: 6, Letters: 6, Vowels: 3, Consonants: 3, Distinct: 4, Hex: 1, Repeated: 1, Turns: 3, ConsonantRun: 2, VowelRun: 2, RepeatRun: 2,
		Entropy: math.Log2(6) - 4.0/6})
	f("aB-12xx", Stats{Length: 7, Letters: 4, Digits: 2, Vowels: 1, Consonants: 3, Other: 1, Upper: 1, Distinct: 6, Hex: 4, Repeated: 1, Changes: 3, Turns: 1,
		ConsonantRun: 2, VowelRun: 1, DigitRun: 2, RepeatRun: 2, Entropy: math.Log2(7) - 2.0/7})
	f("\xff\x00\xff", Stats{Length: 3, Other: 3, Distinct: 2, RepeatRun: 1, Entropy: math.Log2(3) - 2.0/3})
	f(strings.Repeat("ab", 500), Stats{Length: 1000, Letters: 1000, Vowels: 500, Consonants: 500, Distinct: 2, Hex: 1000, Turns: 999, ConsonantRun: 1, VowelRun: 1,
		RepeatRun: 1, Entropy: 1})
}

func TestEntropy(t *testing.T) {
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for text, want := range map[string]float64{"": 0, "a": 0, "aaaa": 0, "ab": 1, "abcd": 2, "aab": 0.9182958340544896, string(all): 8, strings.Repeat("x", 1000): 0} {
		if got := Entropy(text); math.Abs(got-want) > 1e-12 {
			t.Errorf("%.20q: got %v, want %v", text, got, want)
		}
		if got := Measure(text).Entropy; math.Abs(got-want) > 1e-12 {
			t.Errorf("Measure(%.20q): got %v, want %v", text, got, want)
		}
	}
}

func TestIsHexIsBase64(t *testing.T) {
	f := func(text string, hex, base64 bool) {
		t.Helper()
		if IsHex(text) != hex || IsBase64(text) != base64 {
			t.Errorf("%q: got %v, %v", text, IsHex(text), IsBase64(text))
		}
	}
	f("", false, false)
	f("=", false, false)
	f("====", false, false)
	f("0aF9", true, true)
	f("0aF9c", true, false)
	f("Zg==", false, true)
	f("Zg=", false, false)
	f("Zg", false, true)
	f("Zm9v+/==", false, true)
	f("Zm9v-_", false, true)
	f("Zm+v-_==", false, false)
	f("Zm9 dg==", false, false)
}

// slowDistance is Wagner and Fischer's.
func slowDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			diagonal, row[j+1] = row[j+1], min(diagonal+cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}

func TestEditDistance(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abcd"[r.IntN(2+n%3)]
		}
		return string(b)
	}
	for range 3000 {
		a := random(r.IntN(200))
		b := random(r.IntN(200))
		if r.IntN(2) == 0 { // a few edits
			c := []byte(a)
			for range r.IntN(6) {
				if i := r.IntN(len(c) + 1); i < len(c) {
					c = slices.Delete(c, i, i+1)
				} else {
					c = slices.Insert(c, i/2, 'x')
				}
			}
			b = string(c)
		}
		got, err := EditDistance(a, b)
		if want := slowDistance(a, b); err != nil || got != want {
			t.Fatalf("%q %q: got %d, %v, want %d", a, b, got, err, want)
		}
	}
	if n, err := EditDistance(strings.Repeat("a", MaxEdit), strings.Repeat("b", MaxEdit)); n != MaxEdit || err != nil {
		t.Errorf("got %v, %v", n, err)
	}
	if _, err := EditDistance("a", strings.Repeat("b", MaxEdit+1)); err == nil {
		t.Error("a long text is compared")
	}
}

func TestJaccard(t *testing.T) {
	f := func(a, b string, n int, want float64) {
		t.Helper()
		if got, err := Jaccard(a, b, n); err != nil || got != want {
			t.Errorf("%q %q %d: got %v, %v, want %v", a, b, n, got, err, want)
		}
	}
	f("night", "nacht", 2, 1.0/7)
	f("abc", "abc", 2, 1)
	f("", "", 2, 1)
	f("", "abc", 2, 0)
	f("ab", "abc", 3, 0)
	f("aaaa", "aa", 2, 1)
	f("abcdefgh", "abcdefghi", 8, 0.5)
	for _, n := range []int{0, 9, -1} {
		if _, err := Jaccard("a", "b", n); err == nil {
			t.Errorf("n = %d is taken", n)
		}
	}
	if _, err := Jaccard(strings.Repeat("b", MaxEdit), "a", 2); err == nil {
		t.Error("a long text is compared")
	}
}

func FuzzText(f *testing.F) {
	f.Add("kitten", "sitting", 2)
	f.Add("\x00\xff", "", 3)
	f.Fuzz(func(t *testing.T, a, b string, n int) {
		s := Measure(a)
		if s.Letters+s.Digits+s.Other != len(a) || s.Vowels+s.Consonants != s.Letters || s.Distinct > min(len(a), 256) || s.Changes+s.Turns > len(a) {
			t.Fatalf("%q: %+v", a, s)
		}
		if e := Entropy(a); math.Abs(e-s.Entropy) > 1e-9 || e < 0 || e > math.Log2(float64(max(s.Distinct, 1)))+1e-9 {
			t.Fatalf("%q: entropy %v and %v", a, e, s.Entropy)
		}
		if len(a) < 300 && len(b) < 300 {
			d, err := EditDistance(a, b)
			if err != nil || d != slowDistance(a, b) {
				t.Fatalf("%q %q: got %d, %v", a, b, d, err)
			}
		}
		x, err1 := Jaccard(a, b, n)
		y, err2 := Jaccard(b, a, n)
		if x != y || (err1 == nil) != (err2 == nil) || x < 0 || x > 1 {
			t.Fatalf("%q %q: got %v and %v", a, b, x, y)
		}
		IsBase64(a)
	})
}
