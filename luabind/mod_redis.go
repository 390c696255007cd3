package luabind

import (
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/store"
)

// redisAPI is the module redis in one interpreter: its functions work on the Redis of config.lua, its connections, which have
// the same functions as methods, on another.
type redisAPI struct {
	s       *script
	session store.Session // of the module; made at first use
	conns   *lua.LTable   // metatable of connections
	scripts *lua.LTable   // metatable of scripts
	args    []string
}

// redisConn is a connection that redis.connect made.
type redisConn struct {
	client  store.Client
	session store.Session
	closed  bool
}

func (c *redisConn) end() {
	if !c.closed {
		c.closed = true
		c.session.Close()
		c.client.Close()
	}
}

// redisScript is what redis.script returns.
type redisScript struct {
	session func() store.Session
	text    string
	sha     string
}

// value returns a reply; an error is a table {err = message}, a missing element false.
func (a *redisAPI) value(r *store.Reply) lua.LValue {
	switch r.Kind {
	case store.Int:
		return lua.LNumber(r.Int)
	case store.Bulk, store.Status:
		if len(r.Str) > bigString {
			a.s.lim.room(a.s.L, len(r.Str))
		}
		return lua.LString(r.Str)
	case store.Error:
		t := a.s.L.CreateTable(0, 1)
		t.RawSetString("err", lua.LString(r.Str))
		return t
	case store.Array:
		a.s.lim.room(a.s.L, arrayCost+slotSize*len(r.Elems))
		t := a.s.L.CreateTable(len(r.Elems), 0)
		for i := range r.Elems {
			t.RawSetInt(i+1, a.value(&r.Elems[i]))
		}
		return t
	}
	return lua.LFalse
}

// main returns the session of the module.
func (a *redisAPI) main() store.Session {
	if a.session == nil {
		a.session = a.s.program.loader.redisClient().Session()
		a.s.closers = append(a.s.closers, a.session.Close)
	}
	return a.session
}

// of returns the session of a method's connection, or of the module, and where the arguments begin.
func (a *redisAPI) of(L *lua.LState) (store.Session, int) {
	if u, ok := L.Get(1).(*lua.LUserData); ok {
		if c, ok := u.Value.(*redisConn); ok {
			if c.closed {
				L.RaiseError("redis: the connection is closed")
			}
			return c.session, 2
		}
	}
	return a.main(), 1
}

func (s *script) redisModule() module {
	L := s.L
	a := &redisAPI{s: s}
	funcs := []hostFunc{
		{"command", "command(name, ...) -> value | nil | nil, message",
			"One command. Integers and strings as they are, a status as its name, arrays as tables (a missing element is false), a missing value as nil; an error of the server, or no answer within redis_wait, as nil and a message.",
			`assert(redis.command("SET", "example:a", 1) == "OK") local v, err = redis.command("LPUSH", "example:a", "x") assert(v == nil and err:find("WRONGTYPE"))`, a.command},
		{"call", "call(name, ...) -> value | nil",
			"Like command, but a failure raises an error: the event goes to the dead letter.",
			`assert(redis.call("INCRBY", "example:n", 2) >= 2)`, a.call},
		{"pipeline", "pipeline({{name, ...}, ...}) -> {value, ...} | nil, message",
			"Many commands in one round trip. The replies in order; one that failed is {err = message}.",
			`local r = redis.pipeline({{"SET", "example:p", 1}, {"GET", "example:p"}}) assert(r[1] == "OK" and r[2] == "1")`, a.pipeline},
		{"transaction", "transaction({{name, ...}, ...}) -> {value, ...} | nil, message",
			"Like pipeline, and nobody else's command comes in between (MULTI and EXEC). If a command is refused beforehand (unknown, wrong number of arguments) none is carried out.",
			`local r = redis.transaction({{"INCR", "example:t"}, {"EXPIRE", "example:t", 60}}) assert(r[2] == 1)`, a.transaction},
		{"script", "script(text) -> script",
			"A Lua script that runs inside Redis (EVALSHA, and EVAL when the server does not know it yet): `script:run({key, ...}, {arg, ...}) -> value | nil, message`.",
			`local add = redis.script("return redis.call('INCRBY', KEYS[1], ARGV[1])") assert(add:run({"example:s"}, {5}) >= 5)`, a.script},
		{"publish", "publish(channel, message) -> receivers | nil, message",
			"Publishes a message, a string or number; tables and events as JSON.",
			`assert(redis.publish("example", {a = 1}) >= 0)`, a.publish},
	}
	index := L.CreateTable(0, len(funcs)+1)
	for i := range funcs {
		index.RawSetString(funcs[i].Name, L.NewFunction(funcs[i].Fn))
	}
	index.RawSetString("close", L.NewFunction(func(L *lua.LState) int {
		if u, ok := L.Get(1).(*lua.LUserData); ok {
			if c, ok := u.Value.(*redisConn); ok {
				c.end()
			}
		}
		return 0
	}))
	a.conns = redisMeta(L, "redis connection", index)
	run := L.CreateTable(0, 1)
	run.RawSetString("run", L.NewFunction(a.runScript))
	a.scripts = redisMeta(L, "redis script", run)
	funcs = append(funcs, hostFunc{"connect", "connect(address) -> conn | nil, message",
		"A connection to another Redis: `host:port`, the path of a unix socket, or a URL (`redis://user:password@host:port/db`, `rediss://` with TLS). Its methods are the functions of this module, and close.",
		`assert(redis.connect("127.0.0.1:1") == nil)`, a.connect})
	return module{
		Name: "redis",
		Doc: "The Redis that config.lua names, else the embedded store, which answers the same commands in process. A server that is away is waited for (redis_wait), " +
			"which holds the events up and loses none.",
		Funcs: funcs,
	}
}

