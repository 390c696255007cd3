package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// objective sets what LightGBM's objective, such as "binary sigmoid:1", makes of raw scores.
func (m *Model) objective(text string) error {
	words := strings.Fields(text)
	if len(words) == 0 {
		words = []string{"regression"}
	}
	for _, w := range words[1:] {
		if k, v, ok := strings.Cut(w, ":"); ok && k == "sigmoid" {
			f, err := strconv.ParseFloat(v, 64)
			if err != nil {
				return fmt.Errorf("objective %q: %w", text, err)
			}
			m.slope = f
		} else if w == "sqrt" {
			m.link = square
		}
	}
	switch words[0] {
	case "regression", "regression_l1", "huber", "fair", "quantile", "mape", "lambdarank", "rank_xendcg", "custom":
	case "binary", "cross_entropy":
		m.link = sigmoid
	case "cross_entropy_lambda":
		m.link = log1pExp
	case "multiclass":
		m.link = softmax
	case "multiclassova":
		m.link = sigmoids
	case "poisson", "gamma", "tweedie":
		m.link = exponential
	default:
		return fmt.Errorf("the objective %q is not known", text)
	}
	return nil
}

// Bits of LightGBM's decision_type.
const (
	lgbCategorical = 1
	lgbDefaultLeft = 2
)

func lgbRule(decision int) rule {
	var r rule
	if decision&lgbDefaultLeft != 0 {
		r |= missingLeft
	}
	switch decision >> 2 & 3 {
	case 0:
		r |= nanIsZero
	case 1:
		r |= zeroMissing
	}
	return r
}

// loadLightGBM reads the text of save_model().
func loadLightGBM(text string) (*Model, error) {
	m := &Model{kind: Boosted, outputs: 1}
	perRound := 1
	header, rest, _ := strings.Cut(text, "\nTree=")
	for line := range strings.Lines(header) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		var err error
		switch key {
		case "num_class":
			m.outputs, err = strconv.Atoi(value)
		case "num_tree_per_iteration":
			perRound, err = strconv.Atoi(value)
		case "objective":
			err = m.objective(value)
		case "average_output":
			m.average = true
		case "feature_names":
			m.features = strings.Fields(value)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
	}
	if perRound < 1 || perRound != m.outputs || perRound > maxClasses {
		return nil, fmt.Errorf("%d trees per round for %d classes", perRound, m.outputs)
	}
	rest, _, complete := strings.Cut(rest, "end of trees")
	if !complete {
		return nil, errors.New(`the text is cut off: there is no "end of trees"`)
	}
	for i, block := range strings.Split(rest, "\nTree=") {
		t, err := lgbTree(block)
		if err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
		t.output = i % perRound
		m.trees = append(m.trees, *t)
	}
	return m, nil
}

// lgbTree reads one tree of the text form: arrays of inner nodes, whose children < 0 are leaves.
func lgbTree(block string) (*tree, error) {
	fields := map[string]string{}
	for line := range strings.Lines(block) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok {
			fields[key] = value
		}
	}
	var err error
	list := func(key string, want int) []float64 {
		words := strings.Fields(fields[key])
		out := make([]float64, len(words))
		for i, w := range words {
			var e error
			if out[i], e = strconv.ParseFloat(w, 64); e != nil && err == nil {
				err = fmt.Errorf("%s: %w", key, e)
			}
		}
		if want >= 0 && len(out) != want && err == nil {
			err = fmt.Errorf("%s has %d numbers, want %d", key, len(out), want)
		}
		return out
	}
	leaves, e := strconv.Atoi(fields["num_leaves"])
	if e != nil || leaves < 1 || leaves > maxNodes {
		return nil, fmt.Errorf("num_leaves is %q", fields["num_leaves"])
	}
	if fields["is_linear"] == "1" {
		return nil, errors.New("it has linear models in its leaves (linear_tree), which are not supported")
	}
	values := list("leaf_value", leaves)
	inner := leaves - 1
	t := &tree{width: 1}
	if inner == 0 {
		t.nodes, t.values = []node{{feature: -1, cats: -1}}, values
		t.cover = []float64{1}
		return t, err
	}
	feature, threshold := list("split_feature", inner), list("threshold", inner)
	decision, left, right := list("decision_type", inner), list("left_child", inner), list("right_child", inner)
	innerCount, leafCount := list("internal_count", -1), list("leaf_count", -1)
	bounds, words := list("cat_boundaries", -1), list("cat_threshold", -1)
	if err != nil {
		return nil, err
	}
	counted := len(innerCount) == inner && len(leafCount) == leaves
	// nodes in the order of a walk from the root: children behind parents
	type place struct{ id, at int }
	var queue []place
	add := func(id int) (int, error) {
		if len(t.nodes) > 2*leaves {
			return 0, errors.New("its nodes form a cycle")
		}
		at := len(t.nodes)
		n := node{feature: -1, cats: -1}
		value, count := 0.0, 0.0
		if id < 0 {
			if ^id >= leaves {
				return 0, fmt.Errorf("leaf %d of %d", ^id, leaves)
			}
			value = values[^id]
			if counted {
				count = leafCount[^id]
			}
		} else {
			if id >= inner {
				return 0, fmt.Errorf("node %d of %d", id, inner)
			}
			n.feature = int32(feature[id])
			n.threshold = threshold[id]
			n.rule = lgbRule(int(decision[id]))
			if int(decision[id])&lgbCategorical != 0 {
				c := int(threshold[id])
				if c < 0 || c+1 >= len(bounds) || bounds[c] < 0 || bounds[c] > bounds[c+1] || int(bounds[c+1]) > len(words) {
					return 0, fmt.Errorf("node %d has no set of categories", id)
				}
				n.cats, n.rule = int32(len(t.cats)), 0
				var set []uint32
				for _, w := range words[int(bounds[c]):int(bounds[c+1])] {
					set = append(set, uint32(w))
				}
				t.cats = append(t.cats, set)
			}
			if counted {
				count = innerCount[id]
			}
			queue = append(queue, place{id, at})
		}
		t.nodes, t.values = append(t.nodes, n), append(t.values, value)
		if counted {
			t.cover = append(t.cover, count)
		}
		return at, nil
	}
	if _, err := add(0); err != nil {
		return nil, err
	}
	for len(queue) > 0 {
		p := queue[0]
		queue = queue[1:]
		l, err := add(int(left[p.id]))
		if err != nil {
			return nil, err
		}
		r, err := add(int(right[p.id]))
		if err != nil {
			return nil, err
		}
		t.nodes[p.at].left, t.nodes[p.at].right = int32(l), int32(r)
	}
	return t, nil
}

