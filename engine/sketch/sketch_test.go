package sketch

import (
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"testing"
)

// The values are those of the reference implementation, from xxhsum and the sanity checks of xxHash.
func TestHashAgreesWithXXH64(t *testing.T) {
	for _, c := range []struct {
		text string
		seed uint64
		want uint64
	}{
		{"", 0, 0xef46db3751d8e999},
		{"a", 0, 0xd24ec4f1a98c6e5b},
		{"as", 0, 0x1c330fb2d66be179},
		{"asd", 0, 0x631c37ce72a97393},
		{"asdf", 0, 0x415872f599cea71e},
		{"Call me Ishmael. Some years ago--never mind how long precisely-", 0, 0x02a2e85470d6fd96},
		{"xxhash", 0, 0x32dd38952c4bc720},
		{"xxhash", 20141025, 0xb559b98d844e0635},
	} {
		if got := Hash(c.text, c.seed); got != c.want {
			t.Errorf("%q, %d: got %x, want %x", c.text, c.seed, got, c.want)
		}
	}
}

// zipf returns n keys, few of them frequent, with their true counts.
func zipf(seed uint64, n int) (keys []string, counts map[string]float64) {
	z := rand.NewZipf(rand.New(rand.NewPCG(seed, 1)), 1.1, 1, 1e6)
	counts = map[string]float64{}
	for range n {
		k := "10." + strconv.Itoa(int(z.Uint64()))
		keys = append(keys, k)
		counts[k]++
	}
	return keys, counts
}

func TestHLLIsExactAtFirst(t *testing.T) {
	h, _ := NewHLL(14)
	for i := range 1024 {
		key := strconv.Itoa(i)
		if !h.Add(key) || h.Add(key) {
			t.Fatal("Add does not tell new from old")
		}
		if h.Count() != float64(i+1) {
			t.Fatalf("got %v, want %d", h.Count(), i+1)
		}
	}
}

// TestHLLError counts disjoint key sets: the mean error must be near 0 (no bias) and its deviation as promised.
func TestHLLError(t *testing.T) {
	for _, precision := range []int{4, 8, 10, 14} {
		for _, n := range []int{100, 3000, 100_000} {
			runs := 40
			if n > 3000 {
				runs = 6
			}
			sum, squares := 0.0, 0.0
			for run := range runs {
				h, _ := NewHLL(precision)
				for i := range n {
					h.Add(strconv.Itoa(run*n + i))
				}
				e := h.Count()/float64(n) - 1
				sum, squares = sum+e, squares+e*e
			}
			promised := 1.04 / math.Sqrt(float64(int(1)<<precision))
			rms, bias := math.Sqrt(squares/float64(runs)), sum/float64(runs)
			if rms > promised*1.8 || math.Abs(bias) > 4*promised/math.Sqrt(float64(runs)) {
				t.Errorf("precision %d, %d keys: error %.4f (bias %.4f), promised %.4f", precision, n, rms, bias, promised)
			}
		}
	}
}

func TestHLLMerge(t *testing.T) {
	f := func(a, b, common int) {
		t.Helper()
		x, _ := NewHLL(12)
		y, _ := NewHLL(12)
		both, _ := NewHLL(12)
		for i := range a {
			x.Add(strconv.Itoa(i))
			both.Add(strconv.Itoa(i))
		}
		for i := a - common; i < a-common+b; i++ {
			y.Add(strconv.Itoa(i))
			both.Add(strconv.Itoa(i))
		}
		if err := x.Merge(y); err != nil {
			t.Fatal(err)
		}
		if x.Count() != both.Count() {
			t.Errorf("%d and %d: got %v, want %v as if added", a, b, x.Count(), both.Count())
		}
	}
	f(10, 20, 5)
	f(10, 5000, 5)
	f(5000, 10, 5)
	f(5000, 7000, 1000)
	x, _ := NewHLL(12)
	y, _ := NewHLL(13)
	if x.Merge(y) == nil {
		t.Error("different precisions merge")
	}
	x.addHash(0)
	x.addHash(0)
	if x.Count() != 1 {
		t.Errorf("got %v, want 1 for the hash 0", x.Count())
	}
}

