package model

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// expected is what the library that trained a model answers: see test/models/make_fixtures.py.
type expected struct {
	X       [][]*float64  `json:"x"`
	Score   []float64     `json:"score"`
	Margin  []float64     `json:"margin"`
	Proba   [][]float64   `json:"proba"`
	Class   []float64     `json:"class"`
	Contrib [][][]float64 `json:"contrib"`
}

func (e *expected) row(i int) []float64 {
	x := make([]float64, len(e.X[i]))
	for j, p := range e.X[i] {
		x[j] = math.NaN()
		if p != nil {
			x[j] = *p
		}
	}
	return x
}

type fixture struct {
	name  string
	data  []byte
	model *Model
	want  expected
}

func fixtures(t testing.TB) []fixture {
	t.Helper()
	files, _ := filepath.Glob("testdata/*.expect.json")
	if len(files) < 40 {
		t.Fatalf("got %d fixtures, want at least 40", len(files))
	}
	var list []fixture
	for _, file := range files {
		f := fixture{name: strings.TrimSuffix(filepath.Base(file), ".expect.json")}
		text, err := os.ReadFile(file)
		if err == nil {
			err = json.Unmarshal(text, &f.want)
		}
		if err != nil {
			t.Fatal(file, err)
		}
		path := "testdata/" + f.name + ".json"
		if _, err := os.Stat(path); err != nil {
			path = "testdata/" + f.name + ".txt"
		}
		if f.data, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
		if f.model, err = Load(path, f.data); err != nil {
			t.Error(err)
			continue
		}
		list = append(list, f)
	}
	return list
}

// tolerance is how exact the library is: XGBoost adds up in 32 bits.
func (f *fixture) tolerance() float64 {
	if strings.HasPrefix(f.name, "xgb_") {
		return 3e-6
	}
	return 1e-12
}

func near(got, want, tolerance float64) bool {
	return math.Abs(got-want) <= tolerance*max(1, math.Abs(want))
}

func TestPredictAgreesWithTheLibraryThatTrained(t *testing.T) {
	for _, f := range fixtures(t) {
		t.Run(f.name, func(t *testing.T) {
			eps := f.tolerance()
			for i := range f.want.X {
				p := f.model.Predict(f.want.row(i))
				if f.want.Score != nil && !near(p.Score, f.want.Score[i], eps) {
					t.Errorf("row %d: score: got %v, want %v", i, p.Score, f.want.Score[i])
				}
				if f.want.Margin != nil && !near(p.Margin, f.want.Margin[i], eps) {
					t.Errorf("row %d: margin: got %v, want %v", i, p.Margin, f.want.Margin[i])
				}
				if f.want.Class != nil && p.Class != int(f.want.Class[i]) {
					t.Errorf("row %d: class: got %v, want %v", i, p.Class, f.want.Class[i])
				}
				if f.want.Proba == nil {
					continue
				}
				if len(p.Probabilities) != len(f.want.Proba[i]) {
					t.Fatalf("row %d: got %v, want %v", i, p.Probabilities, f.want.Proba[i])
				}
				for k, want := range f.want.Proba[i] {
					if !near(p.Probabilities[k], want, eps) {
						t.Errorf("row %d: probability %d: got %v, want %v", i, k, p.Probabilities[k], want)
					}
				}
			}
		})
	}
}

func TestExplainAgreesWithTheLibraryThatTrained(t *testing.T) {
	compared := 0
	for _, f := range fixtures(t) {
		if f.want.Contrib == nil {
			continue
		}
		compared++
		t.Run(f.name, func(t *testing.T) {
			eps := max(1e-9, 3*f.tolerance())
			for i, row := range f.want.Contrib {
				for class, want := range row {
					if len(row) == 1 {
						class = -1
					}
					base, got, err := f.model.ExplainClass(t.Context(), f.want.row(i), class)
					if err != nil {
						t.Fatal(err)
					}
					for j, v := range append(got, base) {
						if !near(v, want[j], eps) {
							t.Errorf("row %d, class %d, feature %d: got %v, want %v", i, class, j, v, want[j])
						}
					}
				}
			}
		})
	}
	if compared < 25 {
		t.Errorf("got %d models with contributions, want at least 25", compared)
	}
}

func TestContributionsAddUpToTheMargin(t *testing.T) {
	for _, f := range fixtures(t) {
		for i := range f.want.X {
			x := f.want.row(i)
			p := f.model.Predict(x)
			base, list, err := f.model.Explain(x)
			if err != nil {
				t.Error(f.name, err)
				break
			}
			sum, want := base, p.Margin
			for _, v := range list {
				sum += v
			}
			if f.model.Task() == Anomaly {
				sum, want = math.Exp2(sum), p.Score
			}
			if !near(sum, want, 1e-9) {
				t.Errorf("%s: row %d: contributions add up to %v, want %v", f.name, i, sum, want)
			}
		}
	}
}
