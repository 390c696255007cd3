package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
)

// xgbFile is what XGBoost's save_model("model.json") writes.
type xgbFile struct {
	Learner struct {
		FeatureNames []string `json:"feature_names"`
		Booster      struct {
			Name       string     `json:"name"`
			Model      xgbTrees   `json:"model"`
			GBTree     *xgbGBTree `json:"gbtree"`      // of dart
			WeightDrop []float64  `json:"weight_drop"` // of dart
		} `json:"gradient_booster"`
		Param struct {
			BaseScore  string `json:"base_score"`
			NumClass   string `json:"num_class"`
			NumFeature string `json:"num_feature"`
			NumTarget  string `json:"num_target"`
		} `json:"learner_model_param"`
		Objective struct {
			Name string `json:"name"`
		} `json:"objective"`
	} `json:"learner"`
}

type xgbGBTree struct {
	Model xgbTrees `json:"model"`
}

type xgbTrees struct {
	Info  []int     `json:"tree_info"`
	Trees []xgbTree `json:"trees"`
}

type xgbTree struct {
	Left        []int32   `json:"left_children"`
	Right       []int32   `json:"right_children"`
	Indices     []int32   `json:"split_indices"`
	Conditions  []float64 `json:"split_conditions"`
	DefaultLeft flags     `json:"default_left"`
	Hessian     []float64 `json:"sum_hessian"`
	Types       []int     `json:"split_type"`
	Categories  []int64   `json:"categories"`
	CatNodes    []int     `json:"categories_nodes"`
	CatSegments []int     `json:"categories_segments"`
	CatSizes    []int     `json:"categories_sizes"`
	Param       struct {
		LeafSize string `json:"size_leaf_vector"`
	} `json:"tree_param"`
}

// flags are booleans, or numbers as newer versions write them.
type flags []bool

// UnmarshalJSON implements json.Unmarshaler.
func (f *flags) UnmarshalJSON(text []byte) error {
	var b []bool
	if json.Unmarshal(text, &b) == nil {
		*f = b
		return nil
	}
	var n []int
	if err := json.Unmarshal(text, &n); err != nil {
		return err
	}
	*f = nil
	for _, x := range n {
		*f = append(*f, x != 0)
	}
	return nil
}

func loadXGBoost(text []byte) (*Model, error) {
	var f xgbFile
	if err := decode(text, &f); err != nil {
		return nil, err
	}
	l := &f.Learner
	m := &Model{kind: Boosted, features: l.FeatureNames, outputs: 1}
	trees := l.Booster.Model
	switch l.Booster.Name {
	case "gbtree":
	case "dart":
		if l.Booster.GBTree == nil {
			return nil, errors.New("the dart booster has no trees")
		}
		trees = l.Booster.GBTree.Model
	default:
		return nil, fmt.Errorf("the booster %q is not known: want gbtree or dart", l.Booster.Name)
	}
	count := func(key, s string) (int, error) {
		if s == "" {
			return 0, nil
		}
		n, err := strconv.Atoi(s)
		if err != nil || n < 0 || n > maxFeatures {
			return 0, fmt.Errorf("%s is %q", key, s)
		}
		return n, nil
	}
	features, err := count("num_feature", l.Param.NumFeature)
	if err != nil {
		return nil, err
	}
	classes, err := count("num_class", l.Param.NumClass)
	if err != nil {
		return nil, err
	}
	if targets, err := count("num_target", l.Param.NumTarget); err != nil || targets > 1 {
		return nil, fmt.Errorf("num_target is %q: models with several targets are not supported", l.Param.NumTarget)
	}
	if classes > 1 {
		m.outputs = classes
	}
	if len(m.features) == 0 {
		for i := range features {
			m.features = append(m.features, "f"+strconv.Itoa(i))
		}
	}
	if err := m.xgbObjective(l.Objective.Name, l.Param.BaseScore); err != nil {
		return nil, err
	}
	if len(trees.Info) != len(trees.Trees) {
		return nil, fmt.Errorf("tree_info has %d entries for %d trees", len(trees.Info), len(trees.Trees))
	}
	if l.Booster.WeightDrop != nil && len(l.Booster.WeightDrop) != len(trees.Trees) {
		return nil, fmt.Errorf("weight_drop has %d entries for %d trees", len(l.Booster.WeightDrop), len(trees.Trees))
	}
	for i := range trees.Trees {
		t, err := trees.Trees[i].tree()
		if err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
		if t.output = trees.Info[i]; l.Booster.WeightDrop != nil {
			for k := range t.values {
				t.values[k] *= l.Booster.WeightDrop[i]
			}
		}
		m.trees = append(m.trees, *t)
	}
	return m, nil
}

