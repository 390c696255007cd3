// Package model evaluates trained models: linear and logistic regression, random forests, gradient-boosted trees, isolation
// forests and k-means. It reads
//
//   - the JSON of this package, described at native.go, which test/models/export.py writes from scikit-learn's models
//   - LightGBM's text files and its dump_model() JSON
//   - XGBoost's save_model() JSON (gbtree and dart)
//
// A file is checked completely when it is loaded: what Load accepts, Predict evaluates without errors.
//
// # Checked against
//
// The fixtures in testdata were made by test/models/fixtures.py with scikit-learn, LightGBM and XGBoost themselves: models
// with missing values and categories, inputs, and what those libraries predict and, for trees, attribute to each feature
// (pred_contrib, pred_contribs). The tests compare with them.
package model

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"slices"
)

// Limits of a file: what is larger is a mistake, or an attack.
const (
	maxTrees    = 100_000
	maxNodes    = 20_000_000 // of all trees
	maxFeatures = 1 << 16
	maxClasses  = 4096
	maxDepth    = 4096 // of a tree
)

// Kind says what a model is.
type Kind string

// The kinds of models.
const (
	Linear          Kind = "linear"
	Logistic        Kind = "logistic"
	Forest          Kind = "forest"
	Boosted         Kind = "boosted"
	IsolationForest Kind = "isolation_forest"
	KMeans          Kind = "kmeans"
)

// Model is a trained model. It does not change: all goroutines may use it at once.
type Model struct {
	kind     Kind
	features []string
	number   map[string]int
	classes  []float64 // labels; empty for regression and kmeans
	outputs  int       // raw scores: 1, or one per class

	// linear and kmeans: values are first shifted and scaled; nil is not
	mean, scale []float64
	rows        [][]float64 // coefficients by output, or centers
	base        []float64   // by output: intercept, or what boosting starts from

	trees   []tree
	average bool    // of the trees, else their sum
	link    link    // from raw scores to what is predicted
	slope   float64 // of the sigmoid

	sampleSize float64 // of an isolation forest's trees
	offset     float64
}

// link turns raw scores into predictions.
type link uint8

const (
	identity link = iota
	sigmoid
	softmax
	sigmoids // each class by itself, then normalised
	exponential
	square // sign(x) x^2
	log1pExp
	sign // 1 above 0
)

// Kind returns what the model is.
func (m *Model) Kind() Kind { return m.kind }

// Features returns the names of the features in the order in which Predict takes them.
func (m *Model) Features() []string { return m.features }

// Feature returns the place of a feature.
func (m *Model) Feature(name string) (int, bool) { i, ok := m.number[name]; return i, ok }

// Classes returns the labels of a classifier with more than two classes, else nil.
func (m *Model) Classes() []float64 {
	if m.outputs == 1 {
		return nil
	}
	return m.classes
}

// Prediction is what a model says of one sample.
type Prediction struct {
	// Score is the probability of the positive class (the second label), the value of a regression, the label of the likeliest
	// of several classes, the anomaly score of an isolation forest (0 to 1, above about 0.5 is unusual; 1 - it is
	// scikit-learn's score_samples + 1), or the number of the nearest center, from 0.
	Score         float64
	Probabilities []float64 // of several classes; reused by the next Predict
	Distance      float64   // from the nearest center
	Decision      float64   // of an isolation forest: scikit-learn's decision_function, negative for outliers

	raw []float64
}

// errLength is returned for a sample of the wrong length.
func (m *Model) errLength(n int) error {
	return fmt.Errorf("the model has %d features, the sample %d", len(m.features), n)
}

// Predict evaluates a sample: one number per feature, NaN where it is missing. It fills p, whose memory is used again, so
// that a call allocates nothing after the first.
func (m *Model) Predict(x []float64, p *Prediction) error {
	if len(x) != len(m.features) {
		return m.errLength(len(x))
	}
	if m.kind == KMeans {
		m.nearest(x, p)
		return nil
	}
	if cap(p.raw) < m.outputs {
		p.raw = make([]float64, m.outputs)
	}
	p.raw = p.raw[:m.outputs]
	m.scores(x, p.raw)
	p.Probabilities = p.Probabilities[:0]
	if m.kind == IsolationForest {
		p.Score = math.Exp2(-p.raw[0] / pathLength(m.sampleSize))
		p.Decision = -p.Score - m.offset
		return nil
	}
	if m.outputs == 1 {
		p.Score = m.linked(p.raw[0])
		return nil
	}
	p.Probabilities = append(p.Probabilities, p.raw...)
	m.normalise(p.Probabilities)
	best := 0
	for i, q := range p.Probabilities {
		if q > p.Probabilities[best] {
			best = i
		}
	}
	p.Score = m.classes[best]
	return nil
}

