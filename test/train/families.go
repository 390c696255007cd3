package main

import (
	"math/rand/v2"
	"strings"
)

// family is a generator that was drawn at random: its style, its parameters, and some names of it.
type family struct {
	style string
	names []string
}

const (
	vowels     = "aeiou"
	consonants = "bcdfghjklmnpqrstvwxyz"
	letters    = "abcdefghijklmnopqrstuvwxyz"
	digits     = "0123456789"
)

// styles are the ways that names are generated in: each draws a family's parameters and returns its generator.
var styles = []struct {
	name string
	draw func(r *rand.Rand, people *pairs) func() string
}{
	{"letters", func(r *rand.Rand, _ *pairs) func() string {
		alphabet := part(r, letters, 9, 26)
		return fixed(r, alphabet, span(r, 4, 26))
	}},
	{"letters", func(r *rand.Rand, _ *pairs) func() string { return fixed(r, letters, span(r, 4, 20)) }},
	{"alnum", func(r *rand.Rand, _ *pairs) func() string {
		abc, num, share, length := part(r, letters, 6, 26), part(r, digits, 4, 10), 0.1+r.Float64()*0.7, span(r, 4, 28)
		return func() string {
			b := make([]byte, length(r))
			for i := range b {
				from := abc
				if r.Float64() < share {
					from = num
				}
				b[i] = from[r.IntN(len(from))]
			}
			return string(b)
		}
	}},
	{"hex", func(r *rand.Rand, _ *pairs) func() string { return fixed(r, digits+"abcdef", span(r, 8, 32)) }},
	{"syllables", func(r *rand.Rand, _ *pairs) func() string {
		v, c := part(r, vowels+"y", 3, 6), part(r, consonants, 8, 21)
		count, closed := span(r, 2, 7), r.Float64()/2
		return func() string {
			var b strings.Builder
			for range count(r) {
				b.WriteByte(c[r.IntN(len(c))])
				b.WriteByte(v[r.IntN(len(v))])
				if r.Float64() < closed {
					b.WriteByte(c[r.IntN(len(c))])
				}
			}
			return b.String()
		}
	}},
	{"pattern", func(r *rand.Rand, _ *pairs) func() string { // vowels with a probability of their own
		share, length := 0.2+r.Float64()*0.5, span(r, 6, 16)
		v, c := part(r, vowels, 3, 5), part(r, consonants, 8, 21)
		return func() string {
			b := make([]byte, length(r))
			for i := range b {
				from := c
				if r.Float64() < share {
					from = v
				}
				b[i] = from[r.IntN(len(from))]
			}
			return string(b)
		}
	}},
	{"letter pairs", func(r *rand.Rand, people *pairs) func() string {
		length, noise := span(r, 6, 18), r.Float64()/2
		return func() string { return people.walk(r, length(r), noise) }
	}},
	{"parts", func(r *rand.Rand, people *pairs) func() string { // a few pieces of two or three letters, put together
		pieces := make([]string, 10+r.IntN(50))
		for i := range pieces {
			pieces[i] = people.walk(r, 2+r.IntN(2), 0.3)
		}
		count := span(r, 3, 6)
		return func() string {
			var b strings.Builder
			for range count(r) {
				b.WriteString(pieces[r.IntN(len(pieces))])
			}
			return b.String()
		}
	}},
}

// drawFamilies returns n families, equally many of each style. people are labels whose letter pairs some styles use.
func drawFamilies(r *rand.Rand, n, names int, people []string) []family {
	p := newPairs(people)
	var all []family
	for i := range n {
		s := styles[i%len(styles)]
		next, fam := s.draw(r, p), family{style: s.name}
		for range names {
			fam.names = append(fam.names, next()+".com") // the suffix is no feature
		}
		all = append(all, fam)
	}
	return all
}

// part draws a subset of an alphabet.
func part(r *rand.Rand, alphabet string, least, most int) string {
	b := []byte(alphabet)
	r.Shuffle(len(b), func(i, j int) { b[i], b[j] = b[j], b[i] })
	return string(b[:least+r.IntN(min(most, len(b))-least+1)])
}

// span draws a range of lengths within least to most.
func span(r *rand.Rand, least, most int) func(*rand.Rand) int {
	from := least + r.IntN(most-least+1)
	width := 1 + r.IntN(min(8, most-from+1))
	return func(r *rand.Rand) int { return from + r.IntN(width) }
}

// fixed generates characters independent of each other.
func fixed(r *rand.Rand, alphabet string, length func(*rand.Rand) int) func() string {
	return func() string {
		b := make([]byte, length(r))
		for i := range b {
			b[i] = alphabet[r.IntN(len(alphabet))]
		}
		return string(b)
	}
}

// pairs knows which letters follow each other in names of people.
type pairs struct{ next [27][]byte } // 26 is the beginning

func newPairs(labels []string) *pairs {
	p := &pairs{}
	for _, l := range labels {
		before := 26
		for i := range len(l) {
			if l[i] < 'a' || l[i] > 'z' {
				before = 26
				continue
			}
			p.next[before] = append(p.next[before], l[i])
			before = int(l[i] - 'a')
		}
	}
	return p
}

// walk generates n letters, a share of them, noise, from nowhere.
func (p *pairs) walk(r *rand.Rand, n int, noise float64) string {
	b := make([]byte, n)
	before := 26
	for i := range b {
		b[i] = letters[r.IntN(26)]
		if next := p.next[before]; len(next) > 0 && r.Float64() >= noise {
			b[i] = next[r.IntN(len(next))]
		}
		before = int(b[i] - 'a')
	}
	return string(b)
}
