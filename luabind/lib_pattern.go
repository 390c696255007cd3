package luabind

import (
	"errors"
	"strings"
)

// pattern is a compiled Lua 5.1 pattern.
type pattern struct {
	items    []item
	anchored bool
	literal  string // the whole pattern, if it matches only itself
	plain    bool   // literal holds
	captures int
	first    *[256]bool // bytes that a match can begin with; nil: any
}

type itemKind uint8

const (
	itemByte itemKind = iota
	itemAny
	itemSet
	itemOpen     // ( : captures[n] begins
	itemPosition // () : captures[n] is a position
	itemClose    // ) : captures[n] ends
	itemBackRef  // %1
	itemBalance  // %bxy
	itemFrontier // %f[set]
	itemEnd      // $ at the end
	itemError    // a mistake that Lua reports when the match comes to it
)

type item struct {
	kind itemKind
	rep  byte // 0, '*', '+', '-', '?'
	c, d byte
	n    int
	set  *[256]bool
	text string
}

const maxCaptures = 32

// compilePattern compiles a pattern. Errors are worded as in Lua.
func compilePattern(p string) (*pattern, error) {
	out := &pattern{}
	i := 0
	if strings.HasPrefix(p, "^") {
		out.anchored = true
		i = 1
	}
	var open []int
	closed := [maxCaptures]bool{}
	for i < len(p) {
		it := item{}
		switch c := p[i]; c {
		case '(':
			if out.captures >= maxCaptures {
				return nil, errors.New("too many captures")
			}
			it.n = out.captures
			out.captures++
			if i+1 < len(p) && p[i+1] == ')' {
				it.kind = itemPosition
				closed[it.n] = true
				i += 2
			} else {
				it.kind = itemOpen
				open = append(open, it.n)
				i++
			}
			out.items = append(out.items, it)
			continue
		case ')':
			if len(open) == 0 {
				out.items = append(out.items, item{kind: itemError, text: "invalid pattern capture"})
				return out, nil // an error, but only where the match comes to it
			}
			it.kind, it.n = itemClose, open[len(open)-1]
			closed[it.n] = true
			open = open[:len(open)-1]
			out.items = append(out.items, it)
			i++
			continue
		case '$':
			if i+1 == len(p) {
				out.items = append(out.items, item{kind: itemEnd})
				i++
				continue
			}
			it.kind, it.c = itemByte, c
			i++
		case '.':
			it.kind = itemAny
			i++
		case '[':
			set, next, err := compileSet(p, i)
			if err != nil {
				return nil, err
			}
			it.kind, it.set = itemSet, set
			i = next
		case '%':
			if i+1 >= len(p) {
				return nil, errors.New("malformed pattern (ends with '%')")
			}
			switch d := p[i+1]; {
			case d == 'b':
				if i+3 >= len(p) {
					return nil, errors.New("unbalanced pattern")
				}
				out.items = append(out.items, item{kind: itemBalance, c: p[i+2], d: p[i+3]})
				i += 4
				continue
			case d == 'f':
				if i+2 >= len(p) || p[i+2] != '[' {
					return nil, errors.New("missing '[' after '%f' in pattern")
				}
				set, next, err := compileSet(p, i+2)
				if err != nil {
					return nil, err
				}
				out.items = append(out.items, item{kind: itemFrontier, set: set})
				i = next
				continue
			case d >= '0' && d <= '9':
				n := int(d - '1')
				if n < 0 || n >= out.captures || !closed[n] {
					out.items = append(out.items, item{kind: itemError, text: "invalid capture index"})
					i += 2
					continue
				}
				out.items = append(out.items, item{kind: itemBackRef, n: n})
				i += 2
				continue
			default:
				if set := classSet(d); set != nil {
					it.kind, it.set = itemSet, set
				} else {
					it.kind, it.c = itemByte, d
				}
				i += 2
			}
		default:
			it.kind, it.c = itemByte, c
			i++
		}
		if i < len(p) && strings.IndexByte("*+-?", p[i]) >= 0 {
			it.rep = p[i]
			i++
		}
		out.items = append(out.items, it)
	}
	if len(open) > 0 {
		return nil, errors.New("unfinished capture")
	}
	out.optimize()
	return out, nil
}

// optimize finds what can be searched for faster than item by item.
func (p *pattern) optimize() {
	p.plain = !p.anchored
	var b strings.Builder
	for _, it := range p.items {
		if it.kind != itemByte || it.rep != 0 {
			p.plain = false
			break
		}
		b.WriteByte(it.c)
	}
	if p.plain {
		p.literal = b.String()
		return
	}
	for _, it := range p.items {
		switch it.kind {
		case itemOpen, itemPosition:
			continue
		case itemByte, itemSet:
			if it.rep == 0 || it.rep == '+' {
				if p.first = it.set; it.kind == itemByte {
					p.first = &[256]bool{}
					p.first[it.c] = true
				}
			}
		}
		return
	}
}

