package luabind

import (
	"github.com/yuin/gopher-lua/ast"
)

// analyze reports whether a call of some function of the file may run without end, and which files it requires.
//
// gopher-lua asks a context before every instruction, which costs a quarter of the speed; so only interpreters that need
// it get one. The answer is careful: false means that every callback ends by itself, however long its strings are (host
// functions watch the time themselves). True is any of: while, repeat, goto, for over anything but constant bounds or a
// plain pairs, ipairs, gmatch; recursion; a call of something that is neither a function of this file nor of a known
// module (a local table of functions is looked into: see functionTables); metatables, coroutines and loaded code. What runs only at the top level or in setup() has a limit of its own
// and does not count.
func analyze(chunk []ast.Stmt) (mayLoop bool, requires []string) {
	a := &analysis{funcs: map[string]*funcInfo{}, modules: map[string]bool{}, tables: functionTables(chunk), values: map[string]bool{}, entries: map[string]bool{}}
	for name := range a.tables {
		a.funcs[entryOf(name)] = &funcInfo{}
	}
	main := a.function(chunk)
	for name, f := range a.funcs {
		if name != "setup" && name[:min(1, len(name))] != "\x00" { // an entry of a table counts where it is called
			a.visit(f)
		}
	}
	for _, f := range a.anonymous {
		a.visit(f)
	}
	return a.loops, append(a.requires, main.requires...)
}

// funcInfo is what one function does.
type funcInfo struct {
	calls    []call  // of functions of the file
	rounds   float64 // of its innermost loop, at most, for one call of it
	loops    bool    // it may run without end by itself
	requires []string
	state    int // of visit: 0 new, 1 being visited, 2 done
}

// call is a call of a function by its name, in loops of so many rounds.
type call struct {
	name   string
	rounds float64
}

// Loops in loops may take hours though each of them ends. What has no constant bounds is taken for usualRounds.
const (
	usualRounds = 1000
	mostRounds  = 1e6
)

func (f *funcInfo) add(a *analysis, names ...string) {
	for _, name := range names {
		f.calls = append(f.calls, call{name, max(a.rounds, 1)})
	}
}

// adopt adds the calls of a function that f calls, or that is called in its place.
func (f *funcInfo) adopt(a *analysis, g *funcInfo) {
	for _, c := range g.calls {
		f.calls = append(f.calls, call{c.name, c.rounds * max(a.rounds, 1)})
	}
	f.loops = f.loops || g.loops
	f.rounds = max(f.rounds, g.rounds*max(a.rounds, 1))
}

// loop looks into the body of a loop of so many rounds.
func (a *analysis) loop(f *funcInfo, rounds float64, body []ast.Stmt) {
	outer := max(a.rounds, 1)
	a.rounds = outer * max(rounds, 1)
	f.rounds = max(f.rounds, a.rounds)
	a.block(f, body)
	a.rounds = outer
}

type analysis struct {
	funcs     map[string]*funcInfo // by the name that they are called by; of equal names the union
	anonymous []*funcInfo
	modules   map[string]bool // names of required files: what they define is analyzed there
	requires  []string
	loops     bool
	rounds    float64         // of the loops around the statement that is looked at
	tables    map[string]bool // names of tables that hold only functions of the file
	entries   map[string]bool // names of locals that stand for an entry of such a table
	values    map[string]bool // names that are also parameters, loop variables or locals with another value
}

// entryOf is the name of a pseudo function that calls every function of a table.
func entryOf(table string) string { return "\x00" + table }

// visit follows calls from f: a cycle is recursion.
func (a *analysis) visit(f *funcInfo) {
	if f.state == 1 {
		a.loops = true
	}
	if f.state != 0 {
		return
	}
	f.state = 1
	a.loops = a.loops || f.loops
	most := max(f.rounds, 1)
	for _, c := range f.calls {
		if g, ok := a.funcs[c.name]; ok && !(a.entries[c.name] && a.values[c.name]) {
			a.visit(g)
			most = max(most, c.rounds*g.rounds)
		} else {
			a.loops = true // a parameter, a field, something unknown
		}
	}
	if f.rounds = most; most >= mostRounds {
		a.loops = true
	}
	f.state = 2
}

