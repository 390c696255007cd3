package domain

import (
	_ "embed"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"sync"
)

// Symbols of the letter models: 5 bits each.
const (
	symDigit = 26 + iota // a-z are 0 to 25
	symHyphen
	symEnd // before the first and after the last character
	symOther

	symBits = 5
)

// Classes of symbols: 3 bits each.
const (
	classVowel = iota
	classConsonant
	classDigit
	classHyphen
	classEnd
	classOther
)

var classOf = func() (t [1 << symBits]uint8) {
	for i := range t {
		t[i] = classOther
	}
	for i := range 26 {
		t[i] = classConsonant
	}
	for _, c := range "aeiou" {
		t[c-'a'] = classVowel
	}
	t[symDigit], t[symHyphen], t[symEnd] = classDigit, classHyphen, classEnd
	return t
}()

// classSize is how many symbols a class has.
var classSize = [8]float64{5, 21, 1, 1, 1, 1, 1, 1}

var symbolOf = func() (t [256]uint8) {
	for i := range t {
		t[i] = symOther
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c], t[c-'a'+'A'] = uint8(c-'a'), uint8(c-'a')
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = symDigit
	}
	t['-'] = symHyphen
	return t
}()

// nat is one nat in the units of the tables: costs of 0 to 15.9 nats fit a byte.
const nat = 16

// minNames is in how many names a sequence of four must occur to be called usual.
const minNames = 3

// Grams says how usual sequences of symbols are in names that people chose. Its costs are negative natural logarithms of
// probabilities. cost is a trigram model: each symbol given the two before it. plain is the neutral model beside it: it
// knows only the pattern of vowels, consonants, digits and hyphens, and takes all letters of a class for equally
// probable, as many generators do. A Grams does not change.
type Grams struct {
	cost  [1 << (3 * symBits)]uint8
	plain [1 << 9]uint8
	usual [1 << (4*symBits - 6)]uint64 // bit set of sequences of four symbols that occur in minNames names or more
}

// NewGrams learns from labels, names without dots and suffix. (Interpolated Witten-Bell smoothing.)
func NewGrams(labels []string) *Grams {
	var three, two, one [1 << (3 * symBits)]float64 // counts of trigrams, bigrams, symbols; by class below
	var class3, class2 [512]float64
	four := map[uint32]int{}
	for _, l := range labels {
		a, b := symEnd, symEnd
		seen := map[uint32]bool{}
		key, n := uint32(symEnd), 1
		add := func(c int) {
			three[a<<10|b<<5|c]++
			two[b<<5|c]++
			one[c]++
			ca, cb, cc := classOf[a], classOf[b], classOf[c]
			class3[int(ca)<<6|int(cb)<<3|int(cc)]++
			class2[int(ca)<<3|int(cb)]++
			a, b = b, c
			if key, n = (key<<5|uint32(c))&(1<<20-1), n+1; n >= 4 {
				seen[key] = true
			}
		}
		for i := range len(l) {
			add(int(symbolOf[l[i]]))
		}
		add(symEnd)
		for k := range seen {
			four[k]++
		}
	}
	g := &Grams{}
	p1 := smooth(one[:32], 0, func(int) float64 { return 1.0 / 30 })
	for b := range 32 {
		p2 := smooth(two[b<<5:][:32], 1, func(c int) float64 { return p1[c] })
		for a := range 32 {
			p3 := smooth(three[a<<10|b<<5:][:32], 1, func(c int) float64 { return p2[c] })
			for c := range 32 {
				g.cost[a<<10|b<<5|c] = quantize(p3[c])
			}
		}
	}
	for i := range g.plain {
		g.plain[i] = quantize((class3[i] + 1.0/6) / (class2[i>>3] + 1) / classSize[i&7])
	}
	for k, n := range four {
		if n >= minNames {
			g.usual[k>>6] |= 1 << (k & 63)
		}
	}
	return g
}

// smooth returns the probabilities of 32 symbols from their counts: with weight least, or the number of different ones,
// for what is behind.
func smooth(counts []float64, least float64, behind func(int) float64) (p [32]float64) {
	sum, different := 0.0, 0.0
	for _, n := range counts {
		sum += n
		if n > 0 {
			different++
		}
	}
	weight := max(different, least, 1)
	for c := range p {
		p[c] = (counts[c] + weight*behind(c)) / (sum + weight)
	}
	return p
}

func quantize(p float64) uint8 { return uint8(min(math.Round(-math.Log(p)*nat), 255)) }