// scores fills raw with the scores before the link.
func (m *Model) scores(x, raw []float64) {
	copy(raw, m.base)
	if m.rows != nil {
		for i, row := range m.rows {
			for j, c := range row {
				raw[i] += c * m.scaled(x, j)
			}
		}
		return
	}
	if m.average {
		for i := range raw {
			raw[i] = 0
		}
	}
	for i := range m.trees {
		t := &m.trees[i]
		leaf := t.leaf(x)
		if t.width == 1 {
			raw[t.output] += t.values[leaf]
			continue
		}
		for j := range t.width {
			raw[j] += t.values[leaf*t.width+j]
		}
	}
	if m.average {
		for i := range raw {
			raw[i] = raw[i]/m.divisor(i) + m.base[i]
		}
	}
}

// divisor is how many trees an average of output i is over.
func (m *Model) divisor(int) float64 {
	if len(m.trees) == 0 {
		return 1
	}
	if m.trees[0].width > 1 {
		return float64(len(m.trees))
	}
	return float64(len(m.trees)) / float64(m.outputs)
}

// scaled returns feature j, shifted and scaled. A missing one is the mean.
func (m *Model) scaled(x []float64, j int) float64 {
	v := x[j]
	if v != v {
		return 0
	}
	if m.mean != nil {
		v -= m.mean[j]
	}
	if m.scale != nil {
		v /= m.scale[j]
	}
	return v
}

