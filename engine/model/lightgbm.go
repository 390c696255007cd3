package model

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// lightGBM is what the text format and the JSON of dump_model have in common.
type lightGBM struct {
	features  []string
	objective string
	classes   int // num_class
	perRound  int // num_tree_per_iteration
	average   bool
	trees     [][]rawNode
	counted   bool
}

// LightGBM's types of missing values; in the text format bits 2 and 3 of decision_type.
const (
	gbmNone = iota
	gbmZero
	gbmNaN
)

// gbmFlags returns the flags of a numerical node.
func gbmFlags(missing int, left bool) (uint8, error) {
	var f uint8
	switch missing {
	case gbmNone:
		f = nanIsZero
	case gbmZero:
		f = nanIsZero | zeroMissing
	case gbmNaN:
	default:
		return 0, fmt.Errorf("missing type %d, want 0 to 2", missing)
	}
	if left {
		f |= missingLeft
	}
	return f, nil
}

// gbmThreshold returns what numbers are compared with: LightGBM takes values up to zeroThreshold as 0.
func gbmThreshold(t float64) float64 {
	switch {
	case t >= 0 && t < zeroThreshold:
		return zeroThreshold
	case t < 0 && t >= -zeroThreshold:
		return math.Nextafter(-zeroThreshold, -1)
	}
	return t
}

// build makes the model.
func (g *lightGBM) build() (*Model, error) {
	if len(g.trees) == 0 {
		return nil, errors.New("the model has no trees")
	}
	if len(g.features) == 0 || len(g.features) > maxFeatures {
		return nil, fmt.Errorf("feature_names: %d, want 1 to %d", len(g.features), maxFeatures)
	}
	if g.perRound < 1 || g.perRound > maxClasses {
		return nil, fmt.Errorf("num_tree_per_iteration: %d, want 1 to %d", g.perRound, maxClasses)
	}
	if len(g.trees)%g.perRound != 0 {
		return nil, fmt.Errorf("%d trees cannot be rounds of %d (num_tree_per_iteration): the file is cut off", len(g.trees), g.perRound)
	}
	m := &Model{kind: "lightgbm", features: g.features, outputs: g.perRound}
	if err := g.goal(m); err != nil {
		return nil, fmt.Errorf("objective: %w", err)
	}
	e := &ensemble{stride: 1, scale: 1, base: make([]float64, g.perRound), output: make([]uint16, 0, len(g.trees)), plain: true}
	if g.average {
		e.scale = float64(g.perRound) / float64(len(g.trees))
	}
	for i, nodes := range g.trees {
		if err := e.add(nodes, len(g.features), uint16(i%g.perRound)); err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
	}
	e.trim(g.counted)
	m.trees = e
	return m, nil
}

// goal sets task and link by the objective: a name, followed by words like "sigmoid:1".
func (g *lightGBM) goal(m *Model) error {
	name, rest, _ := strings.Cut(g.objective, " ")
	options := map[string]string{}
	for word := range strings.FieldsSeq(rest) {
		k, v, _ := strings.Cut(word, ":")
		options[k] = v
	}
	number := func(key string, or float64) (float64, error) {
		v, ok := options[key]
		if !ok {
			return or, nil
		}
		n, err := strconv.ParseFloat(v, 64)
		if err != nil || !finite(n) || n <= 0 {
			return 0, fmt.Errorf("%s of %q: want a positive number", key, g.objective)
		}
		return n, nil
	}
	slope, err := number("sigmoid", 1)
	if err != nil {
		return err
	}
	multi := false
	switch name {
	case "regression", "regression_l2", "l2", "mse":
		if _, ok := options["sqrt"]; ok {
			m.link.kind = linkSquare
		}
	case "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg":
	case "", "none", "custom": // an objective of the user's own: margins
		if multi = g.perRound > 1; multi {
			return errors.New("there is none but several trees in each round: the link of the classes is unknown")
		}
	case "poisson", "gamma", "tweedie":
		m.link.kind = linkExp
	case "binary":
		m.task, m.link = Binary, link{kind: linkSigmoid, scale: slope}
	case "cross_entropy", "xentropy":
		m.task, m.link = Binary, link{kind: linkSigmoid, scale: 1}
	case "cross_entropy_lambda", "xentlambda":
		m.link.kind = linkSoftplus
	case "multiclass", "softmax":
		multi = true
		m.task, m.link = Multiclass, link{kind: linkSoftmax}
	case "multiclassova", "multiclass_ova", "ova", "ovr":
		multi = true
		m.task, m.link = Multiclass, link{kind: linkEachSigmoid, scale: slope}
	default:
		return fmt.Errorf("%q is not known", name)
	}
	if m.task == Binary {
		m.classes = numbered(2)
	}
	if multi {
		if g.perRound < 2 || g.classes != g.perRound {
			return fmt.Errorf("%s with num_class %d and num_tree_per_iteration %d, want the same number, 2 or more", name, g.classes, g.perRound)
		}
		m.classes = numbered(g.perRound)
	} else if g.perRound != 1 {
		return fmt.Errorf("%s with num_tree_per_iteration %d, want 1", name, g.perRound)
	}
	return nil
}