func redisMeta(L *lua.LState, name string, index *lua.LTable) *lua.LTable {
	t := L.CreateTable(0, 3)
	t.RawSetString("__index", index)
	t.RawSetString("__metatable", lua.LString(name))
	t.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LString(name))
		return 1
	}))
	return t
}

// do carries out the command in the arguments.
func (a *redisAPI) do(L *lua.LState) (store.Reply, error) {
	session, at := a.of(L)
	a.args = redisArgs(L, at, a.args[:0])
	r, err := a.s.redisDo(session, a.args)
	clear(a.args)
	return r, err
}

// answer pushes a reply as command returns it.
func (a *redisAPI) answer(L *lua.LState, r *store.Reply, err error) int {
	switch {
	case err != nil:
		return failed(L, err)
	case r.Kind == store.Nil:
		L.Push(lua.LNil)
		return 1
	case r.Kind == store.Error:
		L.Push(lua.LNil)
		L.Push(lua.LString(r.Str))
		return 2
	}
	L.Push(a.value(r))
	return 1
}

func (a *redisAPI) command(L *lua.LState) int {
	r, err := a.do(L)
	return a.answer(L, &r, err)
}

func (a *redisAPI) call(L *lua.LState) int {
	r, err := a.do(L)
	if err != nil {
		L.RaiseError("%s", err.Error())
	}
	if r.Kind == store.Error {
		L.RaiseError("redis: %s", r.Str)
	}
	return a.answer(L, &r, nil)
}

// commands reads {{name, ...}, ...}.
func (a *redisAPI) commands(L *lua.LState, n int) [][]string {
	t := L.CheckTable(n)
	list := make([][]string, 0, t.Len())
	for i := 1; i <= t.Len(); i++ {
		row, ok := t.RawGetInt(i).(*lua.LTable)
		if !ok || row.Len() == 0 {
			L.RaiseError("command %d is a %s, want {name, ...}", i, t.RawGetInt(i).Type())
		}
		args := make([]string, 0, row.Len())
		for k := 1; k <= row.Len(); k++ {
			switch v := row.RawGetInt(k).(type) {
			case lua.LString:
				args = append(args, string(v))
			case lua.LNumber:
				args = append(args, formatNumber(float64(v)))
			default:
				text, ok := exactInteger(v)
				if !ok {
					L.RaiseError("argument %d of command %d is a %s, want a string or number", k, i, v.Type())
				}
				args = append(args, text)
			}
		}
		list = append(list, args)
	}
	return list
}

