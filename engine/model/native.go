package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// native is the JSON of this package. "model" says what it is; unknown keys ("provenance", notes) are allowed.
//
//	{"model":"logistic","features":["a","b"],"intercept":0.5,"coefficients":[1,-2],"mean":[..],"scale":[..]}
//	{"model":"logistic","features":[..],"classes":[1,2,3],"intercept":[..],"coefficients":[[..],[..],[..]]}
//	{"model":"linear", ...}
//	{"model":"forest","task":"classification","features":[..],"classes":[0,1],"trees":[
//	  {"feature":[0,-1,-1],"threshold":[0.5,0,0],"left":[1,-1,-1],"right":[2,-1,-1],"value":[0.5,0.1,0.9],
//	   "samples":[10,5,5],"missing_left":[false,..]}]}
//	{"model":"isolation_forest","features":[..],"sample_size":256,"offset":-0.5,"trees":[{.., "samples":[..]}]}
//	{"model":"kmeans","features":[..],"centers":[[..],[..]],"mean":[..],"scale":[..]}
//
// A split goes left when value <= threshold; a leaf has feature -1. The value of a node is a number (the probability of the
// second class, or what a regression says) or a list with one number per class; those of inner nodes may be missing where
// "samples", the training samples by node, are there: explanations need one of the two. "single": true compares as float32.
type native struct {
	Model        string          `json:"model"`
	Task         string          `json:"task"`
	Features     []string        `json:"features"`
	Classes      []float64       `json:"classes"`
	Intercept    json.RawMessage `json:"intercept"`
	Coefficients json.RawMessage `json:"coefficients"`
	Mean         []float64       `json:"mean"`
	Scale        []float64       `json:"scale"`
	Centers      [][]float64     `json:"centers"`
	SampleSize   float64         `json:"sample_size"`
	Offset       float64         `json:"offset"`
	Single       bool            `json:"single"`
	Trees        []nativeTree    `json:"trees"`
}

type nativeTree struct {
	Feature     []int32         `json:"feature"`
	Threshold   []float64       `json:"threshold"`
	Left        []int32         `json:"left"`
	Right       []int32         `json:"right"`
	Value       json.RawMessage `json:"value"`
	Samples     []float64       `json:"samples"`
	MissingLeft []bool          `json:"missing_left"`
}

// loadJSON finds out whose JSON it is.
func loadJSON(text []byte) (*Model, error) {
	var head struct {
		Model    *string         `json:"model"`
		TreeInfo json.RawMessage `json:"tree_info"`
		Learner  json.RawMessage `json:"learner"`
	}
	if err := decode(text, &head); err != nil {
		return nil, err
	}
	switch {
	case head.Learner != nil:
		return loadXGBoost(text)
	case head.TreeInfo != nil:
		return loadLightGBMJSON(text)
	case head.Model != nil:
		return loadNative(text)
	}
	return nil, errors.New(`it has none of the keys "model" (our own), "tree_info" (LightGBM's dump_model) and "learner" (XGBoost)`)
}

// decode is json.Unmarshal with the place of a mistake.
func decode(text []byte, v any) error {
	err := json.Unmarshal(text, v)
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Errorf("byte %d: %w", syntax.Offset, err)
	case errors.As(err, &kind):
		return fmt.Errorf("byte %d: %q is a %s, want a %s", kind.Offset, kind.Field, kind.Value, kind.Type)
	}
	return err
}

func loadNative(text []byte) (*Model, error) {
	var f native
	if err := decode(text, &f); err != nil {
		return nil, err
	}
	m := &Model{kind: Kind(f.Model), features: f.Features, classes: f.Classes, mean: f.Mean, scale: f.Scale, sampleSize: f.SampleSize, offset: f.Offset}
	switch m.kind {
	case Linear, Logistic:
		return m, f.linear(m)
	case Forest, IsolationForest:
		return m, f.forest(m)
	case KMeans:
		m.rows = f.Centers
		return m, nil
	}
	return nil, fmt.Errorf(`"model" is %q, want linear, logistic, forest, isolation_forest or kmeans`, f.Model)
}