func TestTopKKeepsItsPromises(t *testing.T) {
	keys, counts := zipf(1, 100_000)
	const k = 200
	top, _ := NewTopK(k)
	for _, key := range keys {
		top.Add(key, 1)
	}
	if top.Total() != float64(len(keys)) || top.Len() != k {
		t.Errorf("got total %v of %d keys", top.Total(), top.Len())
	}
	listed := map[string]bool{}
	last := math.Inf(1)
	for _, c := range top.List(k) {
		listed[c.Key] = true
		if want := counts[c.Key]; c.Count < want || c.Count-c.Error > want || c.Error > top.Total()/k {
			t.Errorf("%s: got %v with error %v, want %v", c.Key, c.Count, c.Error, want)
		}
		if c.Count > last {
			t.Error("not sorted")
		}
		last = c.Count
	}
	for key, n := range counts {
		if n > top.Total()/k && !listed[key] {
			t.Errorf("%s with %v is missing", key, n)
		}
	}
	if got := top.List(3); len(got) != 3 || got[0].Key != "10.0" {
		t.Errorf("got %v", got)
	}
	top.Add("x", -5)
	top.Add("x", math.NaN())
	if top.Total() != float64(len(keys)) {
		t.Error("a negative amount counts")
	}
}

func TestTopKIsExactWhileKeysFit(t *testing.T) {
	top, _ := NewTopK(3)
	for i, key := range []string{"a", "b", "a", "c", "b", "a"} {
		top.Add(key, float64(i+1))
	}
	want := []Counted{{Key: "a", Count: 10}, {Key: "b", Count: 7}, {Key: "c", Count: 4}}
	got := top.List(10)
	for i := range got {
		got[i].at = 0
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestCMSKeepsItsPromises(t *testing.T) {
	keys, counts := zipf(2, 200_000)
	const width, depth = 2000, 4
	c, _ := NewCMS(width, depth)
	for _, key := range keys {
		c.Add(key, 1)
	}
	bound, over := c.Total()*math.E/width, 0
	for key, n := range counts {
		got := c.Count(key)
		if got < n {
			t.Fatalf("%s: got %v, less than %v", key, got, n)
		}
		if got > n+bound {
			over++
		}
	}
	if p := float64(over) / float64(len(counts)); p > math.Exp(-depth) {
		t.Errorf("%.4f of the keys are off by more than %v", p, bound)
	}
	if c.Reset(); c.Count(keys[0]) != 0 || c.Total() != 0 {
		t.Error("reset leaves counts")
	}
}

// exact returns what Quantile and MAD estimate.
func exact(xs []float64, p float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	return xs[int(p*float64(len(xs)-1))]
}

func TestQuantilesKeepTheirAccuracy(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	for name, draw := range map[string]func() float64{
		"uniform":   func() float64 { return r.Float64() * 1000 },
		"lognormal": func() float64 { return math.Exp(r.NormFloat64() * 3) },
		"pareto":    func() float64 { return math.Pow(1-r.Float64(), -1.5) },
		"signed":    func() float64 { return r.NormFloat64() * 100 },
		"integers":  func() float64 { return float64(r.IntN(6)) },
		"negative":  func() float64 { return -r.ExpFloat64() },
		"wide":      func() float64 { return math.Pow(10, r.Float64()*17) },
	} {
		for _, accuracy := range []float64{0.001, 0.01, 0.1} {
			q, _ := NewQuantiles(accuracy)
			var xs []float64
			for range 20_001 {
				x := draw()
				xs = append(xs, x)
				q.Add(x)
			}
			for _, p := range []float64{0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1} {
				want := exact(xs, p)
				if got, ok := q.Quantile(p); !ok || math.Abs(got-want) > accuracy*math.Abs(want)*1.0001 {
					t.Errorf("%s %g: quantile %v: got %v, want %v", name, accuracy, p, got, want)
				}
			}
			median := exact(xs, 0.5)
			var distances []float64
			for _, x := range xs {
				distances = append(distances, math.Abs(x-median))
			}
			want := exact(distances, 0.5)
			if got, ok := q.MAD(); !ok || math.Abs(got-want) > accuracy*(2*math.Abs(median)+want)*1.0001 {
				t.Errorf("%s %g: mad: got %v, want %v", name, accuracy, got, want)
			}
			if size := len(q.plus.n) + len(q.minus.n); size > 2*q.limit {
				t.Errorf("%s %g: %d bins", name, accuracy, size)
			}
		}
	}
}

func TestQuantilesOfFew(t *testing.T) {
	f := func(p, want float64, xs ...float64) {
		t.Helper()
		q, _ := NewQuantiles(0.001)
		for _, x := range xs {
			q.Add(x)
		}
		if got, ok := q.Quantile(p); !ok || math.Abs(got-want) > 0.001*math.Abs(want) {
			t.Errorf("quantile %v of %v: got %v, want %v", p, xs, got, want)
		}
	}
	f(0.5, 7, 7)
	f(0.5, 1, 1, 2)
	f(0.5, 20, 30, 10, 20)
	f(0.5, -20, -30, -10, -20)
	f(0.5, 0, -5, 0, 5)
	f(0.24, 10, 10, 20, 30, 40)
	f(0.75, 40, 10, 20, 30, 40, 50)
	f(0.25, 20, 10, 20, 30, 40, 50)
}

func TestQuantilesAreBounded(t *testing.T) {
	q, _ := NewQuantiles(0.01)
	for e := -300; e <= 300; e++ {
		q.Add(math.Pow(10, float64(e)))
		q.Add(-math.Pow(10, float64(-e)))
	}
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		if q.Add(x) {
			t.Errorf("%v is accepted", x)
		}
	}
	q.Add(math.MaxFloat64)
	q.Add(math.SmallestNonzeroFloat64)
	if len(q.plus.n) > q.limit || len(q.minus.n) > q.limit || q.limit > 2100 {
		t.Errorf("%d and %d bins, want at most %d", len(q.plus.n), len(q.minus.n), q.limit)
	}
	if q.Count() != 2*601+2 {
		t.Errorf("got %v", q.Count())
	}
	if x, _ := q.Quantile(0.99); math.Abs(math.Log10(x)-294) > 7 {
		t.Errorf("got %v", x)
	}
}

func TestQuantilesDecayAndMerge(t *testing.T) {
	q, _ := NewQuantiles(0.01)
	if _, ok := q.Median(); ok {
		t.Error("a median of nothing")
	}
	if _, ok := q.MAD(); ok {
		t.Error("a mad of nothing")
	}
	for range 1000 {
		q.Add(10)
	}
	q.Decay(0.1)
	for range 200 {
		q.Add(1000)
	}
	if x, _ := q.Median(); math.Abs(x-1000) > 10 || math.Abs(q.Count()-300) > 1e-6 {
		t.Errorf("got %v of %v", x, q.Count())
	}
	other, _ := NewQuantiles(0.01)
	for range 10_000 {
		other.Add(-5)
	}
	if err := q.Merge(other); err != nil {
		t.Fatal(err)
	}
	if x, _ := q.Median(); math.Abs(x+5) > 0.05 {
		t.Errorf("got %v, want -5", x)
	}
	q.Decay(0)
	if _, ok := q.Quantile(1); ok || q.Count() != 0 {
		t.Error("decay by 0 leaves numbers")
	}
	if q.Decay(2) == nil || q.Decay(math.NaN()) == nil {
		t.Error("bad factors are accepted")
	}
	if third, _ := NewQuantiles(0.02); q.Merge(third) == nil {
		t.Error("different accuracies merge")
	}
}

// TestLRUAgreesWithASlowOne compares with a list that is searched.
func TestLRUAgreesWithASlowOne(t *testing.T) {
	const capacity = 7
	l, _ := NewLRU[int](capacity, 10)
	type slow struct {
		key     string
		value   int
		expires float64
	}
	var list []slow // the last used first
	find := func(key string) int { return slices.IndexFunc(list, func(s slow) bool { return s.key == key }) }
	r := rand.New(rand.NewPCG(4, 4))
	now := 0.0
	for step := range 50_000 {
		now += r.Float64() * 2
		key := strconv.Itoa(r.IntN(12))
		i := find(key)
		switch r.IntN(5) {
		case 0, 1:
			if i >= 0 {
				list = slices.Delete(list, i, i+1)
			} else if len(list) == capacity {
				list = list[:capacity-1]
			}
			list = slices.Insert(list, 0, slow{key, step, now + 10})
			l.Put(key, step, now)
		case 2:
			if l.Delete(key) != (i >= 0) {
				t.Fatal("Delete disagrees")
			}
			if i >= 0 {
				list = slices.Delete(list, i, i+1)
			}
		default:
			want, ok := 0, false
			if i >= 0 {
				s := list[i]
				list = slices.Delete(list, i, i+1)
				if now < s.expires {
					list = slices.Insert(list, 0, s)
					want, ok = s.value, true
				}
			}
			got, found := l.Get(key, now)
			if found != ok || ok && *got != want {
				t.Fatalf("step %d: Get(%s) disagrees", step, key)
			}
		}
		if l.Len() != len(list) || len(l.entries) > capacity {
			t.Fatalf("step %d: %d keys in %d entries, want %d", step, l.Len(), len(l.entries), len(list))
		}
		if step%100 == 0 {
			var got []string
			l.All(now, func(key string, _ *int) bool { got = append(got, key); return true })
			var want []string
			for _, s := range list {
				if now < s.expires {
					want = append(want, s.key)
				}
			}
			if !slices.Equal(got, want) {
				t.Fatalf("step %d: got %v, want %v", step, got, want)
			}
		}
	}
}

// TestWindowAgreesWithASlowOne compares with all additions ever made.
func TestWindowAgreesWithASlowOne(t *testing.T) {
	for _, buckets := range []int{1, 3, 10} {
		w, _ := NewWindow(30, buckets, 4)
		type added struct {
			bucket int64
			n      float64
		}
		all := map[string][]added{}
		newest := map[string]int64{}
		r := rand.New(rand.NewPCG(5, uint64(buckets)))
		now := -100.0
		sum := func(key string, b int64) (sum float64) {
			for _, a := range all[key] {
				if a.bucket <= b && a.bucket > b-int64(buckets) {
					sum += a.n
				}
			}
			return sum
		}
		for step := range 20_000 {
			now += r.Float64()
			if r.IntN(500) == 0 {
				now += 100
			}
			key := strconv.Itoa(r.IntN(4))
			at := now - r.Float64()*r.Float64()*50 // late
			b := w.bucket(at)
			if last, ok := newest[key]; !ok || b > last {
				newest[key] = b
			}
			if newest[key]-b < int64(buckets) {
				all[key] = append(all[key], added{b, 2})
			}
			if got, want := w.Add(key, at, 2), sum(key, newest[key]); got != want {
				t.Fatalf("%d buckets, step %d: Add: got %v, want %v", buckets, step, got, want)
			}
			if got, want := w.Count(key, now), sum(key, max(w.bucket(now), 0-1<<60)); newest[key] <= w.bucket(now) && got != want {
				t.Fatalf("%d buckets, step %d: Count: got %v, want %v", buckets, step, got, want)
			}
		}
	}
}

func TestWindowForgets(t *testing.T) {
	w, _ := NewWindow(60, 6, 2)
	w.Add("a", 0, 1)
	w.Add("b", 0, 1)
	w.Count("a", 0)
	w.Add("c", 0, 1) // takes the place of b
	if w.Len() != 2 || w.Count("a", 0) != 1 || w.Count("b", 0) != 0 {
		t.Error("not the least recently used key was given up")
	}
	for _, at := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e300, -1e300} {
		w.Add("x", at, 1) // ends
	}
	if w.Delete("nobody") || !w.Delete("a") || w.Count("a", 0) != 0 {
		t.Error("Delete")
	}
}

