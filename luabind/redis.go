package luabind

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/store"
)

// SetRedis gives scripts the Redis of config.lua. Until then, and in tests of scripts, they have an embedded store of their
// own, in memory. dial makes the connections that scripts ask for by address.
func (l *Loader) SetRedis(c store.Client, dial func(address string) (store.Client, error)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.redis, l.dialer = c, dial
	_, l.embedded = c.(*store.Store)
	if s, ok := c.(*store.Store); ok {
		s.SetEval(l.evalRedis)
	}
}

// redisClient returns the Redis of the scripts.
func (l *Loader) redisClient() store.Client {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.redis == nil {
		s, err := store.Open(store.Options{})
		if err != nil {
			panic(err) // without a file there is nothing to fail
		}
		s.SetEval(l.evalRedis)
		l.redis, l.ownStore, l.embedded = s, s, true
	}
	return l.redis
}

func (l *Loader) dialRedis(address string) (store.Client, error) {
	l.mu.Lock()
	dial := l.dialer
	l.mu.Unlock()
	if dial == nil {
		return nil, errors.New("there is no network here: connect() without an address is the embedded store")
	}
	return dial(address)
}

// exactInteger returns the digits of an integer that is beyond Lua's numbers.
func exactInteger(v lua.LValue) (string, bool) {
	if u, ok := v.(*lua.LUserData); ok {
		if x, ok := u.Value.(exact); ok {
			return string(x), true
		}
	}
	return "", false
}

// evalTimeout is the limit of a script that runs inside the embedded store: everybody waits for it.
const evalTimeout = time.Second

// evalMemory is the limit in bytes of what such a script may hold.
const evalMemory = 256 << 20

// evaluator runs EVAL's scripts for the embedded store.
type evaluator struct {
	L     *lua.LState
	lim   *limits
	views *views
	base  *lua.LTable // metatable of the globals of each run
	codes map[string]*code
	do    func(args []string) store.Reply
	close func()
}

// evalCodes bounds the compiled scripts that are kept.
const evalCodes = 1000

// evalRedis is a store.EvalFunc. The store is locked while it runs, so there is one call at a time.
func (l *Loader) evalRedis(script string, keys, args []string, do func(args []string) store.Reply) store.Reply {
	if l.eval == nil {
		l.eval = newEvaluator(l)
	}
	reply := l.eval.run(script, keys, args, do)
	if lim := l.eval.lim; lim.budget.cause == causeMemory || lim.between(l.dog.now.Load(), l.dog.heap.Load()) {
		l.eval.close() // what it holds would stay
		l.eval = nil
	}
	return reply
}

func newEvaluator(l *Loader) *evaluator {
	e := &evaluator{lim: &limits{}, codes: map[string]*code{}}
	var m meter
	var co *coroutines
	e.lim.budget = newBudget(evalMemory, 0, func(most int64) int64 { return m.measure(&holder{L: e.L, coroutines: co, views: e.views}, most) }, func(int64) {})
	e.lim.timeout.Store(int64(evalTimeout))
	e.L = lua.NewState(lua.Options{SkipOpenLibs: true, RegistrySize: 4 << 10, RegistryMaxSize: 1 << 18, RegistryGrowStep: 4 << 10, MinimizeStackMemory: true})
	co = openLibs(e.L, e.lim, io.Discard)
	e.close = func() {
		l.dog.remove(e.lim)
		co.close()
		e.L.Close()
	}
	e.views = newViews(e.L)
	e.views.lim = e.lim
	for _, m := range cjsonModules(e.views) {
		if m.Name == "cjson" {
			m.install(e.L)
		}
	}
	for _, m := range libModules() {
		m.install(e.L)
	}
	sealSandbox(e.L)
	l.dog.add(e.lim)
	e.L.SetContext(e.lim)
	G := e.L.G.Global
	redis := e.L.NewTable()
	redis.RawSetString("call", e.L.NewFunction(func(L *lua.LState) int { return e.call(L, true) }))
	redis.RawSetString("pcall", e.L.NewFunction(func(L *lua.LState) int { return e.call(L, false) }))
	redis.RawSetString("error_reply", e.L.NewFunction(func(L *lua.LState) int { return tagged(L, "err") }))
	redis.RawSetString("status_reply", e.L.NewFunction(func(L *lua.LState) int { return tagged(L, "ok") }))
	redis.RawSetString("sha1hex", e.L.NewFunction(func(L *lua.LState) int {
		sum := sha1.Sum([]byte(L.CheckString(1)))
		L.Push(lua.LString(hex.EncodeToString(sum[:])))
		return 1
	}))
	redis.RawSetString("log", e.L.NewFunction(func(*lua.LState) int { return 0 }))
	for i, name := range []string{"LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING"} {
		redis.RawSetString(name, lua.LNumber(i))
	}
	G.RawSetString("redis", redis)
	e.base = e.L.CreateTable(0, 2)
	e.base.RawSetString("__index", G)
	e.base.RawSetString("__newindex", e.L.NewFunction(func(L *lua.LState) int {
		L.RaiseError("Script attempted to create global variable '%s'", L.Get(2).String())
		return 0
	}))
	return e
}