// loadLightGBM reads the text of save_model: lines "key=value", in blocks that begin with "Tree=".
func loadLightGBM(text string) (*Model, error) {
	g := &lightGBM{counted: true}
	var block map[string]string
	header := map[string]string{}
	line, start := 0, 0
	end := func() error {
		if block == nil {
			return nil
		}
		nodes, err := g.textTree(block)
		if err != nil {
			return fmt.Errorf("line %d: Tree=%d: %w", start, len(g.trees), err)
		}
		g.trees = append(g.trees, nodes)
		block = nil
		return nil
	}
	finished := false
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimRight(l, "\r\n")
		if l == "end of trees" {
			finished = true
			break
		}
		key, value, found := strings.Cut(l, "=")
		switch {
		case key == "Tree" && found:
			if err := end(); err != nil {
				return nil, err
			}
			if n, err := strconv.Atoi(value); err != nil || n != len(g.trees) {
				return nil, fmt.Errorf("line %d: Tree=%.20s, want %d", line, value, len(g.trees))
			}
			block, start = map[string]string{}, line
		case block != nil:
			block[key] = value
		case found || l != "":
			header[key] = value
		}
	}
	if err := end(); err != nil {
		return nil, err
	}
	if !finished {
		return nil, fmt.Errorf(`line %d: the file is cut off: "end of trees" is missing`, line)
	}
	_, g.average = header["average_output"]
	g.features = strings.Fields(header["feature_names"])
	g.objective = header["objective"]
	var err error
	if g.classes, err = headerInt(header, "num_class"); err != nil {
		return nil, err
	}
	if g.perRound, err = headerInt(header, "num_tree_per_iteration"); err != nil {
		return nil, err
	}
	last, err := headerInt(header, "max_feature_idx")
	if err != nil {
		return nil, err
	}
	if last != len(g.features)-1 {
		return nil, fmt.Errorf("feature_names: %d names, max_feature_idx %d", len(g.features), last)
	}
	return g.build()
}

func headerInt(header map[string]string, key string) (int, error) {
	n, err := strconv.Atoi(header[key])
	if err != nil {
		return 0, fmt.Errorf("%s: %q, want a number", key, header[key])
	}
	return n, nil
}

// textTree turns a block into nodes: the inner ones first, then the leaves. Children below 0 are leaves, ^c.
func (g *lightGBM) textTree(block map[string]string) ([]rawNode, error) {
	leaves, err := headerInt(block, "num_leaves")
	if err != nil {
		return nil, err
	}
	if block["is_linear"] != "" && block["is_linear"] != "0" {
		return nil, errors.New("is_linear: trees with linear models in their leaves are not supported: train with linear_tree=false")
	}
	value, err := floats(block, "leaf_value", -1)
	if err != nil {
		return nil, err
	}
	if leaves < 1 || len(value) != leaves {
		return nil, fmt.Errorf("leaf_value: %d numbers, num_leaves is %d", len(value), leaves)
	}
	inner := leaves - 1
	leafCount := make([]float64, leaves)
	if block["leaf_count"] != "" {
		if leafCount, err = floats(block, "leaf_count", leaves); err != nil {
			return nil, err
		}
	} else if leaves > 1 {
		g.counted = false
	}
	nodes := make([]rawNode, inner+leaves)
	for i, v := range value {
		nodes[inner+i] = rawNode{leaf: true, value: []float64{v}, cover: leafCount[i]}
	}
	if inner == 0 {
		return nodes, nil
	}
	return nodes, g.textInner(block, nodes, inner)
}

