package model

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
)

// native is our own JSON format; which keys a model needs is in the package comment.
type native struct {
	Model        string            `json:"model"`
	Info         json.RawMessage   `json:"info"`       // anything: for people
	Provenance   json.RawMessage   `json:"provenance"` // likewise
	Task         string            `json:"task"`
	Features     []string          `json:"features"`
	Classes      []json.RawMessage `json:"classes"`
	Intercept    json.RawMessage   `json:"intercept"`    // number, or list by class
	Coefficients json.RawMessage   `json:"coefficients"` // list, or list of lists by class
	MultiClass   string            `json:"multi_class"`
	Mean         []float64         `json:"mean"`
	Scale        []float64         `json:"scale"`
	Missing      []float64         `json:"missing"`
	Float32      bool              `json:"float32"`
	Trees        []nativeTree      `json:"trees"`
	SampleSize   float64           `json:"sample_size"`
	Offset       *float64          `json:"offset"`
	Centers      [][]float64       `json:"centers"`
}

// nativeTree holds a tree as lists by node; node 0 is the root.
type nativeTree struct {
	Feature     []int           `json:"feature"` // -1 is a leaf
	Threshold   []float64       `json:"threshold"`
	Left        []int           `json:"left"`
	Right       []int           `json:"right"`
	Value       json.RawMessage `json:"value"` // by node: number, or list by class
	Samples     []float64       `json:"samples"`
	MissingLeft []bool          `json:"missing_left"`
}

func loadNative(data []byte) (*Model, error) {
	var n native
	if err := decodeStrict(data, &n); err != nil {
		return nil, err
	}
	classes, err := labels(n.Classes)
	if err != nil {
		return nil, err
	}
	if len(n.Features) == 0 || len(n.Features) > maxFeatures {
		return nil, fmt.Errorf("features: %d names, want 1 to %d", len(n.Features), maxFeatures)
	}
	m := &Model{kind: n.Model, features: n.Features, classes: classes, outputs: 1}
	switch n.Model {
	case "logistic", "linear":
		err = n.linear(m)
	case "forest":
		err = n.forest(m)
	case "isolation_forest":
		err = n.isolation(m)
	case "kmeans":
		err = n.kmeans(m)
	default:
		err = fmt.Errorf("model: unknown kind %q, want one of logistic, linear, forest, isolation_forest, kmeans", n.Model)
	}
	if err != nil {
		return nil, err
	}
	return m, nil
}

// labels decodes classes: strings, numbers, booleans.
func labels(list []json.RawMessage) ([]Class, error) {
	if len(list) > maxClasses {
		return nil, fmt.Errorf("classes: %d, at most %d are possible", len(list), maxClasses)
	}
	var classes []Class
	for i, raw := range list {
		var v any
		if err := json.Unmarshal(raw, &v); err != nil {
			return nil, fmt.Errorf("classes[%d]: %w", i, err)
		}
		switch v := v.(type) {
		case string:
			classes = append(classes, Class{Name: v})
		case float64:
			classes = append(classes, Class{Name: string(raw), Number: v, Numeric: true})
		case bool:
			classes = append(classes, Class{Name: fmt.Sprint(v)})
		default:
			return nil, fmt.Errorf("classes[%d]: want a string, a number or a boolean", i)
		}
	}
	return classes, nil
}

// vector decodes a number or a list of numbers.
func vector(key string, raw json.RawMessage) ([]float64, error) {
	if len(raw) == 0 {
		return nil, fmt.Errorf("%s: missing", key)
	}
	if raw[0] != '[' {
		var v *float64
		if err := json.Unmarshal(raw, &v); err != nil || v == nil {
			return nil, fmt.Errorf("%s: want a number or a list of numbers", key)
		}
		return []float64{*v}, nil
	}
	var v []*float64
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, fmt.Errorf("%s: want a number or a list of numbers", key)
	}
	return values(key, v)
}

