package model

import (
	"context"
	"errors"
	"fmt"
)

// maxWork is the largest ensemble that is explained: leaves times the square of the depth, over all trees. It takes some
// seconds for each row.
const maxWork = 2e9

// Explain returns what each feature adds to the margin of x: base + sum of contributions is the margin, up to rounding.
// contributions are in the order of Features. For Multiclass it explains the class that Predict answers.
//
//   - logistic, linear: base is the intercept, a contribution is coefficient * (x - mean) / scale. It is exactly what the
//     feature adds compared with a row that has the mean (0 if the model has no mean).
//   - forest, lightgbm, xgboost: Shapley values of the trees, path-dependent TreeSHAP (Lundberg, Erion, Lee: Consistent
//     Individualized Feature Attribution for Tree Ensembles, 2018), as LightGBM's pred_contrib and XGBoost's
//     pred_contribs. base is the mean margin of the training rows. A forest's margin is its probability or value.
//   - isolation_forest: likewise, of the exponent of the anomaly score: Score = 2^(base + sum). Positive contributions
//     make the row more unusual.
//   - kmeans: base is 0 and a contribution is the feature's part of the squared distance to the nearest center, in
//     standardised units; their sum is Margin.
//
// A model that was written without the counts of training rows in its nodes, or is too large, gives an error.
func (m *Model) Explain(x []float64) (base float64, contributions []float64, err error) {
	return m.ExplainClass(context.Background(), x, -1)
}

// ExplainClass is Explain for one class (or center), an index in Classes; -1 is the one that Predict answers. Of a
// Binary model both classes have the same margin, that of the second, with opposite signs for class 0. When ctx ends, so
// does the explanation, with the error of ctx.
func (m *Model) ExplainClass(ctx context.Context, x []float64, class int) (base float64, contributions []float64, err error) {
	if class < -1 || class >= len(m.classes) && class != -1 {
		return 0, nil, fmt.Errorf("class %d: the model has %d", class, len(m.classes))
	}
	x = m.row(x)
	out := make([]float64, len(m.features))
	if m.centers != nil {
		if class < 0 {
			class = m.centers.predict(x).Class
		}
		for i := range out {
			d := m.centers.offset(x, m.centers.points[class], i)
			out[i] = d * d
		}
		return 0, out, nil
	}
	output := 0
	if m.outputs > 1 {
		if output = class; class < 0 {
			margins := make([]float64, m.outputs)
			m.margins(x, margins)
			output = argmax(margins)
		}
	}
	if m.linear != nil {
		for i := range out {
			out[i] = m.linear.term(x, output, i)
		}
		base = m.linear.intercept[output]
	} else if base, err = m.trees.explain(ctx, x, output, out); err != nil {
		return 0, nil, err
	}
	if m.task == Binary && class == 0 {
		base = -base
		if m.link.kind == linkIdentity { // probabilities: those of the classes add up to 1
			base++
		}
		for i, v := range out {
			out[i] = -v
		}
	}
	return base, out, nil
}

var errNoCounts = errors.New(`the model cannot be explained: its trees lack the number of training rows in each node (native models: "samples")`)

// explain adds the contributions to an output's margin to out and returns the base.
func (e *ensemble) explain(ctx context.Context, x []float64, output int, out []float64) (float64, error) {
	if e.cover == nil {
		return 0, errNoCounts
	}
	if e.work > maxWork {
		return 0, fmt.Errorf("the model is too large to be explained: %.3g steps for a row, at most %.3g are allowed", e.work, maxWork)
	}
	s := shapley{ensemble: e, ended: ctx.Err, x: x, out: out, output: output, leaves: askEvery}
	base := 0.0
	for t, r := range e.roots {
		if e.stride == 1 && e.output != nil && int(e.output[t]) != output {
			continue
		}
		base += s.tree(r, int(e.depth[t]))
		if s.leaves += askEvery / 16; s.leaves >= askEvery {
			s.leaves, s.err = 0, s.ended()
		}
		if s.err != nil {
			return 0, s.err
		}
	}
	for i := range out {
		out[i] *= e.scale
	}
	return e.base[output] + e.scale*base, nil
}

// shapley explains one row, tree by tree. On the way down it keeps the path: the features that were asked, each with the
// share of training rows that go the same way (zero: the feature is unknown) and whether x does (one: it is known), and
// for each number of known features the weight of all subsets of that size.
type shapley struct {
	*ensemble
	x      []float64
	out    []float64
	output int
	memory []pathStep   // paths of all levels, one behind the other
	ended  func() error // Err of a context
	leaves int          // since it was asked
	err    error        // what it answered: the rest is left out
}

// askEvery is the number of leaves after which an explanation asks whether its context has ended.
const askEvery = 1 << 12

// pathStep is an element of a path.
type pathStep struct {
	feature   int // -1 for the root
	zero, one float64
	weight    float64
}

