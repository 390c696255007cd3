package main

import (
	"bytes"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"dragonfly/engine/domain"
)

const sharedData = "../../../shared/data/dga/domains-dev.tsv"

func defaults() params {
	return params{seed: 1, folds: 5, families: 3200, names: 25, forest: forestParams{trees: 50, leaves: 120, least: 8, tries: 8, bins: 48}}
}

// What is shipped is what the command makes of the data.
func TestShippedModelsAreReproducible(t *testing.T) {
	if _, err := os.Stat(sharedData); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs ../shared/data/dga")
	}
	if testing.Short() {
		t.Skip("trains for some seconds")
	}
	dir := t.TempDir()
	data, _ := filepath.Abs(sharedData)
	if out, err := exec.Command("go", "run", "dragonfly/test/train", "-data", data, "-root", dir).CombinedOutput(); err != nil { // ten times faster than with the race detector
		t.Fatalf("%v: %s", err, out)
	}
	for _, name := range []string{"engine/domain/grams.bin", "analyzers/models/dga-logistic.json", "analyzers/models/dga-forest.json", "analyzers/models/dga-evaluation.md"} {
		got, err := os.ReadFile(filepath.Join(dir, name))
		want, err2 := os.ReadFile(filepath.Join("../..", name))
		if err != nil || err2 != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what `go run ./test/train` makes: %v, %v", name, err, err2)
		}
	}
}

// file is a model file as a reader of its own sees it.
type file struct {
	Model, Task               string
	Features                  []string
	Intercept                 float64
	Coefficients, Mean, Scale []float64
	Trees                     []tree
	Provenance                string
}

func shipped(t *testing.T, name string) (f file) {
	t.Helper()
	b, err := os.ReadFile("../../analyzers/models/" + name)
	if err != nil {
		t.Fatal(err)
	}
	if len(b) > 300_000 {
		t.Errorf("%s has %d bytes, want at most 300000", name, len(b))
	}
	if err := json.Unmarshal(b, &f); err != nil {
		t.Fatal(name, err)
	}
	if !slices.Equal(f.Features, domain.FeatureNames) || f.Provenance == "" {
		t.Errorf("%s: features %v, provenance %q", name, f.Features, f.Provenance)
	}
	return f
}

func TestShippedModelsJudge(t *testing.T) {
	l := shipped(t, "dga-logistic.json")
	if l.Model != "logistic" {
		t.Errorf("got %q", l.Model)
	}
	f := shipped(t, "dga-forest.json")
	if f.Model != "forest" || f.Task != "classification" || len(f.Trees) != defaults().forest.trees {
		t.Errorf("got %q, %q, %d trees", f.Model, f.Task, len(f.Trees))
	}
	for i, tr := range f.Trees {
		for at, feature := range tr.Feature {
			if p := tr.Value[at]; p < 0 || p > 1 {
				t.Errorf("tree %d, node %d: value %v", i, at, p)
			}
			if feature >= 0 && (feature >= len(f.Features) || tr.Left[at] <= at || tr.Right[at] <= at || tr.Left[at] >= len(tr.Feature) || tr.Right[at] >= len(tr.Feature)) {
				t.Errorf("tree %d, node %d: feature %d, left %d, right %d", i, at, feature, tr.Left[at], tr.Right[at])
			}
		}
	}
	logistic := &logistic{l.Intercept, l.Coefficients, l.Mean, l.Scale}
	for name, generated := range map[string]bool{
		"www.wikipedia.org": false, "github.com": false, "online-shopping.co.uk": false, "deutsche-bank.de": false, "d1a2b3c4d5e6f7.cloudfront.net": false,
		"a8f3e21b9c.s3.amazonaws.com": false, "365online.com": false, "xn--bcher-kva.de": false,
		"xkrjhgzqpvnbtdw.info": true, "qpzmvnbxtrwkj.com": true, "05bf3998e88236437400b7b3.org": true, "xqi2sm8dvjzmrhoyc5.biz": true, "wqkxjzvbhtrp.ddns.net": true,
	} {
		x := domain.Features(name, nil)
		if p := logistic.predict(x); (p > 0.9) != generated {
			t.Errorf("%s: logistic %v", name, p)
		}
		if p := forest(f.Trees).predict(x); (p > 0.9) != generated {
			t.Errorf("%s: forest %v", name, p)
		}
	}
}

func TestMeasureOf(t *testing.T) {
	// Of 6 pairs: 3 > 1, 3 > 2, 2 > 1 right, 2 = 2 half, 0 wrong twice.
	m := measureOf([]float64{2, 1}, []float64{3, 2, 0})
	if want := 3.5 / 6; math.Abs(m.auc-want) > 1e-12 {
		t.Errorf("AUC %v, want %v", m.auc, want)
	}
	people := make([]float64, 1000)
	for i := range people {
		people[i] = float64(i)
	}
	// 1 % of 1000 may be above: 990 to 999 are, so what is above 989 is found; at 0.1 % what is above 998.
	m = measureOf(people, []float64{988, 989, 989.5, 998, 998.5})
	if math.Abs(m.found[0]-0.6) > 1e-12 || math.Abs(m.found[1]-0.2) > 1e-12 {
		t.Errorf("got %v", m.found)
	}
}

