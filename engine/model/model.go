package model

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Limits of what Load accepts.
const (
	maxBytes    = 512 << 20 // of a file
	maxFeatures = 1 << 16
	maxClasses  = 1 << 12
	maxNodes    = 1 << 25 // of all trees
	maxDepth    = 1024    // edges from a root to its deepest leaf
)

// Task is what a model answers.
type Task uint8

// The tasks.
const (
	Regression Task = iota // a value
	Binary                 // one of two classes
	Multiclass             // one of several classes
	Anomaly                // how unusual x is
	Cluster                // the nearest of several centers
)

// String returns "regression", "binary", "multiclass", "anomaly" or "cluster".
func (t Task) String() string {
	return [...]string{"regression", "binary", "multiclass", "anomaly", "cluster"}[t]
}

// Class is the label of a class or cluster as the model file has it. Models without labels are given 0, 1, 2, ...
type Class struct {
	Name    string  // text of the label: "malware", "1"
	Number  float64 // the label, if it is a number
	Numeric bool    // the label is a number
}

// Model is a trained model. It does not change after Load: any number of goroutines may use it.
type Model struct {
	kind     string
	task     Task
	features []string
	classes  []Class // nil for Regression and Anomaly
	outputs  int     // margins per row
	link     link
	linear   *linear   // exactly one of these three is set
	trees    *ensemble //
	centers  *centers  //
}

// Kind returns which family and format the model has: "logistic", "linear", "forest", "isolation_forest", "kmeans",
// "lightgbm" or "xgboost".
func (m *Model) Kind() string { return m.kind }

// Task returns what the model answers.
func (m *Model) Task() Task { return m.task }

// Features returns the names of the features in the order that Predict wants them. The caller must not change it.
func (m *Model) Features() []string { return m.features }

// Classes returns the labels of the classes or clusters, nil for Regression and Anomaly. The caller must not change it.
func (m *Model) Classes() []Class { return m.classes }

// Prediction is the answer of a model for one row.
type Prediction struct {
	// Score is, by Task: Regression the value; Binary the probability of the second (positive) class; Multiclass the
	// probability of Class; Anomaly how unusual the row is, above 0 to 1, 0.5 for an average row (it is minus
	// scikit-learn's score_samples); Cluster the distance to the center of Class.
	Score float64
	// Margin is what the link function turns into Score: log-odds, the logarithm of a rate, the value itself. For
	// Multiclass it is that of Class, for Anomaly scikit-learn's decision_function (below 0 is an outlier), for Cluster
	// the squared distance.
	Margin float64
	// Class is the index in Classes of the answer; for Anomaly 1 for an outlier and 0 otherwise; -1 for Regression.
	Class int
	// Probabilities are those of all classes of a Multiclass model, otherwise nil. One-versus-all models give one
	// probability for each class that need not add up to 1.
	Probabilities []float64
}

// Predict returns the answer for one row. x holds a value for each of Features; NaN is a missing value, and so is what a
// short x lacks; further values are ignored. It allocates only for Multiclass, and for a short x.
func (m *Model) Predict(x []float64) Prediction { return m.PredictInto(x, nil) }

// PredictInto is Predict with memory for Probabilities: probs is used if it has room for all classes.
func (m *Model) PredictInto(x, probs []float64) Prediction {
	x = m.row(x)
	if m.centers != nil {
		return m.centers.predict(x)
	}
	if m.outputs == 1 {
		return m.answer(m.margin(x))
	}
	if cap(probs) < m.outputs {
		probs = make([]float64, m.outputs)
	}
	probs = probs[:m.outputs]
	m.margins(x, probs)
	best := argmax(probs)
	p := Prediction{Class: best, Margin: probs[best], Probabilities: probs}
	m.link.all(probs)
	if m.link.kind == linkShares { // their largest may be another one only by rounding
		best = argmax(probs)
		p.Class = best
	}
	p.Score = probs[best]
	return p
}

// answer makes the Prediction of a model with one margin.
func (m *Model) answer(margin float64) Prediction {
	p := Prediction{Score: m.link.one(margin), Margin: margin, Class: -1}
	switch m.task {
	case Binary:
		p.Class = 0
		if m.link.positive(margin) {
			p.Class = 1
		}
	case Anomaly:
		p.Margin, p.Class = -p.Score-m.link.scale, 0
		if p.Margin < 0 {
			p.Class = 1
		}
	}
	return p
}

// row returns x with exactly as many values as there are features.
func (m *Model) row(x []float64) []float64 {
	n := len(m.features)
	if len(x) >= n {
		return x[:n]
	}
	full := make([]float64, n)
	copy(full, x)
	for i := len(x); i < n; i++ {
		full[i] = math.NaN()
	}
	return full
}

// margin returns the only margin.
func (m *Model) margin(x []float64) float64 {
	if m.linear != nil {
		return m.linear.margin(x, 0)
	}
	return m.trees.margin(x)
}

// margins sets out, one element for each output.
func (m *Model) margins(x, out []float64) {
	if m.linear != nil {
		for i := range out {
			out[i] = m.linear.margin(x, i)
		}
		return
	}
	m.trees.margins(x, out)
}

// argmax returns the index of the largest value, the first of equals.
func argmax(list []float64) int {
	best := 0
	for i, v := range list {
		if v > list[best] {
			best = i
		}
	}
	return best
}

// check is the last step of every loader: what all formats have in common.
func (m *Model) check() error {
	if len(m.features) == 0 {
		return errors.New("features: the model has none")
	}
	if len(m.features) > maxFeatures {
		return fmt.Errorf("features: %d, at most %d are possible", len(m.features), maxFeatures)
	}
	seen := make(map[string]int, len(m.features))
	for i, name := range m.features {
		if name == "" {
			return fmt.Errorf("features[%d]: the name is empty", i)
		}
		if j, ok := seen[name]; ok {
			return fmt.Errorf("features[%d]: %q stands at %d too, names must differ", i, name, j)
		}
		seen[name] = i
	}
	labels := make(map[string]int, len(m.classes))
	for i, c := range m.classes {
		if j, ok := labels[c.Name]; ok {
			return fmt.Errorf("classes[%d]: %q stands at %d too, labels must differ", i, c.Name, j)
		}
		labels[c.Name] = i
	}
	return nil
}

// numbered returns the labels 0 to n-1.
func numbered(n int) []Class {
	list := make([]Class, n)
	for i := range list {
		list[i] = Class{Name: strconv.Itoa(i), Number: float64(i), Numeric: true}
	}
	return list
}

// finite reports whether all values are numbers.
func finite(list ...float64) bool {
	for _, v := range list {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}