func logistic(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func (m *Model) linked(x float64) float64 {
	switch m.link {
	case sigmoid, sigmoids:
		return logistic(m.slope * x)
	case exponential:
		return math.Exp(x)
	case square:
		return math.Copysign(x*x, x)
	case log1pExp:
		return math.Log1p(math.Exp(x))
	case sign:
		if x > 0 {
			return 1
		}
		return 0
	}
	return x
}

// normalise turns the scores of several classes into probabilities.
func (m *Model) normalise(p []float64) {
	switch m.link {
	case softmax:
		top := slices.Max(p)
		for i := range p {
			p[i] = math.Exp(p[i] - top)
		}
	case sigmoids:
		for i := range p {
			p[i] = logistic(m.slope * p[i])
		}
		return // as LightGBM leaves them
	}
	sum := 0.0
	for _, q := range p {
		sum += q
	}
	if sum > 0 {
		for i := range p {
			p[i] /= sum
		}
	}
}

// nearest finds the center that is nearest to x.
func (m *Model) nearest(x []float64, p *Prediction) {
	best := math.Inf(1)
	for i, c := range m.rows {
		d := 0.0
		for j, v := range c {
			diff := m.scaled(x, j) - v
			if x[j] != x[j] {
				diff = 0
			}
			d += diff * diff
		}
		if d < best {
			best, p.Score = d, float64(i)
		}
	}
	p.Distance = math.Sqrt(best)
}

// pathLength is the expected depth of an unsuccessful search in a tree of n samples: what an isolation forest adds for a
// leaf that holds n.
func pathLength(n float64) float64 {
	switch {
	case n <= 1:
		return 0
	case n <= 2:
		return 1
	}
	return 2*(math.Log(n-1)+0.57721566490153286061) - 2*(n-1)/n
}

// Explain says what each feature adds to the raw score of x: base + the sum of the contributions is the raw score, of the
// class with number class for a classifier of several (0 for all others).
//
// Raw scores are what comes before the sigmoid, softmax or exponential function; of a forest the average of its leaves; of an
// isolation forest the average path length (short is unusual); of kmeans the squared distance from the nearest center, where
// base is 0. For linear models a contribution is coefficient * (value - mean) / scale. For trees it is the feature's SHAP
// value, exact, by the path-dependent algorithm of Lundberg et al. (2018) on the numbers of training samples in the file; where a file
// has the values of inner nodes instead of those numbers, it is the sum of changes of the value along the way (Saabas).
func (m *Model) Explain(x []float64, class int) (base float64, contributions []float64, err error) {
	if len(x) != len(m.features) {
		return 0, nil, m.errLength(len(x))
	}
	if class < 0 || class >= max(m.outputs, 1) {
		return 0, nil, fmt.Errorf("there is no class number %d: the model has %d", class, max(m.outputs, 1))
	}
	c := make([]float64, len(x))
	switch {
	case m.kind == KMeans:
		var p Prediction
		m.nearest(x, &p)
		for j, v := range m.rows[int(p.Score)] {
			if x[j] == x[j] {
				d := m.scaled(x, j) - v
				c[j] = d * d
			}
		}
		return 0, c, nil
	case m.rows != nil:
		for j, k := range m.rows[class] {
			c[j] = k * m.scaled(x, j)
		}
		return m.base[class], c, nil
	}
	base = 0
	scale := 1.0
	if m.average {
		scale = 1 / m.divisor(class)
	}
	for i := range m.trees {
		t := &m.trees[i]
		if t.width == 1 && t.output != class {
			continue
		}
		b, err := t.explain(x, class, scale, c)
		if err != nil {
			return 0, nil, fmt.Errorf("tree %d: %w", i, err)
		}
		base += b * scale
	}
	return base + m.base[class], c, nil
}

// Load reads a model. name is the file's, for messages.
func Load(name string, data []byte) (*Model, error) {
	m, err := load(data)
	if err != nil {
		return nil, fmt.Errorf("model %s: %w", name, err)
	}
	return m, nil
}

func load(data []byte) (*Model, error) {
	text := bytes.TrimSpace(data)
	var m *Model
	var err error
	switch {
	case len(text) == 0:
		return nil, errors.New("the file is empty")
	case text[0] == '{':
		m, err = loadJSON(text)
	case bytes.HasPrefix(text, []byte("tree")):
		m, err = loadLightGBM(string(text))
	default:
		return nil, errors.New("it is neither JSON nor a LightGBM text model (XGBoost's binary formats: save_model(\"model.json\") writes JSON)")
	}
	if err != nil {
		return nil, err
	}
	return m, m.check()
}

// check completes a model and refuses what Predict could not evaluate.
func (m *Model) check() error {
	if n := len(m.features); n == 0 || n > maxFeatures {
		return fmt.Errorf("%d features, want 1 to %d", n, maxFeatures)
	}
	m.number = make(map[string]int, len(m.features))
	for i, f := range m.features {
		if _, twice := m.number[f]; twice {
			return fmt.Errorf("the feature %q is there twice", f)
		}
		m.number[f] = i
	}
	if m.outputs == 0 {
		m.outputs = 1
	}
	if m.slope == 0 {
		m.slope = 1
	}
	if m.outputs > maxClasses {
		return fmt.Errorf("%d classes, want at most %d", m.outputs, maxClasses)
	}
	if len(m.base) == 0 {
		m.base = make([]float64, m.outputs)
	}
	if len(m.base) != m.outputs {
		return fmt.Errorf("%d start values for %d outputs", len(m.base), m.outputs)
	}
	if m.outputs > 1 && len(m.classes) == 0 {
		for i := range m.outputs {
			m.classes = append(m.classes, float64(i))
		}
	}
	if m.outputs > 1 && len(m.classes) != m.outputs {
		return fmt.Errorf("%d labels for %d classes", len(m.classes), m.outputs)
	}
	for name, list := range map[string][]float64{"mean": m.mean, "scale": m.scale} {
		if list != nil && len(list) != len(m.features) {
			return fmt.Errorf("%q has %d numbers for %d features", name, len(list), len(m.features))
		}
	}
	if slices.Contains(m.scale, 0) {
		return errors.New(`"scale" holds a 0`)
	}
	for i, row := range m.rows {
		if len(row) != len(m.features) {
			return fmt.Errorf("row %d has %d numbers for %d features", i, len(row), len(m.features))
		}
	}
	switch m.kind {
	case KMeans:
		if len(m.rows) == 0 {
			return errors.New("there are no centers")
		}
		return nil
	case Linear, Logistic:
		if len(m.rows) != m.outputs {
			return fmt.Errorf("%d rows of coefficients for %d outputs", len(m.rows), m.outputs)
		}
		return nil
	case IsolationForest:
		if !(m.sampleSize > 1) {
			return fmt.Errorf(`"sample_size" is %g, want more than 1`, m.sampleSize)
		}
	}
	if len(m.trees) == 0 || len(m.trees) > maxTrees {
		return fmt.Errorf("%d trees, want 1 to %d", len(m.trees), maxTrees)
	}
	nodes := 0
	for i := range m.trees {
		t := &m.trees[i]
		if nodes += len(t.nodes); nodes > maxNodes {
			return fmt.Errorf("more than %d nodes", maxNodes)
		}
		if t.width > 1 && t.width != m.outputs {
			return fmt.Errorf("tree %d has %d values in a leaf for %d outputs", i, t.width, m.outputs)
		}
		if t.output < 0 || t.output >= m.outputs {
			return fmt.Errorf("tree %d is for output %d of %d", i, t.output, m.outputs)
		}
		if err := t.check(len(m.features)); err != nil {
			return fmt.Errorf("tree %d: %w", i, err)
		}
	}
	return nil
}
