package luabind

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"dragonfly/engine"
)

// standardSource rewrites what LuaJIT reads and gopher-lua does not, without a change of line numbers:
//
//   - the escapes \xNN, \u{N} and \z, which skips white space, in string literals;
//   - the numbers 0x1p4, 0x.8, 0b101 and those with a 0 in front;
//   - local f = function, whose body must not see f, gets a nil or: gopher-lua takes it for local function f.
//     isolated finds it again.
func standardSource(name, source string) (string, error) {
	var out strings.Builder
	out.Grow(len(source) + len(source)/16)
	last := [3]string{} // tokens before, the nearest first
	line := 1
	for i := 0; i < len(source); {
		c := source[i]
		n := 1
		token := source[i : i+1]
		text := token
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			token = ""
			if c == '\n' {
				line++
			}
		case c == '-' && strings.HasPrefix(source[i:], "--"):
			n = commentLen(source[i:])
			token, text = "", source[i:i+n]
			line += strings.Count(text, "\n")
		case c == '[':
			n = max(1, longLen(source[i:]))
			text = source[i : i+n]
			line += strings.Count(text, "\n")
		case c == '"' || c == '\'':
			n = quotedLen(source[i:])
			text = standardEscapes(source[i : i+n])
			line += strings.Count(source[i:i+n], "\n")
		case isWord(c) && c > '9':
			n = wordLen(source[i:])
			token = source[i : i+n]
			if text = token; token == "function" && last[0] == "=" && last[2] == "local" {
				text = "nil or function"
			}
		case c-'0' <= 9 || c == '.' && i+1 < len(source) && source[i+1]-'0' <= 9:
			n = numberLen(source[i:])
			var err string
			if text, err = standardNumber(source[i : i+n]); err != "" {
				return "", &engine.ScriptError{Script: name, Line: line, Msg: err}
			}
		case c == '.' && strings.HasPrefix(source[i:], ".."):
			n = 2
			text = ".."
		}
		out.WriteString(text)
		if i += n; token != "" {
			last = [3]string{token, last[0], last[1]}
		}
	}
	return out.String(), nil
}

func isWord(c byte) bool {
	return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' || c-'0' <= 9 || c >= 0x80
}

func wordLen(s string) int {
	n := 0
	for n < len(s) && isWord(s[n]) {
		n++
	}
	return n
}

// numberLen returns the length of the number that s begins with, and of all that sticks to it.
func numberLen(s string) int {
	exponent := byte('e')
	if strings.HasPrefix(s, "0x") || strings.HasPrefix(s, "0X") {
		exponent = 'p'
	}
	n := 0
	for n < len(s) && (isWord(s[n]) || s[n] == '.' && !strings.HasPrefix(s[n:], "..") || (s[n] == '+' || s[n] == '-') && s[n-1]|0x20 == exponent) {
		n++
	}
	return n
}

// standardNumber returns the number as gopher-lua reads it, or what is wrong with it.
func standardNumber(s string) (text, problem string) {
	lower := strings.ToLower(s)
	if strings.HasSuffix(lower, "ll") {
		return "", fmt.Sprintf("%s is a 64-bit integer of LuaJIT's ffi, which is not available: write a plain number (exact up to 2^53) or a string", s)
	}
	if len(s) < 2 || s[0] != '0' && s[0] != '.' || s[1] == '.' {
		return s, ""
	}
	if digits, ok := strings.CutPrefix(lower, "0b"); ok {
		n, err := strconv.ParseUint(digits, 2, 64)
		if err != nil {
			return "", fmt.Sprintf("malformed number near %q", s)
		}
		return strconv.FormatUint(n, 10), ""
	}
	n, ok := parseNumber(s)
	if !ok {
		return "", fmt.Sprintf("malformed number near %q", s)
	}
	return strconv.FormatFloat(n, 'g', -1, 64), ""
}

func commentLen(s string) int {
	if n := longLen(s[2:]); n > 0 {
		return 2 + n
	}
	if i := strings.IndexByte(s, '\n'); i >= 0 {
		return i
	}
	return len(s)
}

// longLen returns the length of the long bracket that s begins with, or 0.
func longLen(s string) int {
	if !strings.HasPrefix(s, "[") {
		return 0
	}
	level := 0
	for 1+level < len(s) && s[1+level] == '=' {
		level++
	}
	if 1+level >= len(s) || s[1+level] != '[' {
		return 0
	}
	end := "]" + strings.Repeat("=", level) + "]"
	if i := strings.Index(s, end); i >= 0 {
		return i + len(end)
	}
	return len(s)
}

func quotedLen(s string) int {
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '\\':
			if i++; i < len(s) && s[i] == 'z' {
				i += len(s[i+1:]) - len(strings.TrimLeft(s[i+1:], " \t\r\n"))
			}
		case s[0], '\n':
			return i + 1
		}
	}
	return len(s)
}

// standardEscapes rewrites the escapes of a quoted string, which may be cut off.
func standardEscapes(s string) string {
	if !strings.Contains(s, `\x`) && !strings.Contains(s, `\z`) && !strings.Contains(s, `\u`) {
		return s
	}
	var out strings.Builder
	lines := 0 // that \z skipped: they follow the string
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			out.WriteByte(s[i])
			continue
		}
		switch rest := s[i+2:]; s[i+1] {
		case 'x':
			if n, err := strconv.ParseUint(rest[:min(2, len(rest))], 16, 8); err == nil && len(rest) >= 2 {
				fmt.Fprintf(&out, `\%03d`, n)
				i += 3
				continue
			}
		case 'u':
			digits, _, ok := strings.Cut(strings.TrimPrefix(rest, "{"), "}")
			n, err := strconv.ParseUint(digits, 16, 32)
			if ok && err == nil && strings.HasPrefix(rest, "{") && n <= utf8.MaxRune {
				for _, b := range encodeRune(rune(n)) {
					fmt.Fprintf(&out, `\%03d`, b)
				}
				i += 1 + len(digits) + 2
				continue
			}
		case 'z':
			after := strings.TrimLeft(rest, " \t\r\n\v\f")
			lines += strings.Count(rest[:len(rest)-len(after)], "\n")
			i += 1 + len(rest) - len(after)
			continue
		}
		out.WriteString(s[i : i+2])
		i++
	}
	out.WriteString(strings.Repeat("\n", lines))
	return out.String()
}

// encodeRune is UTF-8 also for surrogates, as LuaJIT writes them.
func encodeRune(r rune) []byte {
	if r >= 0xd800 && r <= 0xdfff {
		return []byte{0xe0 | byte(r>>12), 0x80 | byte(r>>6)&0x3f, 0x80 | byte(r)&0x3f}
	}
	return utf8.AppendRune(nil, r)
}