// tree adds the contributions of one tree and returns its mean.
func (s *shapley) tree(root uint32, depth int) float64 {
	unique := min(depth, len(s.x)) + 2
	if need := (depth + 2) * unique; len(s.memory) < need {
		s.memory = make([]pathStep, need)
	}
	return s.descend(root, s.memory, 0, pathStep{feature: -1, zero: 1, one: 1})
}

// descend extends the path, whose length is n and which stands at the beginning of memory, by last, and explains what is
// below node i. It returns the mean of the leaves there.
func (s *shapley) descend(i uint32, memory []pathStep, n int, last pathStep) float64 {
	if s.err != nil {
		return 0
	}
	path := memory[:n+1]
	extend(path, last)
	nd := &s.nodes[i]
	if nd.flags&leafNode != 0 {
		if s.leaves++; s.leaves >= askEvery {
			s.leaves, s.err = 0, s.ended()
		}
		v := s.values[int(s.leaf[i])+s.valueAt()]
		for k := 1; k < len(path); k++ {
			p := &path[k]
			s.out[p.feature] += without(path, k) * (p.one - p.zero) * v
		}
		return v
	}
	hot, cold := nd.left, nd.left+1
	if !s.goesLeft(nd, s.x) {
		hot, cold = cold, hot
	}
	hotShare, coldShare := s.share(i, hot), s.share(i, cold)
	zero, one := 1.0, 1.0
	for k := 1; k < len(path); k++ {
		if path[k].feature == int(nd.feature) { // asked again: its two shares are those of both questions
			zero, one = path[k].zero, path[k].one
			remove(path, k)
			path = path[:len(path)-1]
			break
		}
	}
	mean := 0.0
	below := memory[len(path):]
	for _, child := range [2]struct {
		node       uint32
		share, one float64
	}{{hot, hotShare, one}, {cold, coldShare, 0}} {
		if child.share == 0 && child.one == 0 {
			continue // no training row and not x: it counts in no subset
		}
		if zero*child.share == 0 && child.one == 0 {
			mean += child.share * s.mean(child.node)
			continue
		}
		copy(below, path)
		mean += child.share * s.descend(child.node, below, len(path), pathStep{int(nd.feature), zero * child.share, child.one, 0})
	}
	return mean
}

// valueAt returns which of a leaf's values is explained.
func (s *shapley) valueAt() int {
	if s.stride == 1 {
		return 0
	}
	return s.output
}

// share returns which part of the training rows in node i went to its child.
func (s *shapley) share(i, child uint32) float64 {
	left := s.nodes[i].left
	sum := s.cover[left] + s.cover[left+1]
	if sum <= 0 {
		return 0.5
	}
	return s.cover[child] / sum
}

// mean returns the mean of the leaves below node i.
func (s *shapley) mean(i uint32) float64 {
	nd := &s.nodes[i]
	if nd.flags&leafNode != 0 {
		return s.values[int(s.leaf[i])+s.valueAt()]
	}
	sum := 0.0
	for _, child := range [2]uint32{nd.left, nd.left + 1} {
		if share := s.share(i, child); share > 0 {
			sum += share * s.mean(child)
		}
	}
	return sum
}

// extend sets the last element of path and updates the weights of those before it.
func extend(path []pathStep, last pathStep) {
	n := len(path) - 1
	path[n] = last
	if n == 0 {
		path[0].weight = 1
		return
	}
	size := float64(n + 1)
	for k := n - 1; k >= 0; k-- {
		w := path[k].weight
		path[k+1].weight += last.one * w * float64(k+1) / size
		path[k].weight = last.zero * w * float64(n-k) / size
	}
}

// remove takes element k out of path, as if it had never been added; the last element is then unused.
func remove(path []pathStep, k int) {
	n := len(path) - 1
	zero, one := path[k].zero, path[k].one
	size := float64(n + 1)
	next := path[n].weight
	for j := n - 1; j >= 0; j-- {
		if one == 0 {
			path[j].weight *= size / (zero * float64(n-j))
			continue
		}
		w := path[j].weight
		path[j].weight = next * size / (float64(j+1) * one)
		next = w - path[j].weight*zero*float64(n-j)/size
	}
	for j := k; j < n; j++ {
		path[j].feature, path[j].zero, path[j].one = path[j+1].feature, path[j+1].zero, path[j+1].one
	}
}

// without returns the sum of the weights that path has without element k.
func without(path []pathStep, k int) float64 {
	n := len(path) - 1
	zero, one := path[k].zero, path[k].one
	size := float64(n + 1)
	next, sum := path[n].weight, 0.0
	for j := n - 1; j >= 0; j-- {
		if one == 0 {
			sum += path[j].weight * size / (zero * float64(n-j))
			continue
		}
		w := next * size / (float64(j+1) * one)
		sum += w
		next = path[j].weight - w*zero*float64(n-j)/size
	}
	return sum
}
