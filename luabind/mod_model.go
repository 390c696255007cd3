package luabind

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/lazyjson"
	"dragonfly/engine/model"
)

// modelModule runs trained models.
func (s *script) modelModule() module {
	h := &modelHost{s: s}
	const tiny = `local m = assert(model.parse('{"model":"logistic","features":["bytes","packets"],"intercept":-1,"coefficients":[2,0.5]}')) `
	m := module{Name: "model", Doc: modelDoc, Funcs: []hostFunc{
		{"load", "load(file) -> m | nil, message",
			"The model in a file below ROOT (or an absolute path): our own JSON, LightGBM (save_model, dump_model), XGBoost (save_model as JSON). scikit-learn models are written as JSON by test/models/export.py. All workers share one copy. The file is looked at once a second: a new one takes effect at the next call, a broken one is reported in the log and the old model stays.",
			`local m, message = model.load("models/none.json") assert(m == nil and message)`, h.load},
		{"parse", "parse(text) -> m | nil, message", "The model in a string, in one of the formats of load.",
			tiny + `assert(m.kind == "logistic" and m.task == "binary")`, h.parse},
		{"predict", "predict(m, features) -> score, detail",
			"Also `m:predict(features)`. features is an array in the order of m:features(), or a table or event by name: other keys are ignored, a name with dots is also looked up level by level (`flow.bytes_toserver`). Missing values and null are missing features; true is 1, false is 0; other types raise an error. By m.task: binary: probability of the second class, label of the likelier class. multiclass: label of the likeliest class, table label = probability. regression: value, nil. anomaly: how unusual, from 0 to 1, and scikit-learn's decision_function, below 0 for an outlier. cluster: label of the nearest center, distance to it.",
			tiny + `local p, class = m:predict({1, 2}) assert(p > 0.88 and class == 1) assert(m:predict({packets = 2, bytes = 1, other = "x"}) == p)`, h.predict},
		{"explain", "explain(m, features [, class]) -> contributions, base",
			"Also `m:explain(...)`. What each feature adds, as a table name = number: base plus all of them is the margin (log-odds, logarithm of a rate, the value itself; of a forest the probability or value; of an isolation forest the exponent of the score 2^x). Linear models: coefficient * (x - mean) / scale; trees: TreeSHAP; k-means: parts of the squared distance. class is a label, by default of a binary model the second class, otherwise the one predicted. Raises an error for trees without counts of training rows.",
			tiny + `local c, base = m:explain({1, 2}) assert(base == -1 and c.bytes == 2 and c.packets == 1)`, h.explain},
		{"features", "features(m) -> names", "Also `m:features()`. The names of the features as an array, in order.",
			tiny + `assert(m:features()[2] == "packets")`, h.features},
		{"classes", "classes(m) -> labels", "Also `m:classes()`. The labels of classes or clusters as an array: strings or numbers; empty for regression and anomaly.",
			tiny + `assert(m:classes()[2] == 1)`, h.classes},
	}}
	h.methods = m.Funcs[2:]
	return m
}

const modelDoc = "Trained models: logistic and linear regression, random and isolation forests, k-means, LightGBM, XGBoost. A model `m` has the fields " +
	"`m.kind` (logistic, linear, forest, isolation_forest, kmeans, lightgbm, xgboost) and `m.task` (binary, multiclass, regression, anomaly, cluster)."

// modelHost holds what the models of one interpreter share.
type modelHost struct {
	s       *script
	methods []hostFunc
}

// luaModel is a model as one interpreter uses it.
type luaModel struct {
	file   *modelFile   // nil for a text
	model  *model.Model // what the fields below belong to
	names  []string     // of its features
	index  map[string]int
	paths  [][]string   // by feature: the parts of a name with dots; nil for others
	labels []lua.LValue // of its classes
	fields *lua.LTable  // what m.name finds: methods, kind, task
	x      []float64
	probs  []float64
}

func (h *modelHost) load(L *lua.LState) int {
	name := L.CheckString(1)
	var f *modelFile
	var err error
	h.s.lim.waiting(func() { f, err = h.s.program.loader.loadModel(name, h.s.env.Log) })
	if err != nil {
		return failed(L, err)
	}
	m := h.push(L)
	m.file = f
	m.use(f.current.Load())
	return 1
}

