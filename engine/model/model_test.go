package model

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// expected is what the library that trained a model says of it.
type expected struct {
	Input         [][]*float64 `json:"input"`
	Score         []float64    `json:"score"`
	Probabilities [][]float64  `json:"probabilities"`
	Contributions [][]float64  `json:"contributions"` // by class: one per feature, and base
	Decision      []float64    `json:"decision"`
	Distance      []float64    `json:"distance"`
}

func (e *expected) row(i int) []float64 {
	x := make([]float64, len(e.Input[i]))
	for j, p := range e.Input[i] {
		if x[j] = math.NaN(); p != nil {
			x[j] = *p
		}
	}
	return x
}

func fixtures(t testing.TB) map[string]*Model {
	files, err := filepath.Glob("testdata/*.expected")
	if err != nil || len(files) < 20 {
		t.Fatalf("%d fixtures, %v", len(files), err)
	}
	models := map[string]*Model{}
	for _, f := range files {
		name := strings.TrimSuffix(f, ".expected")
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := Load(name, text)
		if err != nil {
			t.Error(err)
			continue
		}
		models[filepath.Base(name)] = m
	}
	return models
}

func near(a, b, tolerance float64) bool {
	return math.Abs(a-b) <= tolerance*math.Max(1, math.Abs(b))
}

func TestPredictionsEqualTheLibraries(t *testing.T) {
	for name, m := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			var e expected
			text, _ := os.ReadFile("testdata/" + name + ".expected")
			if err := json.Unmarshal(text, &e); err != nil {
				t.Fatal(err)
			}
			tolerance := 1e-9
			if strings.HasPrefix(name, "xgb") {
				tolerance = 2e-5 // it computes with float32
			}
			averaged := 1.0
			if name == "lgb-regression_l1.txt" { // LightGBM's pred_contrib leaves the averaging of its random forests out
				averaged = float64(len(m.trees))
			}
			var p Prediction
			for i := range e.Input {
				x := e.row(i)
				if err := m.Predict(x, &p); err != nil {
					t.Fatal(err)
				}
				if !near(p.Score, e.Score[i], tolerance) {
					t.Errorf("row %d: score %v, want %v", i, p.Score, e.Score[i])
				}
				if e.Probabilities != nil {
					for c, want := range e.Probabilities[i] {
						if !near(p.Probabilities[c], want, tolerance) {
							t.Errorf("row %d: probability of class %d is %v, want %v", i, c, p.Probabilities[c], want)
						}
					}
				}
				if e.Decision != nil && !near(p.Decision, e.Decision[i], tolerance) {
					t.Errorf("row %d: decision %v, want %v", i, p.Decision, e.Decision[i])
				}
				if e.Distance != nil && !near(p.Distance, e.Distance[i], tolerance) {
					t.Errorf("row %d: distance %v, want %v", i, p.Distance, e.Distance[i])
				}
				if e.Contributions == nil {
					continue
				}
				width := len(x) + 1
				for class := range len(e.Contributions[i]) / width {
					base, got, err := m.Explain(x, class)
					if err != nil {
						t.Fatal(err)
					}
					want := e.Contributions[i][class*width:][:width]
					for j := range x {
						if !near(averaged*got[j], want[j], math.Max(tolerance, 1e-6)) {
							t.Errorf("row %d, class %d: %s adds %v, want %v", i, class, m.Features()[j], got[j], want[j])
						}
					}
					if !near(averaged*base, want[width-1], math.Max(tolerance, 1e-6)) {
						t.Errorf("row %d, class %d: base %v, want %v", i, class, base, want[width-1])
					}
				}
			}
		})
	}
}

// TestContributionsAddUp: base + contributions is the raw score, of every model and class.
func TestContributionsAddUp(t *testing.T) {
	for name, m := range fixtures(t) {
		var e expected
		text, _ := os.ReadFile("testdata/" + name + ".expected")
		if err := json.Unmarshal(text, &e); err != nil {
			t.Fatal(err)
		}
		raw := make([]float64, max(m.outputs, 1))
		for i := range e.Input {
			x := e.row(i)
			for class := range raw {
				base, c, err := m.Explain(x, class)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				sum := base
				for _, v := range c {
					sum += v
				}
				want := 0.0
				if m.kind == KMeans {
					var p Prediction
					m.nearest(x, &p)
					want = p.Distance * p.Distance
				} else {
					m.scores(x, raw)
					want = raw[class]
				}
				if !near(sum, want, 1e-9) {
					t.Fatalf("%s, row %d, class %d: base and contributions are %v, the raw score is %v", name, i, class, sum, want)
				}
			}
		}
	}
}

