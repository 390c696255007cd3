-- The reading of source text and what gopher-lua compiles wrongly. The output must be that of LuaJIT.
local tostring = function(x) return "my" .. tostring(x) end print(tostring(5))
local f = function() return 1 end local f = function() return f and f() + 1 end print(f())
local f --[[c]] = -- x
function() return type(f) end print(f())
local function g(n) return n == 0 and 0 or g(n - 1) end print(g(3))
local h = function() return h end print(h())
print(0x1p4, 0x.8, 0xA.8p1, 0b101, 0B11, 010, 0010, 00, 0x10, 0XfF, 0xffffffffffffffff == 2^64, 1e3, 1E+2, .5, 3., 0.5, 0e1)
print(#"\x41\u{20AC}\u{48}\z
   x\065\0", "\x41\u{20AC}\u{10FFFF}\z   y", '\xe9' == "\233", [[\x41\u{41}\z]], "a\\x41", "\\u{41}") -- \x41 "
print(1
..2, "line") -- it's
local t = {a = function() return t end, [1]=2} print(t.a())
goto done
do print("no") end
::done::
while true do goto out end
::out::
local n = 0
while true do if false then break end n = n + 1 if n > 3 then break end end print(n)
repeat if nil then n = 0 elseif not nil then n = n + 1 else n = 100 end until n > 5 print(n)
for i, v in ipairs{1,2,3} do if false then break end for j = 1, 2 do if false then break else n = n + j end end end print(n)
do local i = 0 ::top:: goto skip ::skip:: i = i + 1 if i < 3 then goto top end print(i) end
while n do if not true then break end do break end end
for i = 1, 3 do goto continue print("x") ::continue:: end
for k, v in pairs{a = 1} do goto continue print("x") ::continue:: end
while false do print("never") end if false then print("no") end if true then print("yes") end if not nil then print("yes") end
do
local function f0(a, b) b = a + b b = (math.abs(b)) return b % 50 end
local function p1(n1, n2, ...) n2 = (f0(n2, n2)) return n1, n2, ... end
print(p1(1, 2, 3))
local function p2(n1, n2, ...) n2 = f0(n2, n2) return n1, n2, ... end
print(p2(1, 2, 3))
local function p3(n1, n2) n2 = (f0(n2, n2)) return n1, n2 end
print(p3(1, 2, 3))
local function p4(n1, n2) n2 = (f0(n2, n2)) return n1, n2 end
print(p4(1, 2, 3))
local function p5(n1, n2) n1 = (f0(n1, n1)) return n1, n2 end
print(p5(1, 2, 3))
local function p6(n1, n2) for i = 1, 1 do  n1 = (f0(n1, n1)) end return n1, n2 end
print(p6(1, 2, 3))
local function p7(n1, n2) for n3, n4 in ipairs({17, select(2, pcall(f0, n1, n2))}) do if n4 == 100 then break end end n2 = (f0(n2, n2)) return n1, n2 end
print(p7(1, 2, 3))
local function p8(n1, n2) for n3, n4 in ipairs({17, select(2, pcall(f0, n1, n2))}) do end n2 = (f0(n2, n2)) return n1, n2 end
print(p8(1, 2, 3))
local function p9(n1, n2) local t = {17, select(2, pcall(f0, n1, n2))} n2 = (f0(n2, n2)) return n1, n2 end
print(p9(1, 2, 3))
local function p10(n1, n2) local t = {17, f0(1, 2)} n2 = (f0(n2, n2)) return n1, n2 end
print(p10(1, 2, 3))
local function q(n1, n2) local b3 = n1 <= n1 and true local c = (n1 <= n1 and (n2 or false)) and n1 < n2 
return b3, c, n1 == n2 and false, n1 == n1 and nil, (n1 == n1 and nil) or 7, (n1 == n1 and false) or 8, n1 == n2 or false, n1 == n2 or nil, (n1 == n2 or nil) and 1, (n1 == n2 or true) and n1 < n2, (n1 == n1 and true) and n1 < n2  end
print(q(1, 2)) print(q(3, 2))
local b1, b2 = true, false
for i = 1, 2 do
b1, b2 = b2, b1
print(b1 and true or b2, not (b1) and (b1 and b2), (b1 and true) and 1, (b1 or true) and 2, b1 and (b2 or nil), ((b1 and b1) and not b1) or (not b1 and (b1 and b1)), (b1 and b1) and not b1)
local b3 = b1 b3 = (((b3 and b3) and not (b3)) or (not (b3) and (b3 and b3))) print(b3)
end
end do
local function f(x) return x end
local t = {}
local x = 5 x = t.nope and 1 print(x)
x = 5 x = f(false) and 1 print(x)
x = 5 x = f(false) and f(1) print(x)
x = 5 x = f(false) and f(1) or t.nope print(x)
x = 5 x = (not t.x and not t.y) and t.z print(x)
x = 5 x = not t and 1 print(x)
x = 5 x = not t and f(1) or f(nil) print(x)
x = 5 x = not t and x print(x)
x = 5 x = f(nil) and x print(x)
x = 5 x = f(nil) and x or nil print(x)
x = 5 x = f(false) or f(nil) print(x)
x = 5 x = x == 6 and x print(x)
x = 5 x = not (x == 5) and x print(x)
x = 5 x = (t.a or t.b) and (t.c or t.d) print(x)
local b = true print(((b and b) and not b) or (not b and (b and b)))
local b = true print((b and not b) or (not b and b))
local b = true print((b and not b) or not b)
local b = true print((b and f(false)) or f(nil))
local b = true print((b and b and f(false)) or (f(nil) and b))
local b = true local c = (b and b and f(false)) or (f(nil) and b) print(c)
local b = true local c = (b and f(false)) or (f(nil) and b) print(c)
local b = true local c = (b and f(false)) or (f(nil) and f(b)) print(c)
local b = true local c = f(false) or (f(nil) and f(b)) print(c)
local b = true local c = f(false) or (f(nil) and b) print(c)
local b = true local c = f(false) or (b and f(nil) and b) print(c)
end do
local function f(x) return x end
local n1, n2 = 3, 4
for n3 = n1 % 5, (false and 11 or n2) % 5 do io.write(n3, " ") end print()
for n3 = 1, (n1 and 11 or n2) % 5 do io.write(n3, " ") end print()
print((false and 11 or n2) % 5, (n1 and 11 or n2) % 5, (n1 or n2) % 5)
local x = {(n1 and n2) % 3, (nil or n2) + 1, (n1 or n2) .. "a"}
print(x[1], x[2], x[3])
local a, b, c = 1, 2, nil
a = (b or c) and a print(a) a = (c or b) and (a or b) print(a)
a = ((b and c) or b) and a print(a)
local t = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50, k = f(7), [f("q")] = f(8), f(51), z = f(10)}
print(#t, t[1], t[50], t[51], t.k, t.q, t.z)
local t = {1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31,32,33,34,35,36,37,38,39,40,41,42,43,44,45,46,47,48,49,50, k = f(7), [f("q")] = f(8)}
print(#t, t[1], t[50], t[51], t.k, t.q, t.z)
local t = {k = f(7), [f("q")] = f(8), f(1), z = 4, f(2), y = 6, f(3), f(4, 5)} print(#t, t[1], t[2], t[3], t[4], t.k, t.q, t.z)
local function v(...) local t = {..., k = 5} return #t, t[1] end print(v(7, 8, 9))
local function v(...) local t = {k = 5, ...} return #t, t[1] end print(v(7, 8, 9))
local function v(...) local t = {1, 2, k = 5, (...)} return #t, t[1] end print(v(7, 8, 9))
end
print(0, -0, 0, -0.0, -(0), 1 / -0, 1 / 0, - -0, 5 - 0, 0 - 0, -0 + 0)
