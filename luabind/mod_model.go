package luabind

import (
	"io/fs"
	"math"
	"os"
	"sync"
	"sync/atomic"
	"time"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/model"
)

// modelFile is a model that scripts have loaded. All workers share it.
type modelFile struct {
	name string
	m    atomic.Pointer[model.Model]
	seen fs.FileInfo // of the version in m, or of one that does not load; only for the checker
}

// modelFiles are the models of a Loader. A goroutine looks every second whether one has changed.
type modelFiles struct {
	mu    sync.Mutex
	files map[string]*modelFile
	quit  chan struct{}
	wg    sync.WaitGroup
}

// modelCheck is how often files are looked at.
const modelCheck = time.Second

// loadModel returns the model in the file name: the one that is loaded already if the file has not changed.
func (l *Loader) loadModel(s *script, name string) (*modelFile, error) {
	f := &l.models
	f.mu.Lock()
	defer f.mu.Unlock()
	info, err := l.stat(name)
	if err != nil {
		return nil, err
	}
	file := f.files[name]
	if file != nil && sameFile(file.seen, info) {
		return file, nil
	}
	m, err := l.readModel(name)
	if err != nil {
		return nil, err
	}
	if file == nil {
		file = &modelFile{name: name}
		if f.files == nil {
			f.files = map[string]*modelFile{}
			f.quit = make(chan struct{})
			log := s.env.Log
			f.wg.Go(func() {
				tick := time.NewTicker(modelCheck)
				defer tick.Stop()
				for {
					select {
					case <-f.quit:
						return
					case <-tick.C:
						f.mu.Lock()
						for _, file := range f.files {
							l.refresh(file, func(msg string, args ...any) { log.Warn(msg, args...) }, func(msg string, args ...any) { log.Info(msg, args...) })
						}
						f.mu.Unlock()
					}
				}
			})
		}
		f.files[name] = file
	}
	file.m.Store(m)
	file.seen = info
	return file, nil
}

func (l *Loader) readModel(name string) (*model.Model, error) {
	text, err := l.Read(name)
	if err != nil {
		return nil, err
	}
	return model.Load(name, text)
}

// refresh loads a file anew that has changed. A new version that does not load leaves the old one in place.
func (l *Loader) refresh(file *modelFile, warn, info func(msg string, args ...any)) {
	now, err := l.stat(file.name)
	if err != nil || sameFile(file.seen, now) {
		return // a file that is gone for the moment is being replaced
	}
	file.seen = now
	m, err := l.readModel(file.name)
	if err != nil {
		warn("a model has changed and does not load: the old one goes on", "model", file.name, "error", err)
		return
	}
	file.m.Store(m)
	info("a model has changed: the new one is in use", "model", file.name)
}

func sameFile(a, b fs.FileInfo) bool {
	return a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size() && os.SameFile(a, b)
}

// closeModels ends the checker.
func (l *Loader) closeModels() {
	if l.models.quit != nil {
		close(l.models.quit)
		l.models.wg.Wait()
	}
}

// modelAPI is the module model in one interpreter.
type modelAPI struct {
	s    *script
	meta *lua.LTable // metatable of models
	x    []float64
	p    model.Prediction
}

func (s *script) modelModule() module {
	a := &modelAPI{s: s}
	const example = `local m = model.parse('{"model":"logistic","features":["len","digits"],"intercept":-1,"coefficients":[0.5,2]}') `
	methods := []hostFunc{
		{"model:predict", "predict(features) -> number [, detail]",
			"features is an array, or a table or event by feature name (true is 1; what is missing or null is missing). The number is the probability of the positive class, the value of a regression, " +
				"the label of the likeliest of several classes, the anomaly score of an isolation forest (0 to 1, unusual above about 0.5), or the number of the nearest center (from 0). detail is, for several classes, " +
				"their probabilities in the order of the labels, for k-means the distance, for isolation forests scikit-learn's decision_function.",
			example + `assert(m:predict{2, 0} == 0.5 and m:predict{len = 2, digits = 0} == 0.5)`, a.predict},
		{"model:explain", "explain(features [, class]) -> contributions, base",
			"What each feature adds to the raw score (SHAP values for trees), by name: base and all contributions together are the raw score, before the sigmoid or softmax. class is the label, for several classes.",
			example + `local c, base = m:explain{2, 0} assert(c.len == 1 and base == -1)`, a.explain},
		{"model:features", "features() -> {name, ...}", "The names of the features, in order.", example + `assert(m:features()[2] == "digits")`, a.features},
		{"model:kind", "kind() -> text", "logistic, linear, forest, boosted, isolation_forest or kmeans.", example + `assert(m:kind() == "logistic")`, a.kind},
	}
	a.meta = newClass(s.L, "model", methods)
	return module{
		Name: "model",
		Doc: "Trained models: logistic and linear regression, random forests, isolation forests and k-means (JSON, as `test/models/export.py` writes it from scikit-learn), " +
			"gradient-boosted trees (LightGBM's text and dump_model() JSON, XGBoost's save_model() JSON).",
		Methods: methods,
		Funcs: []hostFunc{
			{"load", "load(file) -> model | nil, message", "The model in a file, relative to ROOT; all workers share it. A file that changes is loaded anew within a second or two; if the new one does not load, the old one goes on and a warning says why.",
				`local m, message = model.load("no-such-file.json") assert(m == nil and message)`, a.load},
			{"parse", "parse(text) -> model | nil, message", "The model in a text.", example + `assert(m)`, a.parse},
		},
	}
}

