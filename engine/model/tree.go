package model

import (
	"fmt"
	"math"
	"slices"
)

// node is one node of a tree. The two children of a node stand one behind the other, left first, so that one comparison
// gives the next index. A leaf is its own left child and lets every number go left: a walk that has arrived stays, and
// several trees can be walked in step.
type node struct {
	threshold float64 // numbers up to it go left; categories: index in ensemble.sets
	left      uint32
	feature   uint16
	flags     uint8
}

// Flags of a node. Loaders say with missingLeft and nanIsZero where NaN goes; add turns them, and what stands in for
// missing values, into nanRight.
const (
	nanRight    uint8 = 1 << iota // must be 1: step adds it
	missingLeft                   // where missing values go
	nanIsZero                     // NaN counts as the number 0
	zeroMissing                   // numbers up to zeroThreshold count as missing
	categorical                   // values are categories
	narrow                        // categories are rounded to 32 bits before they are cut off (XGBoost)
	invalidLeft                   // categories below 0 and those not in any set go left
	leafNode
)

// zeroThreshold is LightGBM's kZeroThreshold, 1e-35 in 32 bits: values up to it are zero.
const zeroThreshold = 1.0000000180025095e-35

// ensemble is a sum of trees: margin = base + scale * sum of the leaves that a row falls into.
type ensemble struct {
	nodes  []node
	leaf   []uint32  // by node: where its values stand in values; of no meaning for other nodes
	values []float64 // of leaves, stride for each
	cover  []float64 // by node: weight of the training rows that came through; nil if unknown
	sets   [][]uint64
	roots  []uint32
	output []uint16 // by tree: the output that it adds to; nil if stride is the number of outputs
	depth  []uint16 // by tree
	stride int
	base   []float64 // by output
	scale  float64
	fill   []float64 // by feature: stands in for NaN; nil for none
	plain  bool      // no node has zeroMissing or categorical: step is enough
	work   float64   // estimated steps of one explanation
}

// rawNode is a node as a loader reads it.
type rawNode struct {
	leaf        bool
	feature     int
	threshold   float64
	flags       uint8
	left, right int       // in the tree's list
	set         []uint64  // categories that go left
	value       []float64 // of a leaf
	cover       float64
}

// add appends a tree whose root is nodes[0]. Nodes that cannot be reached are left out.
func (e *ensemble) add(nodes []rawNode, features int, output uint16) error {
	if len(nodes) == 0 {
		return fmt.Errorf("there are no nodes")
	}
	if len(e.nodes)+len(nodes) > maxNodes {
		return fmt.Errorf("more than %d nodes in all trees", maxNodes)
	}
	type place struct {
		raw, depth int
	}
	seen := make([]bool, len(nodes))
	seen[0] = true
	queue := []place{{0, 0}}
	root := uint32(len(e.nodes))
	e.nodes = append(e.nodes, node{})
	e.leaf = append(e.leaf, 0)
	e.cover = append(e.cover, 0)
	deepest, leaves := 0, 0
	for at := 0; at < len(queue); at++ {
		p, i := queue[at], root+uint32(at)
		r := &nodes[p.raw]
		deepest = max(deepest, p.depth)
		if p.depth > maxDepth {
			return fmt.Errorf("node %d: deeper than %d", p.raw, maxDepth)
		}
		if math.IsNaN(r.cover) || math.IsInf(r.cover, 0) || r.cover < 0 {
			return fmt.Errorf("node %d: the number of training rows is %v", p.raw, r.cover)
		}
		e.cover[i] = r.cover
		if r.leaf {
			if len(r.value) != e.stride {
				return fmt.Errorf("node %d: %d values in a leaf, want %d", p.raw, len(r.value), e.stride)
			}
			if !finite(r.value...) {
				return fmt.Errorf("node %d: the value of a leaf is not a finite number", p.raw)
			}
			e.nodes[i] = node{threshold: math.Inf(1), left: i, flags: leafNode}
			e.leaf[i] = uint32(len(e.values))
			e.values = append(e.values, r.value...)
			leaves++
			continue
		}
		if r.feature < 0 || r.feature >= features {
			return fmt.Errorf("node %d: feature %d, want 0 to %d", p.raw, r.feature, features-1)
		}
		if math.IsNaN(r.threshold) {
			return fmt.Errorf("node %d: the threshold is not a number", p.raw)
		}
		n := node{threshold: r.threshold, feature: uint16(r.feature), flags: r.flags, left: uint32(len(e.nodes))}
		if n.flags&categorical != 0 {
			n.threshold = float64(len(e.sets))
			e.sets = append(e.sets, r.set)
		}
		if n.flags&(categorical|zeroMissing) != 0 {
			e.plain = false
		}
		if e.nanGoesRight(&n) {
			n.flags |= nanRight
		}
		e.nodes[i] = n
		for _, child := range [2]int{r.left, r.right} {
			if child < 0 || child >= len(nodes) {
				return fmt.Errorf("node %d: child %d, want 1 to %d", p.raw, child, len(nodes)-1)
			}
			if seen[child] {
				return fmt.Errorf("node %d: child %d has another parent already", p.raw, child)
			}
			seen[child] = true
			queue = append(queue, place{child, p.depth + 1})
			e.nodes = append(e.nodes, node{})
			e.leaf = append(e.leaf, 0)
			e.cover = append(e.cover, 0)
		}
	}
	e.roots = append(e.roots, root)
	e.depth = append(e.depth, uint16(deepest))
	if e.output != nil {
		e.output = append(e.output, output)
	}
	d := float64(min(deepest, features) + 1)
	e.work += float64(leaves) * d * d
	return nil
}