// values refuses nulls.
func values(key string, list []*float64) ([]float64, error) {
	out := make([]float64, len(list))
	for i, p := range list {
		if p == nil {
			return nil, fmt.Errorf("%s[%d]: null, want a number", key, i)
		}
		out[i] = *p
	}
	return out, nil
}

// matrix decodes a list of numbers, which is one row, or a list of rows.
func matrix(key string, raw json.RawMessage) ([][]float64, error) {
	rest := bytes.TrimLeft(bytes.TrimPrefix(raw, []byte("[")), " \t\r\n")
	if len(raw) == 0 || raw[0] != '[' {
		return nil, fmt.Errorf("%s: want a list of numbers, or of lists of numbers", key)
	}
	if rest[0] != '[' {
		row, err := vector(key, raw)
		return [][]float64{row}, err
	}
	var rows [][]*float64
	if err := json.Unmarshal(raw, &rows); err != nil {
		return nil, fmt.Errorf("%s: want a list of numbers, or of lists of numbers", key)
	}
	out := make([][]float64, len(rows))
	for i, r := range rows {
		row, err := values(fmt.Sprintf("%s[%d]", key, i), r)
		if err != nil {
			return nil, err
		}
		out[i] = row
	}
	return out, nil
}

// unused refuses keys that the kind of model does not have: they would be ignored.
func (n *native) unused(keys ...string) error {
	has := map[string]bool{"task": n.Task != "", "classes": n.Classes != nil, "intercept": n.Intercept != nil, "coefficients": n.Coefficients != nil,
		"multi_class": n.MultiClass != "", "mean": n.Mean != nil, "scale": n.Scale != nil, "float32": n.Float32, "trees": n.Trees != nil,
		"sample_size": n.SampleSize != 0, "offset": n.Offset != nil, "centers": n.Centers != nil}
	for _, k := range keys {
		if has[k] {
			return fmt.Errorf("%s: a model of kind %s does not have it", k, n.Model)
		}
	}
	return nil
}

func (n *native) linear(m *Model) error {
	if err := n.unused("task", "float32", "trees", "sample_size", "offset", "centers"); err != nil {
		return err
	}
	intercept, err := vector("intercept", n.Intercept)
	if err != nil {
		return err
	}
	rows, err := matrix("coefficients", n.Coefficients)
	if err != nil {
		return err
	}
	if m.linear, err = newLinear(len(n.Features), intercept, rows, n.Mean, n.Scale, n.Missing); err != nil {
		return err
	}
	m.outputs = len(rows)
	if n.Model == "linear" {
		if len(rows) != 1 || m.classes != nil || n.MultiClass != "" {
			return errors.New("coefficients: a linear model has one list of numbers, and no classes")
		}
		return nil
	}
	m.task, m.link = Binary, link{kind: linkSigmoid, scale: 1}
	want := 2
	if len(rows) != 1 {
		m.task, m.link, want = Multiclass, link{kind: linkSoftmax}, len(rows)
	}
	switch n.MultiClass {
	case "", "multinomial":
	case "ovr":
		if m.task == Multiclass {
			m.link.kind = linkShares
		}
	default:
		return fmt.Errorf("multi_class: %q, want multinomial or ovr", n.MultiClass)
	}
	if m.classes == nil {
		m.classes = numbered(want)
	}
	if len(rows) == 0 || len(m.classes) != want {
		return fmt.Errorf("classes: %d for %d rows of coefficients", len(m.classes), len(rows))
	}
	return nil
}

func (n *native) kmeans(m *Model) (err error) {
	if err = n.unused("task", "intercept", "coefficients", "multi_class", "float32", "trees", "sample_size", "offset"); err != nil {
		return err
	}
	m.task = Cluster
	if m.centers, err = newCenters(len(n.Features), n.Centers, n.Mean, n.Scale, n.Missing); err != nil {
		return err
	}
	if m.classes == nil {
		m.classes = numbered(len(n.Centers))
	}
	if len(m.classes) != len(n.Centers) {
		return fmt.Errorf("classes: %d for %d centers", len(m.classes), len(n.Centers))
	}
	return nil
}

