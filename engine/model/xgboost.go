package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// xgbFile is what Booster.save_model("x.json") writes, as far as it matters here.
type xgbFile struct {
	Learner struct {
		FeatureNames []string   `json:"feature_names"`
		Booster      xgbBooster `json:"gradient_booster"`
		Param        struct {
			BaseScore  json.RawMessage `json:"base_score"`
			NumClass   xgbInt          `json:"num_class"`
			NumFeature xgbInt          `json:"num_feature"`
			NumTarget  xgbInt          `json:"num_target"`
		} `json:"learner_model_param"`
		Objective struct {
			Name string `json:"name"`
		} `json:"objective"`
	} `json:"learner"`
}

// xgbBooster is a gbtree, or a dart around one.
type xgbBooster struct {
	Name       string      `json:"name"`
	Model      *xgbTrees   `json:"model"`
	GBTree     *xgbBooster `json:"gbtree"`
	WeightDrop []float64   `json:"weight_drop"`
}

type xgbTrees struct {
	Trees []xgbTree `json:"trees"`
	Info  []int     `json:"tree_info"` // by tree: its output
}

type xgbTree struct {
	Left       []int     `json:"left_children"` // -1: a leaf
	Right      []int     `json:"right_children"`
	Default    []xgbBool `json:"default_left"`
	Condition  []float64 `json:"split_conditions"` // threshold; value of a leaf
	Feature    []int     `json:"split_indices"`
	Type       []int     `json:"split_type"` // 1 is categorical; may be missing
	Hessian    []float64 `json:"sum_hessian"`
	Categories []int     `json:"categories"`
	CatNodes   []int     `json:"categories_nodes"`
	CatStart   []int     `json:"categories_segments"`
	CatSize    []int     `json:"categories_sizes"`
	Param      struct {
		LeafSize xgbInt `json:"size_leaf_vector"`
	} `json:"tree_param"`
}

// xgbInt is a whole number that XGBoost writes as a string.
type xgbInt int

// UnmarshalJSON implements json.Unmarshaler.
func (n *xgbInt) UnmarshalJSON(b []byte) error {
	v, err := strconv.Atoi(strings.Trim(string(b), `"`))
	if err != nil {
		return fmt.Errorf("%.20s: want a whole number", b)
	}
	*n = xgbInt(v)
	return nil
}

// xgbBool is true or false, or 1 or 0.
type xgbBool bool

// UnmarshalJSON implements json.Unmarshaler.
func (v *xgbBool) UnmarshalJSON(b []byte) error {
	switch string(b) {
	case "true", "1":
		*v = true
	case "false", "0":
		*v = false
	default:
		return fmt.Errorf("default_left: %.20s, want true, false, 1 or 0", b)
	}
	return nil
}

func loadXGBoost(data []byte) (*Model, error) {
	var f xgbFile
	if err := decode(data, &f); err != nil {
		return nil, err
	}
	l := &f.Learner
	booster := &l.Booster
	switch booster.Name {
	case "gbtree":
	case "dart":
		if booster.GBTree == nil {
			return nil, errors.New("gradient_booster: a dart without gbtree")
		}
		drop := booster.WeightDrop
		booster = booster.GBTree
		booster.WeightDrop = drop
		if booster.Model != nil && len(drop) != len(booster.Model.Trees) {
			return nil, fmt.Errorf("weight_drop: %d weights for %d trees", len(drop), len(booster.Model.Trees))
		}
	default:
		return nil, fmt.Errorf("gradient_booster: %q is not supported, want gbtree or dart", booster.Name)
	}
	if booster.Model == nil || len(booster.Model.Trees) == 0 {
		return nil, errors.New("the model has no trees")
	}
	if l.Param.NumTarget > 1 {
		return nil, fmt.Errorf("num_target: %d, models of several targets are not supported", l.Param.NumTarget)
	}
	features := int(l.Param.NumFeature)
	if features < 1 || features > maxFeatures {
		return nil, fmt.Errorf("num_feature: %d, want 1 to %d", features, maxFeatures)
	}
	names := l.FeatureNames
	if len(names) == 0 {
		for i := range features {
			names = append(names, "f"+strconv.Itoa(i))
		}
	}
	if len(names) != features {
		return nil, fmt.Errorf("feature_names: %d, num_feature is %d", len(names), features)
	}
	m := &Model{kind: "xgboost", features: names, outputs: max(1, int(l.Param.NumClass))}
	if m.outputs > maxClasses {
		return nil, fmt.Errorf("num_class: %d, at most %d are possible", m.outputs, maxClasses)
	}
	toMargin, err := xgbGoal(m, l.Objective.Name)
	if err != nil {
		return nil, fmt.Errorf("objective: %w", err)
	}
	base, err := xgbBase(l.Param.BaseScore, m.outputs)
	if err != nil {
		return nil, err
	}
	for i, b := range base {
		if base[i] = toMargin(b); !finite(base[i]) {
			return nil, fmt.Errorf("base_score: %v is not possible with %s", b, l.Objective.Name)
		}
	}
	m.trees, err = booster.ensemble(m, base)
	return m, err
}

