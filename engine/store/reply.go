package store

import (
	"math"
	"strconv"
	"strings"
)

// Kind is the type of a Reply, as RESP has them.
type Kind uint8

// The kinds of replies.
const (
	Nil    Kind = iota // no such thing
	Status             // "OK"
	Error              // the command failed: Str is "CODE message"
	Int
	Bulk // a string of any bytes
	Array
)

// Reply answers one command.
type Reply struct {
	Kind  Kind
	Int   int64
	Str   string  // of Status, Error, Bulk
	Elems []Reply // of Array
}

// Err returns a reply of kind Error: "ERR syntax error".
func Err(text string) Reply { return Reply{Kind: Error, Str: text} }

func status(s string) Reply     { return Reply{Kind: Status, Str: s} }
func integer(n int64) Reply     { return Reply{Kind: Int, Int: n} }
func bulk(s string) Reply       { return Reply{Kind: Bulk, Str: s} }
func array(elems []Reply) Reply { return Reply{Kind: Array, Elems: elems} }
func double(f float64) Reply    { return bulk(formatScore(f)) }
func emptyArray() Reply         { return Reply{Kind: Array} }
func boolean(b bool) Reply      { return Reply{Kind: Int, Int: int64(b2i(b))} }
func errArity(name string) Reply {
	return Err("ERR wrong number of arguments for '" + name + "' command")
}
func bulks(list []string) Reply {
	elems := make([]Reply, len(list))
	for i, s := range list {
		elems[i] = bulk(s)
	}
	return array(elems)
}

func b2i(b bool) int {
	if b {
		return 1
	}
	return 0
}

var (
	nilReply   = Reply{}
	ok         = status("OK")
	wrongType  = Err("WRONGTYPE Operation against a key holding the wrong kind of value")
	errSyntax  = Err("ERR syntax error")
	errInt     = Err("ERR value is not an integer or out of range")
	errInt32   = Err("ERR value is out of range, value must between -2147483648 and 2147483647")
	errFloat   = Err("ERR value is not a valid float")
	errNaN     = Err("ERR resulting score is not a number (NaN)")
	errNoKey   = Err("ERR no such key")
	errIndex   = Err("ERR index out of range")
	errOffset  = Err("ERR offset is out of range")
	errTooLong = Err("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
	errMemory  = Err("OOM command not allowed when used memory > 'maxmemory'.")
)

// formatScore prints a double as Redis does in RESP2.
func formatScore(f float64) string {
	if f == math.Trunc(f) && f > -1e15 && f < 1e15 && (f != 0 || !math.Signbit(f)) {
		return strconv.FormatInt(int64(f), 10)
	}
	if math.IsInf(f, 1) {
		return "inf"
	}
	if math.IsInf(f, -1) {
		return "-inf"
	}
	return strconv.FormatFloat(f, 'g', 17, 64)
}

// parseInt reads an integer as Redis does: no plus sign, no leading zeros, no blanks.
func parseInt(s string) (int64, bool) {
	if s == "" || len(s) > 20 {
		return 0, false
	}
	digits := s
	if s[0] == '-' {
		digits = s[1:]
	}
	if digits == "" || digits[0] < '0' || digits[0] > '9' || (digits[0] == '0' && len(s) > 1) {
		return 0, false
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

// parseFloat reads a double as strtod does, where Redis allows neither blanks nor NaN, and nothing that a double cannot hold.
func parseFloat(s string) (float64, bool) {
	f, inRange, ok := strtod(s)
	return f, ok && inRange && f == f
}

// strtod reads a double; inRange is false for one that became infinite, or 0.
func strtod(s string) (f float64, inRange, ok bool) {
	s, ok = cFloat(s)
	if !ok {
		return 0, false, false
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		return f, false, isRange(err)
	}
	return f, f != 0 || !nonzero(s), true
}

func isRange(err error) bool {
	ne, ok := err.(*strconv.NumError)
	return ok && ne.Err == strconv.ErrRange
}

// nonzero reports whether a number has a digit other than 0 before its exponent.
func nonzero(s string) bool {
	end, hex := "eE", strings.ContainsAny(s, "xX")
	if hex {
		end = "pP"
	}
	if i := strings.IndexAny(s, end); i >= 0 {
		s = s[:i]
	}
	return strings.ContainsAny(s, "123456789") || hex && strings.ContainsAny(s, "abcdefABCDEF")
}

// cFloat rewrites what C accepts and Go does not, and refuses what Go accepts and C does not.
func cFloat(s string) (string, bool) {
	if s == "" || s[0] == ' ' || (s[0] >= '\t' && s[0] <= '\r') {
		return "", false
	}
	hex, exp := false, false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '_':
			return "", false
		case 'x', 'X':
			hex = true
		case 'p', 'P':
			exp = true
		case 0:
			return "", false
		}
	}
	if hex && !exp {
		s += "p0"
	}
	return s, true
}