func (n *native) forest(m *Model) error {
	if err := n.unused("intercept", "coefficients", "multi_class", "mean", "scale", "sample_size", "offset", "centers"); err != nil {
		return err
	}
	stride := 1
	switch n.Task {
	case "regression":
		if m.classes != nil {
			return errors.New("classes: a regression has none")
		}
	case "classification":
		if len(m.classes) < 2 {
			return fmt.Errorf("classes: %d, want at least 2", len(m.classes))
		}
		m.task = Binary
		if len(m.classes) > 2 {
			m.task, stride = Multiclass, len(m.classes)
		}
	default:
		return fmt.Errorf("task: %q, want classification or regression", n.Task)
	}
	m.outputs = stride
	leaf := func(v []float64, _ int, _ float64) ([]float64, error) {
		if n.Task == "regression" {
			if len(v) != 1 {
				return nil, fmt.Errorf("%d values, want one", len(v))
			}
			return v, nil
		}
		shares, err := classShares(v, len(m.classes))
		if err == nil && stride == 1 {
			shares = shares[1:]
		}
		return shares, err
	}
	return n.ensemble(m, stride, 1/float64(max(1, len(n.Trees))), leaf)
}

// classShares divides the counts or weights of classes by their sum.
func classShares(v []float64, classes int) ([]float64, error) {
	if len(v) == 1 && classes == 2 && v[0] >= 0 && v[0] <= 1 { // the share of the second class
		return []float64{1 - v[0], v[0]}, nil
	}
	if len(v) != classes {
		return nil, fmt.Errorf("%d values for %d classes", len(v), classes)
	}
	sum := 0.0
	for _, w := range v {
		if !(w >= 0) {
			return nil, fmt.Errorf("the value %v, want 0 or more", w)
		}
		sum += w
	}
	if sum <= 0 || math.IsInf(sum, 0) {
		return nil, fmt.Errorf("the values add up to %v", sum)
	}
	shares := make([]float64, classes)
	for i, w := range v {
		shares[i] = w / sum
	}
	return shares, nil
}

func (n *native) isolation(m *Model) error {
	if err := n.unused("task", "classes", "intercept", "coefficients", "multi_class", "mean", "scale", "centers"); err != nil {
		return err
	}
	if !(n.SampleSize >= 2) || math.IsInf(n.SampleSize, 0) {
		return fmt.Errorf("sample_size: %v, want 2 or more: how many rows each tree was trained with", n.SampleSize)
	}
	if n.Offset == nil {
		return errors.New("offset: missing: scikit-learn's offset_, -0.5 if contamination is auto")
	}
	if !finite(*n.Offset) {
		return fmt.Errorf("offset: %v", *n.Offset)
	}
	m.task, m.link = Anomaly, link{kind: linkIsolation, scale: *n.Offset}
	leaf := func(_ []float64, depth int, samples float64) ([]float64, error) {
		if samples < 1 {
			return nil, fmt.Errorf("samples is %v, want 1 or more", samples)
		}
		return []float64{float64(depth) + pathLength(samples)}, nil
	}
	scale := -1 / (pathLength(n.SampleSize) * float64(max(1, len(n.Trees))))
	for i := range n.Trees {
		if n.Trees[i].Samples == nil {
			return fmt.Errorf("trees[%d]: samples: missing", i)
		}
	}
	return n.ensemble(m, 1, scale, leaf)
}

// pathLength returns the mean depth of a search that fails in a binary search tree of n keys: what a leaf with n rows
// would add if it were split on (Liu, Ting, Zhou: Isolation Forest, 2008).
func pathLength(n float64) float64 {
	if n <= 1 {
		return 0
	}
	if n <= 2 {
		return 1
	}
	const euler = 0.577215664901532860606512090082402431
	return 2*(math.Log(n-1)+euler) - 2*(n-1)/n
}