func (h *modelHost) parse(L *lua.LState) int {
	m, err := h.s.program.loader.parseModel("model", []byte(L.CheckString(1)))
	if err != nil {
		return failed(L, err)
	}
	h.push(L).use(m)
	return 1
}

// push pushes a model that is still empty. Each has a metatable of its own, whose __index is a table: a function that
// answers kind and task for all costs an allocation in each m:predict (BenchmarkModelPredict: 2 -> 1).
func (h *modelHost) push(L *lua.LState) *luaModel {
	m := &luaModel{fields: L.CreateTable(0, len(h.methods)+2)}
	for _, f := range h.methods {
		m.fields.RawSetString(f.Name, L.NewFunction(f.Fn))
	}
	meta := L.CreateTable(0, 3)
	meta.RawSetString("__index", m.fields)
	meta.RawSetString("__tostring", L.NewFunction(h.text))
	meta.RawSetString("__metatable", lua.LString("model"))
	L.Push(&lua.LUserData{Value: m, Metatable: meta, Env: L.G.Global})
	return m
}

// text is __tostring.
func (h *modelHost) text(L *lua.LState) int {
	m := h.self(L)
	L.Push(lua.LString(fmt.Sprintf("model: %s, %s, %d features", m.model.Kind(), m.model.Task(), len(m.names))))
	return 1
}

// self returns argument 1, for the newest version of its file.
func (h *modelHost) self(L *lua.LState) *luaModel {
	if u, ok := L.Get(1).(*lua.LUserData); ok {
		if m, ok := u.Value.(*luaModel); ok {
			if m.file != nil {
				if now := m.file.current.Load(); now != m.model {
					m.use(now)
				}
			}
			return m
		}
	}
	L.ArgError(1, "model expected, got "+L.Get(1).Type().String()+": call it as m:predict(...)")
	return nil
}

// use makes the fields and buffers fit.
func (m *luaModel) use(now *model.Model) {
	m.fields.RawSetString("kind", lua.LString(now.Kind()))
	m.fields.RawSetString("task", lua.LString(now.Task().String()))
	m.model, m.names = now, now.Features()
	m.x = make([]float64, len(m.names))
	m.probs = make([]float64, len(now.Classes()))
	m.paths = make([][]string, len(m.names))
	m.index = make(map[string]int, len(m.names))
	for i, name := range m.names {
		m.index[name] = i
		if parts := strings.Split(name, "."); len(parts) > 1 {
			m.paths[i] = parts
		}
	}
	m.labels = m.labels[:0]
	for _, c := range now.Classes() {
		if c.Numeric {
			m.labels = append(m.labels, lua.LNumber(c.Number))
		} else {
			m.labels = append(m.labels, lua.LString(c.Name))
		}
	}
}

// row fills m.x from argument 2.
func (h *modelHost) row(L *lua.LState, m *luaModel) []float64 {
	t, ok := L.Get(2).(*lua.LTable)
	if !ok {
		L.ArgError(2, "features expected, as an array or by name, got "+L.Get(2).Type().String())
	}
	if o := h.s.views.viewOf(t); o != nil {
		h.fromView(L, m, o)
		return m.x
	}
	if n := t.Len(); n > 0 {
		if n > len(m.x) {
			L.ArgError(2, fmt.Sprintf("%d values, the model has %d features", n, len(m.x)))
		}
		for i := range m.x {
			m.x[i] = h.number(L, m, i, t.RawGetInt(i+1))
		}
		return m.x
	}
	for i, name := range m.names {
		v := t.RawGetString(name)
		if v == lua.LNil && m.paths[i] != nil {
			v = h.find(t, m.paths[i])
		}
		m.x[i] = h.number(L, m, i, v)
	}
	return m.x
}

// fromView is row for an event. It goes over the event's members once and makes no Lua values (BenchmarkModelPredict/event:
// 9.6 -> 1.0 us).
func (h *modelHost) fromView(L *lua.LState, m *luaModel, o *object) {
	for i := range m.x {
		m.x[i] = math.NaN()
	}
	fields := h.s.views.members(o)
	for j := range fields {
		if i, ok := m.index[fields[j].Key(o.body)]; ok && (len(o.ovs) == 0 || o.overlayOf(m.names[i]) < 0) {
			m.x[i] = h.decode(L, m, i, o.body, &fields[j])
		}
	}
	for j := range o.ovs {
		if i, ok := m.index[o.ovs[j].key]; ok {
			m.x[i] = h.number(L, m, i, o.ovs[j].value)
		}
	}
	for i, path := range m.paths {
		if path != nil && math.IsNaN(m.x[i]) {
			m.x[i] = h.number(L, m, i, h.find(&o.LTable, path))
		}
	}
}

