-- Prints what the standard libraries do, line by line. The same file runs under LuaJIT: the output must be the same.
local seed = 42
local function rnd(n) seed = (seed * 16807) % 2147483647 return seed % n end
local function show(...)
  local t = {}
  for i = 1, select("#", ...) do t[i] = tostring((select(i, ...))) end
  print(table.concat(t, " | "))
end
local function try(f, ...)
  local r = {pcall(f, ...)}
  local n = 0
  for k in pairs(r) do if k > n then n = k end end
  if not r[1] then r[2] = tostring(r[2]):gsub("^[^:]*:%d+: ", ""):gsub("'%?'", "'f'"):gsub("#(%d+) to '%w+'", "#%1 to 'f'"):gsub("bad argument (#%d+ to 'f' %b())$", "bad argument %1") end
  for i = 1, n do r[i] = tostring(r[i]) end
  print(table.concat(r, " | "))
end

-- numbers as text
for _, n in ipairs{0, 1, -1, 0.1, 1/3, 2/3, 0.1 + 0.2, 123456789012, 1.5, 1e100, 1.5e-7, 1e-5, 123456.789, 1598023201.123456, -0.5, 3.14159265358979} do
  show(n, n .. "", "x" .. n, string.format("%.14g", n))
end
show(1/0, -1/0, math.huge == 1/0, tostring(0/0):gsub("-", ""))
show(tonumber("0x10"), tonumber(" 12 "), tonumber("1e3"), tonumber("z", 36), tonumber("ff", 16), tonumber("8", 8), tonumber(""), tonumber("1x"), tonumber("0x"), tonumber("1 2"), tonumber("-7"), tonumber("- 7"), tonumber("777", 8), tonumber("inf") == 1/0)
show("10" + 5, "3" * "4", 10 .. 20, -"2", 7 % 3, -7 % 3, 7 % -3, 5.5 % 2, 2^10, 10 / 4)

