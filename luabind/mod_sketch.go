package luabind

import (
	"math"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/sketch"
)

// Defaults of the sketch module.
const (
	windowKeys = 10_000
	topDefault = 10
)

func (s *script) sketchModule() module {
	k := &sketchFuncs{vs: s.views}
	key, n := "A key is text or a number. ", "n is a number from 0, default 1."
	methods := []hostFunc{
		{"hll:add", "add(key) -> boolean", "Notes a key; nil is ignored. false is a sure sign that it was known.", `local h = sketch.hll() h:add("a") assert(h:count() == 1)`, k.hllAdd},
		{"hll:count", "count() -> n", "How many distinct keys were added.", `assert(sketch.hll():count() == 0)`, k.hllCount},
		{"hll:merge", "merge(other)", "Adds what another hll of the same precision has seen.", `local a, b = sketch.hll(), sketch.hll() b:add("x") a:merge(b) assert(a:count() == 1)`, k.hllMerge},

		{"topk:add", "add(key [, n])", "Adds n to the sum of a key; a nil key is ignored. " + key + n, `local t = sketch.topk(5) t:add("a") t:add("b", 7.5)`, k.topkAdd},
		{"topk:list", "list([n]) -> {{key, count, error}, ...}",
			"The n (default 10) largest, the largest first. The true sum is between count - error and count.", `local t = sketch.topk(5) t:add("a", 3) assert(t:list()[1].key == "a" and t:list()[1].error == 0)`, k.topkList},
		{"topk:total", "total() -> n", "The sum over all keys, exactly.", `assert(sketch.topk(5):total() == 0)`, k.topkTotal},
		{"topk:reset", "reset()", "Forgets everything.", `sketch.topk(5):reset()`, k.topkReset},

		{"cms:add", "add(key [, n]) -> count", "Adds n to a key and returns its count; nil for a nil key. " + key + n, `assert(sketch.cms(1000, 4):add("a", 2) == 2)`, k.cmsAdd},
		{"cms:get", "get(key) -> count", "How much was added to a key: never too low. 0 for a nil key.", `assert(sketch.cms(1000, 4):get("a") == 0)`, k.cmsGet},
		{"cms:total", "total() -> n", "The sum over all keys, exactly.", `assert(sketch.cms(10, 2):total() == 0)`, k.cmsTotal},
		{"cms:reset", "reset()", "Sets all counts to 0.", `sketch.cms(10, 2):reset()`, k.cmsReset},

		{"quantiles:add", "add(x)", "Notes a number; nil is ignored.", `sketch.quantiles():add(5)`, k.qAdd},
		{"quantiles:quantile", "quantile(p) -> x | nil", "The number below which the fraction p (0 to 1) of all lies; nil before the first add.", `local q = sketch.quantiles() q:add(5) assert(math.abs(q:quantile(0.9) - 5) < 0.06)`, k.qQuantile},
		{"quantiles:median", "median() -> x | nil", "quantile(0.5).", `assert(sketch.quantiles():median() == nil)`, k.qMedian},
		{"quantiles:mad", "mad() -> x | nil",
			"The median of the distances to the median, off by at most accuracy * (2 * |median| + mad). For normal data the standard deviation is 1.4826 times it. Takes some ten microseconds: not for every event.",
			`local q = sketch.quantiles() q:add(5) assert(q:mad() == 0)`, k.qMAD},
		{"quantiles:min", "min() -> x | nil", "The smallest number, exactly.", `local q = sketch.quantiles() q:add(5) assert(q:min() == 5)`, k.qMin},
		{"quantiles:max", "max() -> x | nil", "The largest number, exactly.", `local q = sketch.quantiles() q:add(5) assert(q:max() == 5)`, k.qMax},
		{"quantiles:count", "count() -> n", "How many numbers were added, less what decay took.", `assert(sketch.quantiles():count() == 0)`, k.qCount},
		{"quantiles:decay", "decay(factor)", "Multiplies all counts by factor (0 to 1), so that what comes later weighs more; 0 forgets everything.", `sketch.quantiles():decay(0.5)`, k.qDecay},
		{"quantiles:merge", "merge(other)", "Adds what another of the same accuracy has counted.", `sketch.quantiles():merge(sketch.quantiles())`, k.qMerge},

		{"window:add", "add(key [, time [, n]]) -> count", "Adds n at time and returns the count of the key in the window that ends there; nil for a nil key. time is as in count. " + n,
			`local w = sketch.window(60, 6) w:add("a", 1000) assert(w:add("a", 1030) == 2 and w:add("a", 1080) == 2)`, k.windowAdd},
		{"window:count", "count(key [, time]) -> count", "The count of the window that ends at time: seconds since 1970 or the text of an EVE timestamp; nil and text that is no time are the clock. 0 for an unknown key.",
			`local w = sketch.window(60, 6) w:add("a", "2026-11-20T18:31:59.886695+0000") assert(w:count("a", "2026-11-20T18:32:09.0+0000") == 1)`, k.windowCount},
		{"window:len", "len() -> n", "How many keys are held.", `assert(sketch.window(60, 6):len() == 0)`, k.windowLen},
		{"window:delete", "delete(key) -> boolean", "Forgets a key; whether it was known.", `assert(not sketch.window(60, 6):delete("a"))`, k.windowDelete},

		{"lru:get", "get(key [, time]) -> value | nil", "The value of a key, which becomes the last used; nil for a nil key. " + key + "With a ttl, time is as in window:count, by default the clock.",
			`assert(sketch.lru(10):get("a") == nil)`, k.lruGet},
		{"lru:put", "put(key, value [, time])", "Sets a key to any value; nil deletes it. A nil key is an error. An event, or a part of one, as a value keeps the memory of the whole event: take strings and numbers out of it.", `local c = sketch.lru(10) c:put("a", {1}) assert(c:get("a")[1] == 1)`, k.lruPut},
		{"lru:incr", "incr(key [, n [, time]]) -> n", "Adds n (default 1) to the number at a key, 0 if there is none, and returns it. A ttl counts from the first incr.", `assert(sketch.lru(10):incr("a", 2) == 2)`, k.lruIncr},
		{"lru:delete", "delete(key) -> boolean", "Forgets a key; whether it was known.", `assert(not sketch.lru(10):delete("a"))`, k.lruDelete},
		{"lru:list", "list([n [, time]]) -> {{key, value}, ...}", "The n (all, if missing) keys used last with their values, the last used first, without expired ones.",
			`local c = sketch.lru(10) c:put("a", 1) c:put("b", 2) assert(c:list()[1].key == "b" and #c:list(1) == 1)`, k.lruList},
		{"lru:len", "len() -> n", "How many keys are held; expired ones may be among them.", `assert(sketch.lru(10):len() == 0)`, k.lruLen},

		{"counter:incr", "incr(key [, n]) -> sum", "Adds n (any number, default 1) to a key and returns its sum; nil for a nil key.", `assert(sketch.counter(10):incr("a") == 1)`, k.counterIncr},
		{"counter:get", "get(key) -> sum", "The sum of a key; 0 if it is not known, or nil.", `assert(sketch.counter(10):get("a") == 0)`, k.counterGet},
		{"counter:top", "top([n]) -> {{key, count}, ...}", "The n (default 10) largest, the largest first.", `local c = sketch.counter(10) c:incr("a", 5) assert(c:top()[1].count == 5)`, k.counterTop},
		{"counter:len", "len() -> n, given", "How many keys are held, and how many were given up.", `assert(sketch.counter(10):len() == 0)`, k.counterLen},
		{"counter:delete", "delete(key) -> boolean", "Forgets a key; whether it was known.", `assert(not sketch.counter(10):delete("a"))`, k.counterDelete},
		{"counter:reset", "reset()", "Forgets all keys.", `sketch.counter(10):reset()`, k.counterReset},
	}
	class := func(name string) *lua.LTable { return newClass(s.L, name, methods) }
	k.hll, k.topk, k.cms, k.quantiles = class("hll"), class("topk"), class("cms"), class("quantiles")
	k.window, k.lru, k.counter = class("window"), class("lru"), class("counter")
	return module{
		Name: "sketch",
		Doc: "Statistics and keyed state in bounded memory. A Lua table whose keys come and go keeps the memory of those that went; these do not. Each belongs to the worker that made it: with several workers, shard_by says which events meet. " +
			"What is estimated says how far it may be off; the rest is exact.",
		Methods: methods,
		Funcs: []hostFunc{
			{"hll", "hll([precision]) -> hll",
				"Counts distinct keys (HyperLogLog). precision 4 to 16, default 14: exact for the first 2^precision / 16 keys, then a standard error of 1.04 / sqrt(2^precision) (0.8 % at 14, 3.3 % at 10), at most 2^precision bytes.",
				`sketch.hll(10)`, k.newHLL},
			{"topk", "topk(k) -> topk",
				"Finds the keys with the largest sums (Space-Saving) with k counters of about 100 bytes. Every key above total / k is found; a sum is too high by at most its error, which is at most total / k. Take ten times as many counters as keys that matter.",
				`sketch.topk(100)`, k.newTopK},
			{"cms", "cms(width, depth) -> cms",
				"Counts any number of keys in width * depth * 8 bytes (Count-Min). A count is never too low, and too high by more than total * 2.72 / width in at most e^-depth of all cases (1.8 % at 4).",
				`sketch.cms(10000, 4)`, k.newCMS},
			{"quantiles", "quantiles([accuracy]) -> quantiles",
				"Quantiles of a stream of numbers (DDSketch), each off by at most accuracy (0.001 to 0.1, default 0.01) times its value. Some kilobytes, 33 kB at most with the default.",
				`sketch.quantiles(0.02)`, k.newQuantiles},
			{"window", "window(seconds, buckets [, keys]) -> window",
				"Counts per key over the last seconds, in steps of seconds / buckets. Of more than keys (default 10000) the least recently used are given up. About 150 + 8 * buckets bytes per key.",
				`sketch.window(60, 6)`, k.newWindow},
			{"lru", "lru(capacity [, ttl]) -> lru", "A cache of the capacity keys used last, each for at most ttl seconds since it was put.", `sketch.lru(10000, 3600)`, k.newLRU},
			{"counter", "counter(capacity) -> counter", "Exact sums of the capacity keys used last; a key that was given up starts at 0 again.", `sketch.counter(1000)`, k.newCounter},
		},
	}
}

