package luabind

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine"
)

type rowMode int

// skipUnknown leaves keys that are not in options to another call.
const skipUnknown rowMode = 1

// row reads the keys of a row. others are keys that another call reads.
func (c *config) row(path string, t *lua.LTable, options, others []engine.Option, mode ...rowMode) engine.Values {
	v := engine.Values{}
	var known []string
	for i := range options {
		o := &options[i]
		known = append(known, o.Key)
		v[o.Key] = c.option(path+"."+o.Key, o, t.RawGetString(o.Key))
	}
	if len(mode) > 0 {
		return v
	}
	for _, o := range others {
		known = append(known, o.Key)
	}
	for k, _ := t.Next(lua.LNil); k != lua.LNil; k, _ = t.Next(k) {
		switch k := k.(type) {
		case lua.LString:
			if !slices.Contains(known, string(k)) {
				c.fail(path+"."+string(k), "unknown key%s; this row may have %s", suggest(string(k), known), strings.Join(known, ", "))
			}
		default:
			c.fail(path, "has the key [%s]; a row has named keys only: {tag = ..., ...}", k.String())
		}
	}
	return v
}

// stringOf returns a string key of a row with its references resolved, without noting mistakes: row does that.
func (c *config) stringOf(path string, t *lua.LTable, key string) string {
	s, _ := t.RawGetString(key).(lua.LString)
	text, _ := c.expand(string(s))
	return text
}

// option converts v as o says and notes what is wrong. It returns the Go value for Values, the default for nil.
func (c *config) option(key string, o *engine.Option, v lua.LValue) any {
	if v == nil || v == lua.LNil {
		if o.Type == engine.Strings && o.Default == nil {
			return []string(nil)
		}
		return o.Default
	}
	got, want := c.convert(key, o, v)
	if want != "" {
		found := "a secret, not shown,"
		if !o.Secret {
			found = show(v)
		}
		c.fail(key, "is %s, want %s", found, want)
		return o.Default
	}
	return got
}

// convert returns the value, or what was wanted.
func (c *config) convert(key string, o *engine.Option, v lua.LValue) (got any, want string) {
	switch o.Type {
	case engine.String:
		s, ok := v.(lua.LString)
		if !ok {
			return nil, "a string"
		}
		text, err := c.expand(string(s))
		if path, ok := strings.CutPrefix(text, "file:"); ok && o.Secret && err == nil && !strings.HasPrefix(path, "//") {
			var b []byte
			if b, err = c.kinds.Read(path); err == nil {
				text = strings.TrimRight(string(b), "\r\n")
			}
		}
		if err != nil {
			c.fail(key, "%s", err.Error())
			return o.Default, ""
		}
		if len(o.Enum) > 0 && !slices.Contains(o.Enum, text) {
			return nil, "one of " + strings.Join(o.Enum, ", ") + suggest(text, o.Enum)
		}
		return text, ""
	case engine.Bool:
		b, ok := v.(lua.LBool)
		if !ok {
			return nil, "true or false"
		}
		return bool(b), ""
	case engine.Int, engine.Number, engine.Bytes, engine.Duration:
		return c.quantity(o, v)
	case engine.Strings:
		return c.list(v)
	}
	body, err := plainJSON(v)
	if err != nil {
		return nil, "a value that can be JSON (" + err.Error() + ")"
	}
	return body, ""
}

// quantity converts numbers, sizes and times.
func (c *config) quantity(o *engine.Option, v lua.LValue) (got any, want string) {
	want = map[engine.OptionType]string{engine.Int: "a whole number", engine.Number: "a number",
		engine.Bytes: `a number of bytes, or text such as "64KiB" or "16MiB"`, engine.Duration: `seconds, or text such as "250ms" or "1h"`}[o.Type]
	if o.Min != 0 || o.Max != 0 {
		want += fmt.Sprintf(", from %s to %s", quantityText(o.Type, o.Min), quantityText(o.Type, o.Max))
	}
	var n float64
	switch v := v.(type) {
	case lua.LNumber:
		n = float64(v)
	case lua.LString:
		text, err := c.expand(string(v))
		ok := err == nil
		if ok {
			n, ok = parseQuantity(o.Type, text)
		}
		if !ok {
			return nil, want
		}
	default:
		return nil, want
	}
	if math.IsNaN(n) || (o.Type == engine.Int || o.Type == engine.Bytes) && n != math.Trunc(n) || n < o.Min && o.Min != 0 || n < 0 && o.Min >= 0 || o.Max != 0 && n > o.Max || !holds(o.Type, n) {
		return nil, want
	}
	switch o.Type {
	case engine.Number:
		return n, ""
	case engine.Duration:
		return time.Duration(n * float64(time.Second)), ""
	}
	return int64(n), ""
}