// xgbObjective sets the link, and the start values from base_score, which is a prediction.
func (m *Model) xgbObjective(name, base string) error {
	start := func(p float64) float64 { return p }
	switch name {
	case "reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror", "reg:quantileerror",
		"binary:logitraw", "rank:pairwise", "rank:ndcg", "rank:map":
		if name == "binary:logitraw" {
			start = logit
		}
	case "binary:logistic", "reg:logistic":
		m.link, start = sigmoid, logit
	case "binary:hinge":
		m.link = sign
	case "multi:softprob", "multi:softmax":
		m.link = softmax
	case "count:poisson", "reg:gamma", "reg:tweedie", "survival:cox":
		m.link, start = exponential, math.Log
	default:
		return fmt.Errorf("the objective %q is not known", name)
	}
	words := strings.FieldsFunc(base, func(r rune) bool { return r == '[' || r == ']' || r == ',' || r == ' ' })
	if len(words) == 0 {
		words = []string{"0.5"}
	}
	for i := range m.outputs {
		w := words[0]
		if len(words) > 1 && i < len(words) {
			w = words[i]
		}
		p, err := strconv.ParseFloat(w, 64)
		if err != nil {
			return fmt.Errorf("base_score is %q", base)
		}
		s := start(p)
		if math.IsNaN(s) || math.IsInf(s, 0) {
			return fmt.Errorf("base_score %q is nothing that the objective %s can predict", base, name)
		}
		m.base = append(m.base, s)
	}
	return nil
}

func (x *xgbTree) tree() (*tree, error) {
	n := len(x.Left)
	if n == 0 || len(x.Right) != n || len(x.Indices) != n || len(x.Conditions) != n || len(x.DefaultLeft) != n || (x.Hessian != nil && len(x.Hessian) != n) {
		return nil, fmt.Errorf("its lists are not of one length, %d", n)
	}
	if s := x.Param.LeafSize; s != "" && s != "0" && s != "1" {
		return nil, errors.New("its leaves are vectors, which are not supported")
	}
	t := &tree{nodes: make([]node, n), values: make([]float64, n), cover: x.Hessian, width: 1}
	for i := range n {
		nd := node{feature: -1, cats: -1}
		if x.Left[i] == -1 {
			t.values[i] = x.Conditions[i]
		} else {
			nd.feature, nd.left, nd.right = x.Indices[i], x.Left[i], x.Right[i]
			if nd.feature < 0 {
				return nil, fmt.Errorf("node %d asks for feature %d", i, nd.feature)
			}
			nd.threshold, nd.rule = float64(float32(x.Conditions[i])), strictly|single
			if x.DefaultLeft[i] {
				nd.rule |= missingLeft
			}
			if i < len(x.Types) && x.Types[i] == 1 {
				nd.rule = nd.rule&missingLeft | inSetRight
			}
		}
		t.nodes[i] = nd
	}
	for k, i := range x.CatNodes {
		if i < 0 || i >= n || k >= len(x.CatSegments) || k >= len(x.CatSizes) {
			return nil, fmt.Errorf("the categories of node %d are not complete", i)
		}
		from, to := x.CatSegments[k], x.CatSegments[k]+x.CatSizes[k]
		if from < 0 || to < from || to > len(x.Categories) {
			return nil, fmt.Errorf("the categories of node %d are not complete", i)
		}
		var set []uint32
		for _, c := range x.Categories[from:to] {
			if c < 0 || c > 1<<20 {
				return nil, fmt.Errorf("node %d has the category %d", i, c)
			}
			for int(c)>>5 >= len(set) {
				set = append(set, 0)
			}
			set[c>>5] |= 1 << (c & 31)
		}
		t.nodes[i].cats = int32(len(t.cats))
		t.cats = append(t.cats, set)
	}
	for i := range t.nodes {
		if nd := &t.nodes[i]; nd.feature >= 0 && nd.rule&inSetRight != 0 && nd.cats < 0 {
			return nil, fmt.Errorf("node %d has no set of categories", i)
		}
	}
	return t.ordered()
}

// ordered puts children behind their parents and drops nodes that pruning left over.
func (t *tree) ordered() (*tree, error) {
	out := &tree{cats: t.cats, width: t.width, inner: t.inner}
	queue := []int32{0}
	for i := 0; i < len(queue); i++ {
		if len(queue) > len(t.nodes) {
			return nil, errors.New("its nodes form a cycle")
		}
		nd := t.nodes[queue[i]]
		if nd.feature >= 0 {
			for _, c := range []int32{nd.left, nd.right} {
				if c < 0 || int(c) >= len(t.nodes) {
					return nil, fmt.Errorf("node %d has the child %d of %d", queue[i], c, len(t.nodes))
				}
			}
			queue = append(queue, nd.left, nd.right)
			nd.left, nd.right = int32(len(queue)-2), int32(len(queue)-1)
		}
		out.nodes, out.values = append(out.nodes, nd), append(out.values, t.values[queue[i]])
		if t.cover != nil {
			out.cover = append(out.cover, t.cover[queue[i]])
		}
	}
	return out, nil
}
