package domain

import "math"

// Stats says how a text is written. Counts are of bytes; runs are the longest stretches without another kind between.
// y is a consonant; letters are a-z and A-Z.
type Stats struct {
	Length     int
	Letters    int
	Digits     int
	Vowels     int
	Consonants int
	Other      int // neither letters nor digits
	Upper      int
	Distinct   int // different bytes
	Hex        int // digits and a-f, A-F
	Repeated   int // bytes that equal the one before
	Changes    int // places where letters, digits and others change
	Turns      int // places where vowels and consonants change

	ConsonantRun int
	VowelRun     int
	DigitRun     int
	RepeatRun    int // of one byte

	Entropy float64 // Shannon's, of the bytes, in bits per byte: 0 to 8
}

// Bits of charClass.
const (
	isVowel = 1 << iota
	isConsonant
	isDigit
	isHex
	isUpper
	isLetter = isVowel | isConsonant
)

var charClass = func() (t [256]byte) {
	for c := byte('a'); c <= 'z'; c++ {
		t[c] = isConsonant
	}
	for _, c := range "aeiou" {
		t[c] = isVowel
	}
	for c := 'a'; c <= 'f'; c++ {
		t[c] |= isHex
	}
	for c := 'a'; c <= 'z'; c++ {
		t[c-'a'+'A'] = t[c] | isUpper
	}
	for c := '0'; c <= '9'; c++ {
		t[c] = isDigit | isHex
	}
	return t
}()

// Measure returns the statistics of a text. It does not allocate.
func Measure[T string | []byte](text T) Stats {
	s := Stats{Length: len(text)}
	if len(text) == 0 {
		return s
	}
	var counts [256]int32
	var vowels, consonants, digits, same int
	var before byte // class of the byte before
	for i := range len(text) {
		c := text[i]
		class := charClass[c]
		if counts[c]++; counts[c] == 1 {
			s.Distinct++
		}
		if class&isHex != 0 {
			s.Hex++
		}
		if class&isUpper != 0 {
			s.Upper++
		}
		switch {
		case class&isVowel != 0:
			s.Vowels++
			vowels++
			s.VowelRun = max(s.VowelRun, vowels)
			consonants, digits = 0, 0
		case class&isConsonant != 0:
			s.Consonants++
			consonants++
			s.ConsonantRun = max(s.ConsonantRun, consonants)
			vowels, digits = 0, 0
		case class&isDigit != 0:
			s.Digits++
			digits++
			s.DigitRun = max(s.DigitRun, digits)
			vowels, consonants = 0, 0
		default:
			vowels, consonants, digits = 0, 0, 0
		}
		if i > 0 {
			switch {
			case before&isLetter != 0 && class&isLetter != 0:
				s.Turns += int((before ^ class) & isVowel)
			case before&isLetter != class&isLetter, before&isDigit != class&isDigit:
				s.Changes++
			}
			if c == text[i-1] {
				s.Repeated++
				same++
			} else {
				same = 0
			}
		}
		s.RepeatRun = max(s.RepeatRun, same+1)
		before = class
	}
	s.Letters = s.Vowels + s.Consonants
	s.Other = s.Length - s.Letters - s.Digits
	s.Entropy = entropy(text, &counts)
	return s
}

// Entropy returns Shannon's entropy of the bytes of text in bits per byte: 0 to 8. It does not allocate.
func Entropy(text string) float64 {
	var counts [256]int32
	for i := range len(text) {
		counts[text[i]]++
	}
	return entropy(text, &counts)
}

// log2 of the counts that names have; of 0 it is 0.
var log2 = func() (t [256]float64) {
	for n := 2; n < len(t); n++ {
		t[n] = math.Log2(float64(n))
	}
	return t
}()

// entropy is log2 n - sum(c log2 c) / n, from a text of n bytes and its counts.
func entropy[T string | []byte](text T, counts *[256]int32) float64 {
	n, sum := float64(max(len(text), 1)), 0.0
	if len(text) < len(log2) { // a name: cheaper by its bytes than by all 256 counts
		for i := range len(text) {
			sum += log2[counts[text[i]]]
		}
		return max(log2[len(text)]-sum/n, 0)
	}
	for _, c := range counts {
		if c > 1 {
			sum += float64(c) * math.Log2(float64(c))
		}
	}
	return max(math.Log2(n)-sum/n, 0)
}

// IsHex reports whether text is hexadecimal digits only, and not empty.
func IsHex(text string) bool {
	for i := range len(text) {
		if charClass[text[i]]&isHex == 0 {
			return false
		}
	}
	return text != ""
}

// IsBase64 reports whether text is base64 (RFC 4648, either alphabet, padding optional): not empty, of a possible length.
func IsBase64(text string) bool {
	n := len(text)
	for i := 0; i < 2 && n > 0 && len(text)%4 == 0 && text[n-1] == '='; i++ {
		n--
	}
	standard, url := false, false
	for i := range n {
		switch c := text[i]; {
		case charClass[c]&(isLetter|isDigit) != 0:
		case c == '+', c == '/':
			standard = true
		case c == '-', c == '_':
			url = true
		default:
			return false
		}
	}
	return n > 0 && n%4 != 1 && !(standard && url)
}
