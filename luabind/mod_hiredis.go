package luabind

import (
	"fmt"
	"strings"

	lua "github.com/yuin/gopher-lua"

	"dragonfly/engine/store"
)

// Reply types and error codes of lua-hiredis.
const (
	hiredisNil    = 4
	hiredisStatus = 5
	hiredisError  = 6

	hiredisErrIO = 1
)

// hiredis is the module of that name in one interpreter: dragonfly-mle's lua-hiredis.
type hiredis struct {
	s         *script
	consts    *lua.LTable // metatable of status, error and nil replies
	conns     *lua.LTable // metatable of connections
	null      *lua.LTable
	statuses  map[string]*lua.LTable
	statusTab *lua.LTable
}

// hiredisConn is a connection of a script.
type hiredisConn struct {
	session store.Session
	own     store.Client // to close, when connect got an address
	args    []string
	queue   [][]string    // appended, not sent
	replies []store.Reply // sent, not fetched
	closed  bool
}

func (h *hiredis) constant(name string, kind int) *lua.LTable {
	t := h.s.L.CreateTable(0, 2)
	t.RawSetString("name", lua.LString(name))
	t.RawSetString("type", lua.LNumber(kind))
	t.Metatable = h.consts
	return t
}

func (h *hiredis) status(name string) *lua.LTable {
	t := h.statuses[name]
	if t == nil {
		t = h.constant(name, hiredisStatus)
		if len(h.statuses) < 1000 { // EVAL can make any number
			h.statuses[name] = t
		}
	}
	return t
}

// value returns a reply as lua-hiredis does: errors and nil are tables.
func (h *hiredis) value(r *store.Reply) lua.LValue {
	switch r.Kind {
	case store.Int:
		return lua.LNumber(r.Int)
	case store.Bulk:
		if len(r.Str) > bigString {
			h.s.lim.room(h.s.L, len(r.Str))
		}
		return lua.LString(r.Str)
	case store.Status:
		return h.status(r.Str)
	case store.Error:
		return h.constant(r.Str, hiredisError)
	case store.Array:
		h.s.lim.room(h.s.L, arrayCost+slotSize*len(r.Elems))
		t := h.s.L.CreateTable(len(r.Elems), 0)
		for i := range r.Elems {
			t.RawSetInt(i+1, h.value(&r.Elems[i]))
		}
		return t
	}
	return h.null
}