// At the optimum of a logistic regression without ridge the mean prediction is the share of positives, in each group
// that a feature marks: with one binary feature the probabilities are the shares themselves.
func TestLogisticFindsTheOptimum(t *testing.T) {
	s := &set{}
	for i := range 100 {
		x := float64(i % 2)
		s.add([]float64{x, 7}, i%10 < 3 && x == 0 || i%4 == 1, 0.01)
	}
	var n, pos [2]float64
	for i, x := range s.x {
		n[int(x[0])]++
		if s.y[i] {
			pos[int(x[0])]++
		}
	}
	m := trainLogistic(s)
	for x := range 2 {
		if got, want := m.predict([]float64{float64(x), 7}), pos[x]/n[x]; math.Abs(got-want) > 0.002 {
			t.Errorf("%d: got %v, want %v", x, got, want)
		}
	}
}

func TestSolve(t *testing.T) {
	x := solve([][]float64{{4, 0, 0}, {2, 5, 0}, {1, 3, 6}}, []float64{11, 21, 25}) // symmetric, x = 1, 2, 3 but for the last row
	a := [][]float64{{4, 2, 1}, {2, 5, 3}, {1, 3, 6}}
	for i, b := range []float64{11, 21, 25} {
		if got := a[i][0]*x[0] + a[i][1]*x[1] + a[i][2]*x[2]; math.Abs(got-b) > 1e-9 {
			t.Errorf("row %d: got %v, want %v", i, got, b)
		}
	}
}

// A forest learns what no line separates; one tree never has more leaves than allowed.
func TestForestLearnsXor(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	s := &set{}
	for range 2000 {
		a, b := r.Float64(), r.Float64()
		s.add([]float64{a, b, r.Float64()}, (a > 0.5) != (b > 0.5), 1)
	}
	p := params{seed: 1, forest: forestParams{trees: 20, leaves: 20, least: 5, tries: 2, bins: 32}}
	f := trainForest(s, p)
	for _, c := range []struct {
		x    []float64
		want bool
	}{{[]float64{0.2, 0.8, 0.5}, true}, {[]float64{0.8, 0.2, 0.5}, true}, {[]float64{0.2, 0.2, 0.5}, false}, {[]float64{0.8, 0.8, 0.5}, false}} {
		if got := f.predict(c.x); (got > 0.5) != c.want || math.Abs(got-0.5) < 0.2 {
			t.Errorf("%v: got %v", c.x, got)
		}
	}
	for i, tr := range f {
		if leaves := len(tr.Feature) - len(tr.Feature)/2; leaves > 20 {
			t.Errorf("tree %d has %d leaves", i, leaves)
		}
	}
	if again := trainForest(s, p); !bytes.Equal(f.json(""), again.json("")) {
		t.Error("the same seed makes another forest")
	}
}

func TestFamiliesHoldOut(t *testing.T) {
	for fam, styles := range similar {
		for _, s := range styles {
			known := s == "words" // no drawn family is made of words
			for _, st := range styleNames() {
				known = known || st == s
			}
			if !known {
				t.Errorf("%s: no style %q", fam, s)
			}
		}
	}
	rows := []row{{"a.com", false, "top", true}, {"bcd.com", false, "top", true}, {"xkcd.com", false, "random", true}, {"zzz.com", true, "synth-letters", true}, {"f00.com", true, "real", false}}
	p := params{seed: 1, folds: 2, families: 16, names: 3}
	f := newFolds(rows, p, nil)
	for fold := range 2 {
		s, letters := f.training(fold), 0
		for i := range f.drawn {
			if f.drawn[i].style == "letters" {
				letters += p.names
			}
		}
		want := 16 * p.names
		if f.fold[3] == fold {
			want -= letters
		} else {
			want++
		}
		got := 0
		for _, y := range s.y {
			if y {
				got++
			}
		}
		if got != want {
			t.Errorf("fold %d: %d generated names to train from, want %d", fold, got, want)
		}
	}
	if f.fold[4] != -1 {
		t.Error("a row that is not ours is in a fold")
	}
}

func styleNames() (names []string) {
	for _, s := range styles {
		names = append(names, s.name)
	}
	return names
}

func TestReadSaysWhatIsWrong(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.tsv")
	os.WriteFile(path, []byte("domain\tlabel\tfamily\tours\na.com\t0\ttop\tyes\nb.com\t2\tx\tno\n"), 0o644)
	if _, err := read(path); err == nil || !strings.Contains(err.Error(), "x.tsv:3: ") {
		t.Errorf("got %v", err)
	}
}