// textInner fills in the inner nodes.
func (g *lightGBM) textInner(block map[string]string, nodes []rawNode, inner int) error {
	lists := map[string][]float64{}
	for _, key := range []string{"split_feature", "threshold", "decision_type", "left_child", "right_child"} {
		list, err := floats(block, key, inner)
		if err != nil {
			return err
		}
		lists[key] = list
	}
	if block["internal_count"] != "" {
		list, err := floats(block, "internal_count", inner)
		if err != nil {
			return err
		}
		lists["internal_count"] = list
	} else {
		g.counted = false
	}
	sets, err := textSets(block)
	if err != nil {
		return err
	}
	child := func(key string, i int) (int, error) {
		c := lists[key][i]
		if c != math.Trunc(c) || c < -float64(inner+1) || c >= float64(inner) {
			return 0, fmt.Errorf("%s: element %d is %v, want %d to %d", key, i, c, -inner-1, inner-1)
		}
		if c < 0 {
			return inner + ^int(c), nil
		}
		return int(c), nil
	}
	for i := range inner {
		r := rawNode{threshold: lists["threshold"][i]}
		if r.feature, err = index(lists["split_feature"][i], len(nodes)+maxFeatures); err != nil {
			return fmt.Errorf("split_feature: element %d: %w", i, err)
		}
		if lists["internal_count"] != nil {
			r.cover = lists["internal_count"][i]
		}
		kind, err := index(lists["decision_type"][i], 16)
		if err != nil {
			return fmt.Errorf("decision_type: element %d: %w", i, err)
		}
		if kind&1 != 0 {
			n, err := index(r.threshold, len(sets))
			if err != nil {
				return fmt.Errorf("threshold: element %d, a category set: %w", i, err)
			}
			r.flags, r.set = categorical, sets[n]
		} else if r.flags, err = gbmFlags(kind>>2, kind&2 != 0); err != nil {
			return fmt.Errorf("decision_type: element %d: %w", i, err)
		} else {
			r.threshold = gbmThreshold(r.threshold)
		}
		if r.left, err = child("left_child", i); err != nil {
			return err
		}
		if r.right, err = child("right_child", i); err != nil {
			return err
		}
		nodes[i] = r
	}
	return nil
}

// textSets reads the category sets of a tree: 32-bit words, with the boundaries of each set.
func textSets(block map[string]string) ([][]uint64, error) {
	if block["cat_boundaries"] == "" {
		return nil, nil
	}
	bounds, err := floats(block, "cat_boundaries", -1)
	if err != nil {
		return nil, err
	}
	words, err := floats(block, "cat_threshold", -1)
	if err != nil {
		return nil, err
	}
	sets := make([][]uint64, len(bounds)-1)
	from, err := index(bounds[0], len(words)+1)
	if err != nil {
		return nil, fmt.Errorf("cat_boundaries: element 0: %w", err)
	}
	for i := range sets {
		to, err := index(bounds[i+1], len(words)+1)
		if err != nil || to < from {
			return nil, fmt.Errorf("cat_boundaries: element %d is %v, want %d to %d", i+1, bounds[i+1], from, len(words))
		}
		set := make([]uint64, (to-from+1)/2)
		for j, w := range words[from:to] {
			bits, err := index(w, 1<<32)
			if err != nil {
				return nil, fmt.Errorf("cat_threshold: element %d: %w", from+j, err)
			}
			set[j/2] |= uint64(bits) << (32 * (j % 2))
		}
		sets[i], from = set, to
	}
	return sets, nil
}

// index returns v as a whole number below limit.
func index(v float64, limit int) (int, error) {
	if v != math.Trunc(v) || v < 0 || v >= float64(limit) {
		return 0, fmt.Errorf("%v, want a whole number from 0 to %d", v, limit-1)
	}
	return int(v), nil
}

// floats returns the numbers behind a key; want is how many there must be, -1 for any number but 0.
func floats(block map[string]string, key string, want int) ([]float64, error) {
	text := block[key]
	list := make([]float64, 0, strings.Count(text, " ")+1)
	for word := range strings.FieldsSeq(text) {
		v, err := strconv.ParseFloat(word, 64)
		if err != nil && !math.IsInf(v, 0) || math.IsNaN(v) {
			return nil, fmt.Errorf("%s: element %d is %.20q, want a number", key, len(list), word)
		}
		list = append(list, v)
	}
	if want >= 0 && len(list) != want || len(list) == 0 {
		if want < 0 {
			return nil, fmt.Errorf("%s: missing", key)
		}
		return nil, fmt.Errorf("%s: %d numbers, want %d", key, len(list), want)
	}
	return list, nil
}