func (s *script) hiredisModule() module {
	L := s.L
	h := &hiredis{s: s, statuses: map[string]*lua.LTable{}}
	h.consts = L.CreateTable(0, 2)
	h.consts.RawSetString("__metatable", lua.LString("lua-hiredis.const"))
	h.consts.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		L.Push(L.CheckTable(1).RawGetString("name"))
		return 1
	}))
	h.null = h.constant("NIL", hiredisNil)
	statusMeta := L.CreateTable(0, 2)
	statusMeta.RawSetString("__metatable", lua.LString("lua-hiredis.status"))
	statusMeta.RawSetString("__index", L.NewFunction(func(L *lua.LState) int {
		L.Push(h.status(L.CheckString(2)))
		return 1
	}))
	h.statusTab = L.CreateTable(0, 3)
	h.statusTab.Metatable = statusMeta
	const connect = `local conn = assert(hiredis.connect()) `
	methods := []hostFunc{
		{"conn:command", "command(name, ...) -> reply | nil, message, code", "One command; arguments are strings and numbers, of any bytes.",
			connect + `assert(conn:command("PING") == hiredis.status.PONG)`, h.command},
		{"conn:command_line", "command_line(line) -> reply | nil, message, code", "One command, split at blanks, without quotes; `%%` is `%`.",
			connect + `assert(conn:command_line("INCRBY example 2") >= 2)`, h.commandLine},
		{"conn:append_command", "append_command(name, ...)", "Queues a command; get_reply sends all that are queued in one round trip.",
			connect + `conn:append_command("PING") assert(conn:get_reply() == hiredis.PONG)`, h.appendCommand},
		{"conn:get_reply", "get_reply() -> reply | nil, message, code", "The next reply to an appended command.",
			connect + `conn:append_command("ECHO", "a") conn:append_command("ECHO", "b") assert(conn:get_reply() == "a" and conn:get_reply() == "b")`, h.getReply},
		{"conn:close", "close()", "Gives the connection up; using it afterwards is an error.", connect + `conn:close()`, h.close},
	}
	index := L.CreateTable(0, len(methods))
	for _, m := range methods {
		index.RawSetString(strings.TrimPrefix(m.Name, "conn:"), L.NewFunction(m.Fn))
	}
	h.conns = L.CreateTable(0, 4)
	h.conns.RawSetString("__index", index)
	h.conns.RawSetString("__metatable", lua.LString("lua-hiredis.connection"))
	h.conns.RawSetString("__tostring", L.NewFunction(func(L *lua.LState) int {
		L.Push(lua.LString("lua-hiredis.connection"))
		return 1
	}))
	values := map[string]lua.LValue{
		"status": h.statusTab, "NIL": h.null, "OK": h.status("OK"), "QUEUED": h.status("QUEUED"), "PONG": h.status("PONG"),
		"_NAME": lua.LString("hiredis"), "_VERSION": lua.LString("lua-hiredis 0.3"),
	}
	for name, n := range map[string]int{"ERR_IO": hiredisErrIO, "ERR_EOF": 3, "ERR_PROTOCOL": 4, "ERR_OTHER": 2,
		"REPLY_STRING": 1, "REPLY_ARRAY": 2, "REPLY_INTEGER": 3, "REPLY_NIL": hiredisNil, "REPLY_STATUS": hiredisStatus, "REPLY_ERROR": hiredisError} {
		values[name] = lua.LNumber(n)
	}
	return module{
		Name: "hiredis",
		Doc: "Redis as dragonfly-mle's lua-hiredis has it: the server that config.lua names, else the embedded store. Replies: integers and strings as they are, arrays as tables, " +
			"statuses as constants (`hiredis.status.OK`, compare with `==`), errors as tables `{name = message, type = hiredis.REPLY_ERROR}`, and what is missing as `hiredis.NIL`, never nil. " +
			"When the server could not be reached within redis_wait there is no reply but nil, a message and a code. New scripts may like `redis` better.",
		Methods: methods,
		Values:  values,
		Funcs: []hostFunc{
			{"connect", "connect([host [, port]]) -> conn | nil, message, code",
				"A connection; it reconnects by itself. With a host (or the path of a unix socket) that server, else what config.lua names.",
				`local conn = assert(hiredis.connect()) assert(conn:command("PING") == hiredis.status.PONG) assert(conn:command_line("INCRBY example 2") == 2)`, h.connect},
			{"unwrap_reply", "unwrap_reply(reply [, message]) -> value | nil, message",
				"A status as its name, an error as nil and its message; everything else as it is.",
				`local conn = hiredis.connect() assert(hiredis.unwrap_reply(conn:command("PING")) == "PONG") assert(hiredis.unwrap_reply(conn:command("NOSUCH")) == nil)`, h.unwrap},
		},
	}
}

func (h *hiredis) connect(L *lua.LState) int {
	c := &hiredisConn{}
	if host, given := L.Get(1).(lua.LString); given && host != "" {
		address := string(host)
		if port, ok := L.Get(2).(lua.LNumber); ok && port > 0 {
			address = fmt.Sprintf("%s:%d", host, int(port))
		} else if port, ok := L.Get(2).(lua.LString); ok && port != "" && port != "0" {
			address = string(host + ":" + port)
		}
		client, err := h.s.program.loader.dialRedis(address)
		if err != nil {
			return h.failed(L, err)
		}
		c.own, c.session = client, client.Session()
	} else {
		c.session = h.s.program.loader.redisClient().Session()
	}
	var err error
	h.s.lim.waiting(func() { _, err = c.session.Do([]string{"PING"}) })
	if err != nil {
		c.end()
		return h.failed(L, err)
	}
	h.s.closers = append(h.s.closers, c.end)
	L.Push(&lua.LUserData{Value: c, Metatable: h.conns, Env: L.Env})
	return 1
}

func (c *hiredisConn) end() {
	if c.closed {
		return
	}
	c.closed = true
	c.session.Close()
	if c.own != nil {
		c.own.Close()
	}
}

// failed returns nil, message, code as lua-hiredis does when there is no answer.
func (h *hiredis) failed(L *lua.LState, err error) int {
	L.Push(lua.LNil)
	L.Push(lua.LString(err.Error()))
	L.Push(lua.LNumber(hiredisErrIO))
	return 3
}

