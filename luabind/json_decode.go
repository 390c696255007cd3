package luabind

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/lazyjson"
)

// decoder reads JSON into whole tables, for cjson.decode. It accepts what lua-cjson accepts and words its errors alike.
type decoder struct {
	vs       *views
	s        string
	i        int
	depth    int
	maxDepth int
	invalid  bool // NaN, Infinity, hexadecimal numbers
	made     int  // bytes of tables that the budget does not know of
	total    int  // and of those it knows of
}

// charge tells the budget now and then how much was made.
func (d *decoder) charge(n int) error {
	if d.made += n; d.made < 16*bigString {
		return nil
	}
	n, d.made = d.made, 0
	d.total += n
	return d.vs.lim.take(n, d.total)
}

// What decoded tables take about, in bytes.
const (
	objectCost = 800
	memberCost = 150
	arrayCost  = 200
	valueCost  = 24
)

// decodeText decodes one JSON value.
func decodeText(vs *views, s string) (v lua.LValue, pos int, err error) {
	d := decoder{vs: vs, s: s, maxDepth: lazyjson.MaxDepth, invalid: true}
	v, err = d.document()
	return v, d.i, err
}

func (d *decoder) document() (lua.LValue, error) {
	d.space()
	v, err := d.value()
	if err != nil {
		return nil, err
	}
	if d.space(); d.i < len(d.s) {
		return nil, d.expected("the end")
	}
	return v, nil
}

func (d *decoder) space() {
	for d.i < len(d.s) && (d.s[d.i] == ' ' || d.s[d.i] == '\t' || d.s[d.i] == '\n' || d.s[d.i] == '\r') {
		d.i++
	}
}

// expected words the error for what stands at i.
func (d *decoder) expected(what string) error {
	found := "invalid token"
	if d.i >= len(d.s) {
		found = "T_END"
	} else {
		switch c := d.s[d.i]; {
		case c == '{':
			found = "T_OBJ_BEGIN"
		case c == '}':
			found = "T_OBJ_END"
		case c == '[':
			found = "T_ARR_BEGIN"
		case c == ']':
			found = "T_ARR_END"
		case c == ':':
			found = "T_COLON"
		case c == ',':
			found = "T_COMMA"
		case c == '"':
			found = "T_STRING"
		case c == '-' || c-'0' <= 9:
			found = "T_NUMBER"
		case strings.HasPrefix(d.s[d.i:], "true"), strings.HasPrefix(d.s[d.i:], "false"):
			found = "T_BOOLEAN"
		case strings.HasPrefix(d.s[d.i:], "null"):
			found = "T_NULL"
		}
	}
	return fmt.Errorf("Expected %s but found %s at character %d", what, found, d.i+1)
}

func (d *decoder) value() (lua.LValue, error) {
	if d.i >= len(d.s) {
		return nil, d.expected("value")
	}
	rest := d.s[d.i:]
	switch c := rest[0]; {
	case c == '"':
		s, err := d.text()
		if err != nil {
			return nil, err
		}
		return d.vs.internString(s), nil
	case c == '{':
		return d.object()
	case c == '[':
		return d.array()
	case strings.HasPrefix(rest, "true"):
		d.i += 4
		return lua.LTrue, nil
	case strings.HasPrefix(rest, "false"):
		d.i += 5
		return lua.LFalse, nil
	case strings.HasPrefix(rest, "null"):
		d.i += 4
		return d.vs.null, nil
	case c == '-' || c == '+' || c-'0' <= 9 || c|0x20 == 'n' || c|0x20 == 'i':
		return d.number()
	}
	return nil, d.expected("value")
}

func (d *decoder) enter() error {
	if d.depth++; d.depth > d.maxDepth {
		return fmt.Errorf("Found too many nested data structures (%d) at character %d", d.depth, d.i+1)
	}
	return nil
}

func (d *decoder) object() (lua.LValue, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	d.i++
	if err := d.charge(objectCost); err != nil {
		return nil, err
	}
	t := d.vs.L.CreateTable(0, 4)
	d.space()
	if d.i < len(d.s) && d.s[d.i] == '}' {
		d.i++
		d.depth--
		return t, nil
	}
	for {
		if d.space(); d.i >= len(d.s) || d.s[d.i] != '"' {
			return nil, d.expected("object key string")
		}
		key, err := d.text()
		if err != nil {
			return nil, err
		}
		if d.space(); d.i >= len(d.s) || d.s[d.i] != ':' {
			return nil, d.expected("colon")
		}
		d.i++
		d.space()
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		if err := d.charge(memberCost + len(key)); err != nil {
			return nil, err
		}
		t.RawSetString(strings.Clone(key), v)
		if d.space(); d.i >= len(d.s) || (d.s[d.i] != ',' && d.s[d.i] != '}') {
			return nil, d.expected("comma or object end")
		}
		d.i++
		if d.s[d.i-1] == '}' {
			d.depth--
			return t, nil
		}
	}
}

