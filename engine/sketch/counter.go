package sketch

import (
	"cmp"
	"slices"
	"strings"
)

// Counter keeps exact sums for the keys that were used last. A key that was given up starts at 0 again: Given tells
// whether that has happened. For the largest sums of more keys than fit take TopK, for all of them CMS.
type Counter struct {
	lru   *LRU[float64]
	given int
}

// NewCounter returns an empty Counter for capacity keys.
func NewCounter(capacity int) (*Counter, error) {
	lru, err := NewLRU[float64](capacity, 0)
	if err != nil {
		return nil, err
	}
	return &Counter{lru: lru}, nil
}

// Incr adds n to key and returns the sum.
func (c *Counter) Incr(key string, n float64) float64 {
	if sum, ok := c.lru.Get(key, 0); ok {
		*sum += n
		return *sum
	}
	if c.lru.Len() == c.lru.capacity {
		c.given++
	}
	c.lru.Put(key, n, 0)
	return n
}

// Count returns the sum of key, 0 if it is not known.
func (c *Counter) Count(key string) float64 {
	if sum, ok := c.lru.Get(key, 0); ok {
		return *sum
	}
	return 0
}

// Top returns at most n keys, the largest sum first; keys with equal sums in the order of their bytes.
func (c *Counter) Top(n int) []Counted {
	list := make([]Counted, 0, c.lru.Len())
	c.lru.All(0, func(key string, sum *float64) bool {
		list = append(list, Counted{Key: key, Count: *sum})
		return true
	})
	slices.SortFunc(list, func(a, b Counted) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), strings.Compare(a.Key, b.Key))
	})
	return list[:min(max(n, 0), len(list))]
}

// Len returns how many keys are held.
func (c *Counter) Len() int { return c.lru.Len() }

// Given returns how many keys were given up for newer ones.
func (c *Counter) Given() int { return c.given }

// Delete forgets key and reports whether it was known.
func (c *Counter) Delete(key string) bool { return c.lru.Delete(key) }

// Reset forgets all keys.
func (c *Counter) Reset() {
	c.lru.Reset()
	c.given = 0
}
