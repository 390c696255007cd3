package domain

import "fmt"

// MaxEdit is the longest text in bytes that EditDistance compares: its work grows with the product of the lengths
// (65,536 by 65,536 bytes take 0.2 s).
const MaxEdit = 1 << 16

// EditDistance returns Levenshtein's distance: how many bytes must be inserted, deleted or replaced to make b of a. A
// text longer than MaxEdit is an error. (Myers 1999, in the form of Hyyrö 2003: 64 rows at a time.)
func EditDistance(a, b string) (int, error) {
	if len(a) > MaxEdit || len(b) > MaxEdit {
		return 0, fmt.Errorf("texts of %d and %d bytes are too long, want at most %d each: compare parts of them", len(a), len(b), MaxEdit)
	}
	if len(a) > len(b) {
		a, b = b, a
	}
	for len(a) > 0 && a[0] == b[0] {
		a, b = a[1:], b[1:]
	}
	for len(a) > 0 && a[len(a)-1] == b[len(b)-1] {
		a, b = a[:len(a)-1], b[:len(b)-1]
	}
	switch {
	case len(a) == 0:
		return len(b), nil
	case len(a) <= 64:
		return editWord(a, b), nil
	}
	return editBlocks(a, b), nil
}

// editWord is EditDistance for an a of 1 to 64 bytes.
func editWord(a, b string) int {
	var equal [256]uint64
	for i := range len(a) {
		equal[a[i]] |= 1 << i
	}
	up, down, score, last := ^uint64(0), uint64(0), len(a), uint64(1)<<(len(a)-1)
	for i := range len(b) {
		eq := equal[b[i]]
		vertical := eq | down
		diagonal := (((eq & up) + up) ^ up) | eq
		plus, minus := down|^(diagonal|up), up&diagonal
		if plus&last != 0 {
			score++
		} else if minus&last != 0 {
			score--
		}
		plus, minus = plus<<1|1, minus<<1
		up, down = minus|^(vertical|plus), plus&vertical
	}
	return score
}

// editBlocks is EditDistance for longer texts: columns of 64-bit blocks, the horizontal difference carried between them.
func editBlocks(a, b string) int {
	blocks := (len(a) + 63) / 64
	equal := make([]uint64, 256*blocks)
	for i := range len(a) {
		equal[int(a[i])*blocks+i/64] |= 1 << (i % 64)
	}
	up, down := make([]uint64, blocks), make([]uint64, blocks)
	for i := range up {
		up[i] = ^uint64(0)
	}
	score, last := len(a), uint64(1)<<((len(a)-1)%64)
	for i := range len(b) {
		row := equal[int(b[i])*blocks:][:blocks]
		plusIn, minusIn := uint64(1), uint64(0)
		for j, eq := range row {
			u, d := up[j], down[j]
			vertical := eq | d
			eq |= minusIn
			sum := (eq & u) + u
			diagonal := (sum ^ u) | eq
			plus, minus := d|^(diagonal|u), u&diagonal
			if j == blocks-1 {
				if plus&last != 0 {
					score++
				} else if minus&last != 0 {
					score--
				}
			}
			plusOut, minusOut := plus>>63, minus>>63
			plus, minus = plus<<1|plusIn, minus<<1|minusIn
			up[j], down[j] = minus|^(vertical|plus), plus&vertical
			plusIn, minusIn = plusOut, minusOut
		}
	}
	return score
}

// Jaccard returns the share of the n-grams (n bytes, 1 to 8) found in both texts among those found in either: 0 to 1.
// A text shorter than n is one n-gram; two empty texts are equal. Both texts together are at most MaxEdit bytes.
func Jaccard(a, b string, n int) (float64, error) {
	if n < 1 || n > 8 {
		return 0, fmt.Errorf("n is %d, want 1 to 8", n)
	}
	if len(a)+len(b) > MaxEdit {
		return 0, fmt.Errorf("texts of %d and %d bytes are too long, want at most %d together: compare parts of them", len(a), len(b), MaxEdit)
	}
	if a == b {
		return 1, nil
	}
	set := make(map[gram]byte, len(a)+len(b))
	addGrams(set, a, n, 1)
	addGrams(set, b, n, 2)
	both := 0
	for _, in := range set {
		if in == 3 {
			both++
		}
	}
	return float64(both) / float64(len(set)), nil
}

// gram is up to 8 bytes.
type gram struct {
	bytes  [8]byte
	length int8
}

func addGrams(set map[gram]byte, text string, n int, in byte) {
	if text == "" {
		return
	}
	n = min(n, len(text))
	for i := 0; i+n <= len(text); i++ {
		g := gram{length: int8(n)}
		copy(g.bytes[:], text[i:i+n])
		set[g] |= in
	}
}