// sketchFuncs are the functions of sketch for one interpreter.
type sketchFuncs struct {
	vs                                              *views
	hll, topk, cms, quantiles, window, lru, counter *lua.LTable // metatables
}

// luaLRU holds Lua values: of one interpreter only.
type luaLRU = sketch.LRU[lua.LValue]

// size returns argument n as a whole number; whether it fits is for the constructors to say.
func (k *sketchFuncs) size(L *lua.LState, n int) int {
	x := num(L, n)
	if x != math.Floor(x) || math.Abs(x) > 1<<31 {
		L.ArgError(n, "whole number expected, got "+formatNumber(x))
	}
	return int(x)
}

func (k *sketchFuncs) optSize(L *lua.LState, n, otherwise int) int {
	if L.Get(n) == lua.LNil {
		return otherwise
	}
	return k.size(L, n)
}

// create pushes what New returned.
func create[T any](L *lua.LState, class *lua.LTable, made T, err error) int {
	if err != nil {
		L.RaiseError("sketch: %s", err.Error())
	}
	return pushObject(L, made, class)
}

func (k *sketchFuncs) newHLL(L *lua.LState) int {
	h, err := sketch.NewHLL(k.optSize(L, 1, sketch.DefaultPrecision))
	return create(L, k.hll, h, err)
}

