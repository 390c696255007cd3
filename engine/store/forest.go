package store

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

// tree is the nodes of a decision tree; the root is the first.
type tree []treeNode

type treeNode struct {
	set         bool // a node was given for this path
	leaf        bool
	feature     int32
	left, right int32     // places in the tree; 0 is none
	threshold   float64   // numeric: left when the value is not more
	categories  []string  // categorical: left when the value is one of them
	value       float64   // of a leaf
	votes       []float64 // of a leaf, by class, in sum 1
}

// maxDepth bounds the path of a tree's node.
const maxDepth = 1000

// addTree is ML.FOREST.ADD key tree path (NUMERIC attr val | CATEGORIC attr v:v | LEAF val [STATS n:n]) ...
func addTree(c *call) Reply {
	old, e, bad := c.modelFor(c.args[1], forest)
	if bad != nil {
		return *bad
	}
	f := &model{kind: forest, number: map[string]int{}}
	if e != nil {
		f = old
	}
	id, good := parseFloat(c.args[2])
	if !good || id < 0 || id > float64(len(f.trees)) || id != math.Trunc(id) {
		return Err(fmt.Sprintf("ERR the tree's number '%s' must be from 0 to %d, the number of trees", clip(c.args[2], 32), len(f.trees)))
	}
	var t tree
	if int(id) < len(f.trees) {
		t = slices.Clone(f.trees[int(id)])
	}
	features := slices.Clone(f.features)
	number := f.number
	if e != nil {
		number = make(map[string]int, len(features))
		for i, name := range features {
			number[name] = i
		}
	}
	args := make([]string, 0, len(c.args)) // a model file read whole ends with a line feed
	for _, a := range c.args {
		if a = strings.TrimSpace(a); a != "" || len(args) < 3 {
			args = append(args, a)
		}
	}
	next := func(i int) string {
		if i < len(args) {
			return args[i]
		}
		return ""
	}
	for i := 3; i < len(args); {
		path, kind := args[i], strings.ToUpper(next(i+1))
		if path == "" || len(path) > maxDepth || strings.Trim(strings.ToLower(path[1:]), "lr") != "" {
			return Err("Tree node path containes wrong characters, should be 'r' or 'l'")
		}
		n := treeNode{set: true}
		need := 4
		if kind == "LEAF" {
			need = 3
		}
		if i+need > len(args) {
			return Err(fmt.Sprintf("ERR the node %s is not complete", clip(path, 64)))
		}
		i += 2
		switch kind {
		case "NUMERIC", "CATEGORIC":
			name := featureName(args[i])
			at, known := number[name]
			if !known {
				at = len(features)
				name = strings.Clone(name)
				number[name] = at
				features = append(features, name)
			}
			n.feature = int32(at)
			if kind == "NUMERIC" {
				v, bad := floats(args[i+1:i+2], "split value")
				if bad != nil {
					return *bad
				}
				n.threshold = v[0]
			} else {
				n.categories = strings.Split(strings.Clone(args[i+1]), ":")
			}
			i += 2
		case "LEAF":
			v, bad := floats(args[i:i+1], "leaf value")
			if bad != nil {
				return *bad
			}
			n.leaf, n.value = true, v[0]
			i++
			if is(next(i), "stats") && i+1 < len(args) {
				if n.votes, bad = votes(args[i+1]); bad != nil {
					return *bad
				}
				i += 2
			} else if v[0] >= 0 && v[0] < maxClasses {
				n.votes = make([]float64, int(v[0])+1)
				n.votes[int(v[0])] = 1
			}
		default:
			return Err("Wrong node type , should be 'NUMERIC', 'CATEGORIC' or 'LEAF'")
		}
		if !t.add(strings.ToLower(path[1:]), n) {
			return Err(fmt.Sprintf("ERR the node %s has no parent", clip(path, 64)))
		}
	}
	for i := range t {
		if n := &t[i]; n.set && !n.leaf && (n.left == 0 || n.right == 0) {
			return Err("Tree contains null nodes")
		}
	}
	f.features, f.number = features, number
	if int(id) == len(f.trees) {
		f.trees = append(f.trees, t)
	} else {
		f.trees[int(id)] = t
	}
	if e == nil {
		c.put(c.args[1], f)
	} else {
		c.changed(e)
	}
	return ok
}

// maxClasses bounds the classes of a forest.
const maxClasses = 1024

