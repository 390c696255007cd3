package filter

import "slices"

// arith is an expression over numbers: what must hold of the frame for it to have a value, and the value.
type arith interface{}

type (
	value  uint32
	length struct{}
	bytes  struct {
		proto  string
		index  arith
		size   uint16 // ldB, ldH, ldW
		layout layout
	}
	operation struct {
		op   uint16
		a, b arith // opNeg has no b
	}
)

// names are the numbers that have names.
var names = map[string]uint32{
	"tcpflags": 13, "tcp-fin": 1, "tcp-syn": 2, "tcp-rst": 4, "tcp-push": 8, "tcp-ack": 16, "tcp-urg": 32, "tcp-ece": 64, "tcp-cwr": 128,
	"icmptype": 0, "icmpcode": 1, "icmp-echoreply": 0, "icmp-unreach": 3, "icmp-sourcequench": 4, "icmp-redirect": 5, "icmp-echo": 8,
	"icmp-routeradvert": 9, "icmp-routersolicit": 10, "icmp-timxceed": 11, "icmp-paramprob": 12, "icmp-tstamp": 13, "icmp-tstampreply": 14,
	"icmp-ireq": 15, "icmp-ireqreply": 16, "icmp-maskreq": 17, "icmp-maskreply": 18,
	"icmp6type": 0, "icmp6code": 1, "icmp6-destinationunreach": 1, "icmp6-packettoobig": 2, "icmp6-timeexceeded": 3, "icmp6-parameterproblem": 4,
	"icmp6-echo": 128, "icmp6-echoreply": 129, "icmp6-multicastlistenerquery": 130, "icmp6-multicastlistenerreportv1": 131,
	"icmp6-multicastlistenerdone": 132, "icmp6-routersolicit": 133, "icmp6-routeradvert": 134, "icmp6-neighborsolicit": 135,
	"icmp6-neighboradvert": 136, "icmp6-redirect": 137, "icmp6-routerrenum": 138, "icmp6-nodeinformationquery": 139,
	"icmp6-nodeinformationresponse": 140, "icmp6-ineighbordiscoverysolicit": 141, "icmp6-ineighbordiscoveryadvert": 142,
	"icmp6-multicastlistenerreportv2": 143, "icmp6-homeagentdiscoveryrequest": 144, "icmp6-homeagentdiscoveryreply": 145,
	"icmp6-mobileprefixsolicit": 146, "icmp6-mobileprefixadvert": 147, "icmp6-certpathsolicit": 148, "icmp6-certpathadvert": 149,
	"icmp6-multicastrouteradvert": 151, "icmp6-multicastroutersolicit": 152, "icmp6-multicastrouterterm": 153,
}

// levels are the operators between numbers, those that bind least first.
var levels = []map[string]uint16{{"|": opOr}, {"^": opXor}, {"&": opAnd}, {"<<": opLsh, ">>": opRsh}, {"+": opAdd, "-": opSub}, {"*": opMul, "/": opDiv, "%": opMod}}

// tryRelation parses number operator number; nil, with nothing taken: there is none here.
func (p *parser) tryRelation() cond {
	from := p.peek()
	if !p.numeric() {
		return nil
	}
	start := p.at
	a, ok := p.arith(0)
	if !ok {
		p.at = start
		return nil
	}
	by := p.peek()
	if by.kind != symbol || !slices.Contains([]string{"=", "!=", "<", ">", "<=", ">="}, by.text) {
		if _, isBytes := a.(*bytes); isBytes || from.text == "len" {
			p.fail(by, "want =, !=, <, >, <= or >= and a number after it")
		}
		if op, isOp := a.(*operation); isOp && uses(op) {
			p.fail(by, "want =, !=, <, >, <= or >= and a number after it")
		}
		p.at = start
		return nil
	}
	p.next()
	b, ok := p.arith(0)
	if !ok {
		p.fail(p.peek(), "want a number after %s", by.text)
	}
	p.last = qualifiers{typ: "none"}
	return p.relation(a, b, by)
}

// uses reports whether a looks at the frame.
func uses(a arith) bool {
	switch a := a.(type) {
	case *bytes, length:
		return true
	case *operation:
		return uses(a.a) || a.b != nil && uses(a.b)
	}
	return false
}

// numeric reports whether a number may begin here.
func (p *parser) numeric() bool {
	t := p.peek()
	switch t.kind {
	case number:
		return true
	case symbol:
		return t.text == "(" || t.text == "-"
	case word:
		if _, named := names[t.text]; named || t.text == "len" {
			return true
		}
		_, proto := protocols[t.text]
		after := p.tokens[p.at+1] // there is one, of kind end
		return proto && after.kind == symbol && after.text == "["
	}
	return false
}

func (p *parser) arith(level int) (arith, bool) {
	if level == len(levels) {
		return p.operand()
	}
	a, ok := p.arith(level + 1)
	for ok && p.peek().kind == symbol {
		t := p.peek()
		op, is := levels[level][t.text]
		if !is {
			break
		}
		p.next()
		var b arith
		if b, ok = p.arith(level + 1); ok {
			a = p.fold(op, a, b, t)
		}
	}
	return a, ok
}

// fold calculates what is known.
func (p *parser) fold(op uint16, a, b arith, t token) arith {
	y, known := b.(value)
	if known && y == 0 && (op == opDiv || op == opMod) {
		p.fail(t, "division by 0")
	}
	if known && y > 31 && (op == opLsh || op == opRsh) {
		p.fail(t, "a shift by more than 31 bits")
	}
	if x, ok := a.(value); ok && known {
		v, _ := calculate(op, uint32(x), uint32(y))
		return value(v)
	}
	return &operation{op, a, b}
}