func (k *sketchFuncs) newTopK(L *lua.LState) int {
	t, err := sketch.NewTopK(k.size(L, 1))
	return create(L, k.topk, t, err)
}

func (k *sketchFuncs) newCMS(L *lua.LState) int {
	c, err := sketch.NewCMS(k.size(L, 1), k.size(L, 2))
	return create(L, k.cms, c, err)
}

func (k *sketchFuncs) newQuantiles(L *lua.LState) int {
	q, err := sketch.NewQuantiles(k.vs.amountArg(L, 1, sketch.DefaultAccuracy))
	return create(L, k.quantiles, q, err)
}

func (k *sketchFuncs) newWindow(L *lua.LState) int {
	w, err := sketch.NewWindow(num(L, 1), k.size(L, 2), k.optSize(L, 3, windowKeys))
	return create(L, k.window, w, err)
}

func (k *sketchFuncs) newLRU(L *lua.LState) int {
	l, err := sketch.NewLRU[lua.LValue](k.size(L, 1), k.vs.amountArg(L, 2, 0))
	return create(L, k.lru, l, err)
}

func (k *sketchFuncs) newCounter(L *lua.LState) int {
	c, err := sketch.NewCounter(k.size(L, 1))
	return create(L, k.counter, c, err)
}

// positive returns argument n as an amount from 0, default 1.
func (k *sketchFuncs) positive(L *lua.LState, n int) float64 {
	x := k.vs.amountArg(L, n, 1)
	if x < 0 {
		L.ArgError(n, "number from 0 expected, got "+formatNumber(x))
	}
	return x
}

