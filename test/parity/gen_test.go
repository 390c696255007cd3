package parity

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
)

// step is one command of a sequence.
type step struct {
	conn int
	args []string
}

func (s step) String() string {
	var b strings.Builder
	if s.conn == other {
		b.WriteString("(other connection) ")
	}
	b.WriteString(show(s.args))
	return b.String()
}

// show prints a command so that redis-cli reads it.
func show(args []string) string {
	parts := make([]string, len(args))
	for i, a := range args {
		if parts[i] = a; a == "" || strings.ContainsFunc(a, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\'' || r == '\\' }) || len(a) > 100 {
			parts[i] = quote(a)
		}
	}
	return strings.Join(parts, " ")
}

// source makes the choices: at random, or from the bytes of the fuzzer.
type source struct {
	rng  *rand.Rand // nil: bytes decide
	data []byte
}

// n returns a number below k, 256 at most.
func (s *source) n(k int) int {
	switch {
	case s.rng != nil:
		return s.rng.IntN(k)
	case len(s.data) == 0:
		return 0
	}
	b := s.data[0]
	s.data = s.data[1:]
	return int(b) % k
}

func (s *source) ended() bool { return s.rng == nil && len(s.data) == 0 }

func (s *source) pick(of []string) string { return of[s.n(len(of))] }

// grammarGroup is a group whose grammars are parsed.
type grammarGroup struct {
	name        string
	nodes, fill []node
}

// generator makes sequences of commands.
type generator struct {
	source
	groups []grammarGroup
	large  []node
	count  int               // commands so far: makes each time to live different from all before
	made   []string          // the last keys that a filling command made
	open   [connections]bool // in a transaction, as far as the generator knows
}

// grammars returns the parsed grammars: of scripting only if the store has it.
func grammars(scripts bool) (all []grammarGroup) {
	for _, gr := range groups(scripts) {
		all = append(all, grammarGroup{gr.name, parseAll(gr.grammars), parseAll(gr.fill)})
	}
	return all
}

func parseAll(texts []string) (nodes []node) {
	for _, text := range texts {
		nodes = append(nodes, parse(text))
	}
	return nodes
}

var (
	parsed        = sync.OnceValue(func() []grammarGroup { return grammars(false) })
	parsedScripts = sync.OnceValue(func() []grammarGroup { return grammars(true) })
	parsedLarge   = sync.OnceValue(func() []node { return parseAll(large) })
)

// newGenerator returns a generator of commands; those of scripting only if the store has them.
func newGenerator(src source, scripts bool) *generator {
	g := &generator{source: src, groups: parsed(), large: parsedLarge()}
	if scripts {
		g.groups = parsedScripts()
	}
	return g
}

// sequence returns length commands, or as many as there are bytes for. Most are about one type, so that its values grow.
func (g *generator) sequence(length int) []step {
	g.count, g.made, g.open = 0, nil, [connections]bool{}
	theme := g.group()
	var steps []step
	for len(steps) < length && !g.ended() {
		steps = append(steps, g.step(theme))
	}
	return steps
}

// watched returns rounds in which one connection watches all keys while another carries out one command.
func (g *generator) watched(rounds int) []step {
	theme := g.group()
	all := step{other, append([]string{"WATCH"}, keyNames...)}
	var steps []step
	for range 8 {
		steps = append(steps, g.step(theme))
	}
	for _, conn := range []int{actor, other} {
		steps = append(steps, step{conn, []string{"DISCARD"}})
	}
	for range rounds {
		steps = append(steps, all, step{other, []string{"MULTI"}}, step{other, []string{"PING"}}, step{actor, g.command(theme, actor)},
			step{other, []string{"EXEC"}})
	}
	return steps
}

// group chooses a group, those with more commands more often.
func (g *generator) group() int {
	sum := 0
	for _, gr := range g.groups {
		sum += len(gr.nodes) + 5
	}
	at := g.n(sum)
	for i, gr := range g.groups {
		if at -= len(gr.nodes) + 5; at < 0 {
			return i
		}
	}
	return 0
}

func (g *generator) step(theme int) step {
	g.count++
	st := step{conn: actor}
	if g.n(8) == 7 {
		st.conn = other
	}
	st.args = g.command(theme, st.conn)
	switch strings.ToUpper(st.args[0]) {
	case "MULTI":
		g.open[st.conn] = true
	case "EXEC", "DISCARD":
		g.open[st.conn] = false
	}
	return st
}

