package filter

import (
	"net/netip"
	"strconv"
	"strings"
)

type kind int

const (
	end     kind = iota
	symbol       // ( ) [ ] : / + - * % & | ^ << >> = != < > <= >= ! (&& and || are the words and, or)
	number       // 80, 0x50
	word         // tcp, tcp-syn, 10.1.2.0, 80-90, ftp-data
	literal      // \tcp: a word that is no keyword
	ip6          // 2001:db8::1
	mac          // 00:11:22:33:44:55
)

type token struct {
	kind kind
	text string // of literal without the backslash
	pos  int
	n    uint32 // of number
}

// lex splits expr into tokens; the last one is of kind end.
func lex(expr string) ([]token, *Error) {
	var list []token
	for i := 0; i < len(expr); {
		if strings.IndexByte(" \t\r\n", expr[i]) >= 0 {
			i++
			continue
		}
		t, n := lexAt(expr[i:])
		if n == 0 {
			return nil, &Error{expr, i, "this character has no meaning here"}
		}
		if t.kind == number {
			v, err := strconv.ParseUint(t.text, 0, 32)
			if err != nil {
				return nil, &Error{expr, i, "no number, or one above 4294967295"}
			}
			t.n = uint32(v)
		}
		t.pos = i
		list = append(list, t)
		i += n
	}
	return append(list, token{kind: end, pos: len(expr)}), nil
}

// lexAt returns the token that s begins with and its length; 0: there is none.
func lexAt(s string) (token, int) {
	if isWord(s[0]) || s[0] == ':' {
		if run := span(s, func(c byte) bool { return isHex(c) || c == ':' || c == '.' }); strings.Count(s[:run], ":") >= 2 {
			if isMAC(s[:run]) {
				return token{kind: mac, text: s[:run]}, run
			}
			if a, err := netip.ParseAddr(s[:run]); err == nil && a.Is6() {
				return token{kind: ip6, text: s[:run]}, run
			}
		}
	}
	if s[0] == '\\' {
		n := wordLen(s[1:])
		if n == 0 {
			return token{}, 0
		}
		return token{kind: literal, text: s[1 : 1+n]}, 1 + n
	}
	if n := wordLen(s); n > 0 {
		text := s[:n]
		if digits := strings.TrimPrefix(strings.ToLower(text), "0x"); span(digits, isDigit) == len(digits) || len(digits) < n && span(digits, isHex) == len(digits) {
			return token{kind: number, text: text}, n
		}
		return token{kind: word, text: text}, n
	}
	for _, two := range [][2]string{{"&&", "and"}, {"||", "or"}} {
		if strings.HasPrefix(s, two[0]) {
			return token{kind: word, text: two[1]}, 2
		}
	}
	for _, two := range []string{"==", "!=", "<=", ">=", "<<", ">>"} {
		if strings.HasPrefix(s, two) {
			return token{kind: symbol, text: strings.Replace(two, "==", "=", 1)}, 2
		}
	}
	if strings.IndexByte("()[]:/+-*%&|^=<>!", s[0]) >= 0 {
		return token{kind: symbol, text: s[:1]}, 1
	}
	return token{}, 0
}

// wordLen returns the length of the word that s begins with: letters and digits, within it also . _ and -.
func wordLen(s string) int {
	n := span(s, func(c byte) bool { return isWord(c) || c == '.' || c == '_' || c == '-' })
	for n > 0 && (s[n-1] == '-' || s[n-1] == '_') {
		n--
	}
	if n > 0 && !isWord(s[0]) {
		return 0
	}
	return n
}

func isMAC(s string) bool {
	groups := strings.Split(s, ":")
	for _, g := range groups {
		if len(g) < 1 || len(g) > 2 || span(g, isHex) != len(g) {
			return false
		}
	}
	return len(groups) == 6
}

func span(s string, in func(byte) bool) int {
	n := 0
	for n < len(s) && in(s[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }
func isHex(c byte) bool   { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }
func isWord(c byte) bool  { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' }