// operand = number | name | "len" | "-" operand | "(" number ")" | proto "[" number [":" size] "]".
func (p *parser) operand() (arith, bool) {
	t := p.peek()
	p.enter(t)
	defer func() { p.depth-- }()
	if !p.numeric() {
		return nil, false
	}
	p.next()
	switch {
	case t.kind == number:
		return value(t.n), true
	case t.text == "-":
		a, ok := p.operand()
		if !ok {
			return nil, false
		}
		if v, known := a.(value); known {
			return -v, true
		}
		return &operation{op: opNeg, a: a}, true
	case t.text == "(":
		a, ok := p.arith(0)
		return a, ok && p.accept(")")
	case t.text == "len":
		return length{}, true
	}
	if n, ok := names[t.text]; ok {
		return value(n), true
	}
	p.next() // [
	index, ok := p.arith(0)
	if !ok {
		p.fail(p.peek(), "want the number of a byte, from 0")
	}
	b := &bytes{proto: t.text, index: index, size: ldB, layout: p.layout}
	if v, known := index.(value); known && v > 0xffff {
		p.fail(t, "the number of a byte is at most 65535")
	}
	if p.accept(":") {
		switch n := p.next(); {
		case n.kind == number && n.n == 1:
		case n.kind == number && n.n == 2:
			b.size = ldH
		case n.kind == number && n.n == 4:
			b.size = ldW
		default:
			p.fail(n, "want 1, 2 or 4 bytes")
		}
	}
	p.want("]", " after the number of the byte")
	return b, true
}

// relation compares two numbers. Bytes of a protocol are only in frames that carry it: others do not match, whatever the
// operator.
func (p *parser) relation(a, b arith, by token) cond {
	needs := and(p.needs(a), p.needs(b))
	t := &test{op: map[string]uint16{"=": jeq, "!=": jeq, ">": jgt, "<=": jgt, ">=": jge, "<": jge}[by.text]}
	if v, ok := b.(value); ok {
		t.load, t.k = p.compute(nil, a, 0, by), uint32(v)
	} else {
		t.load = append(p.compute(nil, b, 0, by), Instruction{Code: stA})
		t.load = append(p.compute(t.load, a, 1, by), Instruction{Code: ldxMem})
		t.x = true
	}
	if slices.Contains([]string{"!=", "<=", "<"}, by.text) {
		return and(needs, not(t))
	}
	return and(needs, t)
}

// needs is what must hold of the frame for a to have a value. Of an operator only the left side counts, as in libpcap: what
// people write, such as ip[2:2] - ((tcp[12] & 0xf0) >> 2), selects the same frames.
func (p *parser) needs(a arith) cond {
	switch a := a.(type) {
	case *operation:
		return p.needs(a.a)
	case *bytes:
		inner := p.needs(a.index)
		l := a.layout
		known := protocols[a.proto]
		switch {
		case a.proto == "ether" || a.proto == "link":
			return inner
		case known.ethertype != 0:
			return and(inner, l.carries(known.ethertype))
		case a.proto == "icmp6":
			return and(inner, and(l.carries(typeIP6), equal(l.net+6, ldB, 58)))
		}
		return and(inner, and(and(l.carries(typeIP), equal(l.net+9, ldB, known.number)), l.whole()))
	}
	return constant(true)
}

// compute appends the instructions that leave a in A; words of memory from slot on are free.
func (p *parser) compute(code []Instruction, a arith, slot uint32, by token) []Instruction {
	if slot > 15 {
		p.fail(by, "too many parentheses on the right of operators: compute less")
	}
	switch a := a.(type) {
	case value:
		return append(code, Instruction{Code: ldImm, K: uint32(a)})
	case length:
		return append(code, Instruction{Code: ldLen})
	case *operation:
		if a.op == opNeg {
			return append(p.compute(code, a.a, slot, by), Instruction{Code: alu | opNeg})
		}
		if v, ok := a.b.(value); ok {
			return append(p.compute(code, a.a, slot, by), Instruction{Code: alu | a.op, K: uint32(v)})
		}
		code = append(p.compute(code, a.b, slot, by), Instruction{Code: stA, K: slot})
		code = p.compute(code, a.a, slot+1, by)
		return append(code, Instruction{Code: ldxMem, K: slot}, Instruction{Code: alu | a.op | srcX})
	case *bytes:
		return p.load(code, a, slot, by)
	}
	panic("BUG: unknown kind of number")
}

// load appends the instructions that load bytes of a protocol's header.
func (p *parser) load(code []Instruction, b *bytes, slot uint32, by token) []Instruction {
	l := &b.layout
	base, transport := l.net, false
	switch known := protocols[b.proto]; {
	case b.proto == "ether" || b.proto == "link":
		base = 0
	case b.proto == "icmp6":
		base += 40
	case known.number != 0:
		transport = true
	}
	i, fixed := b.index.(value)
	switch {
	case fixed && !transport:
		return append(code, Instruction{Code: b.size | modeAbs, K: base + uint32(i)})
	case fixed:
		return append(code, Instruction{Code: ldxMsh, K: base}, Instruction{Code: b.size | modeInd, K: base + uint32(i)})
	}
	code = p.compute(code, b.index, slot, by)
	if transport {
		code = append(code, Instruction{Code: ldxMsh, K: base}, Instruction{Code: alu | opAdd | srcX})
	}
	return append(code, Instruction{Code: tax}, Instruction{Code: b.size | modeInd, K: base})
}