func (g *generator) command(theme, conn int) []string {
	if g.open[conn] && g.n(6) == 0 {
		return []string{g.pick([]string{"EXEC", "EXEC", "EXEC", "DISCARD"})}
	}
	switch k := g.n(128); {
	case k == 0:
		return g.expand(g.large[g.n(len(g.large))], nil)
	case k < 12 || g.count < 6:
		fill := g.groups[theme].fill
		if len(fill) == 0 || g.n(4) == 0 {
			fill = g.groups[g.n(len(typed))].fill
		}
		args := g.expand(fill[g.n(len(fill))], nil)
		g.made = append(g.made[max(len(g.made)-5, 0):], args[1])
		return args
	case k < 50:
		theme = g.group()
	}
	nodes := g.groups[theme].nodes
	args := g.expand(nodes[g.n(len(nodes))], nil)
	if strings.HasPrefix(args[0], "FLUSH") && g.n(2) == 0 { // or nothing grows
		args = []string{"DBSIZE"}
	}
	if g.n(10) == 9 {
		args = g.spoil(args)
	}
	return args
}

// spoil makes a command wrong, or strange.
func (g *generator) spoil(args []string) []string {
	args = append([]string(nil), args...)
	at := g.n(len(args))
	switch g.n(7) {
	case 0: // too few
		if len(args) > 1 {
			return args[:len(args)-1]
		}
	case 1:
		if at > 0 {
			return append(args[:at], args[at+1:]...)
		}
	case 2: // too many
		return append(args, g.pick(oddities))
	case 3:
		if at > 0 {
			args[at] = g.pick(oddities)
		}
	case 4: // another order
		if b := g.n(len(args)); at > 0 && b > 0 {
			args[at], args[b] = args[b], args[at]
		}
	case 6: // options twice
		if at > 1 {
			return append(args, args[at:]...)
		}
	case 5: // another case
		if at == 0 || args[0] != "EVAL" && args[0] != "SCRIPT" { // Lua tells cases apart
			args[at] = strings.ToLower(args[at])
		}
	}
	return args
}

func (g *generator) expand(n node, out []string) []string {
	switch n.op {
	case 'w':
		return append(out, g.word(n.word)...)
	case 's':
		for _, sub := range n.subs {
			out = g.expand(sub, out)
		}
	case '[':
		if g.n(2) == 1 {
			return g.expand(n.subs[g.n(len(n.subs))], out)
		}
	case '{':
		return g.expand(n.subs[g.n(len(n.subs))], out)
	case '<':
		order := make([]int, len(n.subs))
		for i := range order {
			order[i] = i
		}
		for i := len(order) - 1; i > 0; i-- {
			j := g.n(i + 1)
			order[i], order[j] = order[j], order[i]
		}
		for _, i := range order {
			out = g.expand(n.subs[i], out)
		}
	case '+':
		for range 1 + g.n(2)*g.n(4) {
			out = g.expand(n.subs[0], out)
		}
	}
	return out
}

// keyNames are all keys; each type has two that are mostly its own; y1 and y2 are
// sorted sets of one score.
var keyNames = []string{"s1", "s2", "h1", "h2", "l1", "l2", "t1", "t2", "z1", "z2", "p1", "p2", "x1", "x2", "y1", "y2", "", "k\x00\xff"}

var ownKeys = map[string]int{"ks": 0, "kh": 2, "kl": 4, "kt": 6, "kz": 8, "kp": 10, "kx": 12, "ky": 14}

var long = strings.Repeat("long ", 20) // beyond the 64 bytes of a listpack