// time returns argument n as seconds since 1970: a number, or the text of a time. All else is the clock.
func (k *sketchFuncs) time(L *lua.LState, n int) float64 {
	v := L.Get(n)
	if x, ok := k.vs.numberOf(v); ok && !math.IsNaN(x) {
		return x
	}
	if text, ok := v.(lua.LString); ok {
		if x, ok := epochOf(string(text)); ok {
			return x
		}
	} else if !k.vs.isNull(v) {
		L.ArgError(n, "time expected, got "+v.Type().String())
	}
	return float64(time.Now().UnixMicro()) / 1e6
}

// epochOf reads a time as date2epoch does. EVE's own form is read without trying layouts.
func epochOf(text string) (seconds float64, ok bool) {
	if len(text) == len("2026-11-20T18:31:59.886695+0000") && text[10] == 'T' && strings.HasSuffix(text, "+0000") {
		if t, err := time.Parse("2006-01-02T15:04:05.000000-0700", text); err == nil {
			return float64(t.UnixMicro()) / 1e6, true
		}
	}
	for _, layout := range layouts {
		if t, err := time.ParseInLocation(layout, strings.TrimSpace(text), time.Local); err == nil {
			return float64(t.UnixMicro()) / 1e6, true
		}
	}
	return 0, false
}

// countedList pushes the keys with their counts.
func countedList(L *lua.LState, list []sketch.Counted, withError bool) int {
	t := L.CreateTable(len(list), 0)
	for _, c := range list {
		e := L.CreateTable(0, 3)
		e.RawSetString("key", lua.LString(c.Key))
		e.RawSetString("count", lua.LNumber(c.Count))
		if withError {
			e.RawSetString("error", lua.LNumber(c.Error))
		}
		t.Append(e)
	}
	L.Push(t)
	return 1
}

func pushFound(L *lua.LState, x float64, ok bool) int {
	if !ok {
		return pushNil(L)
	}
	return pushNumber(L, x)
}

func hllArg(L *lua.LState, n int) *sketch.HLL  { return objectArg[*sketch.HLL](L, n, "hll") }
func topkArg(L *lua.LState) *sketch.TopK       { return objectArg[*sketch.TopK](L, 1, "topk") }
func cmsArg(L *lua.LState) *sketch.CMS         { return objectArg[*sketch.CMS](L, 1, "cms") }
func windowArg(L *lua.LState) *sketch.Window   { return objectArg[*sketch.Window](L, 1, "window") }
func lruArg(L *lua.LState) *luaLRU             { return objectArg[*luaLRU](L, 1, "lru") }
func counterArg(L *lua.LState) *sketch.Counter { return objectArg[*sketch.Counter](L, 1, "counter") }
func qArg(L *lua.LState, n int) *sketch.Quantiles {
	return objectArg[*sketch.Quantiles](L, n, "quantiles")
}

func (k *sketchFuncs) hllAdd(L *lua.LState) int {
	h := hllArg(L, 1)
	key, ok := k.vs.keyArg(L, 2)
	return pushBool(L, ok && h.Add(key))
}

func (k *sketchFuncs) hllCount(L *lua.LState) int { return pushNumber(L, hllArg(L, 1).Count()) }

