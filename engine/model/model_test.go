package model

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
)

func mustLoad(t testing.TB, text string) *Model {
	t.Helper()
	m, err := Load("m", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// forestText is a random forest in native JSON: each split is at a random place of a random feature.
func forestText(r *rand.Rand, trees, depth, features int) string {
	var list []nativeTree
	for range trees {
		var t nativeTree
		var value []float64
		var grow func(level int) float64
		grow = func(level int) float64 {
			i := len(t.Feature)
			t.Feature, t.Threshold = append(t.Feature, -1), append(t.Threshold, 0)
			t.Left, t.Right = append(t.Left, -1), append(t.Right, -1)
			t.Samples, t.MissingLeft = append(t.Samples, 0), append(t.MissingLeft, r.IntN(2) == 0)
			value = append(value, r.NormFloat64())
			if level == 0 {
				t.Samples[i] = float64(1 + r.IntN(9))
				return t.Samples[i]
			}
			t.Feature[i], t.Threshold[i] = r.IntN(features), r.NormFloat64()
			t.Left[i] = len(t.Feature)
			left := grow(level - 1)
			t.Right[i] = len(t.Feature)
			t.Samples[i] = left + grow(level-1)
			return t.Samples[i]
		}
		grow(depth)
		t.Value, _ = json.Marshal(value)
		list = append(list, t)
	}
	names := make([]string, features)
	for i := range names {
		names[i] = fmt.Sprintf("f%d", i)
	}
	text, err := json.Marshal(map[string]any{"model": "forest", "task": "regression", "features": names, "trees": list})
	if err != nil {
		panic(err)
	}
	return strings.NewReplacer(`"Feature"`, `"feature"`).Replace(string(text))
}

func TestFastAndSlowWalksAgree(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for _, trees := range []int{1, 3, 4, 7, 8} {
		m := mustLoad(t, forestText(r, trees, 6, 5))
		for range 200 {
			x := make([]float64, 5)
			for i := range x {
				x[i] = r.NormFloat64()
			}
			if r.IntN(20) == 0 {
				x[r.IntN(5)] = math.Inf(1 - 2*r.IntN(2))
			}
			if r.IntN(3) == 0 {
				x[r.IntN(5)] = math.NaN()
			}
			fast := m.trees.sum(x)
			slow := 0.0
			for _, root := range m.trees.roots {
				slow += m.trees.values[m.trees.leaf[m.trees.find(root, x)]]
			}
			if !near(fast, slow, 1e-14) {
				t.Fatalf("%d trees, %v: got %v, want %v", trees, x, fast, slow)
			}
		}
	}
}

// expectation is the mean of a tree's leaves where only the features in known are known.
func expectation(e *ensemble, i uint32, x []float64, known uint) float64 {
	n := &e.nodes[i]
	if n.flags&leafNode != 0 {
		return e.values[e.leaf[i]]
	}
	if known>>n.feature&1 != 0 {
		if e.goesLeft(n, x) {
			return expectation(e, n.left, x, known)
		}
		return expectation(e, n.left+1, x, known)
	}
	left, right := e.cover[n.left], e.cover[n.left+1]
	return (left*expectation(e, n.left, x, known) + right*expectation(e, n.left+1, x, known)) / (left + right)
}

func TestExplainIsTheShapleyValueOfTheDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	const features = 5
	factorial := []float64{1, 1, 2, 6, 24, 120}
	for round := range 30 {
		m := mustLoad(t, forestText(r, 2, 1+round%7, features))
		x := make([]float64, features)
		for i := range x {
			x[i] = r.NormFloat64()
		}
		if round%3 == 0 {
			x[r.IntN(features)] = math.NaN()
		}
		value := func(known uint) float64 {
			sum := 0.0
			for _, root := range m.trees.roots {
				sum += expectation(m.trees, root, x, known)
			}
			return sum * m.trees.scale
		}
		base, got, err := m.Explain(x)
		if err != nil {
			t.Fatal(err)
		}
		if want := value(0); !near(base, want, 1e-12) {
			t.Errorf("base: got %v, want %v", base, want)
		}
		for i := range got {
			want := 0.0
			for set := range uint(1 << features) {
				if set>>i&1 != 0 {
					continue
				}
				n := bits.OnesCount(set)
				want += factorial[n] * factorial[features-n-1] / factorial[features] * (value(set|1<<i) - value(set))
			}
			if !near(got[i], want, 1e-12) {
				t.Errorf("round %d, feature %d: got %v, want %v", round, i, got[i], want)
			}
		}
	}
}

func TestExplainWithNodesThatNoTrainingRowReached(t *testing.T) {
	tree := `{"feature":[0,0,-1,-1,1,-1,-1],"threshold":[0,-1,0,0,0,0,0],"left":[1,2,-1,-1,5,-1,-1],"right":[4,3,-1,-1,6,-1,-1],"value":[0,0,1,2,0,4,8],"samples":%s}`
	for _, samples := range []string{"[10,10,10,0,0,0,0]", "[0,0,0,0,0,0,0]", "[10,0,0,0,10,0,10]"} {
		m := mustLoad(t, `{"model":"forest","task":"regression","features":["a","b"],"trees":[`+fmt.Sprintf(tree, samples)+`]}`)
		for _, x := range [][]float64{{-2, 0}, {-0.5, 0}, {1, -1}, {1, 1}, {math.NaN(), math.NaN()}} {
			base, list, err := m.Explain(x)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := base+list[0]+list[1], m.Predict(x).Score; !near(got, want, 1e-12) {
				t.Errorf("%s, %v: got %v, want %v", samples, x, got, want)
			}
		}
	}
}

func TestExplainEndsWithItsContext(t *testing.T) {
	m := mustLoad(t, forestText(rand.New(rand.NewPCG(1, 1)), 2, 3, 3))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := m.ExplainClass(ctx, []float64{1, 2, 3}, -1); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, _, err := m.ExplainClass(t.Context(), nil, 5); err == nil {
		t.Error("a class that the model does not have: got no error")
	}
}

func TestBinaryClassesExplainEachOther(t *testing.T) {
	for _, f := range fixtures(t) {
		if f.model.Task() != Binary {
			continue
		}
		x := f.want.row(5)
		base0, list0, err0 := f.model.ExplainClass(t.Context(), x, 0)
		base1, list1, err1 := f.model.ExplainClass(t.Context(), x, 1)
		if err0 != nil || err1 != nil {
			t.Fatal(err0, err1)
		}
		sum := base0 + base1
		for i := range list0 {
			sum += list0[i] + list1[i]
		}
		want := 0.0 // opposite log-odds
		if f.model.Kind() == "forest" {
			want = 1 // probabilities
		}
		if !near(sum, want, 1e-9) {
			t.Errorf("%s: got %v, want %v", f.name, sum, want)
		}
	}
}

func TestBelowFloat32(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	check := func(threshold float64) {
		t.Helper()
		limit := belowFloat32(threshold)
		f, up := float32(threshold), float32(math.Inf(1))
		for _, at := range []float64{limit, threshold, float64(f), float64(math.Nextafter32(f, up)), (float64(f) + float64(math.Nextafter32(f, up))) / 2,
			(float64(f) + float64(math.Nextafter32(f, -up))) / 2, math.Inf(1), math.Inf(-1), 0, 1e300} {
			for _, x := range []float64{math.Nextafter(at, math.Inf(-1)), at, math.Nextafter(at, math.Inf(1)), float64(float32(at))} {
				if math.IsNaN(x) {
					continue
				}
				if got, want := x <= limit, float64(float32(x)) <= threshold; got != want {
					t.Errorf("%v <= %v (limit %v): got %v", x, threshold, limit, got)
				}
			}
		}
	}
	for _, v := range []float64{0, math.Copysign(0, -1), 1, -1, 0.1, 1e-60, -1e-60, 1e-45, 1e-310, 3e38, -3e38, math.MaxFloat32, -math.MaxFloat32, 1.5, 16777217} {
		check(v)
	}
	for range 20000 {
		check(r.NormFloat64() * math.Pow(10, float64(r.IntN(80)-40)))
	}
}

func TestMissingValues(t *testing.T) {
	nan := math.NaN()
	f := func(text string, want float64, x ...float64) {
		t.Helper()
		if got := mustLoad(t, text).Predict(x).Score; !near(got, want, 1e-12) {
			t.Errorf("%s of %v: got %v, want %v", text, x, got, want)
		}
	}
	linear := `{"model":"linear","features":["a","b"],"intercept":1,"coefficients":[2,10]%s}`
	f(fmt.Sprintf(linear, ""), 1+20, nan, 2)
	f(fmt.Sprintf(linear, `,"mean":[5,0],"scale":[2,1]`), 1+20, nan, 2)
	f(fmt.Sprintf(linear, `,"mean":[5,0],"scale":[2,1],"missing":[7,0]`), 1+2+20, nan, 2)
	f(fmt.Sprintf(linear, ""), 1+4, 2)
	f(fmt.Sprintf(linear, ""), 1+4+30, 2, 3, 99)
	tree := `{"model":"forest","task":"regression","features":["a"]%s,"trees":[{"feature":[0,-1,-1],"threshold":[5,0,0],"left":[1,0,0],"right":[2,0,0],"value":[0,1,2]%s}]}`
	f(fmt.Sprintf(tree, "", ""), 2, nan)
	f(fmt.Sprintf(tree, "", `,"missing_left":[true,false,false]`), 1, nan)
	f(fmt.Sprintf(tree, `,"missing":[4]`, ""), 1, nan)
	f(fmt.Sprintf(tree, `,"missing":[6]`, `,"missing_left":[true,false,false]`), 2, nan)
	f(fmt.Sprintf(tree, "", ""), 1, 5)
	f(fmt.Sprintf(tree, "", ""), 2, math.Nextafter(5, 6))
	f(`{"model":"kmeans","features":["a","b"],"centers":[[1,1],[9,9]],"mean":[0,8]}`, math.Hypot(9, 9), 18, nan)
}

func TestOneVersusRest(t *testing.T) {
	p := mustLoad(t, `{"model":"logistic","features":["a"],"intercept":[0,1,-1],"coefficients":[[1],[0],[0]],"multi_class":"ovr"}`).Predict([]float64{2})
	sum := sigmoid(2) + sigmoid(1) + sigmoid(-1)
	if p.Class != 0 || !near(p.Probabilities[1], sigmoid(1)/sum, 1e-15) || !near(p.Score, sigmoid(2)/sum, 1e-15) {
		t.Errorf("got %+v", p)
	}
}

func TestLinksAtTheirLimits(t *testing.T) {
	for _, kind := range []linkKind{linkSoftmax, linkEachSigmoid, linkShares} {
		for _, p := range [][]float64{{1e308, -1e308, 0}, {-2000, -2000, -2000}, {800, 799, 0}} {
			q := append([]float64(nil), p...)
			link{kind: kind, scale: 1}.all(q)
			if !finite(q...) || argmax(q) != argmax(p) {
				t.Errorf("link %d of %v: got %v", kind, p, q)
			}
		}
	}
	if got := (link{kind: linkSoftplus}).one(1000); got != 1000 {
		t.Errorf("got %v", got)
	}
}

func TestPredictDoesNotAllocate(t *testing.T) {
	for _, f := range fixtures(t) {
		x := f.want.row(0)
		probs := make([]float64, len(f.model.Classes()))
		if n := testing.AllocsPerRun(10, func() { f.model.PredictInto(x, probs) }); n != 0 {
			t.Errorf("%s: got %v allocations", f.name, n)
		}
	}
}

func TestLoadSaysWhatIsWrong(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		_, err := Load("m.json", []byte(text))
		if err == nil || !strings.HasPrefix(err.Error(), "m.json: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100s: got %v, want %q", text, err, want)
		}
	}
	f("", "the file is empty")
	f("\x80\x04\x95", "write JSON with test/models/export.py")
	f("{L\x00\x00", `save it as JSON`)
	f("hello", "unknown format: want native JSON")
	f("{}", `unknown format: JSON without "model"`)
	f("{\"model\":\"linear\",\n \"features\":[1]}", "line 2, column 14: features is a number, want a string")
	f("{\"model\":\"linear\",\n \"coeficients\":[1]}", `unknown field "coeficients"`)
	f(`{"model":"linear","features":["a"]`, "the file ends within the JSON text")
	f(`{"model":"linear"} x`, "column 19")
	f(`{"model":"svm","features":["a"]}`, `unknown kind "svm", want one of logistic`)
	f(`{"model":"linear","features":["a","a"],"intercept":0,"coefficients":[1,2]}`, `features[1]: "a" stands at 0 too`)
	f(`{"model":"linear","features":["a"],"intercept":0,"coefficients":[1,2]}`, "row 0 has 2 numbers for 1 features")
	f(`{"model":"linear","features":["a"],"intercept":0,"coefficients":[null]}`, "coefficients[0]: null")
	f(`{"model":"linear","features":["a"],"intercept":0,"coefficients":[]}`, "coefficients")
	f(`{"model":"linear","features":["a"],"intercept":0,"coefficients":{}}`, "coefficients")
	f(`{"model":"linear","features":["a"],"coefficients":[1]}`, "intercept: missing")
	f(`{"model":"linear","features":["a"],"intercept":0,"coefficients":[1],"scale":[0]}`, "want a positive number")
	f(`{"model":"linear","features":["a"],"intercept":0,"coefficients":[1e300],"scale":[1e-300]}`, "not finite")
	f(`{"model":"linear","features":["a"],"intercept":1e999,"coefficients":[1]}`, "intercept")
	f(`{"model":"linear","features":["a"],"intercept":0,"coefficients":[1],"trees":[]}`, "trees: a model of kind linear does not have it")
	f(`{"model":"logistic","features":["a"],"intercept":0,"coefficients":[1],"classes":["x"]}`, "classes: 1 for 1 rows")
	f(`{"model":"logistic","features":["a"],"intercept":0,"coefficients":[1],"classes":["x",null]}`, "classes[1]")
	f(`{"model":"kmeans","features":["a"],"centers":[[1],[2,3]]}`, "centers[1]: 2 numbers for 1 features")
	f(`{"model":"kmeans","features":["a"],"centers":[]}`, "centers: 0")
	tree := func(task, tree string) string {
		return `{"model":"forest","features":["a"],` + task + `,"trees":[` + tree + `]}`
	}
	r, c := `"task":"regression"`, `"task":"classification","classes":[0,1]`
	f(tree(r, `{"feature":[0,-1,-1],"threshold":[1,0,0],"left":[1,0,0],"right":[1,0,0],"value":[0,1,2]}`), "trees[0]: node 0: child 1 has another parent already")
	f(tree(r, `{"feature":[0,-1],"threshold":[1,0],"left":[0,0],"right":[1,0],"value":[0,1]}`), "node 0: child 0 has another parent already")
	f(tree(r, `{"feature":[0,-1],"threshold":[1,0],"left":[1,0],"right":[2,0],"value":[0,1]}`), "node 0: child 2, want 1 to 1")
	f(tree(r, `{"feature":[1,-1,-1],"threshold":[1,0,0],"left":[1,0,0],"right":[2,0,0],"value":[0,1,2]}`), "node 0: feature 1, want 0 to 0")
	f(tree(r, `{"feature":[0,-1,-1],"threshold":[1,0],"left":[1,0,0],"right":[2,0,0],"value":[0,1,2]}`), "threshold: 2 elements for 3 nodes")
	f(tree(r, `{"feature":[-1],"threshold":[0],"left":[0],"right":[0],"value":[null]}`), "node 0: 0 values, want one")
	f(tree(c, `{"feature":[-1],"threshold":[0],"left":[0],"right":[0],"value":[[0,0]]}`), "node 0: the values add up to 0")
	f(tree(c, `{"feature":[-1],"threshold":[0],"left":[0],"right":[0],"value":[[1,-1]]}`), "node 0: the value -1, want 0 or more")
	f(tree(c, `{"feature":[-1],"threshold":[0],"left":[0],"right":[0],"value":[1.5]}`), "node 0: 1 values for 2 classes") // neither a share nor a list
	f(tree(r, ``), "trees: there are none")
	f(tree(r, `{}`), "there are no nodes")
	f(tree(`"task":"x"`, `{}`), `task: "x"`)
	f(`{"model":"isolation_forest","features":["a"],"sample_size":4,"trees":[{}]}`, "offset: missing")
	f(`{"model":"isolation_forest","features":["a"],"sample_size":1,"offset":0,"trees":[{}]}`, "sample_size: 1, want 2 or more")
	f(`{"model":"isolation_forest","features":["a"],"sample_size":4,"offset":0,"trees":[{"feature":[-1],"threshold":[0],"left":[0],"right":[0]}]}`, "trees[0]: samples: missing")
	var deep strings.Builder
	n := maxDepth + 3
	for i, l := range []struct{ key, inner, leaf string }{{"feature", "0", "-1"}, {"threshold", "0", "0"}, {"value", "0", "0"}} {
		if i > 0 {
			deep.WriteByte(',')
		}
		fmt.Fprintf(&deep, "%q:[%s%s%s]", l.key, strings.Repeat(l.inner+",", n), strings.Repeat(l.leaf+",", n), l.leaf)
	}
	var left, right []string
	for i := range 2*n + 1 {
		left, right = append(left, fmt.Sprint(n+1+i)), append(right, fmt.Sprint(i+1))
	}
	fmt.Fprintf(&deep, `,"left":[%s],"right":[%s]`, strings.Join(left, ","), strings.Join(right, ","))
	f(tree(r, "{"+deep.String()+"}"), "deeper than 1024")
}

