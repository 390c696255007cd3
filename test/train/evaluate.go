package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"sort"
	"strings"

	"dragonfly/engine/domain"
)

// measure is how well scores tell generated names from those of people.
type measure struct {
	auc   float64
	found [2]float64 // share of generated names found at 1 % and at 0.1 % false positives
}

// rates are the shares of false positives that found is about.
var rates = [2]float64{0.01, 0.001}

// measureOf compares the scores of names of people with those of generated ones; equal scores count half.
func measureOf(people, dga []float64) (m measure) {
	people = slices.Sorted(slices.Values(people))
	for _, s := range dga {
		below := sort.SearchFloat64s(people, s)
		upTo := sort.Search(len(people), func(i int) bool { return people[i] > s })
		m.auc += (float64(below) + float64(upTo-below)/2) / float64(len(people)*len(dga))
	}
	for k, rate := range rates {
		t := threshold(people, rate)
		for _, s := range dga {
			if s > t {
				m.found[k] += 1 / float64(len(dga))
			}
		}
	}
	return m
}

// with returns the mean of n measures, of which m is the mean of all but one.
func (m measure) with(one measure, n float64) measure {
	m.auc += (one.auc - m.auc) / n
	for k := range m.found {
		m.found[k] += (one.found[k] - m.found[k]) / n
	}
	return m
}

// threshold returns the score that at most a share of the sorted scores exceeds.
func threshold(sorted []float64, share float64) float64 {
	return sorted[len(sorted)-1-int(share*float64(len(sorted)))]
}

// scorer is a trained method.
type scorer struct {
	name  string
	score func(i int, x []float64) float64 // of row i
}

// report is the evaluation: per method and family, means over the folds.
type report struct {
	methods  []string
	families []string
	names    map[string]int // of a family
	ours     map[string]bool
	by       map[[2]string]measure // method, family
	clean    map[[2]string]measure // without the names set aside as labelled wrongly
	aside    int
	limits   map[string][3]float64 // per method: scores that 1 %, 0.1 % and 0.01 % of names of people exceed
	people   int
}

// evaluate cross-validates: names are scored by methods that saw neither their family nor, for names of people, their
// fold. Scores of one method from different folds are compared only within a fold.
func evaluate(f *folds, p params) *report {
	rows := f.rows
	r := &report{names: map[string]int{}, ours: map[string]bool{}, by: map[[2]string]measure{}, clean: map[[2]string]measure{},
		limits: map[string][3]float64{}, aside: len(f.aside)}
	for _, row := range rows {
		if !row.dga {
			r.people++
			continue
		}
		if r.names[row.family] == 0 {
			r.families = append(r.families, row.family)
		}
		r.names[row.family]++
		r.ours[row.family] = row.ours
	}
	slices.Sort(r.families)
	folds := map[[2]string]float64{} // how many folds a figure is the mean of
	pool := map[string][]float64{}
	for fold := range f.n {
		for _, m := range scorers(f, fold, p) {
			if fold == 0 {
				r.methods = append(r.methods, m.name)
			}
			var people, clean []float64
			dga := map[string][]float64{}
			for i, row := range rows {
				switch {
				case !row.dga && f.fold[i] == fold:
					people = append(people, m.score(i, f.x[i]))
					if !f.aside[i] {
						clean = append(clean, people[len(people)-1])
					}
				case row.dga && (f.fold[i] == fold || f.fold[i] == -1):
					dga[row.family] = append(dga[row.family], m.score(i, f.x[i]))
				}
			}
			pool[m.name] = append(pool[m.name], clean...)
			for fam, scores := range dga {
				key := [2]string{m.name, fam}
				folds[key]++
				r.by[key] = r.by[key].with(measureOf(people, scores), folds[key])
				r.clean[key] = r.clean[key].with(measureOf(clean, scores), folds[key])
			}
		}
	}
	for name, scores := range pool {
		slices.Sort(scores)
		r.limits[name] = [3]float64{threshold(scores, 0.01), threshold(scores, 0.001), threshold(scores, 0.0001)}
	}
	return r
}

// scorers trains every method without a fold.
func scorers(f *folds, fold int, p params) []scorer {
	s := f.training(fold)
	l, t := trainLogistic(s), trainForest(s, p)
	bayes := newBayes(f, fold)
	entropy := slices.Index(domain.FeatureNames, "entropy")
	return []scorer{
		{"forest", func(_ int, x []float64) float64 { return t.predict(x) }},
		{"logistic", func(_ int, x []float64) float64 { return l.predict(x) }},
		{"bigram Bayes", func(i int, _ []float64) float64 { return bayes.score(label(f.rows[i].name)) }},
		{"entropy", func(_ int, x []float64) float64 { return x[entropy] }},
	}
}