// nanGoesRight says where NaN goes in a node as a loader made it.
func (e *ensemble) nanGoesRight(n *node) bool {
	switch {
	case e.fill != nil:
		return e.fill[n.feature] > n.threshold
	case n.flags&(nanIsZero|zeroMissing) == nanIsZero:
		return 0 > n.threshold
	}
	return n.flags&missingLeft == 0
}

// goesLeft decides a node that is not a leaf, with all its flags.
func (e *ensemble) goesLeft(n *node, x []float64) bool {
	v := x[n.feature]
	if v != v {
		return n.flags&nanRight == 0
	}
	if n.flags&categorical != 0 {
		return e.categoryGoesLeft(n, v)
	}
	if n.flags&zeroMissing != 0 && v >= -zeroThreshold && v <= zeroThreshold {
		return n.flags&missingLeft != 0
	}
	return v <= n.threshold
}

func (e *ensemble) categoryGoesLeft(n *node, v float64) bool {
	if n.flags&narrow != 0 {
		v = float64(float32(v))
	}
	set := e.sets[int(n.threshold)]
	if v <= -1 || n.flags&narrow != 0 && v < 0 || v >= float64(len(set)*64) {
		return n.flags&invalidLeft != 0
	}
	c := uint(v)
	return set[c/64]>>(c%64)&1 != 0
}

// find returns the leaf that x falls into.
func (e *ensemble) find(root uint32, x []float64) uint32 {
	for {
		n := &e.nodes[root]
		if n.flags&leafNode != 0 {
			return root
		}
		root = n.left
		if !e.goesLeft(n, x) {
			root++
		}
	}
}

// step returns the next node of an ensemble that is plain.
func step(nodes []node, x []float64, i uint32) uint32 {
	n := &nodes[i]
	v := x[n.feature]
	return n.left + (one(v > n.threshold) | one(v != v)&uint32(n.flags))
}

// stepFull is step for a row without NaN.
func stepFull(nodes []node, x []float64, i uint32) uint32 {
	n := &nodes[i]
	return n.left + one(x[n.feature] > n.threshold)
}

// one is 1 for true: without a branch, which the processor would guess wrong every other time (BenchmarkPredict/trees/rows).
func one(b bool) uint32 {
	if b {
		return 1
	}
	return 0
}