// gramsMagic begins the binary form: it, cost, plain, then the members of usual as varints of differences.
const gramsMagic = "grams 1\n"

// MarshalBinary returns the form that ReadGrams reads.
func (g *Grams) MarshalBinary() ([]byte, error) {
	b := append([]byte(gramsMagic), g.cost[:]...)
	b = append(b, g.plain[:]...)
	last := uint64(0)
	for i, word := range g.usual {
		for bit := range uint64(64) {
			if word>>bit&1 == 1 {
				k := uint64(i)<<6 | bit
				b = binary.AppendUvarint(b, k-last)
				last = k
			}
		}
	}
	return b, nil
}

// ReadGrams reads what MarshalBinary wrote.
func ReadGrams(b []byte) (*Grams, error) {
	g := &Grams{}
	head := len(gramsMagic) + len(g.cost) + len(g.plain)
	if len(b) < head || string(b[:len(gramsMagic)]) != gramsMagic {
		return nil, fmt.Errorf("no letter model: want %q and %d bytes: make it with test/train", gramsMagic, head)
	}
	b = b[len(gramsMagic):]
	b = b[copy(g.cost[:], b):]
	b = b[copy(g.plain[:], b):]
	for k := uint64(0); len(b) > 0; {
		d, n := binary.Uvarint(b)
		if n <= 0 || d >= 1<<20 || k+d >= 1<<20 {
			return nil, errors.New("letter model: damaged list of usual sequences: make it again with test/train")
		}
		k, b = k+d, b[n:]
		g.usual[k>>6] |= 1 << (k & 63)
	}
	return g, nil
}

//go:embed grams.bin
var gramsFile []byte

// Default returns the model that Features uses, which is built in. See analyzers/models/README.md for its data.
var Default = sync.OnceValue(func() *Grams {
	g, err := ReadGrams(gramsFile)
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return g
})

// score is what a Grams says about a text of n symbols; costs and gains in nats.
type score struct {
	sum   float64 // cost of the text
	most  float64 // cost of its least usual symbol
	gain  float64 // by how much the model expects the text rather than the neutral model does
	best  float64 // the stretch with the highest gain
	worst float64 // the stretch with the lowest, as a positive number
	odd   int     // symbols that cost more than oddCost
	oddly int     // the longest run of them

	usual    int // characters within usual sequences of four
	stretch  int // the most characters that follow in such sequences
	unusual  int // sequences of four that are not usual
	possible int // all sequences of four
}

const oddCost = 4 * nat

// fairGain is the gain per symbol, in units of the tables, of text between that of people and of generators: below it
// a symbol counts for worst, above for best.
const fairGain = 5

// score takes letters in lower case.
func (g *Grams) score(text []byte) score {
	var s score
	var sum, gain, most, best, bestHere, worst, worstHere, odd int
	key, class := uint32(symEnd<<5|symEnd), uint32(classEnd<<3|classEnd)
	covered := 0 // index after the last character that is within a usual sequence
	begin := 0   // of the current stretch
	for i := range len(text) + 1 {
		sym := uint32(symEnd)
		if i < len(text) {
			sym = uint32(symbolOf[text[i]])
		}
		key = (key<<5 | sym) & (1<<20 - 1)
		class = (class<<3 | uint32(classOf[sym&31])) & 511
		cost := int(g.cost[key&(1<<15-1)])
		up := int(g.plain[class]) - cost
		sum, gain, most = sum+cost, gain+up, max(most, cost)
		bestHere = max(bestHere+up-fairGain, 0)
		worstHere = max(worstHere-up+fairGain, 0)
		best, worst = max(best, bestHere), max(worst, worstHere)
		if odd++; cost <= oddCost {
			odd = 0
		} else {
			s.odd++
		}
		s.oddly = max(s.oddly, odd)
		if i < 2 {
			continue
		}
		s.possible++ // of the characters i-3 to i; the ends count as one character each
		if g.usual[key>>6]>>(key&63)&1 == 0 {
			s.unusual++
			continue
		}
		from, to := max(i-3, 0), min(i+1, len(text))
		if from >= covered {
			begin = from
		}
		s.usual += to - max(from, covered)
		covered = to
		s.stretch = max(s.stretch, to-begin)
	}
	s.sum, s.gain, s.most = float64(sum)/nat, float64(gain)/nat, float64(most)/nat
	s.best, s.worst = float64(best)/nat, float64(worst)/nat
	return s
}