// knownGlobals are functions that end.
var knownGlobals = map[string]bool{
	"assert": true, "error": true, "ipairs": true, "next": true, "pairs": true, "print": true, "rawequal": true, "rawget": true, "rawset": true,
	"select": true, "tonumber": true, "tostring": true, "type": true, "unpack": true, "getmetatable": true, "collectgarbage": true, "gcinfo": true,
	"require": true, "pcall": true, "xpcall": true,
}

// knownModules are tables whose functions end.
var knownModules = map[string]bool{
	"string": true, "table": true, "math": true, "os": true, "io": true, "bit": true, "cjson": true, "cjson_safe": true, "json": true, "marshal": true,
	"dragonfly": true, "hiredis": true, "http": true, "redis": true, "net": true, "model": true, "hash": true, "sketch": true, "domain": true, "text": true, "jit": true,
}

// knownMethods end, whatever they are called on: of strings, files, Redis connections.
var knownMethods = map[string]bool{
	"byte": true, "find": true, "format": true, "gmatch": true, "gsub": true, "len": true, "lower": true, "match": true, "rep": true,
	"reverse": true, "sub": true, "upper": true, "command": true, "command_line": true, "append_command": true, "get_reply": true,
	"close": true, "read": true, "write": true, "lines": true, "predict": true, "explain": true, "features": true, "classes": true,
	"add": true, "columns": true, "contains": true, "count": true, "decay": true, "delete": true, "get": true, "incr": true, "list": true, "lookup": true,
	"mad": true, "max": true, "median": true, "merge": true, "min": true, "put": true, "quantile": true, "reset": true, "size": true, "top": true, "total": true,
}

func (a *analysis) define(name string, f *funcInfo) {
	if old, ok := a.funcs[name]; ok {
		old.calls = append(old.calls, f.calls...)
		old.loops = old.loops || f.loops
		old.rounds = max(old.rounds, f.rounds)
		return
	}
	a.funcs[name] = f
}

func (a *analysis) function(body []ast.Stmt, params ...string) *funcInfo {
	f := &funcInfo{}
	for _, p := range params {
		a.values[p] = true
	}
	outer := a.rounds
	a.rounds = 1
	a.block(f, body)
	a.rounds = outer
	a.requires = append(a.requires, f.requires...)
	f.requires = nil
	return f
}

func (a *analysis) block(f *funcInfo, list []ast.Stmt) {
	for _, s := range list {
		a.stmt(f, s)
	}
}

func (a *analysis) stmt(f *funcInfo, s ast.Stmt) {
	switch s := s.(type) {
	case *ast.AssignStmt:
		for i, left := range s.Lhs {
			if fn := functionAt(s.Rhs, i); fn != nil {
				a.store(left, a.function(fn.Stmts, fn.ParList.Names...))
			} else if i < len(s.Rhs) {
				a.alias(f, nameOf(left), s.Rhs[i])
				if table, ok := a.tableOf(left); ok && !isNil(s.Rhs[i]) {
					a.addCall(table, nameOf(s.Rhs[i]))
				}
			}
			a.parts(f, left)
		}
		for i := len(s.Lhs); i < len(s.Rhs); i++ {
			a.expr(f, s.Rhs[i])
		}
	case *ast.LocalAssignStmt:
		if len(s.Names) > len(s.Exprs) {
			for _, name := range s.Names[len(s.Exprs):] {
				a.values[name] = true
			}
		}
		for i, e := range s.Exprs {
			if c, ok := e.(*ast.TableExpr); ok && len(s.Names) == 1 && a.tables[s.Names[0]] {
				a.fill(s.Names[0], c)
			} else if fn := functionAt(s.Exprs, i); fn != nil && i < len(s.Names) {
				a.define(s.Names[i], a.function(fn.Stmts, fn.ParList.Names...))
			} else if i < len(s.Names) {
				a.alias(f, s.Names[i], e)
			} else {
				a.expr(f, e)
			}
		}
	case *ast.FuncDefStmt:
		g := a.function(s.Func.Stmts, s.Func.ParList.Names...)
		if s.Name.Func != nil {
			a.store(s.Name.Func, g)
			break
		}
		a.define(s.Name.Method, g)
		if table, ok := s.Name.Receiver.(*ast.IdentExpr); ok && a.tables[table.Value] {
			a.addCall(table.Value, s.Name.Method)
		}
	case *ast.FuncCallStmt:
		a.expr(f, s.Expr)
	case *ast.DoBlockStmt:
		a.block(f, s.Stmts)
	case *ast.WhileStmt:
		f.loops = true
		a.expr(f, s.Condition)
		a.block(f, s.Stmts)
	case *ast.RepeatStmt:
		f.loops = true
		a.expr(f, s.Condition)
		a.block(f, s.Stmts)
	case *ast.GotoStmt:
		f.loops = true
	case *ast.IfStmt:
		a.expr(f, s.Condition)
		a.block(f, s.Then)
		a.block(f, s.Else)
	case *ast.NumberForStmt:
		if !shortFor(s) {
			f.loops = true
		}
		a.expr(f, s.Init)
		a.expr(f, s.Limit)
		a.loop(f, forRounds(s), s.Stmts)
	case *ast.GenericForStmt:
		if !finiteIterator(s.Exprs) || grows(s.Stmts) {
			f.loops = true
		}
		for _, e := range s.Exprs {
			a.expr(f, e)
		}
		for _, name := range s.Names {
			a.values[name] = true
		}
		a.loop(f, usualRounds, s.Stmts)
	case *ast.ReturnStmt:
		for _, e := range s.Exprs {
			a.expr(f, e)
		}
	}
}

