package luabind

import (
	"slices"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
)

// bigTable is the most positional elements that a constructor is left with. Parts become functions of their own, because
// gopher-lua looks through all constants of a function for each one: 100,000 numbers took it 24 s.
const bigTable = 2000

// maxOperands is the longest chain of .. that is rewritten: a call's arguments need registers.
const maxOperands = 100

// rewriter changes a syntax tree in place. Where a host function is called it leaves a string constant, that the compiler
// takes for any other; in the compiled code the function stands in its place.
type rewriter struct {
	taken  map[string]bool // strings of the script that begin with a zero byte
	calls  []hostCall
	places map[string]*lua.LFunction // by the text of the constant; set by name
}

// hostCall is a call that was put into the tree.
type hostCall struct {
	constant *ast.StringExpr // what is called; its text comes later
	fn       *lua.LFunction
}

// call returns a call of fn.
func (r *rewriter) call(fn *lua.LFunction, line int, args ...ast.Expr) *ast.FuncCallExpr {
	constant := &ast.StringExpr{}
	constant.SetLine(line)
	r.calls = append(r.calls, hostCall{constant, fn})
	call := &ast.FuncCallExpr{Func: constant, Args: args, AdjustRet: true}
	call.SetLine(line)
	return call
}

// name gives each host function a text that is no string of the script.
func (r *rewriter) name() {
	r.places = map[string]*lua.LFunction{}
	names := map[*lua.LFunction]string{}
	for _, c := range r.calls {
		text, ok := names[c.fn]
		for n := len(names); !ok; n++ {
			text = "\x00" + strconv.Itoa(n)
			ok = !r.taken[text] && r.places[text] == nil
		}
		names[c.fn], r.places[text] = text, c.fn
		c.constant.Value = text
	}
}

// link puts the host functions into the code.
func (r *rewriter) link(p *lua.FunctionProto) {
	for i, c := range p.Constants {
		if text, ok := c.(lua.LString); ok && r.places[string(text)] != nil {
			p.Constants[i] = r.places[string(text)]
		}
	}
	for _, child := range p.FunctionPrototypes {
		r.link(child)
	}
}

// block rewrites statements. Where a block or a label begins with a jump, gopher-lua's shortening of jumps goes astray:
// a local that nobody can name stands before it.
func (r *rewriter) block(list []ast.Stmt) []ast.Stmt {
	out := list[:0:0]
	afterLabel := true
	for _, s := range list {
		r.stmt(s)
		switch t := s.(type) {
		case *ast.AssignStmt:
			s = assignment(t)
		case *ast.IfStmt:
			if truth, ok := truthOf(t.Condition); ok && truth {
				s = doBlock(t, t.Then)
			} else if ok {
				s = doBlock(t, t.Else)
			}
		case *ast.WhileStmt:
			if truth, ok := truthOf(t.Condition); ok && !truth {
				s = doBlock(t, nil)
			}
		case *ast.GotoStmt, *ast.BreakStmt:
			if afterLabel {
				pad := &ast.LocalAssignStmt{Names: []string{"\x00"}, Exprs: []ast.Expr{&ast.NilExpr{}}}
				pad.SetLine(s.Line())
				pad.Exprs[0].SetLine(s.Line())
				out = append(out, doBlock(s, []ast.Stmt{pad}))
			}
		}
		_, afterLabel = s.(*ast.LabelStmt)
		out = append(out, s)
	}
	return out
}

func doBlock(at ast.Stmt, list []ast.Stmt) *ast.DoBlockStmt {
	b := &ast.DoBlockStmt{Stmts: list}
	b.SetLine(at.Line())
	b.SetLastLine(at.LastLine())
	return b
}

// truthOf returns whether a constant counts as true.
func truthOf(e ast.Expr) (truth, ok bool) {
	switch e.(type) {
	case *ast.TrueExpr, *ast.NumberExpr, *ast.StringExpr:
		return true, true
	case *ast.FalseExpr, *ast.NilExpr:
		return false, true
	}
	return false, false
}

func (r *rewriter) exprs(list []ast.Expr) {
	for i := range list {
		list[i] = r.expr(list[i])
	}
}

