package sketch

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// The range of accuracies of Quantiles.
const (
	MinAccuracy     = 0.001
	MaxAccuracy     = 0.1
	DefaultAccuracy = 0.01
)

// quantileSpan is the ratio of the largest to the smallest magnitude that are told apart.
const quantileSpan = 1e18

// Quantiles estimates the quantiles of a stream of numbers (DDSketch: Masson, Rim, Lee, VLDB 2019). A quantile is off by
// at most accuracy times its value, whatever the distribution. Magnitudes that are 1e18 times smaller than the largest
// are counted as small but not told apart. The memory grows with the logarithm of the range of values: at an accuracy of
// 0.01 it is 1 kB for values from 1 to 10, 8 kB for 1 to 1e9, at most 33 kB.
type Quantiles struct {
	accuracy float64
	gamma    float64 // each bin ends at gamma times its beginning
	scale    float64 // 1/ln(gamma)
	limit    int     // bins on each side
	plus     bins
	minus    bins // by magnitude
	zeros    float64
	count    float64
	min, max float64 // of all that was added
	points   []point // of MAD, kept for its memory
}

// bins are counts of values by the logarithm of their magnitude.
type bins struct {
	first int // logarithm of counts[0]
	n     []float64
}

// NewQuantiles returns a sketch of the given relative accuracy.
func NewQuantiles(accuracy float64) (*Quantiles, error) {
	if !(accuracy >= MinAccuracy && accuracy <= MaxAccuracy) {
		return nil, fmt.Errorf("accuracy is %g, want %g to %g", accuracy, MinAccuracy, MaxAccuracy)
	}
	gamma := (1 + accuracy) / (1 - accuracy)
	return &Quantiles{accuracy: accuracy, gamma: gamma, scale: 1 / math.Log(gamma),
		limit: int(math.Log(quantileSpan)/math.Log(gamma)) + 1, min: math.Inf(1), max: math.Inf(-1)}, nil
}

// Add notes x. What is not a finite number is ignored, and reported by false.
func (q *Quantiles) Add(x float64) bool {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return false
	case math.Abs(x) < 1e-300: // a subnormal number has no bin
		q.zeros++
	case x > 0:
		q.plus.add(q.bin(x), 1, q.limit)
	default:
		q.minus.add(q.bin(-x), 1, q.limit)
	}
	q.count++
	q.min, q.max = min(q.min, x), max(q.max, x)
	return true
}

func (q *Quantiles) bin(x float64) int { return int(math.Ceil(math.Log(x) * q.scale)) }

// value is in the middle of a bin, relatively.
func (q *Quantiles) value(bin int) float64 {
	return 2 * math.Exp(float64(bin)/q.scale) / (q.gamma + 1)
}

// add adds n to the bin i. Of more than limit bins the lowest are put together.
func (b *bins) add(i int, n float64, limit int) {
	if len(b.n) == 0 {
		b.first, b.n = i, make([]float64, 1, 16)
	}
	if last := b.first + len(b.n) - 1; i > last {
		if i-b.first >= limit {
			b.shift(i - limit + 1)
		}
		for len(b.n) <= i-b.first {
			b.n = append(b.n, 0)
		}
	} else if i < b.first {
		i = max(i, last-limit+1)
		b.n = slices.Insert(b.n, 0, make([]float64, b.first-i)...)
		b.first = i
	}
	b.n[i-b.first] += n
}

// shift puts all bins below first into first.
func (b *bins) shift(first int) {
	drop := min(first-b.first, len(b.n))
	sum := 0.0
	for _, n := range b.n[:drop] {
		sum += n
	}
	b.n = append(b.n[:0], b.n[drop:]...)
	if len(b.n) == 0 {
		b.n = append(b.n, 0)
	}
	b.first = first
	b.n[0] += sum
}

// Count returns how many numbers were added, less what Decay took.
func (q *Quantiles) Count() float64 { return q.count }

// Quantile returns the value below which the fraction p of the numbers lies: 0 the smallest, 0.5 the median (of an even
// number the lower one), 1 the largest. ok is false if there are no numbers or p is not in 0..1.
func (q *Quantiles) Quantile(p float64) (x float64, ok bool) {
	switch {
	case !(p >= 0 && p <= 1) || q.count <= 0:
		return 0, false
	case p == 0:
		return q.min, true
	case p == 1:
		return q.max, true
	}
	rank := p * (q.count - 1)
	sum := 0.0
	for i := len(q.minus.n) - 1; i >= 0; i-- {
		if sum += q.minus.n[i]; sum > rank && q.minus.n[i] > 0 {
			return q.bound(-q.value(q.minus.first + i)), true
		}
	}
	if sum += q.zeros; sum > rank && q.zeros > 0 {
		return 0, true
	}
	for i, n := range q.plus.n {
		if sum += n; sum > rank && n > 0 {
			return q.bound(q.value(q.plus.first + i)), true
		}
	}
	return q.max, true // rounding after Decay
}

func (q *Quantiles) bound(x float64) float64 { return min(max(x, q.min), q.max) }

// Median is Quantile(0.5).
func (q *Quantiles) Median() (float64, bool) { return q.Quantile(0.5) }

// point is a number with how often it was seen.
type point struct{ x, n float64 }

// MAD returns the median of the distances to the median, without a factor. It is off by at most accuracy times
// (2 |median| + MAD). It takes time in proportion to the bins: some ten microseconds. ok is false without numbers.
func (q *Quantiles) MAD() (mad float64, ok bool) {
	median, ok := q.Median()
	if !ok {
		return 0, false
	}
	q.points = q.points[:0]
	add := func(x, n float64) {
		if n > 0 {
			q.points = append(q.points, point{math.Abs(q.bound(x) - median), n})
		}
	}
	for i, n := range q.minus.n {
		add(-q.value(q.minus.first+i), n)
	}
	add(0, q.zeros)
	for i, n := range q.plus.n {
		add(q.value(q.plus.first+i), n)
	}
	slices.SortFunc(q.points, func(a, b point) int { return cmp.Compare(a.x, b.x) })
	rank, sum := 0.5*(q.count-1), 0.0
	for _, p := range q.points {
		if sum += p.n; sum > rank {
			return p.x, true
		}
	}
	return q.points[len(q.points)-1].x, true
}

// Decay multiplies all counts by factor (0..1), so that what comes later weighs more. The smallest and the largest number
// stay known.
func (q *Quantiles) Decay(factor float64) error {
	if !(factor >= 0 && factor <= 1) {
		return fmt.Errorf("factor is %g, want 0 to 1", factor)
	}
	for _, b := range []*bins{&q.plus, &q.minus} {
		for i := range b.n {
			b.n[i] *= factor
		}
	}
	q.zeros *= factor
	if q.count *= factor; q.count == 0 {
		q.plus, q.minus, q.min, q.max = bins{}, bins{}, math.Inf(1), math.Inf(-1)
	}
	return nil
}

// Merge adds all that other has counted. Both must have the same accuracy.
func (q *Quantiles) Merge(other *Quantiles) error {
	if q.accuracy != other.accuracy {
		return fmt.Errorf("accuracies differ: %g and %g", q.accuracy, other.accuracy)
	}
	for i, n := range slices.Clone(other.plus.n) {
		q.plus.add(other.plus.first+i, n, q.limit)
	}
	for i, n := range slices.Clone(other.minus.n) {
		q.minus.add(other.minus.first+i, n, q.limit)
	}
	q.zeros += other.zeros
	q.count += other.count
	q.min, q.max = min(q.min, other.min), max(q.max, other.max)
	return nil
}
