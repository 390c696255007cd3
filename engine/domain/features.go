package domain

import "strings"

// FeatureNames names the numbers that Features returns, in their order. All are about the label that Chosen
// returns: "example" of www.example.co.uk. The models in analyzers/models name the features that they take.
var FeatureNames = []string{
	"length",         // characters
	"entropy",        // bits per character
	"entropy_share",  // entropy as a share of what that many characters can have: 0 to 1
	"distinct",       // share of characters that are different ones
	"digits",         // share of digits
	"vowels",         // share of vowels (aeiou) among letters
	"hyphens",        // number
	"hex",            // share of 0-9 and a-f
	"rare",           // share of j, q, x and z
	"repeated",       // share of characters that equal the one before
	"changes",        // share of places where letters, digits and others change
	"turns",          // share of places where vowels and consonants change
	"consonant_run",  // the longest, in characters
	"vowel_run",      //
	"digit_run",      //
	"cost",           // of the label under the letter model, nats: low for names like those that people choose
	"cost_mean",      // per character
	"cost_most",      // of the least usual character
	"gain",           // how much better the letter model expects the label than the neutral model, nats
	"gain_mean",      // per character
	"gain_best",      // of the stretch that is most like names people choose
	"gain_worst",     // of the stretch that is least like them
	"odd",            // share of characters that cost more than 4 nats
	"odd_run",        // the longest run of them
	"usual",          // share of characters within usual sequences of four
	"usual_run",      // the longest stretch of them, in characters
	"unusual",        // number of sequences of four that are not usual
	"usual_possible", // share of the sequences of four that are usual
}

// maxText is how many bytes of a label are looked at; DNS allows 63.
const maxText = 253

// Features appends the features of name to dst[:0], len(FeatureNames) of them. What has no such label is
// looked at as a whole; A-labels are decoded, letters with marks count as those without. All values are finite. It does
// not allocate if dst has the capacity and the name is in normal form.
func Features(name string, dst []float64) []float64 { return Default().Features(name, dst) }

// Features is the function Features with g as the letter model.
func (g *Grams) Features(name string, dst []float64) []float64 {
	_, label := Chosen(name)
	if label == "" {
		label = Normal(name)
	}
	var buf [maxText]byte
	text := fold(label, buf[:0])
	return g.features(text, dst)
}

func (g *Grams) features(text []byte, dst []float64) []float64 {
	s, c := Measure(text), g.score(text)
	rare := 0
	for _, b := range text {
		if b == 'j' || b == 'q' || b == 'x' || b == 'z' {
			rare++
		}
	}
	n := float64(max(len(text), 1))
	places := float64(max(len(text)-1, 1))
	hyphens := 0
	if s.Other > 0 {
		for _, b := range text {
			if b == '-' {
				hyphens++
			}
		}
	}
	most := 1.0
	if len(text) > 2 {
		most = log2[min(len(text), 36)] // there are 36 letters and digits
	}
	return append(dst[:0],
		float64(len(text)),
		s.Entropy,
		min(s.Entropy/most, 1),
		float64(s.Distinct)/n,
		float64(s.Digits)/n,
		float64(s.Vowels)/float64(max(s.Letters, 1)),
		float64(hyphens),
		float64(s.Hex)/n,
		float64(rare)/n,
		float64(s.Repeated)/places,
		float64(s.Changes)/places,
		float64(s.Turns)/places,
		float64(s.ConsonantRun),
		float64(s.VowelRun),
		float64(s.DigitRun),
		c.sum,
		c.sum/(n+1),
		c.most,
		c.gain,
		c.gain/(n+1),
		c.best,
		c.worst,
		float64(c.odd)/(n+1),
		float64(c.oddly),
		float64(c.usual)/n,
		float64(c.stretch),
		float64(c.unusual),
		float64(c.possible-c.unusual)/float64(max(c.possible, 1)),
	)
}

// fold appends label in lower case ASCII to dst, up to its capacity: an A-label decoded, letters with marks as those
// without, other characters as '_'.
func fold(label string, dst []byte) []byte {
	label = label[:min(len(label), maxText)]
	code, ok := strings.CutPrefix(label, punyPrefix)
	if !ok {
		return append(dst, label...)
	}
	var runes [maxLabel]rune
	n, ok := fromPunycode(code, runes[:])
	if !ok {
		return append(dst, label...)
	}
	for _, r := range runes[:n] {
		switch {
		case r < 0x80:
			dst = append(dst, byte(r))
		case r < 0x180 && r >= 0xc0:
			dst = append(dst, unmarked[r-0xc0])
		default:
			dst = append(dst, '_')
		}
	}
	return dst
}

// unmarked holds the base letters of U+00C0 to U+017F.
const unmarked = "aaaaaaaceeeeiiiidnooooo_ouuuuytsaaaaaaaceeeeiiiidnooooo_ouuuuyty" +
	"aaaaaaccccccccddddeeeeeeeeeegggggggghhhhiiiiiiiiiiiijjkkklllllll" +
	"lllnnnnnnnnnoooooooorrrrrrssssssssttttttuuuuuuuuuuuuwwyyyzzzzzzs"
