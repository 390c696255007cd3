package feature

import (
	"math"
	"math/bits"
)

// sums are what is known of a list of numbers whose sum is below 2^64: exact, however long the list.
type sums struct {
	n, sum     uint64
	high, low  uint64 // sum of the squares; below 2^128, as it is at most the square of the sum
	least, top uint64 // undefined while n is 0
}

func (s *sums) add(x uint64) {
	if s.n == 0 || x < s.least {
		s.least = x
	}
	s.top = max(s.top, x)
	s.n++
	s.sum += x
	h, l := bits.Mul64(x, x)
	var carry uint64
	s.low, carry = bits.Add64(s.low, l, 0)
	s.high += h + carry
}

// plus returns the sums of both lists.
func (s *sums) plus(o *sums) sums {
	if s.n == 0 {
		return *o
	}
	if o.n == 0 {
		return *s
	}
	low, carry := bits.Add64(s.low, o.low, 0)
	return sums{s.n + o.n, s.sum + o.sum, s.high + o.high + carry, low, min(s.least, o.least), max(s.top, o.top)}
}

// mean is 0 for an empty list, as are least and top.
func (s *sums) mean() float64 {
	if s.n == 0 {
		return 0
	}
	return float64(s.sum) / float64(s.n)
}

// variance is that of a sample: (n * sum of squares - square of the sum) / (n * (n - 1)), the difference exact.
func (s *sums) variance() float64 {
	if s.n < 2 {
		return 0
	}
	h1, l1 := bits.Mul64(s.n, s.low)
	h2, l2 := bits.Mul64(s.n, s.high)
	mid, carry := bits.Add64(h1, l2, 0)
	top := h2 + carry
	h3, l3 := bits.Mul64(s.sum, s.sum)
	low, borrow := bits.Sub64(l1, l3, 0)
	mid, borrow = bits.Sub64(mid, h3, borrow)
	top -= borrow
	d := math.Ldexp(float64(top), 128) + math.Ldexp(float64(mid), 64) + float64(low)
	return d / float64(s.n) / float64(s.n-1)
}

func (s *sums) deviation() float64 { return math.Sqrt(s.variance()) }

// share returns a / b, 0 if b is 0.
func share(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return a / b
}