// compileSet compiles the set at p[i] == '['. next is behind it.
func compileSet(p string, i int) (set *[256]bool, next int, err error) {
	missing := errors.New("malformed pattern (missing ']')")
	set = &[256]bool{}
	i++
	negate := false
	if i < len(p) && p[i] == '^' {
		negate = true
		i++
	}
	for first := true; ; first = false {
		if i >= len(p) {
			return nil, 0, missing
		}
		c := p[i]
		if c == ']' && !first {
			break
		}
		if c == '%' {
			if i+1 >= len(p) {
				return nil, 0, missing
			}
			if class := classSet(p[i+1]); class != nil {
				for b, in := range class {
					set[b] = set[b] || in
				}
			} else {
				set[p[i+1]] = true
			}
			i += 2
			continue
		}
		if i+2 < len(p) && p[i+1] == '-' && p[i+2] != ']' {
			for b := int(c); b <= int(p[i+2]); b++ {
				set[b] = true
			}
			i += 3
			continue
		}
		set[c] = true
		i++
	}
	if negate {
		for b := range set {
			set[b] = !set[b]
		}
	}
	return set, i + 1, nil
}

var classes = func() map[byte]*[256]bool {
	tests := map[byte]func(c byte) bool{
		'a': func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' },
		'c': func(c byte) bool { return c < ' ' || c == 0x7f },
		'd': func(c byte) bool { return c >= '0' && c <= '9' },
		'l': func(c byte) bool { return c >= 'a' && c <= 'z' },
		'p': func(c byte) bool {
			return c > ' ' && c < 0x7f && !(c|0x20 >= 'a' && c|0x20 <= 'z') && !(c >= '0' && c <= '9')
		},
		's': func(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' },
		'u': func(c byte) bool { return c >= 'A' && c <= 'Z' },
		'w': func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' },
		'x': func(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'f' || c >= '0' && c <= '9' },
		'z': func(c byte) bool { return c == 0 },
		'g': func(c byte) bool { return c > ' ' && c < 0x7f },
	}
	sets := map[byte]*[256]bool{}
	for name, test := range tests {
		var in, not [256]bool
		for c := range 256 {
			in[c] = test(byte(c))
			not[c] = !in[c]
		}
		sets[name], sets[name-'a'+'A'] = &in, &not
	}
	return sets
}()

// classSet returns the set of %c, or nil if c is no class.
func classSet(c byte) *[256]bool { return classes[c] }

// capture is a part of the subject; end is -1 for a position, -2 while open.
type capture struct{ start, end int }

const (
	capturePosition = -1
	captureOpen     = -2
)

// matcher runs patterns over subjects. It belongs to one interpreter.
type matcher struct {
	lim   *limits
	p     *pattern
	s     string
	caps  [maxCaptures]capture
	steps int
	depth int
}

// Limits of one match.
const (
	stepsPerCheck = 4096
	maxMatchDepth = 200 // nested captures and lazy parts, as MAXCCALLS in Lua
)

type matchError string

func (e matchError) Error() string { return string(e) }

// find returns the first match of p in s at or behind init, or start -1. The captures are in m.caps.
func (m *matcher) find(p *pattern, s string, init int) (start, end int) {
	m.p, m.s, m.steps, m.depth = p, s, 0, 0
	if p.plain {
		if i := strings.Index(s[init:], p.literal); i >= 0 {
			return init + i, init + i + len(p.literal)
		}
		return -1, -1
	}
	for i := init; ; i++ {
		if p.first != nil && !p.anchored {
			for i < len(s) && !p.first[s[i]] {
				i++
			}
			if i == len(s) {
				return -1, -1
			}
		}
		if end := m.match(i, 0); end >= 0 {
			return i, end
		}
		if p.anchored || i >= len(s) {
			return -1, -1
		}
	}
}

// step counts the work and gives up when the callback's time is over.
func (m *matcher) step() { m.work(1) }

// work counts n steps at once.
func (m *matcher) work(n int) {
	before := m.steps / stepsPerCheck
	if m.steps += n; m.steps/stepsPerCheck != before && m.lim.stopped() {
		panic(matchError(m.lim.stopText()))
	}
}

func (it *item) matches(c byte) bool {
	switch it.kind {
	case itemByte:
		return it.c == c
	case itemAny:
		return true
	}
	return it.set[c]
}

// match matches items[pi:] at s[i:] and returns where that ends, or -1.
func (m *matcher) match(i, pi int) int {
	if m.depth++; m.depth > maxMatchDepth {
		panic(matchError("pattern too complex"))
	}
	defer func() { m.depth-- }()
	items := m.p.items
	for ; pi < len(items); pi++ {
		m.step()
		it := &items[pi]
		switch it.kind {
		case itemOpen:
			m.caps[it.n] = capture{i, captureOpen}
			return m.match(i, pi+1)
		case itemPosition:
			m.caps[it.n] = capture{i, capturePosition}
		case itemClose:
			old := m.caps[it.n]
			m.caps[it.n].end = i
			end := m.match(i, pi+1)
			if end < 0 {
				m.caps[it.n] = old
			}
			return end
		case itemError:
			panic(matchError(it.text))
		case itemBackRef:
			c := m.caps[it.n]
			if c.end < c.start || !strings.HasPrefix(m.s[i:], m.s[c.start:c.end]) { // a position has no text
				return -1
			}
			i += c.end - c.start
		case itemBalance:
			if i = m.balance(i, it); i < 0 {
				return -1
			}
		case itemFrontier:
			before, here := byte(0), byte(0)
			if i > 0 {
				before = m.s[i-1]
			}
			if i < len(m.s) {
				here = m.s[i]
			}
			if it.set[before] || !it.set[here] {
				return -1
			}
		case itemEnd:
			if i != len(m.s) {
				return -1
			}
		default:
			switch it.rep {
			case 0:
				if i >= len(m.s) || !it.matches(m.s[i]) {
					return -1
				}
				i++
			case '?':
				if i < len(m.s) && it.matches(m.s[i]) {
					if end := m.match(i+1, pi+1); end >= 0 {
						return end
					}
				}
			case '-':
				return m.lazy(i, pi, it)
			default:
				return m.greedy(i, pi, it)
			}
		}
	}
	return i
}

// greedy matches as many as possible of it, then the rest.
func (m *matcher) greedy(i, pi int, it *item) int {
	n := 0
	switch it.kind {
	case itemAny:
		n = len(m.s) - i
	case itemSet:
		for set := it.set; i+n < len(m.s) && set[m.s[i+n]]; {
			n++
		}
	default:
		for i+n < len(m.s) && m.s[i+n] == it.c {
			n++
		}
	}
	m.work(n / 8)
	least := 0
	if it.rep == '+' {
		least = 1
	}
	if pi+1 == len(m.p.items) && n >= least {
		return i + n
	}
	for ; n >= least; n-- {
		m.step()
		if end := m.match(i+n, pi+1); end >= 0 {
			return end
		}
	}
	return -1
}

// lazy matches as few as possible of it, then the rest.
func (m *matcher) lazy(i, pi int, it *item) int {
	for {
		m.step()
		if end := m.match(i, pi+1); end >= 0 {
			return end
		}
		if i >= len(m.s) || !it.matches(m.s[i]) {
			return -1
		}
		i++
	}
}

// balance matches %bxy at i.
func (m *matcher) balance(i int, it *item) int {
	if i >= len(m.s) || m.s[i] != it.c {
		return -1
	}
	for level, j := 1, i+1; j < len(m.s); j++ {
		switch m.s[j] {
		case it.d:
			if level--; level == 0 {
				m.work((j - i) / 8)
				return j + 1
			}
		case it.c:
			level++
		}
	}
	m.work((len(m.s) - i) / 8)
	return -1
}

// patterns is an interpreter's cache of compiled patterns.
type patterns struct {
	cache map[string]*pattern
	m     matcher
	busy  bool
}

// maxPatterns bounds the cache; a script that builds patterns from data starts it over.
const maxPatterns = 512

func (ps *patterns) compile(p string) (*pattern, error) {
	if c, ok := ps.cache[p]; ok {
		return c, nil
	}
	c, err := compilePattern(p)
	if err != nil {
		return nil, err
	}
	if len(ps.cache) >= maxPatterns {
		clear(ps.cache)
	}
	ps.cache[strings.Clone(p)] = c
	return c, nil
}

// find runs a pattern and turns the panics of a match that goes too far into errors.
func (ps *patterns) find(m *matcher, p *pattern, s string, init int) (start, end int, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case matchError:
			err = r
		default:
			panic(r)
		}
	}()
	start, end = m.find(p, s, init)
	return start, end, nil
}

var errCapture = errors.New("invalid capture index")
