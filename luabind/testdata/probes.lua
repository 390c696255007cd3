-- What a comparison of the libraries with LuaJIT lists, item by item. The output must be that of LuaJIT; lines that only one of
-- the two can print are left out.
local function show(...)
  local t = {}
  for i = 1, select("#", ...) do t[i] = tostring((select(i, ...))) end
  print(table.concat(t, " | "))
end
local function try(f, ...)
  local r = {pcall(f, ...)}
  if not r[1] then r[2] = tostring(r[2]):gsub("^[^:]*:%d+: ", "") end
  local n = 0 for k in pairs(r) do if k > n then n = k end end
  for i = 1, n do r[i] = tostring(r[i]) end
  print(table.concat(r, " | "))
end
-- number text
show(0.1 + 0.2, 1/3, 1/0, -1/0, 1e100, 2^53 == 9007199254740992, 123456.789e3, -1e-7)
-- os.date
for c in ("aAbBcdDeFgGhHIjmMnprRStTuUVwWxXyY%C"):gmatch(".") do show(c, os.date("!%" .. c, 1598023201)) end
show(os.date("!*t", 86400 * 60).yday, os.date("!%Y-%m-%dT%TZ", 0), os.date("*t").isdst ~= nil)
-- math
show(math.huge == 1/0, tonumber("nan") ~= tonumber("nan"), tonumber("NaN") ~= nil, tonumber("inf"), tonumber("-inf"), tonumber("infinity"), tonumber("0x1p4"), tonumber("0x.8"), tonumber("1e"), tonumber("0b11"), tonumber("1_0"), tonumber("0x"), tonumber("١"))
show(math.log(8, 2), math.log(100, 10), math.log10(1000), math.log(0), math.fmod(7, -3), math.fmod(5, math.huge), math.modf(3.7), math.modf(-1/0), math.frexp(0), math.frexp(10), math.ldexp(1, 10), math.pi, math.deg(math.pi), math.rad(180), math.sinh(0), math.cosh(0), math.tanh(0), math.atan2(1, 1), math.pow(2, 0.5))
show(math.floor(2^31 + 0.5), math.ceil(-0.5), math.max(1), math.min(3, 2, 1)) try(math.sqrt, "16") try(math.abs, "x") try(math.abs, nil)
-- strings
show(tostring(("x"):match("y")), select("#", ("x"):match("y")), select("#", ("x"):find("y")), select("#", ("abc"):gmatch("z")()))
show((("^a"):gmatch("^a")()), ("aa"):gmatch("^a")(), ("THE (quick) fox"):find("%f[%a]%a+%f[%A]"), ("abc"):find("", 10), ("abc"):find("", 4), ("a"):rep(3, "-"), ("a"):rep(1, "-"), ("a"):rep(0, "-"), ("É"):upper() == "É", ("é"):lower() == "é", ("i"):upper())
show(("%q"):format('a\n\r\0b"\\\1\0012\200'), ("%u"):format(42), ("%x"):format(-1), ("%X"):format(255), ("%5.1f"):format(1.25), ("%5.1f"):format(1.35), ("%.0f"):format(2.5), ("%.3g"):format(0.00012345), ("%i"):format(3.9), ("%c%c"):format(72, 105), ("%o"):format(8), ("%e"):format(12345.678), ("%s"):format(nil), ("%10.3s|"):format("abcdef"), ("%-10d|"):format(5), ("%+d"):format(5), ("%#x"):format(255), ("%05d"):format(-42), ("%%"):format())
show(("%a"):format(1), ("%a"):format(0.5), ("%A"):format(255.75), ("%a"):format(0), ("%.3a"):format(1/3), ("%a"):format(-1e-310), ("%20a|"):format(3), ("%p"):format(1) ~= nil)
try(string.format, "%d", "1.5") try(string.format, "%d", {}) try(string.char, -1) try(string.byte, "abc", -1)
show(#string.rep("ab", 1000, ","), ("x"):byte(10), string.len("\0\0"), ("abc"):sub(-2, -1), ("abc"):sub(2), ("abc"):reverse(), ("a,b,,c"):gsub(",", ";", 2), ("abc"):gsub("%w", "%%%0"), ("hello"):gsub("", "-"), string.gsub("abc", "b", {b = false}), ("x"):gsub("x", "%1"))
-- big tables, deep recursion
local parts = {} for i = 1, 30000 do parts[i] = tostring(i) end
show(#loadstring("return {" .. table.concat(parts, ",") .. "}")())
local function deep(n) if n == 0 then return 0 end return 1 + deep(n - 1) end show(deep(15000)) show(pcall(deep, 15500))
show(pcall(function() local function f() return f() + 1 end return f() end) == false)
local co = coroutine.wrap(function() return pcall(function() return coroutine.yield(1) + 1 end) end) show(co()) show(co(5))
-- missing
show(type(bit), bit.band(12, 10), type(jit), type(jit.version), type(jit.version_num), type(jit.status()), type(jit.os), type(jit.arch), jit.on(), jit.off(), jit.flush(), require("jit") == jit)
show(type(require "table.new"), type(require "table.clear"), #require("table.new")(10, 0), type(require("bit")), select("#", require("table.clear")({1})))
local tc = {1, 2, x = 3} require("table.clear")(tc) show(next(tc), #tc) try(require "table.new") try(require"table.new", 1)
show(table.move and #table.move({1, 2, 3}, 1, 3, 2), table.foreach({1}, function(k, v) return v end), table.foreachi({4, 5}, function(i, v) if i == 2 then return v end end), type(gcinfo()), type(collectgarbage("count")), collectgarbage(), collectgarbage("collect"), collectgarbage("step"), collectgarbage("setpause", 100), collectgarbage("setpause", 200), collectgarbage("setstepmul", 200), collectgarbage("stop"), collectgarbage("restart")) try(collectgarbage, "bad")
show(load("return 1 + 1")(), load(function() return nil end) ~= nil, load("return x", "n", "t", {x = 9})(), xpcall(function(...) return ... end, print, 1, nil, 3))
show(coroutine.isyieldable(), coroutine.wrap(function() return coroutine.isyieldable() end)(), "\x41\u{48}\z   B", 0x1p4, 0b101)
show(type(debug.sethook), type(debug.gethook), type(debug.getregistry), type(debug.getregistry()), debug.gethook(), debug.sethook(), type(package.cpath), type(package.path), type(package.loaded), type(package.preload), type(package.loaders), type(package.config), type(package.seeall), type(package.loadlib))
show(io.open("/nonexistent/x")) show(select(3, io.open("/nonexistent/x"))) try(io.lines, "/nonexistent/x") show(io.open("/tmp", "r") ~= nil) show(pcall(io.open, "/tmp/x", "bad")) try(io.open)
show(io.type(io.stdout), io.type(5), type(io.read), type(io.popen), type(io.tmpfile), type(io.stderr), type(io.input))
local name = os.tmpname() local f = assert(io.open(name, "w")) show(io.type(f), (f:write("12 0x1F 1e2 abc\r\n", "line2\n", "tail")) ~= nil, f:seek("cur"), f:seek("set", 0), f:seek("end")) show(f:close(), io.type(f), tostring(f)) try(f.read, f)
f = io.open(name) show(f:read("*n", "*n", "*n", "*n")) f:seek("set") show(f:read()) show(f:read("*l", "*l", "*l")) f:seek("set") show(#f:read("*a"), f:read("*a"), f:read("*l"), f:read(0)) f:seek("set") show(f:read(0), f:read(3), f:read(100):len(), f:read(1)) f:close()
for l in io.lines(name) do show(l) end show(pcall(function() for l in io.lines(name, "*n") do show(l) end end)) f = io.open(name, "a+") f:write("more") f:seek("set") show(f:read("*a")) f:close() show(os.remove(name)) show(select("#", os.remove(name)), select(3, os.remove(name))) show(os.rename("/nonexistent/a", "/nonexistent/b")) show(os.getenv("NOPE_X"), type(os.clock()), type(os.time()), os.difftime(5, 3), os.setlocale(), os.setlocale("C"), type(os.tmpname))
-- same
show(table.getn({1, 2}), table.maxn({1, [10] = 2}), unpack({1, 2, 3}, 2), tonumber("zz", 36), tonumber("7fffffff", 16), tonumber("8", 8), "10" + 5, 2^24 * "192", -5 % 3, 5 % -3, -5.5 % 2)
try(function() return "a" + 1 end) try(function() return {} .. "x" end) try(function() return 1 < "2" end) try(function() return {} < {} end) try(function() return nil > 1 end) try(function() local t = {} t[nil] = 1 end) try(function() local t = {} t[0/0] = 1 end) try(function() for i = 1, 10, 0 do break end end) try(function() for i = "a", 2 do end end) try(setmetatable, 1, {}) try(setmetatable, {}) try(setmetatable, {}, 1) try(function() return setmetatable({}, {__metatable = 1}) end and function() return setmetatable(setmetatable({}, {__metatable = 1}), {}) end)
try(rawset, 1) try(rawget, {}) try(pairs, nil) try(next, nil) try(select, 0) try(select, -5, 1) try(tostring) try(tonumber) try(tonumber, {}) try(tonumber, "1", 99) try(type) try(getmetatable) try(string.rep) try(table.concat, {1, {}, 3}) try(table.insert, {}, 1, 2, 3) try(require, "no.such.module.x" and 5 and {}) try(error)
show(module ~= nil, getfenv(1) == _G, setfenv(function() end, {}) ~= nil, getfenv(print) == _G, _VERSION, newproxy and type(newproxy(true)), type(getmetatable(newproxy(true))))
show(rawequal({}, {}), rawlen, table.pack, table.unpack, utf8, string.pack, math.type, math.tointeger, _ENV, bit32, warn)
local m = setmetatable({}, {__len = function() return 7 end, __pairs = function() return function() end end, __ipairs = 1, __gc = 1, __mode = "k", __lt = function() return true end, __le = function() return false end, __mod = function() return "mod" end, __idiv = 1, __unm = function() return "unm" end})
show(m < m, m <= m, m > m, m % 1, -m)
local s = 0 for k, v in pairs(setmetatable({1, 2}, {__pairs = function() error("no") end})) do s = s + v end show(s)
show(tostring(setmetatable({}, {__tostring = function() return "T" end})), pcall(tostring, setmetatable({}, {__tostring = function() return 5 end})), tostring(print):match("^builtin") or tostring(print):match("^function"))
local t = {10, 20, 30, nil, 50} show(#t == 5 or #t == 3, select("#", unpack(t, 1, 5))) show(table.remove({}), table.remove({1, 2, 3}, 1), table.remove({1, 2, 3}), pcall(table.remove, {1, 2, 3}, 7)) show(table.concat({1, 2, 3}, ", ", 2), table.concat({}, "x"), table.concat({1, 2.5, "x"})) try(table.concat, {}, "", 1, 2)
try(table.sort, {3, 1, "x"}) show(pcall(table.sort, {1, 2, 3}, function() return 5 end)) local so = {5, 3, 1, 4} table.sort(so, function(a, b) return a > b end) show(unpack(so))
show(string.dump and pcall(string.dump, print)) show(("x"):rep(3):len(), ("%d"):rep(2), ("a b c"):gsub("%s", ""), ("abc"):find("b", 1, true), ("a.b"):find(".", 2, true), ("aXb"):find("%u"), ("key=val"):match("(%w+)=(%w+)"), ("  trim "):match("^%s*(.-)%s*$"), ("2024-01-02"):match("(%d+)-(%d+)-(%d+)"))
function loop() end