func TestCounterCountsExactly(t *testing.T) {
	keys, counts := zipf(6, 5000)
	c, _ := NewCounter(len(counts))
	for _, k := range keys {
		c.Incr(k, 1)
	}
	for k, n := range counts {
		if c.Count(k) != n {
			t.Errorf("%s: got %v, want %v", k, c.Count(k), n)
		}
	}
	if top := c.Top(2); top[0].Key != "10.0" || top[0].Count != counts["10.0"] || len(top) != 2 || c.Given() != 0 {
		t.Errorf("got %v", top)
	}
	c.Incr("one more", -3)
	if c.Len() != len(counts) || c.Given() != 1 || c.Count("one more") != -3 {
		t.Error("the capacity is not kept")
	}
}

// TestKeysThatComeAndGoTakeNoMemory adds many keys once each: what is held must stay what the capacity says.
func TestKeysThatComeAndGoTakeNoMemory(t *testing.T) {
	lru, _ := NewLRU[int](1000, 0)
	top, _ := NewTopK(1000)
	window, _ := NewWindow(60, 6, 1000)
	counter, _ := NewCounter(1000)
	heap := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := uint64(0)
	for i := range 300_000 {
		if i == 10_000 {
			before = heap()
		}
		key := "a key of some length " + strconv.Itoa(i)
		lru.Put(key, i, 0)
		top.Add(key, 1)
		window.Add(key, float64(i)/1000, 1)
		counter.Incr(key, 1)
	}
	if after := heap(); after > before+500_000 {
		t.Errorf("the heap grew from %d to %d bytes", before, after)
	}
	if lru.Len() != 1000 || top.Len() != 1000 || window.Len() != 1000 || counter.Len() != 1000 {
		t.Error("a capacity is not kept")
	}
}