func TestSaabasWithoutSamples(t *testing.T) {
	m, err := Load("f", []byte(`{"model":"forest","task":"classification","features":["a","b"],"classes":[0,1],"trees":[
		{"feature":[0,1,-1,-1,-1],"threshold":[1,2,0,0,0],"left":[1,2,-1,-1,-1],"right":[4,3,-1,-1,-1],"value":[0.5,0.4,0.1,0.7,0.9]}]}`))
	if err != nil {
		t.Fatal(err)
	}
	base, c, err := m.Explain([]float64{0, 3}, 0)
	if err != nil || base != 0.5 || !near(c[0], -0.1, 1e-12) || !near(c[1], 0.3, 1e-12) {
		t.Errorf("got %v %v %v", base, c, err)
	}
}

func TestMistakesAreTold(t *testing.T) {
	for text, want := range map[string]string{
		``:                   "empty",
		`pickle`:             "neither JSON nor",
		`{"a":1}`:            `none of the keys "model"`,
		`{"model":"svm"}`:    `"model" is "svm"`,
		`{"model":"logistic`: "byte 18",
		`{"model":"logistic","features":[],"coefficients":[]}`:                                                                                                       "0 features",
		`{"model":"logistic","features":["a","a"],"coefficients":[1,2]}`:                                                                                             `"a" is there twice`,
		`{"model":"logistic","features":["a"],"coefficients":[1,2]}`:                                                                                                 "2 numbers for 1 features",
		`{"model":"linear","features":["a"],"coefficients":[1],"scale":[0]}`:                                                                                         `"scale" holds a 0`,
		`{"model":"linear","features":["a"],"coefficients":"x"}`:                                                                                                     `"coefficients"`,
		`{"model":"forest","task":"x","features":["a"]}`:                                                                                                             `"task" is "x"`,
		`{"model":"forest","task":"regression","features":["a"],"trees":[]}`:                                                                                         "0 trees",
		`{"model":"isolation_forest","features":["a"],"trees":[]}`:                                                                                                   `"sample_size"`,
		`{"model":"kmeans","features":["a"],"centers":[[1,2]]}`:                                                                                                      "2 numbers for 1 features",
		`{"model":"forest","task":"regression","features":["a"],"trees":[{"feature":[0],"threshold":[0],"left":[0],"right":[0],"value":[1]}]}`:                       "node 0 has the child 0",
		`{"model":"forest","task":"regression","features":["a"],"trees":[{"feature":[3,-1,-1],"threshold":[0,0,0],"left":[1,0,0],"right":[2,0,0],"value":[1,1,1]}]}`: "feature 3 of 1",
		`{"model":"forest","task":"regression","features":["a"],"trees":[{"feature":[0,-1,-1],"threshold":[0,0,0],"left":[1,0,0],"right":[1,0,0],"value":[1,1,1]}]}`: "two parents",
		`{"learner":{"gradient_booster":{"name":"gblinear"}}}`:                                                                                                       "gblinear",
		`{"tree_info":[{}],"num_class":1,"num_tree_per_iteration":1,"objective":"who knows"}`:                                                                        "who knows",
		"tree\nversion=v4\nnum_class=1\nTree=0\nnum_leaves=2":                                                                                                        "cut off",
		"tree\nnum_class=1\nfeature_names=a\n\nTree=0\nnum_leaves=2\nleaf_value=1 2\nend of trees":                                                                   "split_feature",
	} {
		_, err := Load("file", []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "model file: ") {
			t.Errorf("%.60s: got %v, want %q", text, err, want)
		}
	}
}

func FuzzLoad(f *testing.F) {
	files, _ := filepath.Glob("testdata/*")
	for _, name := range files {
		if text, err := os.ReadFile(name); err == nil && len(text) < 12000 {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		m, err := Load("fuzz", text)
		if err != nil {
			return
		}
		x := make([]float64, len(m.Features()))
		for i := range x {
			x[i] = []float64{0, 1, -1, math.NaN(), math.Inf(1), 1e300}[i%6]
		}
		var p Prediction
		if err := m.Predict(x, &p); err != nil {
			t.Fatal(err)
		}
		m.Explain(x, 0)
	})
}

func BenchmarkPredict(b *testing.B) {
	for name, m := range fixtures(b) {
		b.Run(name, func(b *testing.B) {
			var p Prediction
			x := make([]float64, len(m.Features()))
			for b.Loop() {
				x[0]++
				if err := m.Predict(x, &p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
