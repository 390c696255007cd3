package main

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"sort"
	"sync"

	"dragonfly/engine/domain"
)

// forestParams says how large a forest is and how its trees grow.
type forestParams struct {
	trees  int
	leaves int // of a tree
	least  int // rows in a leaf
	tries  int // features that are tried for a split
	bins   int // thresholds that are tried for a feature
}

// tree is a decision tree, as the model file has it: left when x <= threshold; feature -1 is a leaf.
type tree struct {
	Feature   []int     `json:"feature"`
	Threshold []float64 `json:"threshold"`
	Left      []int     `json:"left"`
	Right     []int     `json:"right"`
	Value     []float64 `json:"value"`   // probability of a generated name among the node's rows
	Samples   []float64 `json:"samples"` // weight of the node's rows
}

type forest []tree

// grower grows the trees of a forest.
type grower struct {
	s      *set
	p      forestParams
	levels [][]float64 // thresholds of each feature
	binned [][]uint8   // of each feature and row: the first level that is not below the value
}

// trainForest grows trees on bootstrap samples, each tree from a seed of its own.
func trainForest(s *set, p params) forest {
	g := &grower{s: s, p: p.forest}
	for j := range s.x[0] {
		g.bin(j)
	}
	f := make(forest, p.forest.trees)
	var wg sync.WaitGroup
	turn := make(chan struct{}, 2)
	for i := range f {
		turn <- struct{}{}
		wg.Go(func() {
			f[i] = g.grow(rand.New(rand.NewPCG(p.seed, uint64(1000+i))))
			<-turn
		})
	}
	wg.Wait()
	return f
}

// bin picks the thresholds of feature j: rounded quantiles.
func (g *grower) bin(j int) {
	values := make([]float64, len(g.s.x))
	for i, x := range g.s.x {
		values[i] = x[j]
	}
	sorted := slices.Sorted(slices.Values(values))
	var levels []float64
	for k := 1; k <= g.p.bins; k++ {
		at := k * len(sorted) / (g.p.bins + 1)
		levels = append(levels, round((sorted[at]+sorted[max(at-1, 0)])/2, 3))
	}
	slices.Sort(levels)
	levels = slices.Compact(levels)
	binned := make([]uint8, len(values))
	for i, v := range values {
		binned[i] = uint8(sort.SearchFloat64s(levels, v))
	}
	g.levels, g.binned = append(g.levels, levels), append(g.binned, binned)
}

// split is the best split of a node, or none: gain 0.
type split struct {
	gain           float64
	feature, level int
}

// grow grows one tree, the split with the highest gain first, up to the number of leaves.
func (g *grower) grow(r *rand.Rand) tree {
	n := len(g.s.x)
	count := make([]float64, n)
	for range n {
		count[r.IntN(n)]++
	}
	var rows []int
	for i, c := range count {
		if c > 0 {
			rows = append(rows, i)
		}
	}
	var t tree
	var open []leaf
	node := func(rows []int) leaf {
		w0, w1 := 0.0, 0.0
		for _, i := range rows {
			if g.s.y[i] {
				w1 += count[i] * g.s.weight[i]
			} else {
				w0 += count[i] * g.s.weight[i]
			}
		}
		l := leaf{node: len(t.Feature), rows: rows, split: g.best(r, rows, count, w0, w1)}
		t.Feature, t.Threshold = append(t.Feature, -1), append(t.Threshold, 0)
		t.Left, t.Right, t.Value = append(t.Left, -1), append(t.Right, -1), append(t.Value, round(w1/(w0+w1), 3))
		t.Samples = append(t.Samples, round(w0+w1, 1))
		return l
	}
	open = append(open, node(rows))
	for leaves := 1; leaves < g.p.leaves; leaves++ {
		at := 0
		for i := range open {
			if open[i].split.gain > open[at].split.gain {
				at = i
			}
		}
		l := open[at]
		if l.split.gain <= 0 {
			break
		}
		var left, right []int
		for _, i := range l.rows {
			if int(g.binned[l.split.feature][i]) <= l.split.level {
				left = append(left, i)
			} else {
				right = append(right, i)
			}
		}
		a := node(left)
		b := node(right)
		t.Feature[l.node], t.Threshold[l.node] = l.split.feature, g.levels[l.split.feature][l.split.level]
		t.Left[l.node], t.Right[l.node] = a.node, b.node
		open[at] = a
		open = append(open, b)
	}
	return t
}

// leaf is a node that may still be split.
type leaf struct {
	node  int
	rows  []int
	split split
}

// best tries some features and returns the split that lowers Gini's impurity most.
func (g *grower) best(r *rand.Rand, rows []int, count []float64, w0, w1 float64) (s split) {
	if len(rows) < 2*g.p.least || w0 == 0 || w1 == 0 {
		return s
	}
	type cell struct {
		w [2]float64
		n int
	}
	whole := w0 * w1 / (w0 + w1)
	for _, j := range r.Perm(len(g.binned))[:g.p.tries] {
		var cells [256]cell
		for _, i := range rows {
			c := &cells[g.binned[j][i]]
			y := 0
			if g.s.y[i] {
				y = 1
			}
			c.w[y] += count[i] * g.s.weight[i]
			c.n++
		}
		var l cell
		for k := range g.levels[j] {
			l.w[0] += cells[k].w[0]
			l.w[1] += cells[k].w[1]
			l.n += cells[k].n
			if l.n < g.p.least || len(rows)-l.n < g.p.least {
				continue
			}
			r0, r1 := w0-l.w[0], w1-l.w[1]
			gain := whole - l.w[0]*l.w[1]/(l.w[0]+l.w[1]) - r0*r1/(r0+r1)
			if gain > s.gain+1e-12 {
				s = split{gain, j, k}
			}
		}
	}
	return s
}

func (f forest) predict(x []float64) float64 {
	sum := 0.0
	for i := range f {
		t, at := &f[i], 0
		for t.Feature[at] >= 0 {
			if x[t.Feature[at]] <= t.Threshold[at] {
				at = t.Left[at]
			} else {
				at = t.Right[at]
			}
		}
		sum += t.Value[at]
	}
	return sum / float64(len(f))
}

func (f forest) json(provenance string) []byte {
	b, err := json.Marshal(struct {
		Model      string   `json:"model"`
		Task       string   `json:"task"`
		Features   []string `json:"features"`
		Classes    []int    `json:"classes"`
		Trees      forest   `json:"trees"`
		Provenance string   `json:"provenance"`
	}{"forest", "classification", domain.FeatureNames, []int{0, 1}, f, provenance})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return append(b, '\n')
}