func tagged(L *lua.LState, field string) int {
	t := L.CreateTable(0, 1)
	text := L.CheckString(1)
	if field == "err" {
		text = strings.TrimPrefix(text, "-")
		if !strings.Contains(text, " ") {
			text = "ERR " + text
		}
	}
	t.RawSetString(field, lua.LString(text))
	L.Push(t)
	return 1
}

// call is redis.call, and redis.pcall, which returns errors.
func (e *evaluator) call(L *lua.LState, raise bool) int {
	fail := func(text string) int {
		t := L.CreateTable(0, 1)
		t.RawSetString("err", lua.LString(text))
		if raise {
			L.Error(t, 1)
		}
		L.Push(t)
		return 1
	}
	var args []string
	for i := 1; i <= L.GetTop(); i++ {
		switch v := L.Get(i).(type) {
		case lua.LString:
			args = append(args, string(v))
		case lua.LNumber:
			args = append(args, formatNumber(float64(v)))
		default:
			return fail("ERR Lua redis lib command arguments must be strings or integers")
		}
	}
	r := e.do(args)
	if r.Kind == store.Error {
		return fail(r.Str)
	}
	L.Push(e.value(&r))
	return 1
}

// value returns a reply as Redis's scripts see it.
func (e *evaluator) value(r *store.Reply) lua.LValue {
	field := "ok"
	switch r.Kind {
	case store.Int:
		return lua.LNumber(r.Int)
	case store.Bulk:
		return lua.LString(r.Str)
	case store.Array:
		t := e.L.CreateTable(len(r.Elems), 0)
		for i := range r.Elems {
			t.RawSetInt(i+1, e.value(&r.Elems[i]))
		}
		return t
	case store.Error:
		field = "err"
	case store.Nil:
		return lua.LFalse
	}
	t := e.L.CreateTable(0, 1)
	t.RawSetString(field, lua.LString(r.Str))
	return t
}

// reply turns a script's result into a reply: numbers lose their fraction, tables end at the first nil.
func (e *evaluator) reply(v lua.LValue, depth int) store.Reply {
	switch v := v.(type) {
	case lua.LNumber:
		return store.Reply{Kind: store.Int, Int: int64(v)}
	case lua.LString:
		return store.Reply{Kind: store.Bulk, Str: string(v)}
	case lua.LBool:
		if v {
			return store.Reply{Kind: store.Int, Int: 1}
		}
	case *lua.LTable:
		if depth > 100 {
			return store.Err("ERR reached lua stack limit")
		}
		if s, ok := v.RawGetString("err").(lua.LString); ok {
			return store.Err(oneLine(string(s)))
		}
		if s, ok := v.RawGetString("ok").(lua.LString); ok {
			return store.Reply{Kind: store.Status, Str: oneLine(string(s))}
		}
		r := store.Reply{Kind: store.Array, Elems: []store.Reply{}}
		for i := 1; ; i++ {
			el := v.RawGetInt(i)
			if el == lua.LNil {
				return r
			}
			r.Elems = append(r.Elems, e.reply(el, depth+1))
		}
	}
	return store.Reply{}
}

func oneLine(s string) string { return strings.NewReplacer("\r", " ", "\n", " ").Replace(s) }

func (e *evaluator) run(script string, keys, args []string, do func(args []string) store.Reply) store.Reply {
	sum := sha1.Sum([]byte(script))
	sha := hex.EncodeToString(sum[:])
	c := e.codes[sha]
	if c == nil {
		var err error
		c, err = compileScript("user_script", script)
		if err != nil {
			return store.Err("ERR Error compiling script (new function): " + oneLine(strings.TrimPrefix(err.Error(), "user_script:")))
		}
		if len(e.codes) >= evalCodes {
			e.codes = map[string]*code{}
		}
		e.codes[sha] = c
	}
	L := e.L
	env := L.CreateTable(0, 4)
	list := func(texts []string) *lua.LTable {
		t := L.CreateTable(len(texts), 0)
		for i, s := range texts {
			t.RawSetInt(i+1, lua.LString(s))
		}
		return t
	}
	env.RawSetString("KEYS", list(keys))
	env.RawSetString("ARGV", list(args))
	env.Metatable = e.base
	fn := c.function(L)
	fn.Env = env
	e.do = do
	defer func() { e.do = nil }()
	e.lim.begin()
	L.Push(fn)
	err := L.PCall(0, 1, nil)
	e.lim.end()
	if err != nil {
		defer L.SetTop(0)
		if e.lim.stopped() && e.lim.budget.cause == causeMemory {
			return store.Err(fmt.Sprintf("ERR the script %s was stopped: it held more than %s", sha, bytesText(evalMemory)))
		}
		if e.lim.stopped() {
			return store.Err(fmt.Sprintf("ERR the script %s was stopped: it took longer than %s, while which the whole store waits", sha, evalTimeout))
		}
		var api *lua.ApiError
		if errors.As(err, &api) {
			if t, ok := api.Object.(*lua.LTable); ok {
				if s, ok := t.RawGetString("err").(lua.LString); ok {
					return store.Err(oneLine(string(s)) + " script: " + sha + ", on @user_script.")
				}
			}
			if s, ok := api.Object.(lua.LString); ok {
				return store.Err("ERR " + oneLine(string(s)) + " script: " + sha + ", on @user_script.")
			}
		}
		return store.Err("ERR " + oneLine(err.Error()) + " script: " + sha)
	}
	v := L.Get(-1)
	L.Pop(1)
	return e.reply(v, 0)
}
