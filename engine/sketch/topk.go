package sketch

import (
	"cmp"
	"container/heap"
	"fmt"
	"slices"
	"strings"
)

// MaxKeys is the largest capacity of whatever keeps keys.
const MaxKeys = 10_000_000

// TopK finds the keys with the largest sums (Space-Saving: Metwally, Agrawal, El Abbadi 2005) with k counters. The
// Count of a listed key is never too low, and too high by at most its Error, which is at most total/k. Every key whose
// true sum is above total/k is listed.
type TopK struct {
	k     int
	index map[string]*Counted
	heap  countHeap // the smallest first
	total float64
}

// Counted is a key with its sum.
type Counted struct {
	Key   string
	Count float64 // true sum + 0..Error
	Error float64 // 0: Count is exact
	at    int     // in the heap
}

// NewTopK returns a TopK with k counters.
func NewTopK(k int) (*TopK, error) {
	if k < 1 || k > MaxKeys {
		return nil, fmt.Errorf("k is %d, want 1 to %d", k, MaxKeys)
	}
	return &TopK{k: k, index: map[string]*Counted{}}, nil
}

// Add adds n to the sum of key. What is not above 0 is ignored.
func (t *TopK) Add(key string, n float64) {
	if !(n > 0) {
		return
	}
	t.total += n
	if c, ok := t.index[key]; ok {
		c.Count += n
		heap.Fix(&t.heap, c.at)
		return
	}
	if len(t.heap) < t.k {
		c := &Counted{Key: strings.Clone(key), Count: n}
		t.index[c.Key] = c
		heap.Push(&t.heap, c)
		return
	}
	c := t.heap[0]
	delete(t.index, c.Key)
	c.Key, c.Error, c.Count = strings.Clone(key), c.Count, c.Count+n
	t.index[c.Key] = c
	heap.Fix(&t.heap, 0)
}

// List returns at most n keys, the largest Count first; keys with equal counts in the order of their bytes.
func (t *TopK) List(n int) []Counted {
	list := make([]Counted, 0, len(t.heap))
	for _, c := range t.heap {
		list = append(list, *c)
	}
	slices.SortFunc(list, func(a, b Counted) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Key, b.Key))
	})
	return list[:min(max(n, 0), len(list))]
}

// Len returns how many keys have a counter.
func (t *TopK) Len() int { return len(t.heap) }

// Total returns the sum over all keys, exactly.
func (t *TopK) Total() float64 { return t.total }

// Reset forgets everything.
func (t *TopK) Reset() {
	t.index, t.heap, t.total = map[string]*Counted{}, nil, 0
}

type countHeap []*Counted

func (h countHeap) Len() int           { return len(h) }
func (h countHeap) Less(i, j int) bool { return h[i].Count < h[j].Count }
func (h countHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}
func (h *countHeap) Push(x any) {
	c := x.(*Counted)
	c.at = len(*h)
	*h = append(*h, c)
}
func (h *countHeap) Pop() any {
	old := *h
	c := old[len(old)-1]
	*h = old[:len(old)-1]
	return c
}
