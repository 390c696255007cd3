package sketch

import (
	"fmt"
	"math"
)

// MaxBuckets is the largest number of buckets of a Window.
const MaxBuckets = 1000

// Window counts per key over the last seconds. Time is cut into buckets of seconds/buckets each; a count covers the
// bucket that now lies in and the buckets-1 before it, so between seconds - seconds/buckets and seconds. Within that it
// is exact. Of more than keys keys the least recently used are given up. A time in the far future makes its key drop all
// that comes before, until it is given up or deleted. A key costs about 150 bytes and 8 per bucket.
type Window struct {
	width   float64 // of a bucket in seconds
	buckets int
	keys    *LRU[*ring]
}

// ring holds the buckets of one key; bucket b is at n[b mod len(n)].
type ring struct {
	last int64 // number of the newest bucket: time / width
	n    []float64
}

// NewWindow returns an empty Window.
func NewWindow(seconds float64, buckets, keys int) (*Window, error) {
	if !(seconds > 0) || math.IsInf(seconds, 1) {
		return nil, fmt.Errorf("seconds is %g, want more than 0", seconds)
	}
	if buckets < 1 || buckets > MaxBuckets {
		return nil, fmt.Errorf("buckets is %d, want 1 to %d", buckets, MaxBuckets)
	}
	lru, err := NewLRU[*ring](keys, 0)
	if err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return &Window{width: seconds / float64(buckets), buckets: buckets, keys: lru}, nil
}

// bucket returns the number of the bucket of a time. Times that no clock shows are put at the ends.
func (w *Window) bucket(time float64) int64 {
	if math.IsNaN(time) {
		return 0
	}
	return int64(min(max(math.Floor(time/w.width), -1<<60), 1<<60))
}

// Add adds n to key at a time in seconds and returns the count of the window that ends there. A time before the newest
// of the key is counted in its own bucket while that is in the window, and is dropped after; then the count is of the
// window that ends with the newest time.
func (w *Window) Add(key string, time, n float64) float64 {
	b := w.bucket(time)
	r, ok := w.ring(key)
	if !ok {
		r = &ring{last: b, n: make([]float64, w.buckets)}
		w.keys.Put(key, r, 0)
	}
	r.advance(b)
	if r.last-b < int64(len(r.n)) {
		r.n[index(b, len(r.n))] += n
	}
	return r.sum(r.last)
}

// Count returns the count of the window that ends at a time in seconds. It is 0 for an unknown key.
func (w *Window) Count(key string, time float64) float64 {
	r, ok := w.ring(key)
	if !ok {
		return 0
	}
	return r.sum(w.bucket(time))
}

// Len returns how many keys are held.
func (w *Window) Len() int { return w.keys.Len() }

// Delete forgets key and reports whether it was known.
func (w *Window) Delete(key string) bool { return w.keys.Delete(key) }

func (w *Window) ring(key string) (*ring, bool) {
	if p, ok := w.keys.Get(key, 0); ok {
		return *p, true
	}
	return nil, false
}

// advance makes b the newest bucket, if it is newer.
func (r *ring) advance(b int64) {
	if b-r.last >= int64(len(r.n)) {
		clear(r.n)
		r.last = b
	}
	for r.last < b {
		r.last++
		r.n[index(r.last, len(r.n))] = 0
	}
}

// sum adds up the buckets of the window that ends with the bucket b.
func (r *ring) sum(b int64) float64 {
	sum := 0.0
	for i := range int64(len(r.n)) {
		if at := b - i; at <= r.last && r.last-at < int64(len(r.n)) {
			sum += r.n[index(at, len(r.n))]
		}
	}
	return sum
}

func index(b int64, n int) int {
	i := int(b % int64(n))
	if i < 0 {
		i += n
	}
	return i
}