// votes reads "3:1:0", the training samples of each class in a leaf.
func votes(s string) ([]float64, *Reply) {
	list, bad := floats(strings.Split(s, ":"), "count in STATS")
	if bad != nil {
		return nil, bad
	}
	total := 0.0
	for _, n := range list {
		total += n
	}
	if total <= 0 || len(list) > maxClasses {
		r := Err(fmt.Sprintf("ERR STATS '%s' must be 1 to %d counts that are not all 0", clip(s, 64), maxClasses))
		return nil, &r
	}
	for i := range list {
		list[i] /= total
	}
	return list, nil
}

// featureName makes names of equal numbers equal: "1", "1.0".
func featureName(s string) string {
	if len(s) == 1 || s == "" || (s[0] != '-' && (s[0] < '0' || s[0] > '9')) {
		return s
	}
	if f, err := strconv.ParseFloat(s, 64); err == nil && f == math.Trunc(f) && math.Abs(f) < 1e15 {
		return strconv.FormatInt(int64(f), 10)
	}
	return s
}

// add puts n at the path of l and r below the root; false if its parent is missing.
func (t *tree) add(path string, n treeNode) bool {
	if path == "" {
		if len(*t) == 0 {
			*t = append(*t, n)
			return true
		}
		n.left, n.right = (*t)[0].left, (*t)[0].right
		(*t)[0] = n
		return true
	}
	if len(*t) == 0 {
		return false
	}
	at := int32(0)
	for i := range len(path) {
		p := &(*t)[at]
		if p.leaf {
			return false
		}
		child := &p.left
		if path[i] == 'r' {
			child = &p.right
		}
		if *child == 0 {
			if i < len(path)-1 {
				return false
			}
			*child = int32(len(*t))
			*t = append(*t, n)
			return true
		}
		at = *child
	}
	n.left, n.right = (*t)[at].left, (*t)[at].right
	(*t)[at] = n
	return true
}

// leaf returns where a sample ends. Features that the sample does not name are 0.
func (t tree) at(x []float64, text []string) *treeNode {
	n := &t[0]
	for !n.leaf {
		left := false
		if n.categories == nil {
			left = x[n.feature] <= n.threshold
		} else {
			for _, c := range n.categories {
				if left = sameValue(c, text[n.feature]); left {
					break
				}
			}
		}
		if left {
			n = &t[n.left]
		} else {
			n = &t[n.right]
		}
	}
	return n
}

// sameValue compares categories: as numbers if both are, else as texts.
func sameValue(a, b string) bool {
	if a == b {
		return true
	}
	x, err1 := strconv.ParseFloat(a, 64)
	y, err2 := strconv.ParseFloat(b, 64)
	return err1 == nil && err2 == nil && x == y
}

// runForest is ML.FOREST.RUN key attr:val,attr:val [CLASSIFICATION|REGRESSION].
func runForest(c *call) Reply {
	if len(c.args) > 4 {
		return errArity("ml.forest.run")
	}
	m, _, bad := c.modelAt(c.args[1], forest)
	if bad != nil {
		return *bad
	}
	classify := len(c.args) == 3 || is(c.args[3], "classification")
	if !classify && !is(c.args[3], "regression") {
		return Err("ERR the last argument must be CLASSIFICATION or REGRESSION")
	}
	x, text := make([]float64, len(m.features)), make([]string, len(m.features))
	for i := range text {
		text[i] = "0"
	}
	for pair := range strings.SplitSeq(c.args[2], ",") {
		name, val, both := strings.Cut(pair, ":")
		if !both || name == "" || val == "" {
			return Err("Feature vector parsing failed. Format should be : 'key:val,key:val'...")
		}
		if at, known := m.number[featureName(name)]; known {
			text[at] = val
			x[at], _ = strconv.ParseFloat(val, 64) // a text is 0 where a tree compares numbers
		}
	}
	if !classify {
		sum := 0.0
		for _, t := range m.trees {
			sum += t.at(x, text).value
		}
		return double(sum / float64(len(m.trees)))
	}
	var sums [maxClasses]float64
	best := 0
	for _, t := range m.trees {
		for class, share := range t.at(x, text).votes {
			sums[class] += share
		}
	}
	for class, sum := range sums {
		if sum > sums[best] {
			best = class
		}
	}
	return integerText(best)
}

func integerText(n int) Reply { return bulk(strconv.Itoa(n)) }
