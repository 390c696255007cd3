package model

import (
	"errors"
	"fmt"
	"math"
)

// tree is a decision tree. The root is node 0, children stand behind their parents. Each node has width values; of inner
// nodes they may be missing (all 0) or what the tree would say if it ended there.
type tree struct {
	nodes  []node
	values []float64 // width per node
	cover  []float64 // training samples, or their weight, by node; nil if the file has none
	inner  bool      // inner nodes have values
	cats   [][]uint32
	width  int
	output int
}

// node is a split or a leaf.
type node struct {
	feature     int32 // < 0: a leaf
	left, right int32
	cats        int32 // place in tree.cats of a categorical split's bit set, -1 for a numeric one
	threshold   float64
	rule        rule
}

// rule is how a split treats its value.
type rule uint8

const (
	missingLeft rule = 1 << iota // NaN goes left, else right
	nanIsZero                    // NaN counts as 0
	zeroMissing                  // 0 and NaN are missing
	strictly                     // left when below the threshold, else when not above
	single                       // compares as float32
	inSetRight                   // categorical: the set goes right
)

// zeroLimit is what LightGBM takes for 0.
const zeroLimit = 1e-35

// leaf returns the node where x ends.
func (t *tree) leaf(x []float64) int {
	i := int32(0)
	for {
		n := &t.nodes[i]
		if n.feature < 0 {
			return int(i)
		}
		v := x[n.feature]
		var left bool
		if n.rule == 0 && n.cats < 0 && v == v { // the plainest: scikit-learn's, our own
			left = v <= n.threshold
		} else {
			left = t.left(n, v)
		}
		if left {
			i = n.left
		} else {
			i = n.right
		}
	}
}

// left decides a split.
func (t *tree) left(n *node, v float64) bool {
	if n.cats >= 0 {
		return t.inSet(n, v)
	}
	if v != v && n.rule&(nanIsZero|zeroMissing) != 0 {
		v = 0
	}
	if v != v || (n.rule&zeroMissing != 0 && v >= -zeroLimit && v <= zeroLimit) {
		return n.rule&missingLeft != 0
	}
	if n.rule&single != 0 {
		v = float64(float32(v))
	}
	if n.rule&strictly != 0 {
		return v < n.threshold
	}
	return v <= n.threshold
}

// inSet decides a categorical split.
func (t *tree) inSet(n *node, v float64) bool {
	if v != v {
		return n.rule&missingLeft != 0
	}
	c := math.Trunc(v)
	set := t.cats[n.cats]
	hit := c >= 0 && c < float64(len(set)*32) && set[int(c)>>5]>>(int(c)&31)&1 != 0
	if n.rule&inSetRight != 0 {
		return !hit
	}
	return hit
}

// check refuses trees with places out of range, cycles and too great depth.
func (t *tree) check(features int) error {
	if len(t.nodes) == 0 {
		return errors.New("it has no nodes")
	}
	if t.width == 0 {
		t.width = 1
	}
	if len(t.values) != len(t.nodes)*t.width {
		return fmt.Errorf("%d values for %d nodes", len(t.values), len(t.nodes))
	}
	if t.cover != nil && len(t.cover) != len(t.nodes) {
		return fmt.Errorf("%d sample counts for %d nodes", len(t.cover), len(t.nodes))
	}
	depth := make([]int32, len(t.nodes))
	seen := make([]bool, len(t.nodes))
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.feature < 0 {
			continue
		}
		if int(n.feature) >= features {
			return fmt.Errorf("node %d asks for feature %d of %d", i, n.feature, features)
		}
		if n.cats >= int32(len(t.cats)) {
			return fmt.Errorf("node %d has no set of categories", i)
		}
		for _, c := range []int32{n.left, n.right} {
			if c <= int32(i) || int(c) >= len(t.nodes) {
				return fmt.Errorf("node %d has the child %d, want one behind it, below %d", i, c, len(t.nodes))
			}
			if seen[c] {
				return fmt.Errorf("node %d has two parents", c)
			}
			seen[c] = true
			if depth[c] = depth[i] + 1; depth[c] > maxDepth {
				return fmt.Errorf("it is deeper than %d", maxDepth)
			}
		}
	}
	return nil
}

