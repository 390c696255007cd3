-- Traversal of random tables: visited keys in order of their text. The output must be that of LuaJIT.
local seed = 11
local function rnd(n) seed = (seed * 16807) % 2147483647 return seed % n end
local objects = {{}, {}, function() end, print}
local function name(k)
  for i, o in ipairs(objects) do if o == k then return "object" .. i end end
  return type(k) .. " " .. tostring(k)
end
local function key()
  local n = rnd(10)
  if n < 4 then return 1 + rnd(12)
  elseif n == 4 then return 0
  elseif n == 5 then return -1 - rnd(5)
  elseif n == 6 then return rnd(8) + 0.5
  elseif n == 7 then return "k" .. rnd(10)
  elseif n == 8 then return objects[1 + rnd(4)]
  end
  return ({true, false, 1e9, 2^40, "", "0", 67108864, -0.25})[1 + rnd(8)]
end
local function visit(t, what)
  local list, n = {}, 0
  for k, v in pairs(t) do n = n + 1 list[n] = name(k) .. "=" .. tostring(v) end
  table.sort(list)
  print(what, n, table.concat(list, ";"))
end
for round = 1, 400 do
  local t = {}
  if rnd(3) == 0 then t = {1, 2, nil, 4} end
  for i = 1, rnd(20) do t[key()] = rnd(100) end
  for i = 1, rnd(6) do t[key()] = nil end
  visit(t, "all")
  -- as next itself
  local seen, count, k, v = {}, 0, next(t)
  while k ~= nil do
    assert(not seen[k]) assert(t[k] == v)
    seen[k] = true count = count + 1
    k, v = next(t, k)
  end
  print(count, next({}) == nil)
  -- assignment to fields, deletion of this and of other keys
  for k, v in pairs(t) do t[k] = v + 1 end
  visit(t, "assigned")
  local left = {}
  for k, v in pairs(t) do if v % 2 == 0 then t[k] = nil else left[k] = v end end
  visit(t, "odd") visit(left, "left")
  local copy = {}
  for k, v in pairs(t) do copy[k] = v end
  local steps = 0
  for k in pairs(t) do steps = steps + 1 for k in pairs(copy) do t[k] = nil end end
  print(steps, next(t) == nil)
  for k, v in pairs(copy) do for k2 in pairs(copy) do steps = steps + 1 end end
  print(steps)
  for k in pairs(copy) do copy[k] = nil end
  print(next(copy) == nil)
  copy.again = 1 copy[0] = 2 copy[1] = 3
  visit(copy, "again")
end
local t = {1, 2, 3, x = 1, [0] = 5}
local n = 0
for k in pairs(t) do table.remove(t) n = n + 1 if n > 10 then break end end
print(t.x, t[0], #t)
print(next({[0] = "zero"}), next({[0] = "zero"}, 0), next({10}, 1))
print((pcall(next, {}, "nope")), (pcall(next, {1, 2}, 5)), (pcall(next, {a = 1}, "b")), (pcall(next, {a = 1}, 0)), (pcall(next, {a = 1}, {})), (pcall(next)), (pcall(pairs)))
table.foreach({a = 1, [0] = 2}, function(k, v) if v == 5 then print(k, v) end end)
