package luabind

import "github.com/yuin/gopher-lua/ast"

// functionTables returns the names of local tables that hold nothing but functions of this file: handlers in
//
//	local handlers = {dns = function(e) ... end}
//	function loop(e) handlers[e.event_type](e) end
//
// The name must be declared once, at the top level, before any use, and the table must not get out: it is only indexed,
// given functions, or walked by pairs. Then a call of handlers[k] is a call of one of these functions.
func functionTables(chunk []ast.Stmt) map[string]bool {
	t := &tableSearch{declared: map[string]int{}, tables: map[string]bool{}, bad: map[string]bool{}}
	for _, s := range chunk {
		if l, ok := s.(*ast.LocalAssignStmt); ok && len(l.Names) == 1 && len(l.Exprs) == 1 {
			if c, ok := l.Exprs[0].(*ast.TableExpr); ok && onlyFunctions(c) {
				t.declare(l.Names...)
				t.tables[l.Names[0]] = true
				t.expr(c)
				continue
			}
		}
		t.stmt(s)
	}
	safe := map[string]bool{}
	for name := range t.tables {
		if t.declared[name] == 1 && !t.bad[name] {
			safe[name] = true
		}
	}
	return safe
}

type tableSearch struct {
	declared map[string]int // how often a name was declared or assigned, as what ever
	tables   map[string]bool
	bad      map[string]bool // used before it was declared, or in another way
}

// onlyFunctions reports whether all values of a constructor are functions or names, which must be of functions.
func onlyFunctions(c *ast.TableExpr) bool {
	for _, f := range c.Fields {
		if !isFunctionValue(f.Value) {
			return false
		}
	}
	return true
}

func isFunctionValue(e ast.Expr) bool {
	switch e.(type) {
	case *ast.FunctionExpr, *ast.IdentExpr:
		return true
	}
	return false
}

func (t *tableSearch) declare(names ...string) {
	for _, n := range names {
		t.declared[n]++
	}
}

func (t *tableSearch) block(list []ast.Stmt) {
	for _, s := range list {
		t.stmt(s)
	}
}

func (t *tableSearch) stmt(s ast.Stmt) {
	switch s := s.(type) {
	case *ast.AssignStmt:
		for i, left := range s.Lhs {
			t.assign(left, len(s.Lhs) == len(s.Rhs) && (isFunctionValue(s.Rhs[i]) || isNil(s.Rhs[i])))
		}
		t.exprs(s.Rhs)
	case *ast.LocalAssignStmt:
		t.exprs(s.Exprs)
		t.declare(s.Names...)
	case *ast.FuncCallStmt:
		t.expr(s.Expr)
	case *ast.DoBlockStmt:
		t.block(s.Stmts)
	case *ast.WhileStmt:
		t.expr(s.Condition)
		t.block(s.Stmts)
	case *ast.RepeatStmt:
		t.block(s.Stmts)
		t.expr(s.Condition)
	case *ast.IfStmt:
		t.expr(s.Condition)
		t.block(s.Then)
		t.block(s.Else)
	case *ast.NumberForStmt:
		t.exprs([]ast.Expr{s.Init, s.Limit, s.Step})
		t.declare(s.Name)
		t.block(s.Stmts)
	case *ast.GenericForStmt:
		t.exprs(s.Exprs)
		t.declare(s.Names...)
		t.block(s.Stmts)
	case *ast.FuncDefStmt:
		if s.Name.Func != nil {
			t.assign(s.Name.Func, true)
		} else {
			t.indexed(s.Name.Receiver)
		}
		t.expr(s.Func)
	case *ast.ReturnStmt:
		t.exprs(s.Exprs)
	}
}

func isNil(e ast.Expr) bool { _, ok := e.(*ast.NilExpr); return ok }

// assign looks at a variable that gets a value: a function or not.
func (t *tableSearch) assign(left ast.Expr, function bool) {
	switch left := left.(type) {
	case *ast.IdentExpr:
		t.declare(left.Value)
	case *ast.AttrGetExpr:
		if function {
			t.indexed(left.Object)
		} else {
			t.expr(left.Object)
		}
		t.expr(left.Key)
	}
}

// indexed looks at a table that is only indexed.
func (t *tableSearch) indexed(e ast.Expr) {
	if name, ok := e.(*ast.IdentExpr); ok && t.declared[name.Value] > 0 {
		return
	}
	t.expr(e)
}

func (t *tableSearch) exprs(list []ast.Expr) {
	for _, e := range list {
		t.expr(e)
	}
}

func (t *tableSearch) expr(e ast.Expr) {
	switch e := e.(type) {
	case *ast.IdentExpr:
		t.bad[e.Value] = true
	case *ast.AttrGetExpr:
		t.indexed(e.Object)
		t.expr(e.Key)
	case *ast.TableExpr:
		for _, f := range e.Fields {
			t.expr(f.Key)
			t.expr(f.Value)
		}
	case *ast.FuncCallExpr:
		t.expr(e.Func)
		if e.Receiver != nil {
			t.indexed(e.Receiver)
		}
		f, _ := e.Func.(*ast.IdentExpr)
		for _, arg := range e.Args {
			if f != nil && (f.Value == "pairs" || f.Value == "ipairs") {
				t.indexed(arg)
			} else {
				t.expr(arg)
			}
		}
	case *ast.LogicalOpExpr:
		t.exprs([]ast.Expr{e.Lhs, e.Rhs})
	case *ast.RelationalOpExpr:
		t.exprs([]ast.Expr{e.Lhs, e.Rhs})
	case *ast.ArithmeticOpExpr:
		t.exprs([]ast.Expr{e.Lhs, e.Rhs})
	case *ast.StringConcatOpExpr:
		t.exprs([]ast.Expr{e.Lhs, e.Rhs})
	case *ast.UnaryMinusOpExpr:
		t.expr(e.Expr)
	case *ast.UnaryNotOpExpr:
		t.expr(e.Expr)
	case *ast.UnaryLenOpExpr:
		t.indexed(e.Expr)
	case *ast.FunctionExpr:
		t.declare(e.ParList.Names...)
		t.block(e.Stmts)
	}
}
