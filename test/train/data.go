package main

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"

	"dragonfly/engine/domain"
)

// row is a name of the data.
type row struct {
	name   string
	dga    bool
	family string
	ours   bool
}

// read reads the data; every line must be well-formed.
func read(path string) ([]row, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var rows []row
	for i, line := range strings.Split(strings.TrimRight(string(b), "\n"), "\n") {
		if i == 0 {
			continue
		}
		f := strings.Split(line, "\t")
		if len(f) != 4 || f[1] != "0" && f[1] != "1" {
			return nil, fmt.Errorf("%s:%d: want domain, label 0 or 1, family, ours, separated by tabs; got %q", path, i+1, line)
		}
		rows = append(rows, row{f[0], f[1] == "1", f[2], f[3] == "yes"})
	}
	return rows, nil
}

// label returns what the features are about.
func label(name string) string {
	_, l := domain.Chosen(name)
	return l
}

// set is a training set.
type set struct {
	x      [][]float64
	y      []bool // generated
	weight []float64
}

func (s *set) add(x []float64, y bool, weight float64) {
	s.x, s.y, s.weight = append(s.x, x), append(s.y, y), append(s.weight, weight)
}

// folds divides the data for cross-validation. Names of people are divided at random; the features of each are made with
// a letter model that has not seen its fold, also for training: as if it were new. Families are held out whole.
type folds struct {
	rows   []row
	x      [][]float64 // features of rows
	fold   []int       // of rows; those not ours are in none: -1
	n      int
	grams  []*domain.Grams // without fold i
	all    *domain.Grams   // with all names of people
	drawn  []family
	drawnX [][][]float64
	aside  map[int]bool // rows that are most likely labelled wrongly: not trained from
}

// looksLikeConficker is the form of the names of Conficker A to C. Lists of names that are asked for often contain many
// of them, as its bots and the sinkholes are many: with the label of names of people.
var looksLikeConficker = regexp.MustCompile(`^[a-z]{5,12}\.(com|net|org|info|biz|cn|ws|cc)$`)

// doubtful is the score from which a name of that form counts as Conficker's.
const doubtful = 0.85

// prepare makes the folds. A first forest finds the names that are labelled wrongly; the second division is without them.
func prepare(rows []row, p params) *folds {
	f := newFolds(rows, p, nil)
	aside := map[int]bool{}
	for fold := range f.n {
		t := trainForest(f.training(fold), p)
		for i, r := range rows {
			if r.family == "top" && f.fold[i] == fold && looksLikeConficker.MatchString(r.name) && t.predict(f.x[i]) > doubtful {
				aside[i] = true
			}
		}
	}
	return newFolds(rows, p, aside)
}

func newFolds(rows []row, p params, aside map[int]bool) *folds {
	f := &folds{rows: rows, n: p.folds, fold: make([]int, len(rows)), x: make([][]float64, len(rows)), aside: aside}
	var families []string
	for i, r := range rows {
		switch {
		case !r.ours:
			f.fold[i] = -1
		case r.dga:
			j := slices.Index(families, r.family)
			if j < 0 {
				j, families = len(families), append(families, r.family)
			}
			f.fold[i] = j % f.n
		default:
			h := fnv.New64a() // by registered label: example.com and example.org are never in different folds
			fmt.Fprintf(h, "%d %s", p.seed, label(r.name))
			f.fold[i] = int(h.Sum64() % uint64(f.n))
		}
	}
	for fold := range f.n {
		f.grams = append(f.grams, domain.NewGrams(f.people(fold)))
	}
	f.all = domain.NewGrams(f.people(-1))
	for i, r := range rows {
		g := f.all
		if !r.dga {
			g = f.grams[f.fold[i]]
		}
		f.x[i] = g.Features(r.name, nil)
	}
	rnd := rand.New(rand.NewPCG(p.seed, 2))
	f.drawn = drawFamilies(rnd, p.families, p.names, f.people(-1))
	for _, fam := range f.drawn {
		var xs [][]float64
		for _, name := range fam.names {
			xs = append(xs, f.all.Features(name, nil))
		}
		f.drawnX = append(f.drawnX, xs)
	}
	return f
}

// people returns the labels of names that people chose, without those of a fold.
func (f *folds) people(without int) []string {
	var labels []string
	for i, r := range f.rows {
		if !r.dga && r.ours && f.fold[i] != without && !f.aside[i] {
			labels = append(labels, label(r.name))
		}
	}
	slices.Sort(labels)
	return slices.Compact(labels)
}

// similar says which styles of drawn families are like a family of the data: when that is held out, so are they.
var similar = map[string][]string{
	"synth-letters": {"letters"}, "synth-date": {"letters"}, "synth-alnum": {"alnum"}, "synth-base32": {"alnum"}, "synth-hex": {"hex"},
	"synth-cv": {"syllables", "pattern"}, "synth-pcfg": {"letter pairs", "parts"}, "synth-words": {"words"},
}

// training returns the training set without a fold: without its names of people, its families, and what is similar to
// them; -1 leaves out nothing. People and generators weigh the same in all.
func (f *folds) training(without int) *set {
	s := &set{}
	var out []string
	people, dga := 0.0, 0.0
	for i, r := range f.rows {
		switch {
		case !r.ours, f.aside[i]:
		case f.fold[i] == without:
			out = append(out, similar[r.family]...)
		default:
			s.add(f.x[i], r.dga, 1)
			if r.dga {
				dga++
			} else {
				people++
			}
		}
	}
	for i, fam := range f.drawn {
		if slices.Contains(out, fam.style) {
			continue
		}
		for _, x := range f.drawnX[i] {
			s.add(x, true, 1)
			dga++
		}
	}
	for i, y := range s.y {
		if y {
			s.weight[i] = 0.5 / dga
		} else {
			s.weight[i] = 0.5 / people
		}
	}
	return s
}