func (r *rewriter) stmt(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.AssignStmt:
		r.exprs(s.Lhs)
		r.exprs(s.Rhs)
	case *ast.LocalAssignStmt:
		alone := len(s.Names) == 1 && len(s.Exprs) == 1 && isolated(s.Exprs[0]) != nil
		if r.exprs(s.Exprs); alone {
			null := &ast.NilExpr{} // one value more, and it is no longer taken for local function
			null.SetLine(s.Line())
			s.Exprs = append(s.Exprs, null)
		}
	case *ast.FuncCallStmt:
		s.Expr = r.expr(s.Expr)
	case *ast.DoBlockStmt:
		s.Stmts = r.block(s.Stmts)
	case *ast.WhileStmt:
		s.Condition = r.expr(s.Condition)
		s.Stmts = r.block(s.Stmts)
	case *ast.RepeatStmt:
		s.Stmts = r.block(s.Stmts)
		s.Condition = r.expr(s.Condition)
	case *ast.IfStmt:
		s.Condition = r.expr(s.Condition)
		s.Then = r.block(s.Then)
		s.Else = r.block(s.Else)
	case *ast.NumberForStmt:
		s.Init, s.Limit = r.expr(s.Init), r.expr(s.Limit)
		if s.Step != nil {
			s.Step = r.expr(s.Step)
		}
		s.Stmts = r.block(s.Stmts)
	case *ast.GenericForStmt:
		r.exprs(s.Exprs)
		s.Stmts = r.block(s.Stmts)
	case *ast.FuncDefStmt:
		s.Func.Stmts = r.block(s.Func.Stmts)
	case *ast.ReturnStmt:
		r.exprs(s.Exprs)
	}
}

func (r *rewriter) expr(e ast.Expr) ast.Expr {
	switch e := e.(type) {
	case *ast.StringExpr:
		if strings.HasPrefix(e.Value, "\x00") {
			r.taken[e.Value] = true
		}
	case *ast.AttrGetExpr:
		e.Object, e.Key = r.expr(e.Object), r.expr(e.Key)
	case *ast.TableExpr:
		return r.table(e)
	case *ast.FuncCallExpr:
		if e.Func != nil {
			e.Func = r.expr(e.Func)
		}
		if e.Receiver != nil {
			e.Receiver = r.expr(e.Receiver)
		}
		r.exprs(e.Args)
	case *ast.LogicalOpExpr:
		e.Lhs, e.Rhs = r.expr(e.Lhs), r.expr(e.Rhs)
		return decided(e)
	case *ast.RelationalOpExpr:
		e.Lhs, e.Rhs = r.expr(e.Lhs), r.expr(e.Rhs)
	case *ast.ArithmeticOpExpr:
		e.Lhs, e.Rhs = r.expr(e.Lhs), r.expr(e.Rhs)
	case *ast.StringConcatOpExpr:
		return r.concat(e)
	case *ast.UnaryMinusOpExpr:
		e.Expr = r.expr(e.Expr)
		if n, ok := constant(e.Expr); ok && n == 0 {
			return r.call(minusZeroFunction, e.Line()) // as a constant it would be one with 0
		}
	case *ast.UnaryNotOpExpr:
		e.Expr = r.expr(e.Expr)
		if truth, ok := truthOf(e.Expr); ok {
			var not ast.Expr = &ast.TrueExpr{}
			if truth {
				not = &ast.FalseExpr{}
			}
			not.SetLine(e.Line())
			return not
		}
	case *ast.UnaryLenOpExpr:
		e.Expr = r.expr(e.Expr)
	case *ast.FunctionExpr:
		e.Stmts = r.block(e.Stmts)
	}
	return e
}

// isolated returns the function of local f = function: see standardSource.
func isolated(e ast.Expr) *ast.FunctionExpr {
	or, ok := e.(*ast.LogicalOpExpr)
	if !ok || or.Operator != "or" {
		return nil
	}
	if _, ok := or.Lhs.(*ast.NilExpr); !ok {
		return nil
	}
	fn, _ := or.Rhs.(*ast.FunctionExpr)
	return fn
}

// decided takes away an operand of and, or that is a constant in front, which gopher-lua compiles wrongly in places.
func decided(e *ast.LogicalOpExpr) ast.Expr {
	truth, ok := truthOf(e.Lhs)
	if !ok {
		return e
	}
	if truth != (e.Operator == "and") {
		return e.Lhs
	}
	return single(e.Rhs)
}

// single keeps an expression that may have several values at one.
func single(e ast.Expr) ast.Expr {
	switch e := e.(type) {
	case *ast.FuncCallExpr:
		e.AdjustRet = true
	case *ast.Comma3Expr:
		e.AdjustRet = true
	}
	return e
}

// assignment repairs what gopher-lua compiles wrongly where the variable is a local:
//
//   - p = (f(p)), where p is the last parameter of its function, puts f in the register of p before it reads p. A call
//     that may return more values is compiled well, and is adjusted to one by the assignment;
//   - a, b = b, a writes a before it reads it, and t[i], i = f() writes i;
//   - a = f() and b leaves a as it was where f() is false, and a = (b or c) and a writes b in a before it reads it.
//
// Temporary locals keep the values.
func assignment(s *ast.AssignStmt) ast.Stmt {
	if len(s.Lhs) > 1 || len(s.Rhs) > 1 {
		return parallel(s)
	}
	if _, ok := s.Lhs[0].(*ast.IdentExpr); !ok {
		return s
	}
	switch right := s.Rhs[0].(type) {
	case *ast.FuncCallExpr:
		right.AdjustRet = false
	case *ast.LogicalOpExpr:
		return parallel(s)
	}
	return s
}

