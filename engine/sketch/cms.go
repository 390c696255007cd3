package sketch

import (
	"fmt"
	"math"
)

// maxCells is the largest number of counters of a CMS: 128 MiB.
const maxCells = 1 << 24

// CMS estimates how often each of any number of keys was added (Count-Min with conservative update: Cormode,
// Muthukrishnan 2005; Estan, Varghese 2002) with width * depth counters of 8 bytes. Count is never too low; it is too
// high by more than total*e/width with a probability of at most e^-depth.
type CMS struct {
	width, depth uint64
	cells        []float64
	total        float64
}

// NewCMS returns a CMS of depth rows with width counters each.
func NewCMS(width, depth int) (*CMS, error) {
	if width < 1 || depth < 1 || depth > 32 || width > maxCells/depth {
		return nil, fmt.Errorf("width is %d and depth %d, want width from 1, depth 1 to 32 and at most %d counters", width, depth, maxCells)
	}
	return &CMS{width: uint64(width), depth: uint64(depth), cells: make([]float64, width*depth)}, nil
}

// cell returns the counter of key, given as its two hashes, in row d.
func (c *CMS) cell(a, b, d uint64) *float64 {
	return &c.cells[d*c.width+(a+d*b)%c.width]
}

// Add adds n to key and returns its new count. What is not above 0 is ignored.
func (c *CMS) Add(key string, n float64) float64 {
	a, b := twoHashes(key)
	count := c.count(a, b)
	if !(n > 0) {
		return count
	}
	c.total += n
	count += n
	for d := range c.depth {
		if cell := c.cell(a, b, d); *cell < count {
			*cell = count
		}
	}
	return count
}

// Count returns how much was added to key: an estimate, see CMS.
func (c *CMS) Count(key string) float64 { return c.count(twoHashes(key)) }

func (c *CMS) count(a, b uint64) float64 {
	least := math.Inf(1)
	for d := range c.depth {
		least = min(least, *c.cell(a, b, d))
	}
	return least
}

// Total returns the sum over all keys, exactly.
func (c *CMS) Total() float64 { return c.total }

// Reset sets all counts to 0.
func (c *CMS) Reset() {
	clear(c.cells)
	c.total = 0
}

func twoHashes(key string) (a, b uint64) {
	return Hash(key, 0), Hash(key, prime5) | 1
}