func (d *decoder) array() (lua.LValue, error) {
	if err := d.enter(); err != nil {
		return nil, err
	}
	d.i++
	if err := d.charge(arrayCost); err != nil {
		return nil, err
	}
	t := d.vs.L.CreateTable(4, 0)
	t.Metatable = d.vs.arrayMeta
	d.space()
	if d.i < len(d.s) && d.s[d.i] == ']' {
		d.i++
		d.depth--
		return t, nil
	}
	for n := 1; ; n++ {
		d.space()
		v, err := d.value()
		if err != nil {
			return nil, err
		}
		if err := d.charge(valueCost); err != nil {
			return nil, err
		}
		t.RawSetInt(n, v)
		if d.space(); d.i >= len(d.s) || (d.s[d.i] != ',' && d.s[d.i] != ']') {
			return nil, d.expected("comma or array end")
		}
		d.i++
		if d.s[d.i-1] == ']' {
			d.depth--
			return t, nil
		}
	}
}

// text decodes the string at i. Unlike events, cjson allows control characters in strings, except NUL.
func (d *decoder) text() (string, error) {
	start, escaped := d.i+1, false
	for i := start; i < len(d.s); i++ {
		switch d.s[i] {
		case '"':
			raw := d.s[start:i]
			d.i = i + 1
			if escaped {
				return lazyjson.Unquote(raw), nil
			}
			return raw, nil
		case '\\':
			escaped = true
			n, ok := escapeLen(d.s[i:])
			if !ok {
				return "", fmt.Errorf("Expected value but found invalid escape code at character %d", i+1)
			}
			i += n - 1
		case 0:
			return "", fmt.Errorf("Expected value but found unexpected end of string at character %d", i+1)
		}
	}
	return "", fmt.Errorf("Expected value but found unexpected end of string at character %d", len(d.s)+1)
}

// escapeLen returns the length of the escape sequence that s begins with.
func escapeLen(s string) (int, bool) {
	if len(s) < 2 {
		return 0, false
	}
	if s[1] != 'u' {
		return 2, strings.IndexByte(`"\/bfnrt`, s[1]) >= 0
	}
	if len(s) < 6 {
		return 0, false
	}
	_, err := strconv.ParseUint(s[2:6], 16, 16)
	return 6, err == nil
}

func (d *decoder) number() (lua.LValue, error) {
	end := d.i
	for end < len(d.s) && strings.IndexByte(" \t\r\n,]}:\"[{", d.s[end]) < 0 {
		end++
	}
	text := d.s[d.i:end]
	if lazyjson.Validate(text) == nil {
		d.i = end
		return d.vs.number(text), nil
	}
	if d.invalid {
		if n, ok := parseRelaxed(text); ok {
			d.i = end
			return lua.LNumber(n), nil
		}
	}
	if text[0]|0x20 == 'n' || text[0]|0x20 == 'i' || text[0] == '+' {
		return nil, d.expected("value")
	}
	return nil, fmt.Errorf("Expected value but found invalid number at character %d", d.i+1)
}

// parseRelaxed reads the numbers that lua-cjson accepts beyond JSON, those of C's strtod: NaN, Infinity, a plus sign,
// leading zeros, hexadecimal.
func parseRelaxed(text string) (float64, bool) {
	lower := strings.ToLower(text)
	bare := strings.TrimLeft(lower, "+-")
	switch {
	case bare == "" || len(bare) < len(text)-1 || bare[0] == '.' && text[0] != '-' || strings.Contains(bare, "_"):
		return 0, false
	case bare == "nan":
		return math.NaN(), true
	case strings.HasPrefix(bare, "0x") && !strings.Contains(bare, "p"):
		lower += "p0"
	}
	n, err := strconv.ParseFloat(lower, 64)
	return n, err == nil || errors.Is(err, strconv.ErrRange) // out of range: an infinity
}
