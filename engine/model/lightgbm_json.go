package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// gbmDump is what Booster.dump_model returns, written as JSON.
type gbmDump struct {
	Classes   int       `json:"num_class"`
	PerRound  int       `json:"num_tree_per_iteration"`
	MaxIndex  int       `json:"max_feature_idx"`
	Objective string    `json:"objective"`
	Average   bool      `json:"average_output"`
	Features  []string  `json:"feature_names"`
	Trees     []gbmTree `json:"tree_info"`
}

type gbmTree struct {
	Root *gbmNode `json:"tree_structure"`
}

type gbmNode struct {
	Feature     *int            `json:"split_feature"` // nil for a leaf
	Threshold   json.RawMessage `json:"threshold"`     // number, or categories: "1||3"
	Decision    string          `json:"decision_type"` // "<=", or "==" for categories
	DefaultLeft bool            `json:"default_left"`
	Missing     string          `json:"missing_type"`
	Count       *float64        `json:"internal_count"`
	Left        *gbmNode        `json:"left_child"`
	Right       *gbmNode        `json:"right_child"`
	Value       *float64        `json:"leaf_value"`
	LeafCount   *float64        `json:"leaf_count"`
	LeafConst   *float64        `json:"leaf_const"` // of linear trees
}

func loadLightGBMJSON(data []byte) (*Model, error) {
	var d gbmDump
	if err := decode(data, &d); err != nil {
		return nil, err
	}
	g := &lightGBM{features: d.Features, objective: d.Objective, classes: d.Classes, perRound: d.PerRound, average: d.Average, counted: true}
	if d.MaxIndex != len(d.Features)-1 {
		return nil, fmt.Errorf("feature_names: %d names, max_feature_idx %d", len(d.Features), d.MaxIndex)
	}
	words := 0
	for i := range d.Trees {
		var nodes []rawNode
		if err := g.flatten(d.Trees[i].Root, &nodes, &words, 0); err != nil {
			return nil, fmt.Errorf("tree_info[%d]: %w", i, err)
		}
		g.trees = append(g.trees, nodes)
	}
	return g.build()
}

// flatten appends n and what is below it to nodes. words counts the memory of all category sets.
func (g *lightGBM) flatten(n *gbmNode, nodes *[]rawNode, words *int, depth int) error {
	at := len(*nodes)
	switch {
	case n == nil:
		return fmt.Errorf("node %d: missing", at)
	case depth > maxDepth:
		return fmt.Errorf("node %d: deeper than %d", at, maxDepth)
	case n.LeafConst != nil:
		return errors.New("leaf_const: trees with linear models in their leaves are not supported: train with linear_tree=false")
	case n.Feature == nil:
		if n.Value == nil {
			return fmt.Errorf("node %d: neither split_feature nor leaf_value", at)
		}
		r := rawNode{leaf: true, value: []float64{*n.Value}}
		if n.LeafCount != nil {
			r.cover = *n.LeafCount
		} else if depth > 0 {
			g.counted = false
		}
		*nodes = append(*nodes, r)
		return nil
	}
	r := rawNode{feature: *n.Feature}
	if n.Count != nil {
		r.cover = *n.Count
	} else {
		g.counted = false
	}
	if err := n.decision(&r, words); err != nil {
		return fmt.Errorf("node %d: %w", at, err)
	}
	*nodes = append(*nodes, r)
	(*nodes)[at].left = len(*nodes)
	if err := g.flatten(n.Left, nodes, words, depth+1); err != nil {
		return err
	}
	(*nodes)[at].right = len(*nodes)
	return g.flatten(n.Right, nodes, words, depth+1)
}

// decision sets threshold, set and flags.
func (n *gbmNode) decision(r *rawNode, words *int) (err error) {
	if n.Decision == "==" {
		var text string
		if err := json.Unmarshal(n.Threshold, &text); err != nil {
			return fmt.Errorf("threshold: want categories as a string: %w", err)
		}
		var list []int
		for word := range strings.SplitSeq(text, "||") {
			c, err := strconv.Atoi(word)
			if err != nil {
				return fmt.Errorf("threshold: %.20q is not a category", word)
			}
			list = append(list, c)
		}
		r.flags = categorical
		r.set, err = bitset(list, words)
		return err
	}
	if n.Decision != "<=" {
		return fmt.Errorf("decision_type: %q, want \"<=\" or \"==\"", n.Decision)
	}
	var v *float64
	if err := json.Unmarshal(n.Threshold, &v); err != nil || v == nil {
		return errors.New("threshold: want a number")
	}
	r.threshold = gbmThreshold(*v)
	missing, ok := map[string]int{"None": gbmNone, "Zero": gbmZero, "NaN": gbmNaN}[n.Missing]
	if !ok {
		return fmt.Errorf("missing_type: %q, want None, Zero or NaN", n.Missing)
	}
	r.flags, err = gbmFlags(missing, n.DefaultLeft)
	return err
}

// maxCategory is XGBoost's limit; maxWords limits the category sets of a model to 64 MB.
const (
	maxCategory = 1 << 24
	maxWords    = 8 << 20
)

// bitset returns the set of categories; words counts the memory of all sets of a model.
func bitset(list []int, words *int) ([]uint64, error) {
	top := -1
	for _, c := range list {
		if c < 0 || c >= maxCategory {
			return nil, fmt.Errorf("category %d, want 0 to %d", c, maxCategory-1)
		}
		top = max(top, c)
	}
	set := make([]uint64, top/64+1)
	if *words += len(set); *words > maxWords {
		return nil, fmt.Errorf("the category sets take more than %d MB", maxWords*8>>20)
	}
	for _, c := range list {
		set[c/64] |= 1 << (c % 64)
	}
	return set, nil
}