var (
	members    = []string{"a", "b", "c", "1", "2", "3", "-5", "10", "a", "b", "007", "", "bin\x00\xff\r\n", "9223372036854775807", "A", "ab", long}
	values     = []string{"", "x", "hello", "hello world", "a\x00b", "\xff\xfe", "\r\n", "ab", " 1", "+1", long}
	badInts    = []string{"9223372036854775807", "-9223372036854775808", "9223372036854775808", "-9223372036854775809", "+1", "01", " 1", "1 ", "-0", "1.0", "1e3", "0x10", "", "abc", "4611686018427387904", "-4611686018427387905", "4294967296", "2147483648", "-2147483649"}
	floats     = []string{"0", "1", "-1", "1.5", "0.1", "0.2", "-0", "-0.0", "3.0e3", "1e15", "1e16", "1e17", "1e21", "-2.5e-3", "0.30000000000000004", "123456.789", "3.14159265358979", "1e-5", "1e100", "100", "17"}
	badFloats  = []string{"inf", "-inf", "+inf", "Infinity", "nan", "-nan", "1e308", "-1e308", "1e-320", "1e400", "1e5000", "1e-400", "1e-5000", "0e-5000", "0x0p-9999", "0b1", "0o7", "010", "1p3", "-0x1.8p1", "+1", "0x1p3", "0x10", " 1", "1 ", "1_0", "", "abc", "123456789012345678901234567890", "123456.789e-3", "5e-324", "1e", ".5", "5.", "+.5e1", "12345678901234567", "0.1234567890123456789", "1\x002", "infi", "1e+3", "0X1P-2", "99999999999999999.5", "9007199254740993"}
	scoreEnds  = []string{"-inf", "+inf", "-inf", "+inf", "0", "1", "2", "(1", "3", "10", "(2", "1.5", "(-inf", "(+inf", "inf"}
	badEnds    = []string{"abc", "(", "nan", "(nan", "", "((1", " 1", "[1", "( 1", "0x1", "1e400", "-"}
	lexEnds    = []string{"-", "+", "-", "+", "[a", "(a", "[b", "(b", "[c", "(", "[", "[1", "(3", "[ab"}
	badLexEnds = []string{"a", "", "--", "+a", "1", "\x00"}
	globs      = []string{"*", "*", "?", "a*", "[ab]*", "[^a]*", `\*`, "h[1-2]", "*1", "", "[a", "[z-a]", `k\`, "**a", "?*?", "[\x00-\xff]*", "s[12]", "*a*b*", "[^]", "[]", `[\a]*`, "[a-", "1", "[1-]*"}
	ids        = []string{"1", "2-1", "5-0", "5", "5-*", "0-1", "7-7", "3-*", "9-18446744073709551615", "4", "6-1", "10-*", "*", "12-3"}
	badIDs     = []string{"0-0", "0", "18446744073709551615-18446744073709551615", "-", "+", "abc", "1-", "-1", "3-3-3", "1-abc", "18446744073709551616", "", "00001-02", "1-*x", "*-1", " 1", "1-+2", "$"}
	rangeIDs   = []string{"-", "+", "(1-1", "2", "5", "(5", "(5-0", "0", "9", "(18446744073709551615-18446744073709551615", "(0-0", "7-7", "(-", "(", "abc", "(+", "3-", "10-9"}
	types      = []string{"string", "list", "set", "zset", "hash", "stream", "STRING", "none", ""}
	scripts    = []string{"return 1", "return {1,2,'a',{ok='fine'}}", "return redis.call('get', KEYS[1])", "return redis.call('set', KEYS[1], ARGV[1])", "return redis.pcall('incr', KEYS[1])", "return redis.call('incr', KEYS[1])", "return {err='MY error'}", "return ARGV", "return KEYS", "return 3.99", "return nil", "return false", "return true", "return {1,nil,2}", "return redis.error_reply('ERR x')", "return redis.status_reply('y')", "return #redis.call('hgetall', KEYS[1])", "return redis.sha1hex('x')", "redis.call('sadd', KEYS[1], 'a', 'b') return redis.call('scard', KEYS[1])"}
	shas       = []string{"e0e1f9fabfc9d4800c877a703b823ac0578ff8db", "E0E1F9FABFC9D4800C877A703B823AC0578FF8DB", "ffffffffffffffffffffffffffffffffffffffff", "abc", ""}

	// oddities take the place of any argument.
	oddities = []string{"NX", "XX", "GT", "LT", "CH", "INCR", "GET", "EX", "PX", "KEEPTTL", "LIMIT", "COUNT", "MATCH", "WITHSCORES", "WITHVALUES", "WEIGHTS", "AGGREGATE", "BYSCORE", "BYLEX", "REV", "REPLACE", "DB", "LEFT", "MIN", "RANK", "MAXLEN", "MINID", "~", "=", "NOMKSTREAM", "STREAMS", "BEFORE", "ASYNC", "", "0", "-1", "abc", "1.5", "inf", "nan", "9223372036854775807", "9223372036854775808", "-", "+", "(1", "[a", "s1", "z1", "\x00", "1e400", long}
)

// word makes up the arguments of one word of the grammar.
func (g *generator) word(w string) []string {
	if w[0] < 'a' || w[0] > 'z' {
		return []string{w}
	}
	if own, typed := ownKeys[w]; typed {
		if k := g.n(16); k < 13 {
			return []string{keyNames[own+k%2]}
		}
		return []string{g.pick(keyNames)}
	}
	switch w {
	case "k":
		if len(g.made) > 0 && g.n(2) == 0 {
			return []string{g.pick(g.made)}
		}
		return []string{g.pick(keyNames)}
	case "nk", "nkl", "nkt", "nkz":
		return g.numbered(w[1:])
	case "v":
		switch g.n(8) {
		case 0, 1, 2:
			return []string{strconv.Itoa(g.n(21) - 10)}
		case 3:
			return g.word("fl")
		case 4:
			return g.word("i")
		}
		return []string{g.pick(values)}
	case "m", "f":
		return []string{g.pick(members)}
	case "i":
		return []string{g.mostly(strconv.Itoa(g.n(41)-20), badInts)}
	case "fl":
		return []string{g.mostly(g.pick(floats), badFloats)}
	case "sc":
		if g.n(3) == 0 {
			return []string{g.mostly(g.pick(floats), badFloats)}
		}
		return []string{strconv.Itoa(g.n(8) - 2)}
	case "idx":
		if g.n(3) == 0 {
			return []string{strconv.Itoa(g.n(3) - 1)}
		}
		return []string{g.mostly(strconv.Itoa(g.n(15)-7), badInts)}
	case "cnt":
		return []string{g.mostly(strconv.Itoa(g.n(6)), append(badInts, "-1", "0", "1000"))}
	case "rcnt":
		return []string{g.mostly(strconv.Itoa(g.n(21)-10), badInts)}
	case "off":
		return []string{g.mostly(strconv.Itoa(g.n(64)), append(badInts, "-1", "1000", "536870912", "4294967296"))}
	case "bit":
		return []string{g.mostly(strconv.Itoa(g.n(2)), []string{"2", "-1", "", "abc"})}
	case "db":
		return []string{g.pick([]string{"0", "-1", "16", "abc", "", "99999999999999999999", "2147483648", "-2147483649"})}
	case "ttl": // in seconds; no two are less than 10 s apart, or GT and LT would depend on the milliseconds
		return []string{g.mostly(strconv.Itoa((1+g.n(100))*10000+g.count*10), append(badInts, "0", "-1", "9223372036854775", "9223372036854776", "-9223372036854775"))}
	case "pttl":
		return []string{g.mostly(strconv.Itoa((1+g.n(100))*10_000_000+g.count*10_000+5_000_000), append(badInts, "0", "-1"))}
	case "at":
		return []string{g.mostly(strconv.Itoa(4102444800+g.n(5)*100), append(badInts, "0", "-1", "1", "1000000000"))}
	case "pat":
		return []string{g.mostly(strconv.Itoa(4102444800000+g.n(5)*100), append(badInts, "0", "-1", "1", "1000000000000"))}
	case "min", "max":
		return []string{g.mostly(g.pick(scoreEnds), badEnds)}
	case "lmin", "lmax":
		return []string{g.mostly(g.pick(lexEnds), badLexEnds)}
	case "glob":
		return []string{g.pick(globs)}
	case "cur":
		return []string{g.mostly("0", []string{"abc", "", "-1", "18446744073709551616", " 0", "0x", "1.5"})}
	case "typ":
		return []string{g.pick(types)}
	case "agg":
		return []string{g.mostly(g.pick([]string{"SUM", "MIN", "MAX", "sum"}), []string{"AVG", ""})}
	case "id":
		return []string{g.mostly(g.pick(ids), badIDs)}
	case "xid":
		return []string{g.mostly(g.pick([]string{"0", "1", "2-1", "5", "$"}), badIDs)}
	case "xmin", "xmax":
		return []string{g.pick(rangeIDs)}
	case "script":
		return []string{g.pick(scripts)}
	case "sha":
		return []string{g.pick(shas)}
	case "huge":
		return []string{strings.Repeat("huge", 1<<18)}
	case "many1", "many2", "manyint":
		return g.many(w)
	}
	panic("BUG: no such word in the grammar: " + w)
}

// mostly returns usual, or one time in 12 one of odd.
func (g *generator) mostly(usual string, odd []string) string {
	if g.n(16) == 15 {
		return g.pick(odd)
	}
	return usual
}

// numbered returns one to four keys after their number, which is sometimes wrong.
func (g *generator) numbered(key string) []string {
	n := 1 + g.n(2) + g.n(2)*g.n(2)
	said := strconv.Itoa(n)
	if g.n(24) == 23 {
		said = g.pick([]string{"0", "-1", "1", "100", "abc", "", "9223372036854775807"})
	}
	out := []string{said}
	for range n {
		out = append(out, g.word(key)...)
	}
	return out
}

// many returns some more than Redis keeps in its small encodings.
func (g *generator) many(w string) []string {
	n := 125 + g.n(10)
	if w == "manyint" {
		n = 505 + g.n(20)
	}
	var out []string
	for i := range n {
		switch w {
		case "many1":
			out = append(out, fmt.Sprintf("m%d", i))
		case "many2":
			out = append(out, strconv.Itoa(i*7%100), fmt.Sprintf("m%d", i))
		case "manyint":
			out = append(out, strconv.Itoa(i*3))
		}
	}
	return out
}
