package luabind

import (
	"strings"
	"testing"

	"dragonfly/engine"
)

// setupError runs Lua statements in a script's setup().
func setupError(t *testing.T, body string) error {
	t.Helper()
	_, _, err := load(t, "analyzers/a.lua", "function setup()\n"+body+"\nend\nfunction loop() end")
	return err
}

func TestHiredis(t *testing.T) {
	for name, body := range map[string]string{
		"status": `local c = hiredis.connect()
			assert(c:command("PING") == hiredis.status.PONG and hiredis.PONG == hiredis.status.PONG)
			assert(c:command("SET", "k", 1) == hiredis.OK and c:command("SET", "k", 1).name == "OK")
			assert(tostring(hiredis.status.QUEUED) == "QUEUED" and hiredis.OK.type == hiredis.REPLY_STATUS)
			assert(getmetatable(hiredis.OK) == "lua-hiredis.const" and getmetatable(hiredis.status) == "lua-hiredis.status")
			assert(type(c) == "userdata" and tostring(c) == "lua-hiredis.connection")`,
		"values": `local c = hiredis.connect()
			assert(c:command("GET", "no") == hiredis.NIL and hiredis.NIL.name == "NIL" and hiredis.NIL.type == 4)
			assert(c:command("INCRBY", "n", 41) == 41 and c:command("GET", "n") == "41")
			assert(c:command("SET", "f", 0.1 + 0.2) == hiredis.OK and c:command("GET", "f") == "0.3")
			c:command("SET", "flow", 1598023201615874) assert(c:command("GET", "flow") == "1598023201615874")
			c:command("HMSET", "h", "a", 1, "b", "x")
			local r = c:command("HMGET", "h", "a", "no", "b")
			assert(#r == 3 and r[1] == "1" and r[2] == hiredis.NIL and r[3] == "x")
			c:command("SET", "bin\0key", "a\0b\r\n") assert(c:command("GET", "bin\0key") == "a\0b\r\n")`,
		"errors": `local c = hiredis.connect()
			local e = c:command("NOSUCH", "x")
			assert(type(e) == "table" and e.type == hiredis.REPLY_ERROR and e.name:find("unknown command 'NOSUCH'") and tostring(e) == e.name)
			assert(c:command_line("").type == hiredis.REPLY_ERROR and c:command_line("   ").type == hiredis.REPLY_ERROR)
			local ok, msg = pcall(c.command, c) assert(not ok and msg:find("missing command name"))
			ok, msg = pcall(c.command, c, "SET", {}) assert(not ok and msg:find("bad argument #2 to '?' (expected a string or number value)", 1, true), msg)
			local n, m = hiredis.unwrap_reply(e) assert(n == nil and m == e.name)
			assert(hiredis.unwrap_reply(hiredis.NIL) == hiredis.NIL)
			n, m = hiredis.unwrap_reply(nil, "gone") assert(n == nil and m == "gone")
			n, m = hiredis.unwrap_reply(hiredis.OK) assert(n == "OK" and m == 5)
			c:close() ok, msg = pcall(c.command, c, "PING") assert(not ok and msg:find("attempted to use closed connection"))`,
		"command_line": `local c = hiredis.connect()
			assert(c:command_line("SET  k   value") == hiredis.OK and c:command("GET", "k") == "value")
			c:command_line("SET p 100%%") assert(c:command("GET", "p") == "100%")
			c:command_line("SET q %s%d%") assert(c:command("GET", "q") == "%s%d%")
			assert(c:command("INCR k").type == hiredis.REPLY_ERROR)`,
		"pipeline": `local c = hiredis.connect()
			c:append_command("INCR", "p") c:append_command("INCR", "p") c:append_command("GET", "no")
			assert(c:get_reply() == 1 and c:command("GET", "p") == "2" and c:get_reply() == 2 and c:get_reply() == hiredis.NIL)
			local r, msg = c:get_reply() assert(r == nil and msg)
			assert(c:command("MULTI") == hiredis.OK and c:command("INCR", "p") == hiredis.QUEUED)
			r = c:command("EXEC") assert(r[1] == 3)`,
		"models": `local c = hiredis.connect()
			assert(c:command_line("ML.LOGREG.SET m 0 2 2") == hiredis.OK)
			assert(c:command_line("ML.LOGREG.PREDICT m -3 1") == "0.017986209962091559")
			assert(c:command("ML.LOGREG.PREDICT", "no", 1).name == "WRONGTYPE Operation against a key holding the wrong kind of value")
			for i, leaf in ipairs{{1, 0}, {1, 0}, {0, 1}} do
			  assert(c:command_line("ML.FOREST.ADD f " .. (i-1) .. " . NUMERIC 1 0.1 .l LEAF " .. leaf[1] .. " .r LEAF " .. leaf[2]) == hiredis.OK)
			end
			assert(c:command_line("ML.FOREST.RUN f 1:0.01 CLASSIFICATION") == "1" and c:command_line("ML.FOREST.RUN f 1:0.2 CLASSIFICATION") == "0")
			assert(c:command_line("ML.FOREST.RUN f 1:0.2 REGRESSION") == "0.33333333333333331")`,
		"more than three connections": `for i = 1, 20 do assert(hiredis.connect()) end`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := setupError(t, body); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestRedisModule(t *testing.T) {
	for name, body := range map[string]string{
		"command": `assert(redis.command("SET", "k", "v") == "OK" and redis.command("GET", "k") == "v" and redis.command("GET", "no") == nil)
			local v, msg = redis.command("INCR", "k") assert(v == nil and msg == "ERR value is not an integer or out of range")
			assert(select("#", redis.command("GET", "no")) == 1)
			local ok, err = pcall(redis.call, "INCR", "k") assert(not ok and err:find("not an integer"))`,
		"pipeline": `local r = redis.pipeline({{"SET", "a", 1}, {"INCR", "a"}, {"LPUSH", "a", 1}, {"GET", "no"}})
			assert(r[1] == "OK" and r[2] == 2 and r[3].err:find("WRONGTYPE") and r[4] == false and #r == 4)`,
		"transaction": `local r = redis.transaction({{"SET", "a", 1}, {"INCR", "a"}}) assert(r[1] == "OK" and r[2] == 2)
			local n, msg = redis.transaction({{"SET", "a", 9}, {"NOSUCH"}}) assert(n == nil and msg:find("command 2: ERR unknown command"), msg)
			assert(redis.command("GET", "a") == "2")`,
		"script": `local s = redis.script("local n = redis.call('INCRBY', KEYS[1], ARGV[1]) return {n, 'x', false, {ok='FINE'}}")
			local r = s:run({"k"}, {5}) assert(r[1] == 5 and r[2] == "x" and r[3] == false and r[4] == "FINE")
			assert(s:run({"k"}, {5})[1] == 10)
			local v, msg = redis.script("return redis.call('LPUSH', KEYS[1], 1)"):run({"k"}) assert(v == nil and msg:find("WRONGTYPE"), msg)
			assert(redis.script("return redis.pcall('LPUSH', KEYS[1], 1).err ~= nil"):run({"k"}) == 1)
			v, msg = redis.script("x = 1"):run() assert(v == nil and msg:find("attempted to create global variable 'x'"), msg)
			v, msg = redis.script("return ("):run() assert(v == nil and msg:find("Error compiling script"), msg)
			assert(redis.script("return 'a' .. 1 .. KEYS[1]"):run({"k"}) == "a1k")
			assert(redis.script("return cjson.encode({1,2})"):run() == "[1,2]")
			assert(redis.command("EVAL", "return {KEYS[1], ARGV[1]}", 1, "a", "b")[2] == "b")`,
		"a script that loops": `local v, msg = redis.script("while true do end"):run() assert(v == nil and msg:find("was stopped"), msg)
			assert(redis.command("PING") == "PONG")`,
		"publish": `assert(redis.publish("c", {a = 1}) == 0 and redis.publish("c", "m") == 0)`,
	} {
		t.Run(name, func(t *testing.T) {
			if err := setupError(t, body); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestWorkersShareTheStore: what one script writes another reads.
func TestWorkersShareTheStore(t *testing.T) {
	s, out, err := load(t, "analyzers/a.lua", `local n = 0
function setup() c = hiredis.connect() end
function loop(e) e.n = c:command("INCR", e.key) dragonfly.analyze_event(default_analyzer, e) end`)
	if err != nil {
		t.Fatal(err)
	}
	again, err := s.(*script).program.Load(s.(*script).env, out)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(again.Close)
	for i, each := range []engine.Script{s, again} {
		if err := handle(t, each, out, `{"key":"k"}`); err != nil {
			t.Fatal(err)
		}
		if want := `"n":` + string(rune('1'+i)); !strings.Contains(out.Emitted[0].Body, want) {
			t.Errorf("got %s, want %s", out.Emitted[0].Body, want)
		}
	}
}

func BenchmarkRedis(b *testing.B) {
	t := &testing.T{}
	for name, body := range map[string]string{
		"none":         `local k = e.k`,
		"incr":         `c:command("INCR", e.k)`,
		"incr line":    `c:command_line("INCR " .. e.k)`,
		"redis module": `redis.command("INCR", e.k)`,
	} {
		b.Run(name, func(b *testing.B) {
			s, _, err := load(t, "analyzers/a.lua", `function setup() c = hiredis.connect() end
function loop(e) for i = 1, 100 do `+body+` end end`)
			if err != nil {
				b.Fatal(err)
			}
			sc := s.(*script)
			ev := sc.L.CreateTable(0, 1)
			ev.RawSetString("k", sc.views.internString("count:10.1.2.3"))
			loop := sc.globals.RawGetString("loop")
			for b.Loop() {
				sc.L.Push(loop)
				sc.L.Push(ev)
				sc.L.Call(1, 0)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/100, "ns/command")
		})
	}
}