func TestLoadRefusesDamagedLibraryModels(t *testing.T) {
	byName := map[string]string{}
	for _, f := range fixtures(t) {
		byName[f.name] = string(f.data)
	}
	f := func(name, old, replacement, want string) {
		t.Helper()
		text := strings.Replace(byName[name], old, replacement, 1)
		if text == byName[name] {
			t.Fatalf("%s does not contain %q", name, old)
		}
		_, err := Load(name, []byte(text))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s with %q: got %v, want %q", name, replacement, err, want)
		}
	}
	f("lgb_binary", "objective=binary sigmoid:1.7", "objective=magic", `objective: "magic" is not known`)
	f("lgb_binary", "sigmoid:1.7", "sigmoid:0", "want a positive number")
	f("lgb_binary", "end of trees", "", `"end of trees" is missing`)
	f("lgb_binary", "Tree=1\n", "Tree=2\n", "Tree=2, want 1")
	f("lgb_binary", "num_leaves=7", "num_leaves=8", "Tree=0: leaf_value: 7 numbers, num_leaves is 8")
	f("lgb_binary", "max_feature_idx=5", "max_feature_idx=4", "feature_names: 6 names, max_feature_idx 4")
	f("lgb_binary", "left_child=", "left_child=9 ", "left_child: 7 numbers, want 6")
	f("lgb_binary", "threshold=", "threshold=nan ", `threshold: element 0 is "nan"`)
	f("lgb_binary", "is_linear=0", "is_linear=1", "linear_tree=false")
	f("lgb_multiclass", "num_class=3", "num_class=4", "num_class 4 and num_tree_per_iteration 3")
	f("lgb_multiclass", "num_tree_per_iteration=3", "num_tree_per_iteration=70000", "num_tree_per_iteration: 70000")
	f("lgb_binary_dump", `"<="`, `">"`, `decision_type: ">"`)
	f("lgb_binary_dump", `"missing_type":"NaN"`, `"missing_type":"no"`, `missing_type: "no"`)
	f("xgb_binary", `"gbtree"`, `"gblinear"`, `gradient_booster: "gblinear" is not supported`)
	f("xgb_binary", `"binary:logistic"`, `"binary:other"`, `objective: "binary:other" is not known`)
	f("xgb_binary", `"num_feature":"6","num_target"`, `"num_feature":"7","num_target"`, "feature_names: 6, num_feature is 7")
	f("xgb_binary", `"num_feature":"6","num_target"`, `"num_feature":"x","num_target"`, "whole number")
	f("xgb_binary", `"base_score":"[5E-1]"`, `"base_score":"[1]"`, "base_score: 1 is not possible")
	f("xgb_binary", `"base_score":"[5E-1]"`, `"base_score":"[0.1,0.2]"`, "base_score: 2 numbers for 1 classes")
	f("xgb_binary", `"base_score":"[5E-1]"`, `"base_score":{}`, "base_score:")
	f("xgb_binary", `"left_children":[1`, `"left_children":[0`, "trees[0]: node 0: child 0 has another parent")
	f("xgb_binary", `"split_indices":[`, `"split_indices":[0,`, "split_indices")
	f("xgb_dart", `"weight_drop":[`, `"weight_drop":[1,`, "weight_drop")
	f("xgb_softprob", `"tree_info":[0`, `"tree_info":[3`, "tree_info: element 0 is 3, want 0 to 2")
	f("xgb_binary", `"size_leaf_vector":"1"`, `"size_leaf_vector":"2"`, "multi_strategy=one_output_per_tree")
}