func (a *modelAPI) push(L *lua.LState, f *modelFile) int {
	L.Push(&lua.LUserData{Value: f, Metatable: a.meta, Env: L.Env})
	return 1
}

func (a *modelAPI) load(L *lua.LState) int {
	f, err := a.s.program.loader.loadModel(a.s, L.CheckString(1))
	if err != nil {
		return failed(L, err)
	}
	return a.push(L, f)
}

func (a *modelAPI) parse(L *lua.LState) int {
	m, err := model.Load("in a text", []byte(L.CheckString(1)))
	if err != nil {
		return failed(L, err)
	}
	f := &modelFile{}
	f.m.Store(m)
	return a.push(L, f)
}

func (a *modelAPI) self(L *lua.LState) *model.Model {
	if u, ok := L.Get(1).(*lua.LUserData); ok {
		if f, ok := u.Value.(*modelFile); ok {
			return f.m.Load()
		}
	}
	L.ArgError(1, "a model expected: write m:predict(...), with a colon")
	return nil
}

// sample reads argument 2 into a.x.
func (a *modelAPI) sample(L *lua.LState, m *model.Model) []float64 {
	t, ok := L.Get(2).(*lua.LTable)
	if !ok {
		L.ArgError(2, "features expected: an array, or a table with their names, got "+L.Get(2).Type().String())
	}
	names := m.Features()
	if cap(a.x) < len(names) {
		a.x = make([]float64, len(names))
	}
	a.x = a.x[:len(names)]
	view := a.s.views.viewOf(t)
	if view == nil && t.Len() > 0 {
		if n := t.Len(); n > len(names) {
			L.RaiseError("the model has %d features, the array %d numbers", len(names), n)
		}
		for i := range a.x {
			a.x[i] = a.number(L, t.RawGetInt(i+1), names[i])
		}
		if t.Len() < len(names) {
			L.RaiseError("the model has %d features, the array %d numbers (0/0 stands for a missing one)", len(names), t.Len())
		}
		return a.x
	}
	for i, name := range names {
		v := t.RawGetString(name)
		if view != nil {
			v = a.s.views.get(view, name)
		}
		a.x[i] = a.number(L, v, name)
	}
	return a.x
}

func (a *modelAPI) number(L *lua.LState, v lua.LValue, name string) float64 {
	switch v := v.(type) {
	case lua.LNumber:
		return float64(v)
	case *lua.LNilType:
		return math.NaN()
	case lua.LBool:
		if v {
			return 1
		}
		return 0
	case *lua.LUserData:
		if x, ok := v.Value.(exact); ok {
			return x.float()
		}
		if v == a.s.views.null {
			return math.NaN()
		}
	}
	L.RaiseError("the feature %q is a %s, want a number", name, v.Type())
	return 0
}

func (a *modelAPI) predict(L *lua.LState) int {
	m := a.self(L)
	if err := m.Predict(a.sample(L, m), &a.p); err != nil {
		L.RaiseError("%s", err.Error())
	}
	L.Push(lua.LNumber(a.p.Score))
	switch {
	case m.Kind() == model.KMeans:
		L.Push(lua.LNumber(a.p.Distance))
	case m.Kind() == model.IsolationForest:
		L.Push(lua.LNumber(a.p.Decision))
	case len(a.p.Probabilities) > 0:
		t := L.CreateTable(len(a.p.Probabilities), 0)
		for i, p := range a.p.Probabilities {
			t.RawSetInt(i+1, lua.LNumber(p))
		}
		L.Push(t)
	default:
		return 1
	}
	return 2
}

func (a *modelAPI) explain(L *lua.LState) int {
	m := a.self(L)
	x := a.sample(L, m)
	class := 0
	if label, ok := L.Get(3).(lua.LNumber); ok {
		class = -1
		for i, c := range m.Classes() {
			if c == float64(label) {
				class = i
			}
		}
	}
	base, contributions, err := m.Explain(x, class)
	if err != nil {
		L.RaiseError("%s", err.Error())
	}
	t := L.CreateTable(0, len(contributions))
	for i, c := range contributions {
		t.RawSetString(m.Features()[i], lua.LNumber(c))
	}
	L.Push(t)
	L.Push(lua.LNumber(base))
	return 2
}

func (a *modelAPI) features(L *lua.LState) int {
	names := a.self(L).Features()
	t := L.CreateTable(len(names), 0)
	for i, n := range names {
		t.RawSetInt(i+1, lua.LString(n))
	}
	L.Push(t)
	return 1
}

func (a *modelAPI) kind(L *lua.LState) int {
	L.Push(lua.LString(a.self(L).Kind()))
	return 1
}