func (k *sketchFuncs) hllMerge(L *lua.LState) int {
	if err := hllArg(L, 1).Merge(hllArg(L, 2)); err != nil {
		L.ArgError(2, err.Error())
	}
	return 0
}

func (k *sketchFuncs) topkAdd(L *lua.LState) int {
	t := topkArg(L)
	n := k.positive(L, 3)
	if key, ok := k.vs.keyArg(L, 2); ok {
		t.Add(key, n)
	}
	return 0
}

func (k *sketchFuncs) topkList(L *lua.LState) int {
	return countedList(L, topkArg(L).List(k.optSize(L, 2, topDefault)), true)
}

func (k *sketchFuncs) topkTotal(L *lua.LState) int { return pushNumber(L, topkArg(L).Total()) }

func (k *sketchFuncs) topkReset(L *lua.LState) int {
	topkArg(L).Reset()
	return 0
}

func (k *sketchFuncs) cmsAdd(L *lua.LState) int {
	c := cmsArg(L)
	n := k.positive(L, 3)
	key, ok := k.vs.keyArg(L, 2)
	if !ok {
		return pushNil(L)
	}
	return pushNumber(L, c.Add(key, n))
}

func (k *sketchFuncs) cmsGet(L *lua.LState) int {
	c := cmsArg(L)
	key, ok := k.vs.keyArg(L, 2)
	if !ok {
		return pushNumber(L, 0)
	}
	return pushNumber(L, c.Count(key))
}

func (k *sketchFuncs) cmsTotal(L *lua.LState) int { return pushNumber(L, cmsArg(L).Total()) }

func (k *sketchFuncs) cmsReset(L *lua.LState) int {
	cmsArg(L).Reset()
	return 0
}

func (k *sketchFuncs) qAdd(L *lua.LState) int {
	q := qArg(L, 1)
	if L.GetTop() < 2 {
		num(L, 2) // raises
	}
	if !k.vs.isNull(L.Get(2)) {
		q.Add(k.vs.amountArg(L, 2, 0))
	}
	return 0
}

func (k *sketchFuncs) qQuantile(L *lua.LState) int {
	q, p := qArg(L, 1), num(L, 2)
	if !(p >= 0 && p <= 1) {
		L.ArgError(2, "fraction from 0 to 1 expected, got "+formatNumber(p))
	}
	x, ok := q.Quantile(p)
	return pushFound(L, x, ok)
}

func (k *sketchFuncs) qMedian(L *lua.LState) int {
	x, ok := qArg(L, 1).Median()
	return pushFound(L, x, ok)
}

func (k *sketchFuncs) qMAD(L *lua.LState) int {
	x, ok := qArg(L, 1).MAD()
	return pushFound(L, x, ok)
}

func (k *sketchFuncs) qMin(L *lua.LState) int {
	x, ok := qArg(L, 1).Quantile(0)
	return pushFound(L, x, ok)
}

func (k *sketchFuncs) qMax(L *lua.LState) int {
	x, ok := qArg(L, 1).Quantile(1)
	return pushFound(L, x, ok)
}

func (k *sketchFuncs) qCount(L *lua.LState) int { return pushNumber(L, qArg(L, 1).Count()) }

func (k *sketchFuncs) qDecay(L *lua.LState) int {
	if err := qArg(L, 1).Decay(num(L, 2)); err != nil {
		L.ArgError(2, err.Error())
	}
	return 0
}

func (k *sketchFuncs) qMerge(L *lua.LState) int {
	if err := qArg(L, 1).Merge(qArg(L, 2)); err != nil {
		L.ArgError(2, err.Error())
	}
	return 0
}

func (k *sketchFuncs) windowAdd(L *lua.LState) int {
	w := windowArg(L)
	at, n := k.time(L, 3), k.positive(L, 4)
	key, ok := k.vs.keyArg(L, 2)
	if !ok {
		return pushNil(L)
	}
	return pushNumber(L, w.Add(key, at, n))
}

func (k *sketchFuncs) windowCount(L *lua.LState) int {
	w := windowArg(L)
	key, ok := k.vs.keyArg(L, 2)
	if !ok {
		return pushNumber(L, 0)
	}
	return pushNumber(L, w.Count(key, k.time(L, 3)))
}