func (h *hiredis) self(L *lua.LState) *hiredisConn {
	if u, ok := L.Get(1).(*lua.LUserData); ok {
		if c, ok := u.Value.(*hiredisConn); ok {
			if c.closed {
				L.RaiseError("lua-hiredis error: attempted to use closed connection")
			}
			return c
		}
	}
	L.ArgError(1, "a hiredis connection expected: write conn:command(...), with a colon")
	return nil
}

// redisArgs appends the arguments from n on to list: strings and numbers.
func redisArgs(L *lua.LState, n int, list []string) []string {
	top := L.GetTop()
	if top < n {
		L.RaiseError("missing command name")
	}
	for i := n; i <= top; i++ {
		switch v := L.Get(i).(type) {
		case lua.LString:
			list = append(list, string(v))
		case lua.LNumber:
			list = append(list, formatNumber(float64(v)))
		default:
			if s, ok := exactInteger(v); ok {
				list = append(list, s)
				continue
			}
			L.RaiseError("bad argument #%d to '?' (expected a string or number value)", i-n+1)
		}
	}
	return list
}

// run carries out one command and pushes the reply.
func (h *hiredis) run(L *lua.LState, c *hiredisConn) int {
	r, err := h.s.redisDo(c.session, c.args)
	clear(c.args)
	if err != nil {
		return h.failed(L, err)
	}
	L.Push(h.value(&r))
	return 1
}

// redisDo carries out a command; the time that a server takes does not count for script_timeout.
func (s *script) redisDo(session store.Session, args []string) (r store.Reply, err error) {
	if s.program.loader.embedded {
		return session.Do(args)
	}
	s.lim.waiting(func() { r, err = session.Do(args) })
	return r, err
}

func (h *hiredis) command(L *lua.LState) int {
	c := h.self(L)
	c.args = redisArgs(L, 2, c.args[:0])
	return h.run(L, c)
}

// commandLine splits at blanks, without quotes; "%%" is "%", as behind the original's printf.
func (h *hiredis) commandLine(L *lua.LState) int {
	c := h.self(L)
	var line string
	switch v := L.Get(2).(type) {
	case lua.LString:
		line = string(v)
	case lua.LNumber:
		line = formatNumber(float64(v))
	default:
		L.RaiseError("bad argument #1 to '?' (expected a string or number value)")
	}
	if strings.Contains(line, "%%") {
		line = strings.ReplaceAll(line, "%%", "%")
	}
	c.args = c.args[:0]
	for line != "" {
		i := strings.IndexByte(line, ' ')
		if i < 0 {
			c.args = append(c.args, line)
			break
		}
		if i > 0 {
			c.args = append(c.args, line[:i])
		}
		line = line[i+1:]
	}
	if len(c.args) == 0 {
		L.Push(h.constant("ERR empty command", hiredisError))
		return 1
	}
	return h.run(L, c)
}

func (h *hiredis) appendCommand(L *lua.LState) int {
	c := h.self(L)
	c.queue = append(c.queue, redisArgs(L, 2, nil))
	return 0
}

func (h *hiredis) getReply(L *lua.LState) int {
	c := h.self(L)
	if len(c.replies) == 0 {
		if len(c.queue) == 0 {
			L.Push(lua.LNil)
			L.Push(lua.LString("there is no reply: append_command comes before get_reply"))
			L.Push(lua.LNumber(2))
			return 3
		}
		queue := c.queue
		c.queue = nil
		var err error
		h.s.lim.waiting(func() { c.replies, err = c.session.Pipeline(queue) })
		if err != nil {
			return h.failed(L, err)
		}
	}
	r := c.replies[0]
	c.replies = c.replies[1:]
	L.Push(h.value(&r))
	return 1
}

func (h *hiredis) close(L *lua.LState) int {
	h.self(L).end()
	return 0
}

func (h *hiredis) unwrap(L *lua.LState) int {
	v := L.Get(1)
	if t, ok := v.(*lua.LTable); ok && t.Metatable == h.consts {
		switch t.RawGetString("type") {
		case lua.LNumber(hiredisStatus):
			L.Push(t.RawGetString("name"))
			L.Push(lua.LNumber(hiredisStatus))
			return 2
		case lua.LNumber(hiredisError):
			L.Push(lua.LNil)
			L.Push(t.RawGetString("name"))
			return 2
		}
	}
	L.Push(v)
	if v == lua.LNil {
		L.Push(L.Get(2))
		return 2
	}
	return 1
}