// bayes is the baseline: the log-likelihood ratio of letter pairs, learned from rows of the data.
type bayes [2][256][256]float64

func newBayes(f *folds, fold int) *bayes {
	b := &bayes{}
	for i, r := range f.rows {
		if !r.ours || f.fold[i] == fold {
			continue
		}
		c := 0
		if r.dga {
			c = 1
		}
		l := "^" + label(r.name) + "$"
		for j := 1; j < len(l); j++ {
			b[c][l[j-1]][l[j]]++
		}
	}
	for c := range b {
		for x := range b[c] {
			sum := 39.0
			for _, n := range b[c][x] {
				sum += n
			}
			for y := range b[c][x] {
				b[c][x][y] = math.Log((b[c][x][y] + 1) / sum)
			}
		}
	}
	return b
}

func (b *bayes) score(label string) float64 {
	l, sum := "^"+label+"$", 0.0
	for j := 1; j < len(l); j++ {
		sum += b[1][l[j-1]][l[j]] - b[0][l[j-1]][l[j]]
	}
	return sum
}

// mean returns the mean over the families (each counts the same) or over their names.
func (r *report) mean(by map[[2]string]measure, method string, ours, byName bool) (m measure) {
	sum := 0.0
	for _, fam := range r.families {
		if r.ours[fam] != ours {
			continue
		}
		w := 1.0
		if byName {
			w = float64(r.names[fam])
		}
		sum += w
		x := by[[2]string{method, fam}]
		m.auc += w * x.auc
		for k := range m.found {
			m.found[k] += w * x.found[k]
		}
	}
	m.auc /= sum
	for k := range m.found {
		m.found[k] /= sum
	}
	return m
}

func (r *report) print(w io.Writer) { io.WriteString(w, r.text()) }

// text shows the report as Markdown tables.
func (r *report) text() string {
	var b strings.Builder
	for _, g := range []struct {
		title  string
		by     map[[2]string]measure
		ours   bool
		byName bool
	}{
		{"real malware, per name", r.by, false, true}, {"real malware, per family", r.by, false, false},
		{"our generators, per name", r.by, true, true},
		{"real malware, per name, corrected labels", r.clean, false, true}, {"real malware, per family, corrected labels", r.clean, false, false},
	} {
		fmt.Fprintf(&b, "| %s | AUC | found at 1 %% FP | found at 0.1 %% FP |\n|---|---|---|---|\n", g.title)
		for _, m := range r.methods {
			x := r.mean(g.by, m, g.ours, g.byName)
			fmt.Fprintf(&b, "| %s | %.3f | %.1f %% | %.1f %% |\n", m, x.auc, 100*x.found[0], 100*x.found[1])
		}
		b.WriteByte('\n')
	}
	b.WriteString("| family | names | forest: AUC | 1 % FP | 0.1 % FP | logistic: AUC | 1 % FP | bigram Bayes: AUC | 1 % FP |\n|---|---|---|---|---|---|---|---|---|\n")
	for _, fam := range r.families {
		x, l, y := r.by[[2]string{"forest", fam}], r.by[[2]string{"logistic", fam}], r.by[[2]string{"bigram Bayes", fam}]
		fmt.Fprintf(&b, "| %s | %d | %.3f | %.0f %% | %.0f %% | %.3f | %.0f %% | %.3f | %.0f %% |\n", fam, r.names[fam],
			x.auc, 100*x.found[0], 100*x.found[1], l.auc, 100*l.found[0], y.auc, 100*y.found[0])
	}
	b.WriteByte('\n')
	for _, m := range []string{"forest", "logistic"} {
		l := r.limits[m]
		fmt.Fprintf(&b, "%s: of %d names of people, %d set aside, 1 %% score above %.3f, 0.1 %% above %.3f, 0.01 %% above %.3f.\n", m, r.people, r.aside, l[0], l[1], l[2])
	}
	return b.String()
}

// provenance says where each model is from.
func provenance(p params, r *report) map[string]string {
	out := map[string]string{}
	for _, m := range []string{"forest", "logistic"} {
		x, y := r.mean(r.by, m, false, true), r.mean(r.by, m, true, true)
		out[m] = fmt.Sprintf("go run ./test/train -seed %d -trees %d -leaves %d -families %d; from names marked ours of domains-dev.tsv (public domain and own generators) and "+
			"families drawn at random by test/train; cross-validated on unseen families: real malware AUC %.3f, %.1f %% found at 1 %% false positives; own generators AUC %.3f, %.1f %%",
			p.seed, p.forest.trees, p.forest.leaves, p.families, x.auc, 100*x.found[0], y.auc, 100*y.found[0])
	}
	return out
}