// ensemble builds the trees; leaf makes the values of a leaf from those of the file, its depth and its samples.
func (n *native) ensemble(m *Model, stride int, scale float64, leaf func(v []float64, depth int, samples float64) ([]float64, error)) error {
	if len(n.Trees) == 0 {
		return errors.New("trees: there are none")
	}
	if n.Missing != nil {
		if _, _, _, err := standard(len(n.Features), nil, nil, n.Missing); err != nil {
			return err
		}
	}
	e := &ensemble{stride: stride, scale: scale, base: make([]float64, stride), plain: true, fill: n.Missing}
	counted := true
	for i := range n.Trees {
		t := &n.Trees[i]
		nodes, err := t.nodes(n.Float32, leaf)
		if err == nil {
			err = e.add(nodes, len(n.Features), 0)
		}
		if err != nil {
			return fmt.Errorf("trees[%d]: %w", i, err)
		}
		counted = counted && t.Samples != nil
	}
	e.trim(counted)
	m.trees = e
	return nil
}

// nodes turns the lists of a tree into nodes.
func (t *nativeTree) nodes(narrow bool, leaf func([]float64, int, float64) ([]float64, error)) ([]rawNode, error) {
	count := len(t.Feature)
	var value [][]float64
	if t.Value != nil {
		var err error
		if value, err = byNode(t.Value); err != nil {
			return nil, err
		}
	}
	for _, l := range []struct {
		name     string
		length   int
		optional bool
	}{{"threshold", len(t.Threshold), false}, {"left", len(t.Left), false}, {"right", len(t.Right), false}, {"value", len(value), true},
		{"samples", len(t.Samples), true}, {"missing_left", len(t.MissingLeft), true}} {
		if l.length != count && !(l.optional && l.length == 0) {
			return nil, fmt.Errorf("%s: %d elements for %d nodes", l.name, l.length, count)
		}
	}
	depth := t.depths()
	nodes := make([]rawNode, count)
	for i := range nodes {
		r := rawNode{feature: t.Feature[i], threshold: t.Threshold[i], left: t.Left[i], right: t.Right[i], leaf: t.Feature[i] < 0}
		if t.Samples != nil {
			r.cover = t.Samples[i]
		}
		if t.MissingLeft != nil && t.MissingLeft[i] {
			r.flags = missingLeft
		}
		if narrow && !r.leaf {
			r.threshold = belowFloat32(r.threshold)
		}
		if r.leaf {
			var v []float64
			if value != nil {
				v = value[i]
			}
			var err error
			if r.value, err = leaf(v, depth[i], r.cover); err != nil {
				return nil, fmt.Errorf("node %d: %w", i, err)
			}
		}
		nodes[i] = r
	}
	return nodes, nil
}

// depths returns how many edges lie above each node; what is no tree is refused later.
func (t *nativeTree) depths() []int {
	depth := make([]int, len(t.Feature))
	seen := make([]bool, len(t.Feature))
	queue := []int{0}
	for len(queue) > 0 {
		i := queue[0]
		queue = queue[1:]
		if i >= len(t.Feature) || t.Feature[i] < 0 {
			continue
		}
		for _, c := range [2]int{t.Left[i], t.Right[i]} {
			if c > 0 && c < len(seen) && !seen[c] {
				seen[c] = true
				depth[c] = depth[i] + 1
				queue = append(queue, c)
			}
		}
	}
	return depth
}

// byNode decodes the values of all nodes: numbers or lists of numbers.
func byNode(raw json.RawMessage) ([][]float64, error) {
	var list []json.RawMessage
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, errors.New("value: want a list with an element for each node")
	}
	out := make([][]float64, len(list))
	for i, r := range list {
		if string(r) == "null" {
			continue
		}
		v, err := vector(fmt.Sprintf("value[%d]", i), r)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}