// holds reports whether the Go type of t has room for n.
func holds(t engine.OptionType, n float64) bool {
	switch t {
	case engine.Int, engine.Bytes:
		return math.Abs(n) < 1<<63
	case engine.Duration:
		return math.Abs(n)*float64(time.Second) < 1<<63
	}
	return !math.IsInf(n, 0)
}

func quantityText(t engine.OptionType, n float64) string {
	switch {
	case t == engine.Bytes && n >= 1<<30:
		return fmt.Sprintf("%gGiB", n/(1<<30))
	case t == engine.Bytes && n >= 1<<20:
		return fmt.Sprintf("%gMiB", n/(1<<20))
	case t == engine.Duration && n > 0:
		return time.Duration(n * float64(time.Second)).String()
	}
	return strconv.FormatFloat(n, 'f', -1, 64)
}

var sizePattern = regexp.MustCompile(`^([0-9]+(?:\.[0-9]+)?)\s*(?i:([kmgt]?)(i?)b?)$`)

// parseQuantity reads "16MiB" (k, M, G, T are powers of 1024 with or without the i), "250ms", "12".
func parseQuantity(t engine.OptionType, s string) (float64, bool) {
	s = strings.TrimSpace(s)
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		return n, true
	}
	switch t {
	case engine.Bytes:
		m := sizePattern.FindStringSubmatch(s)
		if m == nil {
			return 0, false
		}
		n, err := strconv.ParseFloat(m[1], 64)
		return n * math.Pow(1024, float64(strings.Index(" kmgt", strings.ToLower(m[2] + " ")[:1]))), err == nil
	case engine.Duration:
		d, err := time.ParseDuration(s)
		return d.Seconds(), err == nil
	}
	return 0, false
}

// list converts "a", {"a", "b"}, or {} for none.
func (c *config) list(v lua.LValue) (any, string) {
	const want = `a string or a list of strings, such as {"src_ip", "dest_ip"}`
	if s, ok := v.(lua.LString); ok {
		text, err := c.expand(string(s))
		if err != nil {
			return nil, want + " (" + err.Error() + ")"
		}
		return []string{text}, ""
	}
	t, ok := v.(*lua.LTable)
	if !ok {
		return nil, want
	}
	list := []string{}
	for i := 1; i <= t.MaxN(); i++ {
		s, ok := t.RawGetInt(i).(lua.LString)
		if !ok {
			return nil, want
		}
		list = append(list, string(s))
	}
	if key, _ := t.Next(lua.LNil); len(list) == 0 && key != lua.LNil { // {src_ip = true}
		return nil, want
	}
	return list, ""
}

var reference = regexp.MustCompile(`\$?\$\{([^}]*)\}`)

// expand replaces ${NAME} and ${NAME:-default} by environment variables; $${ stands for ${.
func (c *config) expand(s string) (string, error) {
	var err error
	out := reference.ReplaceAllStringFunc(s, func(m string) string {
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		name, otherwise, hasDefault := strings.Cut(m[2:len(m)-1], ":-")
		if v, ok := c.kinds.Getenv(name); ok && (v != "" || !hasDefault) {
			return v
		}
		if !hasDefault && err == nil {
			err = fmt.Errorf("the environment variable %q is not set (${%s:-value} gives a default)", name, name)
		}
		return otherwise
	})
	return out, err
}

// plainJSON encodes a value of config.lua.
func plainJSON(v lua.LValue) (string, error) {
	L := lua.NewState(lua.Options{SkipOpenLibs: true})
	defer L.Close()
	body, _, err := newViews(L).encode(v, false)
	return body, err
}

// show words a value of the wrong type.
func show(v lua.LValue) string {
	switch v := v.(type) {
	case lua.LString:
		return strconv.Quote(string(v))
	case lua.LNumber:
		return formatNumber(float64(v))
	case lua.LBool:
		return v.String()
	}
	return "a " + v.Type().String()
}

// suggest returns ` (did you mean "uri"?)` for a near miss, else "".
func suggest(name string, known []string) string {
	best, distance := "", max(3, len(name)/4+1)
	for _, k := range known {
		if d := editDistance(strings.ToLower(name), strings.ToLower(k)); d < distance && d < max(2, len(k)/2+1) {
			best, distance = k, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(" (did you mean %q?)", best)
}

// editDistance is the number of insertions, deletions, replacements and swaps of neighbours between a and b.
func editDistance(a, b string) int {
	prev2, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], prev2[j-2]+1)
			}
		}
		prev2, prev, row = prev, row, prev2
	}
	return prev[len(b)]
}