// damage returns data with some bytes changed: digits into others, spans doubled, cut out or cut off.
func damage(r *rand.Rand, data []byte) []byte {
	out := append([]byte(nil), data...)
	for range 1 + r.IntN(4) {
		at := r.IntN(len(out))
		n := min(len(out)-at, 1+r.IntN(12))
		switch r.IntN(6) {
		case 0:
			out = append(out[:at], out[at+n:]...)
		case 1:
			out = append(out[:at+n], append([]byte(string(out[at:at+n])), out[at+n:]...)...)
		case 2:
			out[at] = byte(r.IntN(256))
		default:
			for i := at; i < len(out); i++ {
				if out[i]-'0' < 10 {
					out[i] = "0123456789-"[r.IntN(11)]
					break
				}
			}
		}
		if len(out) == 0 {
			return []byte("x")
		}
	}
	return out
}

func TestDamagedModelsAreRefusedOrAnswer(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	refused, answered := 0, 0
	for _, f := range fixtures(t) {
		for range 60 {
			m, err := Load("m", damage(r, f.data))
			if err != nil {
				refused++
				continue
			}
			answered++
			for i := range f.want.X {
				x := f.want.row(i)
				m.Predict(x)
				if _, _, err := m.Explain(x); err != nil && m.trees == nil {
					t.Errorf("%s: %v", f.name, err)
				}
			}
		}
	}
	if refused < 500 || answered < 500 {
		t.Errorf("got %d refused and %d answered, want many of both", refused, answered)
	}
}