func (f *native) linear(m *Model) error {
	var one []float64
	if err := decode(f.Coefficients, &one); err == nil {
		m.rows = [][]float64{one}
	} else if err := decode(f.Coefficients, &m.rows); err != nil {
		return fmt.Errorf(`"coefficients" is neither a list of numbers nor a list of such lists: %w`, err)
	}
	m.outputs = len(m.rows)
	var intercept float64
	switch err := decode(f.Intercept, &intercept); {
	case f.Intercept == nil:
	case err == nil:
		m.base = []float64{intercept}
	default:
		if err := decode(f.Intercept, &m.base); err != nil {
			return fmt.Errorf(`"intercept" is neither a number nor a list of numbers: %w`, err)
		}
	}
	if m.kind == Logistic {
		if m.link = sigmoid; m.outputs > 1 {
			m.link = softmax
		}
	}
	return nil
}

func (f *native) forest(m *Model) error {
	m.average = true
	if m.kind == Forest {
		switch f.Task {
		case "classification", "regression":
		default:
			return fmt.Errorf(`"task" is %q, want classification or regression`, f.Task)
		}
		if f.Task == "classification" && len(f.Classes) > 2 {
			m.outputs = len(f.Classes)
		}
	}
	for i := range f.Trees {
		t, err := f.Trees[i].tree(f.Single)
		if err != nil {
			return fmt.Errorf("tree %d: %w", i, err)
		}
		if m.kind == IsolationForest {
			if err := t.pathLengths(); err != nil {
				return fmt.Errorf("tree %d: %w", i, err)
			}
		}
		m.trees = append(m.trees, *t)
	}
	if m.kind == Forest && f.Task == "classification" {
		for i := range m.trees { // two numbers per node are those of two classes: the second is the positive one's
			if t := &m.trees[i]; t.width == 2 && m.outputs <= 1 {
				for k := range t.nodes {
					t.values[k] = t.values[2*k+1]
				}
				t.values, t.width = t.values[:len(t.nodes)], 1
			}
		}
	}
	return nil
}

func (f *nativeTree) tree(single32 bool) (*tree, error) {
	n := len(f.Feature)
	if len(f.Threshold) != n || len(f.Left) != n || len(f.Right) != n || (f.Samples != nil && len(f.Samples) != n) || (f.MissingLeft != nil && len(f.MissingLeft) != n) {
		return nil, fmt.Errorf(`"feature", "threshold", "left", "right", "samples" and "missing_left" must be of one length, %d`, n)
	}
	t := &tree{nodes: make([]node, n), cover: f.Samples, width: 1}
	for i := range n {
		nd := node{feature: f.Feature[i], threshold: f.Threshold[i], left: f.Left[i], right: f.Right[i], cats: -1}
		if nd.feature < 0 {
			nd.feature = -1
		}
		if f.MissingLeft != nil && f.MissingLeft[i] {
			nd.rule |= missingLeft
		}
		if single32 {
			nd.rule |= single
		}
		t.nodes[i] = nd
	}
	if f.Value == nil {
		t.values = make([]float64, n)
		return t, nil
	}
	var rows [][]float64
	if err := decode(f.Value, &t.values); err == nil {
		t.inner = f.Samples == nil
		return t, nil
	} else if decode(f.Value, &rows) != nil || len(rows) == 0 {
		return nil, fmt.Errorf(`"value" is neither a list of numbers nor a list of lists: %w`, err)
	}
	t.width, t.inner = len(rows[0]), true
	t.values = nil
	for i, row := range rows {
		if len(row) != t.width {
			return nil, fmt.Errorf(`"value" of node %d has %d numbers, that of node 0 %d`, i, len(row), t.width)
		}
		t.values = append(t.values, row...)
	}
	return t, nil
}

// pathLengths makes the value of each leaf its depth and the expected depth of its samples.
func (t *tree) pathLengths() error {
	if t.cover == nil {
		return errors.New(`"samples" is missing`)
	}
	t.values = make([]float64, len(t.nodes))
	depth := make([]float64, len(t.nodes))
	for i := range t.nodes {
		n := &t.nodes[i]
		if n.feature < 0 {
			t.values[i] = depth[i] + pathLength(t.cover[i])
			continue
		}
		for _, c := range []int32{n.left, n.right} {
			if c > int32(i) && int(c) < len(depth) { // else check complains
				depth[c] = depth[i] + 1
			}
		}
	}
	return nil
}

// logit is the inverse of the sigmoid.
func logit(p float64) float64 { return math.Log(p / (1 - p)) }