// alias follows `local find = string.find` and `local utils = require 'x'`: the name stands for what is known.
func (a *analysis) alias(f *funcInfo, name string, e ast.Expr) {
	a.expr(f, e)
	if name == "" {
		return
	}
	known := false
	if table, ok := a.tableOf(e); ok {
		a.entries[name] = true
		a.define(name, &funcInfo{calls: []call{{entryOf(table), 1}}})
		return
	}
	switch e := e.(type) {
	case *ast.IdentExpr:
		known = knownGlobals[e.Value] || knownModules[e.Value]
	case *ast.AttrGetExpr:
		module, ok := e.Object.(*ast.IdentExpr)
		known = ok && knownModules[module.Value]
	case *ast.FuncCallExpr:
		g, ok := e.Func.(*ast.IdentExpr)
		if known = ok && g.Value == "require"; known {
			a.modules[name] = true
		}
	}
	if known {
		a.define(name, &funcInfo{state: 2})
	} else {
		a.values[name] = true
	}
}

// tableOf returns the table of functions that e is an entry of.
func (a *analysis) tableOf(e ast.Expr) (name string, ok bool) {
	if g, isGet := e.(*ast.AttrGetExpr); isGet {
		if table, isName := g.Object.(*ast.IdentExpr); isName && a.tables[table.Value] {
			return table.Value, true
		}
	}
	return "", false
}

// store defines a function under the name of a variable, and adds it to the table that this may be an entry of.
func (a *analysis) store(left ast.Expr, g *funcInfo) {
	a.define(nameOf(left), g)
	if table, ok := a.tableOf(left); ok {
		entry := a.funcs[entryOf(table)]
		entry.calls = append(entry.calls, g.calls...)
		entry.loops = entry.loops || g.loops
		entry.rounds = max(entry.rounds, g.rounds)
	}
}

// addCall adds a function to a table by its name.
func (a *analysis) addCall(table, name string) {
	if !knownGlobals[name] {
		a.funcs[entryOf(table)].add(a, name)
	}
}

// fill adds the functions of a constructor to its table.
func (a *analysis) fill(table string, c *ast.TableExpr) {
	for _, field := range c.Fields {
		key := field.Key
		if key == nil {
			key = &ast.NilExpr{}
		}
		entry := &ast.AttrGetExpr{Object: &ast.IdentExpr{Value: table}, Key: key}
		a.expr(a.funcs[entryOf(table)], key)
		if fn, ok := field.Value.(*ast.FunctionExpr); ok {
			a.store(entry, a.function(fn.Stmts, fn.ParList.Names...))
		} else {
			a.addCall(table, nameOf(field.Value))
		}
	}
}

func functionAt(list []ast.Expr, i int) *ast.FunctionExpr {
	if i >= len(list) {
		return nil
	}
	if fn, ok := list[i].(*ast.FunctionExpr); ok {
		return fn
	}
	return isolated(list[i])
}

// nameOf returns the last name of a variable: f, of t.f, of t["f"]; "" if there is none.
func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.IdentExpr:
		return e.Value
	case *ast.AttrGetExpr:
		if s, ok := e.Key.(*ast.StringExpr); ok {
			return s.Value
		}
	}
	return ""
}