-- patterns, generated
local atoms = {"a", "b", ".", "%a", "%d", "%s", "%w", "%x", "[abc]", "[^ab]", "[a-c]", "[%d_]", "%.", "x", "(a)", "(%a+)", "()", "%1", "(b*)", "%bab", "%f[%w]", "-", "%-", "%u", "%l", "%p", "%c", "[]]", "[^]]", "[a-]"}
local reps = {"", "", "*", "+", "-", "?"}
local letters = {"a", "b", "c", "x", "1", "2", " ", ".", "_", "A", "-", "]"}
for i = 1, 2500 do
  local p, s = {}, {}
  if rnd(8) == 0 then p[1] = "^" end
  for j = 1, 1 + rnd(4) do p[#p + 1] = atoms[1 + rnd(#atoms)] .. reps[1 + rnd(#reps)] end
  if rnd(8) == 0 then p[#p + 1] = "$" end
  for j = 1, rnd(12) do s[j] = letters[1 + rnd(#letters)] end
  p, s = table.concat(p), table.concat(s)
  io.write(p, " ~ ", s, " : ")
  local k = rnd(4)
  if k == 0 then try(string.find, s, p, rnd(6) - 2)
  elseif k == 1 then try(string.match, s, p)
  elseif k == 2 then try(string.gsub, s, p, ({"<%0>", "", "%%", "y"})[1 + rnd(4)], rnd(2) == 0 and rnd(3) or nil)
  else try(function() local out = {} for a, b in s:gmatch((p:gsub("^%^", ""))) do out[#out + 1] = tostring(a) .. "," .. tostring(b) if #out > 20 then break end end return table.concat(out, ";") end) end
end
for _, c in ipairs{{"hello world", "o w"}, {"a.b", ".", 1, true}, {"abc", "b", -1}, {"abc", "", 10}, {"abc", "", 4}, {"", ""}, {"aXb", "%u"}, {"[x]", "[[]"}, {"f(a(b)c)", "%b()"}, {"THE (quick) fox", "%((%a+)%)"}} do try(string.find, unpack(c)) end
for _, p in ipairs{"[a", "[]", "%", "(a", "%1", "(%1)", "[%", "%b", "%bx", "%f", "[a-%d]", "()(()", "%2(a)"} do io.write(p, " : ") try(string.find, "abc", p) end
try(string.gsub, "hello", "l", {l = "L"}) try(string.gsub, "hello", "(h)(e)", "%2%1") try(string.gsub, "abc", "%w", "%0%0") try(string.gsub, "abc", "", "-")
try(string.gsub, "hello world", "%w+", function(w) if w == "world" then return "moon" end end) try(string.gsub, "x", "x", function() return {} end) try(string.gsub, "abc", "b", false)
try(string.gsub, "abc def", "%f[%w]%w+", string.upper) try(string.gsub, "x = y", "(%w+) = (%w+)", "%2 = %1") try(string.gsub, "abc", "(b)", "%2")
for w in ("one;two;;four"):gmatch("([^;]*)") do io.write("[", w, "]") end print()

-- string functions
try(string.rep, "ab", 3) try(string.rep, "ab", 0) try(string.rep, "ab", -1) try(string.rep, "", 5) try(string.sub, "hello", 2, -2) try(string.sub, "hello", -3) try(string.sub, "hello", 0) try(string.sub, "hello", 10) try(string.sub, "hello", 3, 2)
try(string.byte, "abc", 1, -1) try(string.byte, "abc", 10) try(string.byte, "") try(string.char, 72, 105) try(string.char, 256) try(string.char) try(string.upper, "aé1") try(string.lower, "AÉ1") try(string.reverse, "abc") try(string.len, "a\0b")
try(string.len, {}) try(string.len, 12.5)
-- format, generated
local verbs = {"d", "i", "u", "x", "X", "o", "c", "e", "E", "f", "g", "G", "s", "q"}
local values = {0, 1, -1, 42, 255, 1234567, -0.5, 3.14159, 1e10, 1e-10, 65, 99.995, 2.5, 0.1, 100000, 1e15}
local flags = {"", "", "", "-", "+", " ", "0", "#", "-0", "+0"}
for i = 1, 1500 do
  local v = verbs[1 + rnd(#verbs)]
  local x = values[1 + rnd(#values)]
  if v == "c" then x = 33 + rnd(90) end
  if v == "u" or v == "x" or v == "X" or v == "o" then x = math.abs(math.floor(x)) end
  if v == "s" or v == "q" then x = ({"", "hi", "a\"b\\c\nd", 12.5})[1 + rnd(4)] end
  local f = "%" .. flags[1 + rnd(#flags)] .. (rnd(2) == 0 and tostring(1 + rnd(12)) or "") .. ((v ~= "c" and rnd(2) == 0) and "." .. tostring(rnd(6)) or "") .. v
  if v == "q" then f = "%q" end
  if not ((v == "c" or v == "s") and f:find("[0+#]")) then io.write(f, " : ") try(string.format, "<" .. f .. ">", x) end
end
try(string.format, "%d", "10") try(string.format, "%d", "x") try(string.format, "%y", 1) try(string.format, "%5.1f|%-5s|%%", 2.25, "a") try(string.format, "%s %s", 1, true) try(string.format, "%10.4s|", "abcdefgh") try(string.format, "%d", 3.7)
try(string.format, "%x", -1) try(string.format, "%5.2s|", "abc") try(string.format, "%.3d", 5) try(string.format, "%g", 1e20) try(string.format, "%g", 100000) try(string.format, "%g", 1e6) try(string.format, "%.0f", 0.5)

-- tables
local t = {5, 2, 8, 1} table.sort(t) show(unpack(t)) table.sort(t, function(a, b) return a > b end) show(unpack(t))
table.insert(t, 9) table.insert(t, 1, 0) show(unpack(t)) show(table.remove(t), table.remove(t, 1), #t) show(table.concat(t, ","), table.concat({}, ","), table.concat({1, 2.5, "x"}, "-", 2, 3)) try(table.concat, {1, {}, 3})
show(table.maxn{1, 2, nil, 4}, #"abc", table.getn{1, 2}) try(table.insert, t) try(table.sort, {3, "a"}) show(select("#", unpack({1, nil, 3}, 1, 3)), select(-1, 1, 2, 3)) try(unpack, {}, 1, 1e7)
table.foreach({10, 20}, function(k, v) show(k, v) end) table.foreachi({"a", "b"}, function(i, v) show(i, v) end)

-- math, bit
show(math.floor(-1.5), math.ceil(-1.5), math.abs(-3), math.max(1, 5, 3), math.min(2, 0), math.sqrt(16), math.fmod(-7, 3), math.modf(-3.7)) show(math.log(8), math.exp(0), math.pow(2, 8), math.frexp(8), math.ldexp(0.5, 4))
show(bit.band(0xff, 0x0f), bit.bor(1, 2, 4), bit.bxor(5, 1), bit.bnot(0), bit.lshift(1, 31), bit.rshift(-1, 1), bit.arshift(-8, 1), bit.rol(0x12345678, 8), bit.ror(0x12345678, 8), bit.bswap(0x12345678), bit.tobit(2^32 + 5), bit.tohex(-1), bit.tohex(255, -4))

-- os
for _, f in ipairs{"%Y-%m-%d %H:%M:%S", "%T %D %e %n%t%R %u %w %V %G %g %C %j %U %W %y %I %p %r %h %b %B %a %A %x %X %c %%", "%F"} do show(os.date("!" .. f, 1598023201)) show(os.date("!" .. f, 0)) show(os.date("!" .. f, 1609459199)) end
local d = os.date("!*t", 1598023201) show(d.year, d.month, d.day, d.hour, d.min, d.sec, d.wday, d.yday, d.isdst)
show(os.time{year = 2020, month = 14, day = -3, hour = 25}) try(os.time, {year = 2020})

-- errors, pcall, metatables, varargs
try(error, "plain", 0) try(error, {1} and nil) try(function() error("level", 2) end) show(pcall(error)) show(select("#", pcall(error, nil))) show(xpcall(function() error("x", 0) end, function(m) return "handled " .. m end)) show(xpcall(function(...) return select("#", ...) end, print, 1, 2, 3))
local mt = setmetatable({}, {__index = function(_, k) return k .. "!" end, __call = function(_, a) return a end, __concat = function(a, b) return "cat" end, __tostring = function() return "T" end, __eq = function() return true end, __unm = function() return "neg" end})
show(mt.foo, mt(7), mt .. "x", "x" .. mt, tostring(mt), -mt, 1 .. "a" .. mt) try(function() return {} .. "x" end) try(function() return nil .. "x" end)
show(pcall(function(...) return ... end, 1, nil, 3)) show((function(...) return select("#", ...) end)(nil, nil)) show(("a"):rep(3):upper() .. 5 .. "b") show(type(print), type(nil), type({}), type("x"), type(2), type(coroutine.create(print)))
local co = coroutine.wrap(function(a) local b = coroutine.yield(a + 1) coroutine.yield(b * 2) return "end" end) show(co(1), co(10), co())
show(coroutine.resume(coroutine.create(function() error("inside", 0) end))) show(next({}), next({5})) show(rawequal("a", "a"), rawget({7}, 1), #rawset({}, 1, 2)) show(tostring(nil), tostring(true)) show(loadstring("return 1 + 1")())
local big = {} for i = 1, 300 do big[i] = "'" .. i .. "'" end show(#loadstring("return {" .. table.concat(big, ",") .. "}")())
goto done
print("not reached")
::done::
show("\65\066\x43\z
      D", 'a\
b', [[long
string]], #[==[]]]==])