// parallel turns an assignment of several variables into a block: the tables and keys on the left and the values become
// locals that no script can name, then the variables are assigned one by one, the last first.
func parallel(s *ast.AssignStmt) ast.Stmt {
	var before []ast.Stmt
	temporaries := 0
	local := func(values ...ast.Expr) (names []string) {
		n := len(values)
		if values[0] == s.Rhs[0] {
			n = len(s.Lhs)
		}
		for range n {
			names = append(names, "\x00"+strconv.Itoa(temporaries))
			temporaries++
		}
		st := &ast.LocalAssignStmt{Names: names, Exprs: values}
		st.SetLine(s.Line())
		st.SetLastLine(s.LastLine())
		before = append(before, st)
		return names
	}
	ident := func(name string) ast.Expr {
		e := &ast.IdentExpr{Value: name}
		e.SetLine(s.Line())
		return e
	}
	keep := func(e ast.Expr) ast.Expr {
		switch e.(type) {
		case *ast.StringExpr, *ast.NumberExpr, *ast.TrueExpr, *ast.FalseExpr:
			return e
		}
		return ident(local(e)[0])
	}
	for _, left := range s.Lhs {
		if g, ok := left.(*ast.AttrGetExpr); ok {
			g.Object, g.Key = keep(g.Object), keep(g.Key)
		}
	}
	values := local(s.Rhs...)
	for i := len(s.Lhs) - 1; i >= 0; i-- {
		one := &ast.AssignStmt{Lhs: s.Lhs[i : i+1], Rhs: []ast.Expr{ident(values[i])}}
		one.SetLine(s.Line())
		one.SetLastLine(s.LastLine())
		before = append(before, one)
	}
	return doBlock(s, before)
}

// concat turns a chain of .. into one call. An operand that is a call or ... would add all its values as the last
// argument: parentheses, that is adjusted, keep it at one.
func (r *rewriter) concat(e *ast.StringConcatOpExpr) ast.Expr {
	operands := []ast.Expr{r.expr(e.Lhs)}
	rest := e.Rhs
	for len(operands) < maxOperands {
		c, ok := rest.(*ast.StringConcatOpExpr)
		if !ok {
			break
		}
		operands = append(operands, r.expr(c.Lhs))
		rest = c.Rhs
	}
	last := single(r.expr(rest))
	call := r.call(concatFunction, e.Line(), append(operands, last)...)
	call.SetLastLine(e.LastLine())
	return call
}

// table splits a long constructor, and puts its keys in front: where 50 elements without a key were written, gopher-lua
// writes them again with each key.
func (r *rewriter) table(t *ast.TableExpr) ast.Expr {
	positional := 0
	for _, f := range t.Fields {
		if f.Key != nil {
			f.Key = r.expr(f.Key)
		} else {
			positional++
		}
		f.Value = r.expr(f.Value)
	}
	if positional >= lua.FieldsPerFlush && positional < len(t.Fields) {
		keysFirst(t)
	}
	if positional <= bigTable || usesVarargs(t) {
		return t
	}
	call := r.call(joinFunction, t.Line())
	for fields := t.Fields; len(fields) > 0; {
		n := min(len(fields), bigTable)
		part := &ast.TableExpr{Fields: fields[:n]}
		part.SetLine(t.Line())
		body := &ast.ReturnStmt{Exprs: []ast.Expr{part}}
		body.SetLine(t.Line())
		fn := &ast.FunctionExpr{ParList: &ast.ParList{}, Stmts: []ast.Stmt{body}}
		fn.SetLine(t.Line())
		fn.SetLastLine(t.LastLine())
		made := &ast.FuncCallExpr{Func: fn, AdjustRet: true}
		made.SetLine(t.Line())
		call.Args = append(call.Args, made)
		fields = fields[n:]
	}
	return call
}

func keysFirst(t *ast.TableExpr) {
	if last := t.Fields[len(t.Fields)-1]; last.Key != nil {
		for _, f := range t.Fields {
			f.Value = single(f.Value) // none of them is the last
		}
	}
	slices.SortStableFunc(t.Fields, func(a, b *ast.Field) int {
		switch {
		case a.Key != nil && b.Key == nil:
			return -1
		case a.Key == nil && b.Key != nil:
			return 1
		}
		return 0
	})
}

// usesVarargs reports whether an element is ... itself, which a function of its own would not see.
func usesVarargs(t *ast.TableExpr) bool {
	for _, f := range t.Fields {
		if _, ok := f.Value.(*ast.Comma3Expr); ok {
			return true
		}
	}
	return false
}