// parts looks into the tables and keys of a variable that is assigned.
func (a *analysis) parts(f *funcInfo, e ast.Expr) {
	if g, ok := e.(*ast.AttrGetExpr); ok {
		a.expr(f, g.Object)
		a.expr(f, g.Key)
	}
}

func (a *analysis) expr(f *funcInfo, e ast.Expr) {
	switch e := e.(type) {
	case *ast.AttrGetExpr:
		a.expr(f, e.Object)
		a.expr(f, e.Key)
	case *ast.TableExpr:
		for _, field := range e.Fields {
			if fn, ok := field.Value.(*ast.FunctionExpr); ok {
				if s, ok := field.Key.(*ast.StringExpr); ok {
					a.define(s.Value, a.function(fn.Stmts, fn.ParList.Names...))
					continue
				}
			}
			if field.Key != nil {
				a.expr(f, field.Key)
			}
			a.expr(f, field.Value)
		}
	case *ast.FuncCallExpr:
		a.call(f, e)
	case *ast.LogicalOpExpr:
		a.expr(f, e.Lhs)
		a.expr(f, e.Rhs)
	case *ast.RelationalOpExpr:
		a.expr(f, e.Lhs)
		a.expr(f, e.Rhs)
	case *ast.ArithmeticOpExpr:
		a.expr(f, e.Lhs)
		a.expr(f, e.Rhs)
	case *ast.StringConcatOpExpr:
		a.expr(f, e.Lhs)
		a.expr(f, e.Rhs)
	case *ast.UnaryMinusOpExpr:
		a.expr(f, e.Expr)
	case *ast.UnaryNotOpExpr:
		a.expr(f, e.Expr)
	case *ast.UnaryLenOpExpr:
		a.expr(f, e.Expr)
	case *ast.FunctionExpr: // a value: whoever gets it may call it, so its calls are ours
		g := a.function(e.Stmts, e.ParList.Names...)
		f.adopt(a, g)
	}
}

func (a *analysis) call(f *funcInfo, e *ast.FuncCallExpr) {
	if e.Receiver != nil {
		a.expr(f, e.Receiver)
		if !knownMethods[e.Method] {
			f.add(a, e.Method)
		} else if _, own := a.funcs[e.Method]; own {
			f.add(a, e.Method)
		}
	}
	for i, arg := range e.Args {
		a.expr(f, arg)
		if i != functionArg(e) {
			continue
		}
		if _, ok := arg.(*ast.FunctionExpr); ok {
			continue // its calls are ours already
		}
		if table, ok := a.tableOf(arg); ok {
			f.add(a, entryOf(table))
		} else if name := nameOf(arg); !knownGlobals[name] {
			f.add(a, name)
		}
	}
	switch g := e.Func.(type) {
	case nil:
	case *ast.IdentExpr:
		if g.Value == "require" {
			if s, ok := firstString(e.Args); ok {
				f.requires = append(f.requires, s)
			} else {
				f.loops = true
			}
		}
		if !knownGlobals[g.Value] {
			f.add(a, g.Value)
		}
	case *ast.AttrGetExpr:
		a.expr(f, g.Object)
		if table, ok := a.tableOf(g); ok {
			f.add(a, entryOf(table))
			break
		}
		module, ok := g.Object.(*ast.IdentExpr)
		if isPart(g.Object) {
			break
		}
		if !ok || !knownModules[module.Value] && !a.modules[module.Value] {
			f.add(a, nameOf(g))
		}
	case *ast.FunctionExpr:
		a.expr(f, g)
	default:
		f.loops = true
	}
}

// isPart reports whether e is dragonfly.capture, a module within a module.
func isPart(e ast.Expr) bool {
	g, ok := e.(*ast.AttrGetExpr)
	if !ok || nameOf(g) != "capture" {
		return false
	}
	module, ok := g.Object.(*ast.IdentExpr)
	return ok && module.Value == "dragonfly"
}

// functionArg returns which argument of a call it calls itself, or -1. What a gsub calls is either written there or a
// value that no one can follow: then it is most likely a string.
func functionArg(e *ast.FuncCallExpr) int {
	switch nameOf(e.Func) {
	case "pcall", "xpcall":
		return 0
	case "sort", "foreach", "foreachi":
		return 1
	}
	return -1
}

func firstString(args []ast.Expr) (string, bool) {
	if len(args) == 0 {
		return "", false
	}
	s, ok := args[0].(*ast.StringExpr)
	if !ok {
		return "", false
	}
	return s.Value, true
}
