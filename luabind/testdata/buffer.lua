-- string.buffer. The output must be that of LuaJIT.
local buffer = require "string.buffer"
local function show(...)
  local t = {}
  for i = 1, select("#", ...) do t[i] = tostring((select(i, ...))) end
  print(table.concat(t, " | "))
end
local function hex(s) return (s:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end
local b = buffer.new()
show(#b, tostring(b), b:put("a", 1, 2.5, "bc") == b, #b, tostring(b), b .. "x", "x" .. b)
show(b:get(2), #b, b:get(1, 2), b:get(100), b:get(5), #b)
b:put("hello world"):skip(6) show(tostring(b), b:get(), #b)
b:putf("%d-%s-%5.1f", 5, "x", 2.5) show(b) b:set("set") show(b:get(1), b) b:reset() show(#b) b:put("x") b:free() show(#b)
show(pcall(b.put, b, {}) == false, pcall(b.put, b, nil) == false, pcall(b.put, 5) == false, pcall(b.get, b, "x") == false)
b:put(setmetatable({}, {__tostring = function() return "meta" end})) show(b)
b = buffer.new(100) for i = 1, 1000 do b:put(i, ",") end show(#b, b:get(20)) b:skip(1e9) show(#b)
for _, v in ipairs{"", "x", ("long"):rep(100), ("longer"):rep(5000), 0, 1, -1, 1.5, 1e300, true, false, {}, {1, 2, 3}, {a = 1}, {1, "x", {2}}, {{{}}}} do
  local s = buffer.encode(v)
  local w = buffer.decode(s)
  show(#s < 100 and hex(s) or #s, type(w), type(w) ~= "table" and w == v)
end
show(hex(buffer.encode(nil)), buffer.decode(buffer.encode(nil)))
local t = buffer.decode(buffer.encode({10, nil, 30, x = {y = {z = "deep"}}, [2.5] = true, [-1] = false}))
show(t[1], t[2], t[3], t.x.y.z, t[2.5], t[-1])
local function unhex(s) return (s:gsub("%x%x", function(h) return string.char(tonumber(h, 16)) end)) end
for _, s in ipairs{"0605000000", "06ffffffff", "0a0206010000000602000000", "0b020106010000000602000000216121", "0c0306010000000602000000", "09012161216208", "00", "2161"} do
  local ok, v = pcall(buffer.decode, unhex(s))
  if type(v) == "table" then show(ok, v[0], v[1], v[2], v.a) else show(ok, ok and v) end
end
for _, s in ipairs{"", "2", "ff", "0a", "0c03", "070000", "0f00", "1f", "0000", "2161" .. "00", "0cffffffffff"} do show((pcall(buffer.decode, unhex(s)))) end
show((pcall(buffer.encode, print)), (pcall(buffer.encode)), (pcall(buffer.encode, {f = print})))
local deep = {} for i = 1, 98 do deep = {deep} end show((pcall(buffer.encode, deep))) for i = 1, 10 do deep = {deep} end show((pcall(buffer.encode, deep)))
b = buffer.new() b:encode({1, 2}):encode("x"):put("rest") local d = b:decode() show(d[2], b:decode(), b)
show(type(b), pcall(buffer.new, "x") == false)
function loop() end