// sum adds up the leaves of all trees, which have one value each.
func (e *ensemble) sum(x []float64) float64 {
	sum := 0.0
	roots := e.roots
	if !e.plain {
		for _, r := range roots {
			sum += e.values[e.leaf[e.find(r, x)]]
		}
		return sum
	}
	nodes, leaf, values := e.nodes, e.leaf, e.values
	missing := hasNaN(x)
	depth := e.depth[:len(roots)]
	for ; len(roots) >= 4; roots, depth = roots[4:], depth[4:] {
		a, b, c, d := roots[0], roots[1], roots[2], roots[3]
		steps := max(depth[0], depth[1], depth[2], depth[3])
		if missing {
			a, b, c, d = walk4(nodes, x, steps, a, b, c, d)
		} else {
			a, b, c, d = walk4Full(nodes, x, steps, a, b, c, d)
		}
		sum += values[leaf[a]] + values[leaf[b]] + values[leaf[c]] + values[leaf[d]]
	}
	for _, r := range roots {
		sum += values[leaf[walk(nodes, x, r)]]
	}
	return sum
}

func hasNaN(x []float64) bool {
	for _, v := range x {
		if v != v {
			return true
		}
	}
	return false
}

// walk4 walks four trees in step: the processor loads their nodes at the same time.
func walk4(nodes []node, x []float64, steps uint16, a, b, c, d uint32) (uint32, uint32, uint32, uint32) {
	for ; steps > 0; steps-- {
		a1, b1, c1, d1 := step(nodes, x, a), step(nodes, x, b), step(nodes, x, c), step(nodes, x, d)
		if (a1^a)|(b1^b)|(c1^c)|(d1^d) == 0 {
			break
		}
		a, b, c, d = a1, b1, c1, d1
	}
	return a, b, c, d
}

// walk4Full is walk4 for a row without NaN: a quarter faster (BenchmarkPredict/trees/rows).
func walk4Full(nodes []node, x []float64, steps uint16, a, b, c, d uint32) (uint32, uint32, uint32, uint32) {
	for ; steps > 0; steps-- {
		a1, b1, c1, d1 := stepFull(nodes, x, a), stepFull(nodes, x, b), stepFull(nodes, x, c), stepFull(nodes, x, d)
		if (a1^a)|(b1^b)|(c1^c)|(d1^d) == 0 {
			break
		}
		a, b, c, d = a1, b1, c1, d1
	}
	return a, b, c, d
}

// walk is find for an ensemble that is plain.
func walk(nodes []node, x []float64, i uint32) uint32 {
	for {
		next := step(nodes, x, i)
		if next == i {
			return i
		}
		i = next
	}
}

// margin is margins for one output.
func (e *ensemble) margin(x []float64) float64 { return e.base[0] + e.scale*e.sum(x) }

// margins sets out, one element for each output.
func (e *ensemble) margins(x, out []float64) {
	clear(out)
	for t, r := range e.roots {
		var leaf uint32
		if e.plain {
			leaf = walk(e.nodes, x, r)
		} else {
			leaf = e.find(r, x)
		}
		at := e.leaf[leaf]
		if e.stride == 1 {
			out[e.output[t]] += e.values[at]
			continue
		}
		for k, v := range e.values[at : int(at)+e.stride] {
			out[k] += v
		}
	}
	for k := range out {
		out[k] = e.base[k] + e.scale*out[k]
	}
}

// belowFloat32 returns the largest float64 that, rounded to 32 bits, is at most t: comparing with it is comparing the
// rounded value with t.
func belowFloat32(t float64) float64 {
	f := float32(t)
	if float64(f) > t {
		f = math.Nextafter32(f, float32(math.Inf(-1)))
	}
	if math.IsInf(float64(f), 1) {
		return math.Inf(1)
	}
	lo, hi := wide(f), wide(math.Nextafter32(f, float32(math.Inf(1))))
	mid := lo + (hi-lo)/2
	if math.Float32bits(f)&1 == 0 { // a tie goes to the even one, which is f
		return mid
	}
	return math.Nextafter(mid, math.Inf(-1))
}

// wide returns f, where an infinity is the value that the next larger finite one would have.
func wide(f float32) float64 {
	if math.IsInf(float64(f), 0) {
		return math.Copysign(0x1p128, float64(f))
	}
	return float64(f)
}

// trim ends the building: counted says whether all nodes have their number of training rows.
func (e *ensemble) trim(counted bool) {
	if !counted {
		e.cover = nil
	}
	e.nodes, e.leaf, e.cover, e.values = slices.Clip(e.nodes), slices.Clip(e.leaf), slices.Clip(e.cover), slices.Clip(e.values)
}