// lgbDump is LightGBM's dump_model().
type lgbDump struct {
	Classes      int      `json:"num_class"`
	PerRound     int      `json:"num_tree_per_iteration"`
	Objective    string   `json:"objective"`
	Average      bool     `json:"average_output"`
	FeatureNames []string `json:"feature_names"`
	TreeInfo     []struct {
		Structure lgbNode `json:"tree_structure"`
	} `json:"tree_info"`
}

type lgbNode struct {
	Feature     *int32          `json:"split_feature"`
	Threshold   json.RawMessage `json:"threshold"`
	Decision    string          `json:"decision_type"`
	DefaultLeft bool            `json:"default_left"`
	Missing     string          `json:"missing_type"`
	Count       float64         `json:"internal_count"`
	Left        *lgbNode        `json:"left_child"`
	Right       *lgbNode        `json:"right_child"`
	Leaf        float64         `json:"leaf_value"`
	LeafCount   *float64        `json:"leaf_count"`
}

func loadLightGBMJSON(text []byte) (*Model, error) {
	var d lgbDump
	if err := decode(text, &d); err != nil {
		return nil, err
	}
	m := &Model{kind: Boosted, outputs: d.Classes, features: d.FeatureNames, average: d.Average}
	if d.PerRound < 1 || d.PerRound != d.Classes || d.PerRound > maxClasses {
		return nil, fmt.Errorf("%d trees per round for %d classes", d.PerRound, d.Classes)
	}
	if err := m.objective(d.Objective); err != nil {
		return nil, err
	}
	for i := range d.TreeInfo {
		t := &tree{width: 1, output: i % d.PerRound}
		if err := t.addLightGBM(&d.TreeInfo[i].Structure); err != nil {
			return nil, fmt.Errorf("tree %d: %w", i, err)
		}
		m.trees = append(m.trees, *t)
	}
	return m, nil
}

// addLightGBM appends root and what is below it, level by level.
func (t *tree) addLightGBM(root *lgbNode) error {
	counted := true
	queue := []*lgbNode{root}
	for i := 0; i < len(queue); i++ {
		n := queue[i]
		out := node{feature: -1, cats: -1}
		count := n.Count
		if n.Feature != nil {
			if n.Left == nil || n.Right == nil {
				return fmt.Errorf("the split of feature %d has no two children", *n.Feature)
			}
			out.feature = *n.Feature
			if out.feature < 0 {
				return fmt.Errorf("it asks for feature %d", out.feature)
			}
			out.left, out.right = int32(len(queue)), int32(len(queue)+1)
			queue = append(queue, n.Left, n.Right)
			if n.Decision == "==" {
				var s string
				if err := decode(n.Threshold, &s); err != nil {
					return fmt.Errorf("the categories of a split: %w", err)
				}
				var set []uint32
				for w := range strings.SplitSeq(s, "||") {
					c, err := strconv.ParseUint(w, 10, 20)
					if err != nil {
						return fmt.Errorf("the category %q: %w", w, err)
					}
					for int(c)>>5 >= len(set) {
						set = append(set, 0)
					}
					set[c>>5] |= 1 << (c & 31)
				}
				out.cats = int32(len(t.cats))
				t.cats = append(t.cats, set)
			} else {
				if err := decode(n.Threshold, &out.threshold); err != nil {
					return fmt.Errorf("the threshold of a split: %w", err)
				}
				decision := 0
				if n.DefaultLeft {
					decision = lgbDefaultLeft
				}
				switch n.Missing {
				case "Zero":
					decision |= 1 << 2
				case "NaN":
					decision |= 2 << 2
				}
				out.rule = lgbRule(decision)
			}
		} else if n.LeafCount != nil {
			count = *n.LeafCount
		} else if len(queue) > 1 {
			counted = false
		} else {
			count = 1
		}
		t.nodes, t.values, t.cover = append(t.nodes, out), append(t.values, n.Leaf), append(t.cover, count)
	}
	if !counted {
		t.cover = nil
	}
	return nil
}