func TestBadSizesAreRefused(t *testing.T) {
	errs := map[string]error{}
	_, errs["hll 3"] = NewHLL(3)
	_, errs["hll 17"] = NewHLL(17)
	_, errs["topk 0"] = NewTopK(0)
	_, errs["topk"] = NewTopK(MaxKeys + 1)
	_, errs["cms 0"] = NewCMS(0, 4)
	_, errs["cms"] = NewCMS(maxCells, 2)
	_, errs["cms depth"] = NewCMS(10, 33)
	_, errs["quantiles 0"] = NewQuantiles(0)
	_, errs["quantiles NaN"] = NewQuantiles(math.NaN())
	_, errs["window 0"] = NewWindow(0, 1, 1)
	_, errs["window inf"] = NewWindow(math.Inf(1), 1, 1)
	_, errs["window buckets"] = NewWindow(1, MaxBuckets+1, 1)
	_, errs["window keys"] = NewWindow(1, 1, 0)
	_, errs["lru 0"] = NewLRU[int](0, 0)
	_, errs["lru ttl"] = NewLRU[int](1, -1)
	_, errs["counter"] = NewCounter(0)
	for name, err := range errs {
		if err == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	keys, _ := zipf(7, 1<<16)
	run := func(name string, add func(key string, i int)) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				add(keys[i&(1<<16-1)], i)
				i++
			}
		})
	}
	h, _ := NewHLL(14)
	run("hll", func(k string, _ int) { h.Add(k) })
	top, _ := NewTopK(1000)
	run("topk", func(k string, _ int) { top.Add(k, 1) })
	c, _ := NewCMS(10_000, 4)
	run("cms", func(k string, _ int) { c.Add(k, 1) })
	q, _ := NewQuantiles(0.01)
	run("quantiles", func(_ string, i int) { q.Add(float64(i)) })
	run("mad", func(_ string, _ int) { q.MAD() })
	w, _ := NewWindow(60, 6, 10_000)
	run("window", func(k string, i int) { w.Add(k, float64(i)/1000, 1) })
	l, _ := NewLRU[int](10_000, 0)
	run("lru", func(k string, i int) {
		if _, ok := l.Get(k, 0); !ok {
			l.Put(k, i, 0)
		}
	})
}