// xgbGoal sets task and link, and returns what turns a base_score into a margin.
func xgbGoal(m *Model, name string) (func(float64) float64, error) {
	same := func(p float64) float64 { return p }
	logit := func(p float64) float64 { return -math.Log(1/p - 1) }
	toMargin := same
	switch name {
	case "reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror",
		"reg:expectileerror", "rank:pairwise", "rank:ndcg", "rank:map":
	case "reg:logistic":
		m.link, toMargin = link{kind: linkSigmoid, scale: 1}, logit
	case "binary:logistic":
		m.task, m.link, toMargin = Binary, link{kind: linkSigmoid, scale: 1}, logit
	case "binary:logitraw":
		m.task, m.link = Binary, link{kind: linkLogit} // base_score is a margin here
	case "binary:hinge":
		m.task, m.link = Binary, link{kind: linkStep}
	case "count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft":
		m.link, toMargin = link{kind: linkExp}, math.Log
	case "multi:softprob", "multi:softmax":
		m.task, m.link = Multiclass, link{kind: linkSoftmax}
	default:
		return nil, fmt.Errorf("%q is not known", name)
	}
	switch {
	case m.task == Multiclass && m.outputs < 2:
		return nil, fmt.Errorf("%s with num_class %d, want 2 or more", name, m.outputs)
	case m.task == Multiclass:
		m.classes = numbered(m.outputs)
	case m.outputs > 1:
		return nil, fmt.Errorf("%s with num_class %d, want 0", name, m.outputs)
	case m.task == Binary:
		m.classes = numbered(2)
	}
	return toMargin, nil
}

// xgbBase reads base_score: a number, or a list by output; each of them perhaps as a string, as "5E-1" or "[5E-1,2E-1]".
func xgbBase(raw json.RawMessage, outputs int) ([]float64, error) {
	text := strings.TrimSpace(strings.Trim(string(raw), `"`))
	text = strings.TrimSuffix(strings.TrimPrefix(text, "["), "]")
	var list []float64
	for word := range strings.SplitSeq(text, ",") {
		v, err := strconv.ParseFloat(strings.Trim(strings.TrimSpace(word), `"`), 32)
		if err != nil {
			return nil, fmt.Errorf("base_score: %.40q, want a number or a list of numbers", raw)
		}
		list = append(list, v)
	}
	if len(list) == 1 {
		for len(list) < outputs {
			list = append(list, list[0])
		}
	}
	if len(list) != outputs {
		return nil, fmt.Errorf("base_score: %d numbers for %d classes", len(list), outputs)
	}
	return list, nil
}