func (a *redisAPI) pipeline(L *lua.LState) int {
	session, at := a.of(L)
	commands := a.commands(L, at)
	var replies []store.Reply
	var err error
	a.s.lim.waiting(func() { replies, err = session.Pipeline(commands) })
	if err != nil {
		return failed(L, err)
	}
	L.Push(a.value(&store.Reply{Kind: store.Array, Elems: replies}))
	return 1
}

func (a *redisAPI) transaction(L *lua.LState) int {
	session, at := a.of(L)
	commands := append([][]string{{"MULTI"}}, a.commands(L, at)...)
	commands = append(commands, []string{"EXEC"})
	var replies []store.Reply
	var err error
	a.s.lim.waiting(func() { replies, err = session.Pipeline(commands) })
	if err != nil {
		return failed(L, err)
	}
	last := &replies[len(replies)-1]
	if last.Kind == store.Error {
		for i, r := range replies[1 : len(replies)-1] {
			if r.Kind == store.Error {
				last = &store.Reply{Kind: store.Error, Str: fmt.Sprintf("command %d: %s", i+1, r.Str)}
				break
			}
		}
	}
	return a.answer(L, last, nil)
}

func (a *redisAPI) script(L *lua.LState) int {
	at := 1
	session := a.main
	if u, ok := L.Get(1).(*lua.LUserData); ok {
		if c, ok := u.Value.(*redisConn); ok {
			session, at = func() store.Session { return c.session }, 2
		}
	}
	text := L.CheckString(at)
	sum := sha1.Sum([]byte(text))
	L.Push(&lua.LUserData{Value: &redisScript{session, text, hex.EncodeToString(sum[:])}, Metatable: a.scripts, Env: L.Env})
	return 1
}

func (a *redisAPI) runScript(L *lua.LState) int {
	u, _ := L.Get(1).(*lua.LUserData)
	var sc *redisScript
	if u != nil {
		sc, _ = u.Value.(*redisScript)
	}
	if sc == nil {
		L.ArgError(1, "a redis script expected: write script:run(...), with a colon")
	}
	texts := func(n int) []string {
		t := L.OptTable(n, nil)
		if t == nil {
			return nil
		}
		var list []string
		for i := 1; i <= t.Len(); i++ {
			switch v := t.RawGetInt(i).(type) {
			case lua.LString:
				list = append(list, string(v))
			case lua.LNumber:
				list = append(list, formatNumber(float64(v)))
			default:
				text, ok := exactInteger(v)
				if !ok {
					L.RaiseError("element %d of argument %d is a %s, want a string or number", i, n-1, v.Type())
				}
				list = append(list, text)
			}
		}
		return list
	}
	keys, args := texts(2), texts(3)
	command := append([]string{"EVALSHA", sc.sha, fmt.Sprint(len(keys))}, append(keys, args...)...)
	r, err := a.s.redisDo(sc.session(), command)
	if err == nil && r.Kind == store.Error && strings.HasPrefix(r.Str, "NOSCRIPT") {
		command[0], command[1] = "EVAL", sc.text
		r, err = a.s.redisDo(sc.session(), command)
	}
	return a.answer(L, &r, err)
}

func (a *redisAPI) publish(L *lua.LState) int {
	session, at := a.of(L)
	message := ""
	switch v := L.Get(at + 1).(type) {
	case lua.LString:
		message = string(v)
	case lua.LNumber:
		message = formatNumber(float64(v))
	default:
		body, _, err := a.s.views.encode(v, false)
		if err != nil {
			L.RaiseError("redis.publish: %s", err.Error())
		}
		message = body
	}
	r, err := a.s.redisDo(session, []string{"PUBLISH", L.CheckString(at), message})
	return a.answer(L, &r, err)
}

func (a *redisAPI) connect(L *lua.LState) int {
	client, err := a.s.program.loader.dialRedis(L.CheckString(1))
	if err != nil {
		return failed(L, err)
	}
	c := &redisConn{client: client, session: client.Session()}
	a.s.lim.waiting(func() { _, err = c.session.Do([]string{"PING"}) })
	if err != nil {
		c.end()
		return failed(L, err)
	}
	a.s.closers = append(a.s.closers, c.end)
	L.Push(&lua.LUserData{Value: c, Metatable: a.conns, Env: L.Env})
	return 1
}
