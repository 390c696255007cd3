package domain

import (
	"strings"
	"unicode/utf8"
)

// Parameters of punycode (RFC 3492, section 5).
const (
	punyBase    = 36
	punyTMin    = 1
	punyTMax    = 26
	punySkew    = 38
	punyDamp    = 700
	punyBias    = 72
	punyFirst   = 128
	punyPrefix  = "xn--"
	punyDigits  = "abcdefghijklmnopqrstuvwxyz0123456789"
	maxLabel    = 63 // bytes of an A-label, RFC 1035
	maxPunyRune = utf8.MaxRune
)

// punyThreshold is t of RFC 3492, section 6.1.
func punyThreshold(k, bias int) int { return min(max(k-bias, punyTMin), punyTMax) }

// punyAdapt is the bias adaptation of RFC 3492, section 6.1.
func punyAdapt(delta, points int, first bool) int {
	if first {
		delta /= punyDamp
	} else {
		delta /= 2
	}
	delta += delta / points
	k := 0
	for ; delta > (punyBase-punyTMin)*punyTMax/2; k += punyBase {
		delta /= punyBase - punyTMin
	}
	return k + (punyBase-punyTMin+1)*delta/(delta+punySkew)
}

// punyDigit returns the value of a digit, or -1.
func punyDigit(c byte) int {
	switch {
	case 'a' <= c && c <= 'z':
		return int(c - 'a')
	case 'A' <= c && c <= 'Z':
		return int(c - 'A')
	case '0' <= c && c <= '9':
		return int(c-'0') + 26
	}
	return -1
}

// toPunycode returns label as an A-label; ok is false if it is ASCII, empty or too long.
func toPunycode(label string) (string, bool) {
	points := []rune(label)
	if len(points) > maxLabel {
		return "", false
	}
	var out strings.Builder
	out.WriteString(punyPrefix)
	for _, r := range points {
		if r < punyFirst {
			out.WriteByte(byte(r))
		}
	}
	basic := out.Len() - len(punyPrefix)
	if basic == len(points) {
		return "", false
	}
	if basic > 0 {
		out.WriteByte('-')
	}
	n, delta, bias, done := rune(punyFirst), 0, punyBias, basic
	for done < len(points) {
		next := rune(maxPunyRune)
		for _, r := range points {
			if r >= n && r < next {
				next = r
			}
		}
		delta += int(next-n) * (done + 1)
		n = next
		for _, r := range points {
			if r < n {
				delta++
			}
			if r != n {
				continue
			}
			q := delta
			for k := punyBase; ; k += punyBase {
				t := punyThreshold(k, bias)
				if q < t {
					break
				}
				out.WriteByte(punyDigits[t+(q-t)%(punyBase-t)])
				q = (q - t) / (punyBase - t)
			}
			out.WriteByte(punyDigits[q])
			bias = punyAdapt(delta, done+1, done == basic)
			delta = 0
			done++
		}
		delta++
		n++
	}
	return out.String(), out.Len() <= maxLabel
}

// fromPunycode decodes what follows "xn--" into dst, at most len(dst) characters; ok is false if it is not punycode.
func fromPunycode(s string, dst []rune) (n int, ok bool) {
	if i := strings.LastIndexByte(s, '-'); i >= 0 {
		if i > len(dst) {
			return 0, false
		}
		for j := range i {
			if s[j] >= punyFirst {
				return 0, false
			}
			dst[j] = rune(s[j])
		}
		n, s = i, s[i+1:]
	}
	code, i, bias, first := punyFirst, 0, punyBias, true
	for len(s) > 0 {
		old, w := i, 1
		for k := punyBase; ; k += punyBase {
			if s == "" {
				return 0, false
			}
			digit := punyDigit(s[0])
			s = s[1:]
			if digit < 0 || i > 1<<40 || w > 1<<40 {
				return 0, false
			}
			i += digit * w
			t := punyThreshold(k, bias)
			if digit < t {
				break
			}
			w *= punyBase - t
		}
		if n >= len(dst) {
			return 0, false
		}
		bias = punyAdapt(i-old, n+1, first)
		first = false
		code += i / (n + 1)
		i %= n + 1
		if code > maxPunyRune {
			return 0, false
		}
		copy(dst[i+1:n+1], dst[i:n])
		dst[i] = rune(code)
		i++
		n++
	}
	return n, true
}

// ToUnicode returns name with its A-labels decoded, for display: "bücher.example" of "xn--bcher-kva.example". Labels
// that do not decode stay as they are. What it returns may look like another name: compare A-labels.
func ToUnicode(name string) string {
	if !strings.Contains(name, punyPrefix) {
		return name
	}
	labels := strings.Split(name, ".")
	var buf [maxLabel]rune
	for i, l := range labels {
		if code, ok := strings.CutPrefix(l, punyPrefix); ok {
			if n, ok := fromPunycode(code, buf[:]); ok && n > 0 {
				labels[i] = string(buf[:n])
			}
		}
	}
	return strings.Join(labels, ".")
}