// ensemble builds the trees.
func (b *xgbBooster) ensemble(m *Model, base []float64) (*ensemble, error) {
	trees := b.Model.Trees
	if len(b.Model.Info) != len(trees) {
		return nil, fmt.Errorf("tree_info: %d elements for %d trees", len(b.Model.Info), len(trees))
	}
	e := &ensemble{stride: 1, scale: 1, base: base, output: make([]uint16, 0, len(trees)), plain: true}
	counted, words := true, 0
	for i := range trees {
		t := &trees[i]
		weight := 1.0
		if b.WeightDrop != nil {
			weight = float64(float32(b.WeightDrop[i]))
		}
		output := b.Model.Info[i]
		if output < 0 || output >= m.outputs {
			return nil, fmt.Errorf("tree_info: element %d is %d, want 0 to %d", i, output, m.outputs-1)
		}
		nodes, err := t.nodes(weight, &words)
		if err == nil {
			err = e.add(nodes, len(m.features), uint16(output))
		}
		if err != nil {
			return nil, fmt.Errorf("trees[%d]: %w", i, err)
		}
		counted = counted && t.Hessian != nil
	}
	e.trim(counted)
	return e, nil
}

// nodes turns the lists of a tree into nodes.
func (t *xgbTree) nodes(weight float64, words *int) ([]rawNode, error) {
	if t.Param.LeafSize > 1 {
		return nil, fmt.Errorf("size_leaf_vector: %d, trees with several outputs are not supported: train with multi_strategy=one_output_per_tree", t.Param.LeafSize)
	}
	count := len(t.Left)
	for _, l := range []struct {
		name     string
		length   int
		optional bool
	}{{"right_children", len(t.Right), false}, {"default_left", len(t.Default), false}, {"split_conditions", len(t.Condition), false},
		{"split_indices", len(t.Feature), false}, {"split_type", len(t.Type), true}, {"sum_hessian", len(t.Hessian), true}} {
		if l.length != count && !(l.optional && l.length == 0) {
			return nil, fmt.Errorf("%s: %d elements for %d nodes", l.name, l.length, count)
		}
	}
	sets, err := t.sets(words)
	if err != nil {
		return nil, err
	}
	nodes := make([]rawNode, count)
	for i := range nodes {
		r := rawNode{leaf: t.Left[i] == -1, feature: t.Feature[i], left: t.Left[i], right: t.Right[i]}
		value := float64(float32(t.Condition[i]))
		switch {
		case r.leaf:
			r.value = []float64{value * weight}
		case t.Type != nil && t.Type[i] == 1:
			set, ok := sets[i]
			if !ok {
				return nil, fmt.Errorf("categories_nodes: node %d is missing", i)
			}
			r.set, r.flags = set, categorical|narrow|invalidLeft
		case math.IsInf(value, 0):
			return nil, fmt.Errorf("split_conditions: element %d is too large", i)
		default: // x < value is x <= the float32 before it
			r.threshold = belowFloat32(float64(math.Nextafter32(float32(value), float32(math.Inf(-1)))))
		}
		if bool(t.Default[i]) && !r.leaf {
			r.flags |= missingLeft
		}
		if t.Hessian != nil {
			r.cover = t.Hessian[i]
		}
		nodes[i] = r
	}
	return nodes, nil
}

// sets returns by node the categories that go left: all but those listed.
func (t *xgbTree) sets(words *int) (map[int][]uint64, error) {
	if len(t.CatStart) != len(t.CatNodes) || len(t.CatSize) != len(t.CatNodes) {
		return nil, fmt.Errorf("categories_nodes, categories_segments, categories_sizes: %d, %d and %d elements, want the same number",
			len(t.CatNodes), len(t.CatStart), len(t.CatSize))
	}
	sets := make(map[int][]uint64, len(t.CatNodes))
	for i, n := range t.CatNodes {
		from, size := t.CatStart[i], t.CatSize[i]
		if from < 0 || size < 0 || from > len(t.Categories) || size > len(t.Categories)-from {
			return nil, fmt.Errorf("categories_segments: element %d, %d and %d more, lies outside of %d categories", i, from, size, len(t.Categories))
		}
		set, err := bitset(t.Categories[from:from+size], words)
		if err != nil {
			return nil, fmt.Errorf("categories: %w", err)
		}
		for j := range set {
			set[j] = ^set[j]
		}
		sets[n] = set
	}
	return sets, nil
}