// FuzzLoad: Load never panics, and what it accepts answers every row, with contributions that add up.
func FuzzLoad(f *testing.F) {
	for _, fx := range fixtures(f) {
		if len(fx.data) < 3000 { // large ones take minutes to minimize
			f.Add(fx.data)
		}
	}
	f.Add([]byte("tree\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=1\nobjective=binary sigmoid:1\nfeature_names=a b\n\nTree=0\nnum_leaves=3\nnum_cat=1\nsplit_feature=0 1\n" +
		"threshold=0.5 0\ndecision_type=10 1\nleft_child=1 -1\nright_child=-2 -3\nleaf_value=1 2 3\nleaf_count=3 4 5\ninternal_count=12 8\ncat_boundaries=0 1\ncat_threshold=6\nis_linear=0\n\nend of trees\n"))
	f.Add([]byte(`{"num_class":1,"num_tree_per_iteration":1,"max_feature_idx":0,"objective":"poisson","feature_names":["a"],"tree_info":[{"tree_structure":{"split_feature":0,"threshold":"1||3","decision_type":"==",` +
		`"internal_count":9,"left_child":{"leaf_value":1,"leaf_count":4},"right_child":{"split_feature":0,"threshold":2.5,"decision_type":"<=","default_left":true,"missing_type":"Zero","internal_count":5,"left_child":{"leaf_value":2,"leaf_count":1},"right_child":{"leaf_value":3,"leaf_count":4}}}}]}`))
	f.Add([]byte(`{"learner":{"feature_names":[],"learner_model_param":{"base_score":"[1E0,2E0]","num_class":"2","num_feature":"1"},"objective":{"name":"multi:softprob"},"gradient_booster":{"name":"dart","weight_drop":[1,0.5],` +
		`"gbtree":{"name":"gbtree","model":{"tree_info":[0,1],"trees":[{"left_children":[-1],"right_children":[-1],"default_left":[0],"split_conditions":[2],"split_indices":[0],"sum_hessian":[3]},` +
		`{"left_children":[1,-1,-1],"right_children":[2,-1,-1],"default_left":[1,0,0],"split_conditions":[2,3,4],"split_indices":[0,0,0],"split_type":[1,0,0],"sum_hessian":[3,1,2],"categories":[1,70],"categories_nodes":[0],"categories_segments":[0],"categories_sizes":[2]}]}}}}}`))
	f.Add([]byte(`{"model":"logistic","features":["a"],"intercept":[0,1,2],"coefficients":[[1],[2],[3]],"classes":["x",1,true],"multi_class":"ovr"}`))
	f.Add([]byte(`{"model":"kmeans","features":["a","b"],"centers":[[1,2],[3,4]],"missing":[1,2]}`))
	f.Add([]byte(`{"model":"forest","task":"classification","features":["a"],"classes":[1,2,3],"trees":[{"feature":[0,-1,-1],"threshold":[1,0,0],"left":[1,0,0],"right":[2,0,0],"value":[null,[1,2,3],[0,0,1]],"samples":[3,2,1]}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		m, err := Load("m", data)
		if err != nil {
			if m != nil || !strings.HasPrefix(err.Error(), "m: ") {
				t.Fatalf("got %v, %v", m, err)
			}
			return
		}
		n := len(m.Features())
		for _, v := range []float64{0, 1, -3.5, 1e300, math.NaN(), math.Inf(1), math.Inf(-1)} {
			x := make([]float64, n)
			for i := range x {
				x[i] = v
			}
			p := m.Predict(x)
			if p.Class >= len(m.Classes()) && m.Task() != Anomaly || p.Class < 0 && m.Task() != Regression {
				t.Fatalf("class %d of %d", p.Class, len(m.Classes()))
			}
			m.Predict(x[:n/2])
			base, list, err := m.Explain(x)
			if err != nil || m.trees == nil || m.Task() == Anomaly {
				continue
			}
			sum, size := base, math.Abs(base)
			for _, c := range list {
				sum += c
				size = max(size, math.Abs(c))
			}
			for _, v := range m.trees.values {
				size = max(size, math.Abs(v))
			}
			if finite(sum, p.Margin) && m.trees.depthMax() < 12 && !near(sum, p.Margin, 1e-6*max(1, size)) {
				t.Fatalf("contributions %v and base %v add up to %v, want %v", list, base, sum, p.Margin)
			}
		}
	})
}

func (e *ensemble) depthMax() int {
	deepest := 0
	for _, d := range e.depth {
		deepest = max(deepest, int(d))
	}
	return deepest
}

// BenchmarkPredict: 100 full trees of depth 8, 23 features, another row each time.
func BenchmarkPredict(b *testing.B) {
	r := rand.New(rand.NewPCG(7, 8))
	m := mustLoad(b, forestText(r, 100, 8, 23))
	rows := make([][]float64, 256)
	for i := range rows {
		rows[i] = make([]float64, 23)
		for j := range rows[i] {
			rows[i][j] = r.NormFloat64()
		}
	}
	holes := make([][]float64, len(rows))
	for i := range holes {
		holes[i] = append([]float64(nil), rows[i]...)
		holes[i][i%23] = math.NaN()
	}
	for _, c := range []struct {
		name string
		rows [][]float64
	}{{"same", rows[:1]}, {"rows", rows}, {"missing", holes}} {
		b.Run("trees/"+c.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				m.Predict(c.rows[i%len(c.rows)])
				i++
			}
		})
	}
	l := mustLoad(b, `{"model":"logistic","features":["a","b","c","d","e","f","g","h","i","j","k","l","m","n","o","p","q","r","s","t","u","v","w"],"intercept":1,"coefficients":[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23]}`)
	b.Run("logistic", func(b *testing.B) {
		for b.Loop() {
			l.Predict(rows[0])
		}
	})
	b.Run("explain", func(b *testing.B) {
		for b.Loop() {
			if _, _, err := m.Explain(rows[0]); err != nil {
				b.Fatal(err)
			}
		}
	})
}
