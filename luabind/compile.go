package luabind

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	lua "github.com/yuin/gopher-lua"
	"github.com/yuin/gopher-lua/ast"
	"github.com/yuin/gopher-lua/parse"

	"dragonfly/engine"
)

// code is a compiled file, shared by all interpreters.
type code struct {
	name     string // relative to ROOT
	proto    *lua.FunctionProto
	mayLoop  bool     // a callback may run without end: see analyze.go
	requires []string // constant arguments of require
}

// compileScript compiles source. Before that it rewrites what gopher-lua does slowly or wrongly:
//
//   - a .. b .. c becomes one call of a host function: faster, and numbers get Lua's text;
//   - table constructors longer than bigTable are built in parts: gopher-lua drops elements behind the 25550th.
//
// The host functions are constants of the code: no script can name, see or change them.
func compileScript(name, source string) (*code, error) {
	if strings.HasPrefix(source, "\x1b") {
		return nil, &engine.ScriptError{Script: name, Msg: "is Lua bytecode, want source text"}
	}
	if strings.HasPrefix(source, "#") { // #!/usr/bin/lua
		source = "--" + source
	}
	chunk, err := parse.Parse(strings.NewReader(escapes(source)), name)
	if err != nil {
		return nil, parseError(name, err)
	}
	c := &code{name: name}
	c.mayLoop, c.requires = analyze(chunk)
	r := &rewriter{taken: map[string]bool{}}
	chunk = r.block(chunk)
	r.name()
	if c.proto, err = lua.Compile(chunk, name); err != nil {
		var ce *lua.CompileError
		if errors.As(err, &ce) {
			return nil, &engine.ScriptError{Script: name, Line: ce.Line, Msg: ce.Message}
		}
		return nil, &engine.ScriptError{Script: name, Msg: err.Error()}
	}
	r.link(c.proto)
	return c, nil
}

func parseError(name string, err error) error {
	var pe *parse.Error
	if !errors.As(err, &pe) {
		return &engine.ScriptError{Script: name, Msg: err.Error()}
	}
	msg := strings.TrimSpace(pe.Message)
	if pe.Token != "" {
		msg = fmt.Sprintf("%s near %q", msg, pe.Token)
	}
	if pe.Pos.Line == parse.EOF {
		return &engine.ScriptError{Script: name, Msg: msg + ": the file ends in the middle of a statement"}
	}
	return &engine.ScriptError{Script: name, Line: pe.Pos.Line, Msg: msg}
}

// The host functions of rewritten code. All interpreters share them: they have no upvalues, and nothing writes to them.
var (
	concatFunction = &lua.LFunction{IsG: true, Env: &lua.LTable{Metatable: lua.LNil}, GFunction: concat}
	joinFunction   = &lua.LFunction{IsG: true, Env: &lua.LTable{Metatable: lua.LNil}, GFunction: joinTables}
)

// function returns the file's main function for an interpreter.
func (c *code) function(L *lua.LState) *lua.LFunction { return L.NewFunctionFromProto(c.proto) }

// concat is .. for any number of operands.
func concat(L *lua.LState) int {
	n := L.GetTop()
	var buf [256]byte
	out := buf[:0]
	for i := 1; i <= n; i++ {
		switch v := L.Get(i).(type) {
		case lua.LString:
			out = append(out, v...)
		case lua.LNumber:
			out = appendNumber(out, float64(v))
		default:
			L.Push(concatMeta(L, n))
			return 1
		}
		if len(out) > maxString {
			L.RaiseError("string too long")
		}
	}
	L.Push(lua.LString(out))
	return 1
}

// concatMeta folds the operands from the right, as Lua does, with __concat where an operand has it.
func concatMeta(L *lua.LState, n int) lua.LValue {
	v := L.Get(n)
	for i := n - 1; i >= 1; i-- {
		left := L.Get(i)
		if lua.LVCanConvToString(left) && lua.LVCanConvToString(v) {
			v = lua.LString(scalarText(left) + scalarText(v))
			continue
		}
		meta := L.GetMetaField(left, "__concat")
		if meta == lua.LNil {
			meta = L.GetMetaField(v, "__concat")
		}
		if meta == lua.LNil {
			bad := v
			if !lua.LVCanConvToString(left) {
				bad = left
			}
			L.RaiseError("attempt to concatenate a %s value", bad.Type().String())
		}
		L.Push(meta)
		L.Push(left)
		L.Push(v)
		L.Call(2, 1)
		v = L.Get(-1)
		L.Pop(1)
	}
	return v
}

func scalarText(v lua.LValue) string {
	if n, ok := v.(lua.LNumber); ok {
		return formatNumber(float64(n))
	}
	return lua.LVAsString(v)
}

// joinTables moves the array parts of all its arguments into one table.
func joinTables(L *lua.LState) int {
	total := 0
	for i := 1; i <= L.GetTop(); i++ {
		total += L.CheckTable(i).MaxN()
	}
	out := L.CreateTable(total, 0)
	for i, at := 1, 1; i <= L.GetTop(); i++ {
		t := L.CheckTable(i)
		n := t.MaxN()
		for j := 1; j <= n; j++ {
			out.RawSetInt(at, t.RawGetInt(j))
			at++
		}
		from := lua.LValue(lua.LNumber(n))
		if n == 0 {
			from = lua.LNil // after 0 gopher-lua skips the first key
		}
		for k, v := t.Next(from); k != lua.LNil; k, v = t.Next(k) {
			out.RawSet(k, v)
		}
	}
	L.Push(out)
	return 1
}

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
		r.exprs(s.Exprs)
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

// escapes rewrites the escapes of LuaJIT in string literals that gopher-lua does not know: \xNN to \ddd, and \z, which
// skips white space. It leaves comments, long strings and line numbers alone.
func escapes(source string) string {
	if !strings.Contains(source, `\x`) && !strings.Contains(source, `\z`) {
		return source
	}
	var out strings.Builder
	for i := 0; i < len(source); {
		switch c := source[i]; {
		case c == '-' && strings.HasPrefix(source[i:], "--"):
			n := commentLen(source[i:])
			out.WriteString(source[i : i+n])
			i += n
		case c == '[':
			n := max(1, longLen(source[i:]))
			out.WriteString(source[i : i+n])
			i += n
		case c == '"' || c == '\'':
			n := quotedLen(source[i:])
			out.WriteString(hexEscapes(source[i : i+n]))
			i += n
		default:
			out.WriteByte(c)
			i++
		}
	}
	return out.String()
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

func hexEscapes(s string) string {
	var out strings.Builder
	lines := 0 // that \z skipped: they follow the string
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 >= len(s) {
			out.WriteByte(s[i])
			continue
		}
		var b byte
		if s[i+1] == 'x' && i+3 < len(s) {
			if _, err := fmt.Sscanf(s[i+2:i+4], "%02x", &b); err == nil {
				fmt.Fprintf(&out, `\%03d`, b)
				i += 3
				continue
			}
		}
		if s[i+1] == 'z' {
			rest := strings.TrimLeft(s[i+2:], " \t\r\n")
			skipped := s[i+2 : len(s)-len(rest)]
			lines += strings.Count(skipped, "\n")
			i += 1 + len(skipped)
			continue
		}
		out.WriteString(s[i : i+2])
		i++
	}
	out.WriteString(strings.Repeat("\n", lines))
	return out.String()
}