func (k *sketchFuncs) windowLen(L *lua.LState) int { return pushNumber(L, float64(windowArg(L).Len())) }

func (k *sketchFuncs) windowDelete(L *lua.LState) int {
	w := windowArg(L)
	key, ok := k.vs.keyArg(L, 2)
	return pushBool(L, ok && w.Delete(key))
}

// lruTime asks for the time only where it counts.
func (k *sketchFuncs) lruTime(L *lua.LState, l *luaLRU, n int) float64 {
	if l.TTL() == 0 {
		return 0
	}
	return k.time(L, n)
}

func (k *sketchFuncs) lruGet(L *lua.LState) int {
	l := lruArg(L)
	key, ok := k.vs.keyArg(L, 2)
	if !ok {
		return pushNil(L)
	}
	v, ok := l.Get(key, k.lruTime(L, l, 3))
	if !ok {
		return pushNil(L)
	}
	L.Push(*v)
	return 1
}

func (k *sketchFuncs) lruPut(L *lua.LState) int {
	l := lruArg(L)
	key, v := k.vs.mustKey(L, 2), L.CheckAny(3)
	if v == lua.LNil {
		l.Delete(key)
		return 0
	}
	l.Put(key, v, k.lruTime(L, l, 4))
	return 0
}

func (k *sketchFuncs) lruIncr(L *lua.LState) int {
	l := lruArg(L)
	key, n := k.vs.mustKey(L, 2), k.vs.amountArg(L, 3, 1)
	now := k.lruTime(L, l, 4)
	v, ok := l.Get(key, now)
	if !ok {
		l.Put(key, lua.LNumber(n), now)
		return pushNumber(L, n)
	}
	old, ok := k.vs.numberOf(*v)
	if !ok {
		L.RaiseError("lru:incr: the value of %q is a %s, not a number", key, (*v).Type().String())
	}
	sum := lua.LNumber(old + n)
	*v = sum
	L.Push(sum)
	return 1
}

func (k *sketchFuncs) lruDelete(L *lua.LState) int {
	l := lruArg(L)
	key, ok := k.vs.keyArg(L, 2)
	return pushBool(L, ok && l.Delete(key))
}

func (k *sketchFuncs) lruList(L *lua.LState) int {
	l := lruArg(L)
	n := k.optSize(L, 2, l.Len())
	t := L.CreateTable(max(0, min(n, l.Len())), 0)
	l.All(k.lruTime(L, l, 3), func(key string, v *lua.LValue) bool {
		if t.Len() >= n {
			return false
		}
		e := L.CreateTable(0, 2)
		e.RawSetString("key", lua.LString(key))
		e.RawSetString("value", *v)
		t.Append(e)
		return true
	})
	L.Push(t)
	return 1
}

func (k *sketchFuncs) lruLen(L *lua.LState) int { return pushNumber(L, float64(lruArg(L).Len())) }

func (k *sketchFuncs) counterIncr(L *lua.LState) int {
	c := counterArg(L)
	n := k.vs.amountArg(L, 3, 1)
	key, ok := k.vs.keyArg(L, 2)
	if !ok {
		return pushNil(L)
	}
	return pushNumber(L, c.Incr(key, n))
}

func (k *sketchFuncs) counterGet(L *lua.LState) int {
	c := counterArg(L)
	key, ok := k.vs.keyArg(L, 2)
	if !ok {
		return pushNumber(L, 0)
	}
	return pushNumber(L, c.Count(key))
}

func (k *sketchFuncs) counterTop(L *lua.LState) int {
	return countedList(L, counterArg(L).Top(k.optSize(L, 2, topDefault)), false)
}

func (k *sketchFuncs) counterLen(L *lua.LState) int {
	c := counterArg(L)
	return pushNumber(L, float64(c.Len())) + pushNumber(L, float64(c.Given()))
}

func (k *sketchFuncs) counterDelete(L *lua.LState) int {
	c := counterArg(L)
	key, ok := k.vs.keyArg(L, 2)
	return pushBool(L, ok && c.Delete(key))
}

func (k *sketchFuncs) counterReset(L *lua.LState) int {
	counterArg(L).Reset()
	return 0
}
