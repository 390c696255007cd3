package luabind

import (
	"math"
	"strings"

	"github.com/yuin/gopher-lua/ast"
)

// shortFor reports whether a numeric for has constant bounds and few rounds, or counts up to the length of something.
func shortFor(s *ast.NumberForStmt) bool {
	first, ok := constant(s.Init)
	if !ok {
		return false
	}
	step := 1.0
	if s.Step != nil {
		if step, ok = constant(s.Step); !ok {
			return false
		}
	}
	if _, ok := s.Limit.(*ast.UnaryLenOpExpr); ok {
		return step >= 1
	}
	limit, ok := constant(s.Limit)
	return ok && step != 0 && (limit-first)/step < 100_000
}

// forRounds returns how often the body of a numeric for runs, about.
func forRounds(s *ast.NumberForStmt) float64 {
	first, ok := constant(s.Init)
	limit, constantLimit := constant(s.Limit)
	step := 1.0
	if s.Step != nil {
		step, _ = constant(s.Step)
	}
	if !ok || !constantLimit || step == 0 {
		return usualRounds
	}
	return max(math.Floor((limit-first)/step)+1, 1)
}

func constant(e ast.Expr) (float64, bool) {
	switch e := e.(type) {
	case *ast.NumberExpr:
		return parseNumber(strings.TrimSpace(e.Value))
	case *ast.UnaryMinusOpExpr:
		n, ok := constant(e.Expr)
		return -n, ok
	}
	return 0, false
}

// finiteIterator reports whether a generic for goes over pairs, ipairs or gmatch.
func finiteIterator(list []ast.Expr) bool {
	if len(list) != 1 {
		return false
	}
	call, ok := list[0].(*ast.FuncCallExpr)
	if !ok {
		return false
	}
	if call.Receiver != nil {
		return call.Method == "gmatch"
	}
	switch f := call.Func.(type) {
	case *ast.IdentExpr:
		return f.Value == "pairs" || f.Value == "ipairs"
	case *ast.AttrGetExpr:
		module, ok := f.Object.(*ast.IdentExpr)
		return ok && module.Value == "string" && nameOf(f) == "gmatch"
	}
	return false
}

// grows reports whether a loop's body may add to the table that it walks: any assignment to a computed key, or insert.
func grows(body []ast.Stmt) bool {
	found := false
	walk(body, func(e ast.Expr) {
		if c, ok := e.(*ast.FuncCallExpr); ok {
			if name := nameOf(c.Func); name == "insert" || name == "rawset" {
				found = true
			}
		}
	}, func(left ast.Expr) {
		if g, ok := left.(*ast.AttrGetExpr); ok {
			if _, ok := g.Key.(*ast.StringExpr); !ok {
				found = true
			}
		}
	})
	return found
}

// walk calls visit for the calls in statements and assign for the variables that they assign. It stops at functions.
func walk(body []ast.Stmt, visit, assign func(ast.Expr)) {
	for _, s := range body {
		switch s := s.(type) {
		case *ast.AssignStmt:
			for _, l := range s.Lhs {
				assign(l)
			}
			for _, e := range s.Rhs {
				visit(e)
			}
		case *ast.LocalAssignStmt:
			for _, e := range s.Exprs {
				visit(e)
			}
		case *ast.FuncCallStmt:
			visit(s.Expr)
		case *ast.DoBlockStmt:
			walk(s.Stmts, visit, assign)
		case *ast.WhileStmt:
			walk(s.Stmts, visit, assign)
		case *ast.RepeatStmt:
			walk(s.Stmts, visit, assign)
		case *ast.IfStmt:
			walk(s.Then, visit, assign)
			walk(s.Else, visit, assign)
		case *ast.NumberForStmt:
			walk(s.Stmts, visit, assign)
		case *ast.GenericForStmt:
			walk(s.Stmts, visit, assign)
		}
	}
}