// decode is number for a member of an event.
func (h *modelHost) decode(L *lua.LState, m *luaModel, i int, body string, f *lazyjson.Field) float64 {
	kind := "table"
	switch f.Kind {
	case lazyjson.Number:
		n, _ := strconv.ParseFloat(body[f.ValOff:f.ValEnd], 64) // out of range: an infinity, as for scripts
		return n
	case lazyjson.True:
		return 1
	case lazyjson.False:
		return 0
	case lazyjson.Null:
		return math.NaN()
	case lazyjson.String:
		kind = "string"
	}
	return h.wrongType(L, m, i, kind)
}

// find looks a name up level by level.
func (h *modelHost) find(t *lua.LTable, path []string) lua.LValue {
	var v lua.LValue = t
	for _, key := range path {
		t, ok := v.(*lua.LTable)
		if !ok {
			return lua.LNil
		}
		if o := h.s.views.viewOf(t); o != nil {
			v = h.s.views.get(o, key)
		} else {
			v = t.RawGetString(key)
		}
	}
	return v
}

// number is the value of feature i.
func (h *modelHost) number(L *lua.LState, m *luaModel, i int, v lua.LValue) float64 {
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
		if v == h.s.views.null {
			return math.NaN()
		}
		if x, ok := v.Value.(exact); ok {
			return x.float()
		}
	}
	return h.wrongType(L, m, i, v.Type().String())
}

func (h *modelHost) wrongType(L *lua.LState, m *luaModel, i int, kind string) float64 {
	L.ArgError(2, fmt.Sprintf("feature %q: number expected, got %s", m.names[i], kind))
	return 0
}

func (h *modelHost) predict(L *lua.LState) int {
	m := h.self(L)
	p := m.model.PredictInto(h.row(L, m), m.probs)
	switch m.model.Task() {
	case model.Binary:
		L.Push(lua.LNumber(p.Score))
		L.Push(m.labels[p.Class])
	case model.Multiclass:
		L.Push(m.labels[p.Class])
		t := L.CreateTable(0, len(m.labels))
		for i, label := range m.labels {
			t.RawSet(label, lua.LNumber(p.Probabilities[i]))
		}
		L.Push(t)
	case model.Anomaly:
		L.Push(lua.LNumber(p.Score))
		L.Push(lua.LNumber(p.Margin))
	case model.Cluster:
		L.Push(m.labels[p.Class])
		L.Push(lua.LNumber(p.Score))
	default:
		L.Push(lua.LNumber(p.Score))
		L.Push(lua.LNil)
	}
	return 2
}

func (h *modelHost) explain(L *lua.LState) int {
	m := h.self(L)
	x := h.row(L, m)
	class := -1
	if want := L.Get(3); want != lua.LNil {
		for i, label := range m.labels {
			if label == want {
				class = i
			}
		}
		if class < 0 {
			L.ArgError(3, fmt.Sprintf("the model has no class %q", want.String()))
		}
	}
	base, list, err := m.model.ExplainClass(h.s.lim, x, class)
	if err != nil {
		L.RaiseError("%s", err.Error())
	}
	t := L.CreateTable(0, len(list))
	for i, v := range list {
		t.RawSetString(m.names[i], lua.LNumber(v))
	}
	L.Push(t)
	L.Push(lua.LNumber(base))
	return 2
}

func (h *modelHost) features(L *lua.LState) int {
	m := h.self(L)
	t := L.CreateTable(len(m.names), 0)
	for i, name := range m.names {
		t.RawSetInt(i+1, lua.LString(name))
	}
	L.Push(t)
	return 1
}

func (h *modelHost) classes(L *lua.LState) int {
	m := h.self(L)
	t := L.CreateTable(len(m.labels), 0)
	for i, label := range m.labels {
		t.RawSetInt(i+1, label)
	}
	L.Push(t)
	return 1
}
