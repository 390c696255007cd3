package filter

import (
	"fmt"
	"strings"
)

// parser reads an expression by recursive descent and makes its conditions at once: where a primitive looks depends on the
// words that stand left of it.
type parser struct {
	expr   string
	tokens []token
	at     int
	at0    layout
	layout layout
	view   View
	tagged bool // Kernel: this program is for frames whose tag was taken off
	moved  bool // vlan was said
	last   qualifiers
	depth  int
}

// qualifiers are the words before an address or number; those of the last primitive hold for what follows "and" or "or".
type qualifiers struct {
	proto string // "", "ether", "ip", "ip6", "arp", "rarp", "tcp", "udp", "sctp"
	dir   string // "", "src", "dst", "and": both
	typ   string // "", "host", "net", "port", "portrange", "proto"; "none": the last primitive had no address
}

// maxDepth is how deeply expressions may be nested.
const maxDepth = 100

// parse returns the condition of expr, and whether it says vlan.
func parse(expr string, first layout, view View, tagged bool) (c cond, moved bool, err error) {
	tokens, bad := lex(expr)
	if bad != nil {
		return nil, false, bad
	}
	p := &parser{expr: expr, tokens: tokens, at0: first, layout: first, view: view, tagged: tagged, last: qualifiers{typ: "none"}}
	defer func() { // fail unwinds with an *Error
		switch e := recover().(type) {
		case nil:
		case *Error:
			err = e
		default:
			panic(e)
		}
	}()
	if p.peek().kind == end {
		return constant(true), false, nil
	}
	c = p.expression()
	if t := p.peek(); t.kind != end {
		p.fail(t, `want "and", "or" or the end here`)
	}
	return c, p.moved, nil
}

func (p *parser) fail(t token, format string, args ...any) {
	panic(&Error{p.expr, t.pos, fmt.Sprintf(format, args...)})
}

func (p *parser) peek() token { return p.tokens[p.at] }

func (p *parser) next() token {
	t := p.tokens[p.at]
	if t.kind != end {
		p.at++
	}
	return t
}

// accept takes the next token if it is this symbol or word.
func (p *parser) accept(text string) bool {
	t := p.peek()
	if t.text != text || t.kind != symbol && t.kind != word {
		return false
	}
	p.at++
	return true
}

func (p *parser) want(text, why string) {
	if !p.accept(text) {
		p.fail(p.peek(), "want %q%s", text, why)
	}
}

func (p *parser) enter(t token) {
	if p.depth++; p.depth > maxDepth {
		p.fail(t, "nested more than %d deep", maxDepth)
	}
}

// expression = term { ("and" | "or") term }, from the left.
func (p *parser) expression() cond {
	c := p.term()
	for {
		switch {
		case p.accept("and"):
			c = and(c, p.term())
		case p.accept("or"):
			c = or(c, p.term())
		default:
			return c
		}
	}
}

// term = { "not" } ( "(" expression ")" | relation | primitive ).
func (p *parser) term() cond {
	t := p.peek()
	p.enter(t)
	defer func() { p.depth-- }()
	if p.accept("not") || p.accept("!") {
		return not(p.term())
	}
	if c := p.tryRelation(); c != nil {
		return c
	}
	if p.accept("(") {
		c := p.expression()
		p.want(")", fmt.Sprintf(" for the parenthesis at character %d", t.pos+1))
		return c
	}
	return p.primitive()
}

// primitive = [proto] [direction] [type] address | a word that says all.
func (p *parser) primitive() cond {
	t := p.peek()
	switch t.kind {
	case end:
		p.fail(t, "a condition is missing")
	case number, ip6, mac, literal:
		return p.bare(t)
	case symbol:
		p.fail(t, "want a condition such as host 10.1.2.3, net 10.0.0.0/8, tcp port 80 or not arp")
	}
	if c := p.special(t); c != nil {
		p.last = qualifiers{typ: "none"}
		return c
	}
	q := qualifiers{}
	if _, ok := protocols[t.text]; ok {
		q.proto = p.next().text
		if q.proto == "link" {
			q.proto = "ether"
		}
	}
	q.dir = p.direction()
	if n := p.peek(); n.kind == word {
		switch n.text {
		case "host", "net", "port", "portrange":
			q.typ = p.next().text
		case "proto":
			if q.dir != "" {
				p.fail(n, "proto has no direction: leave src or dst out")
			}
			q.typ = p.next().text
		case "broadcast", "multicast":
			if q.dir == "" && (q.proto == "ether" || q.proto == "ip" || q.proto == "ip6") {
				p.last = qualifiers{typ: "none"}
				return p.cast(q.proto, p.next())
			}
		case "protochain", "gateway":
			p.fail(n, "%s is not supported: see the list of what is in the documentation", n.text)
		}
	}
	if q == (qualifiers{}) {
		return p.bare(t)
	}
	if q.dir == "" && q.typ == "" && !p.address() {
		p.last = qualifiers{typ: "none"}
		return p.protocol(q.proto, t)
	}
	p.last = q
	return p.id(q)
}

// address reports whether the next token can only be an address or number.
func (p *parser) address() bool {
	switch t := p.peek(); t.kind {
	case number, ip6, mac, literal:
		return true
	case word:
		return isDigit(t.text[0]) || !keyword(t.text)
	}
	return false
}

// direction = "src" | "dst" | "src or dst" | "src and dst".
func (p *parser) direction() string {
	one := p.peek().text
	if p.peek().kind != word || one != "src" && one != "dst" {
		return ""
	}
	p.next()
	if p.at+1 < len(p.tokens) {
		by, two := p.tokens[p.at], p.tokens[p.at+1]
		if by.kind == word && two.kind == word && (two.text == "src" || two.text == "dst") && two.text != one {
			switch by.text {
			case "or":
				p.at += 2
				return "either"
			case "and":
				p.at += 2
				return "and"
			}
		}
	}
	return one
}

// bare is an address or number without words before it: those of the last primitive hold. Alone, an address is a host.
func (p *parser) bare(t token) cond {
	q := p.last
	if q.typ == "none" {
		q = qualifiers{}
		if isDigit(t.text[0]) && strings.Count(t.text, ".") == 3 || t.kind == ip6 {
			q.typ = "host"
			p.last = q
			return p.id(q)
		}
		switch t.kind {
		case word, literal:
			p.fail(t, "this word is not known; want a condition such as host 10.1.2.3, net 10.0.0.0/8, tcp port 80 or not arp")
		case mac:
			p.fail(t, "want ether host, ether src or ether dst before it")
		}
		p.fail(t, "want host, net, port or proto before it")
	}
	return p.id(q)
}

// id = address | number | "(" id { ("and" | "or") id } ")" | "not" id.
func (p *parser) id(q qualifiers) cond {
	t := p.peek()
	p.enter(t)
	defer func() { p.depth-- }()
	if p.accept("not") || p.accept("!") {
		return not(p.id(q))
	}
	if !p.accept("(") {
		return p.value(q)
	}
	c := p.id(q)
	for {
		switch {
		case p.accept("and"):
			c = and(c, p.id(q))
		case p.accept("or"):
			c = or(c, p.id(q))
		default:
			p.want(")", fmt.Sprintf(" for the parenthesis at character %d", t.pos+1))
			return c
		}
	}
}