// explain adds scale * the contribution of each feature to c and returns the tree's value without knowledge of any.
func (t *tree) explain(x []float64, class int, scale float64, c []float64) (base float64, err error) {
	if t.width == 1 {
		class = 0
	}
	value := func(i int32) float64 { return t.values[int(i)*t.width+class] }
	if t.cover == nil {
		if !t.inner && len(t.nodes) > 1 {
			return 0, errors.New("the file has neither sample counts nor values of inner nodes: nothing to explain with")
		}
		i := int32(0)
		for t.nodes[i].feature >= 0 {
			n := &t.nodes[i]
			next := n.right
			if t.left(n, x[n.feature]) {
				next = n.left
			}
			c[n.feature] += scale * (value(next) - value(i))
			i = next
		}
		return value(0), nil
	}
	s := shap{t: t, x: x, value: value, scale: scale, c: c}
	s.walk(0, nil, 1, 1, -1)
	return t.expectation(0, value), nil
}

// expectation is the average value below node i.
func (t *tree) expectation(i int32, value func(int32) float64) float64 {
	n := &t.nodes[i]
	if n.feature < 0 {
		return value(i)
	}
	l, r := t.cover[n.left], t.cover[n.right]
	if l+r == 0 {
		return 0
	}
	return (l*t.expectation(n.left, value) + r*t.expectation(n.right, value)) / (l + r)
}

// shap computes SHAP values of one tree.
type shap struct {
	t     *tree
	x     []float64
	value func(int32) float64
	scale float64
	c     []float64
}

// step is a feature on the way to a leaf: the share of subsets that flow this way when the feature is unknown (zero) and known
// (one), and the weight of the subsets of that size.
type step struct {
	feature   int32
	zero, one float64
	weight    float64
}

// extend returns path with one more feature.
func extend(path []step, zero, one float64, feature int32) []step {
	n := len(path)
	out := make([]step, n+1)
	copy(out, path)
	out[n] = step{feature, zero, one, 0}
	if n == 0 {
		out[n].weight = 1
	}
	for i := n - 1; i >= 0; i-- {
		out[i+1].weight += one * out[i].weight * float64(i+1) / float64(n+1)
		out[i].weight = zero * out[i].weight * float64(n-i) / float64(n+1)
	}
	return out
}

// unwound returns the sum of weights of path without its step k.
func unwound(path []step, k int) float64 {
	n := len(path) - 1
	zero, one := path[k].zero, path[k].one
	next, total := path[n].weight, 0.0
	for i := n - 1; i >= 0; i-- {
		if one != 0 {
			w := next * float64(n+1) / (float64(i+1) * one)
			total += w
			next = path[i].weight - w*zero*float64(n-i)/float64(n+1)
		} else if zero != 0 {
			total += path[i].weight * float64(n+1) / (zero * float64(n-i))
		}
	}
	return total
}

// unwind returns path without its step k.
func unwind(path []step, k int) []step {
	n := len(path) - 1
	zero, one := path[k].zero, path[k].one
	out := append([]step(nil), path...)
	next := out[n].weight
	for i := n - 1; i >= 0; i-- {
		if one != 0 {
			w := out[i].weight
			out[i].weight = next * float64(n+1) / (float64(i+1) * one)
			next = w - out[i].weight*zero*float64(n-i)/float64(n+1)
		} else {
			out[i].weight = out[i].weight * float64(n+1) / (zero * float64(n-i))
		}
	}
	for i := k; i < n; i++ {
		out[i].feature, out[i].zero, out[i].one = out[i+1].feature, out[i+1].zero, out[i+1].one
	}
	return out[:n]
}

func (s *shap) walk(i int32, path []step, zero, one float64, feature int32) {
	path = extend(path, zero, one, feature)
	n := &s.t.nodes[i]
	if n.feature < 0 {
		for k := 1; k < len(path); k++ {
			s.c[path[k].feature] += s.scale * unwound(path, k) * (path[k].one - path[k].zero) * s.value(i)
		}
		return
	}
	hot, cold := n.right, n.left
	if s.t.left(n, s.x[n.feature]) {
		hot, cold = cold, hot
	}
	inZero, inOne := 1.0, 1.0
	for k := 1; k < len(path); k++ {
		if path[k].feature == n.feature {
			inZero, inOne = path[k].zero, path[k].one
			path = unwind(path, k)
			break
		}
	}
	total := s.t.cover[n.left] + s.t.cover[n.right]
	if total == 0 {
		return
	}
	s.walk(hot, path, inZero*s.t.cover[hot]/total, inOne, n.feature)
	s.walk(cold, path, inZero*s.t.cover[cold]/total, 0, n.feature)
}
