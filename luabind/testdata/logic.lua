-- Logical operators, generated. The output must be that of LuaJIT.
local function f(x) return x end local function show(i, ...) print(i, ...) end
do local function g(a, b, c, n) local t, r = {x = b} local r = (((a or f(a)) and (1 and b)) and (t.x or true)) show(0, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (((c and f(a)) and false) or (t.x or (f(a) or b))) show(1, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = (not (nil == false) or ((false and f(a)) and ("s" and false))) show(2, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{1}, 3) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = ((not t.x and not nil) and ((b or false) or (a or false))) show(4, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while (((b and "s") and false) or true) do show(5, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while ("s" == (1 and (1 and nil))) do show(6, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while (((t.x or c) and (1 and f(a))) and ((f(a) or t.x) or not "s")) do show(7, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{((("s" == c) or t.x) or a)}, 8) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = (((n or false) and ("s" or b)) == "s") show(9, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = (nil and ((true or f(a)) or (a or f(a)))) show(10, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = (((true and f(a)) and (n or true)) == not (true and 1)) show(11, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = (((true or t.x) == (nil or nil)) or b) show(12, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if (((n and nil) == (n and b)) and not (c or 1)) then show(13, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = 1 show(14, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{((c and (n or c)) == ((c == f(a)) or (n and b)))}, 15) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{(((true and t.x) and (c or a)) == ((f(a) or 1) or (c == f(a))))}, 16) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = ((c and (b or f(a))) and n) show(17, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = ((not f(a) and (b and "s")) and ((false and "s") == not f(a))) show(18, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = ((("s" == c) and (nil or b)) == ((b and c) or (nil or c))) show(19, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if (((n or true) == (f(a) or 1)) == (not a and (a or 1))) then show(20, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{(((b and b) and (c and false)) and not (false or 1))}, 21) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = ((not c and (a and n)) or false) show(22, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = ((f(a) and (t.x == c)) and true) show(23, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = (((true or false) == (false or nil)) and (a == (true or f(a)))) show(24, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while (((1 or f(a)) or (true and nil)) or ((nil and a) == (n and false))) do show(25, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if (((true and false) == c) and ((f(a) == nil) or (false == true))) then show(26, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (false and ((false and b) and t.x)) show(27, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while (((c == n) and not t.x) and ((t.x and n) and f(a))) do show(28, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = not f(a) show(29, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = (((a and a) or nil) or ((a and n) or (false and a))) show(30, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = not (("s" and false) or not true) show(31, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{(not n or ((t.x and c) and (false or t.x)))}, 32) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = a show(33, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = ((("s" or "s") or (f(a) and true)) or ((b and f(a)) and (false or 1))) show(34, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = (b == f(a)) show(35, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if ((not true or (1 == a)) and ((c or 1) == (nil and a))) then show(36, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = not true show(37, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = (((nil or 1) or (false == b)) and n) show(38, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = ((not 1 or not n) and ((b and a) == (t.x or c))) show(39, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if (((false and n) and (false or "s")) == ((true and f(a)) or (true or "s"))) then show(40, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while (true or ((nil and false) and (a and 1))) do show(41, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while ((false and (n or f(a))) or not (true and 1)) do show(42, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = (not (1 and "s") or (f(a) or (true == b))) show(43, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = ((("s" or b) == (c and true)) or ((n == false) and (b or b))) show(44, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = (((f(a) and false) and (nil and n)) == ((a or 1) and (a and true))) show(45, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = (true or ((nil and 1) == (a or false))) show(46, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{(not (false and b) == ((1 and n) or t.x))}, 47) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (t.x and a) show(48, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while ((b and (c and n)) or not n) do show(49, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = ((b and (b == f(a))) == (not 1 and "s")) show(50, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (((1 and true) or not a) == ((true and b) or (false and nil))) show(51, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = not (t.x and (b or a)) show(52, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while "s" do show(53, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while (((false and c) and (nil and "s")) == not true) do show(54, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = (a and ((b or b) or (b and 1))) show(55, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = (((true == f(a)) and (b or false)) == (not true or (true and c))) show(56, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = (((true or n) or (a or b)) or true) show(57, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if (((t.x == true) and (c or "s")) and not (n and t.x)) then show(58, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = (true or ((a == nil) and (t.x or false))) show(59, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{not (1 and (f(a) and b))}, 60) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = (((t.x and nil) or (nil and n)) and not (c and 1)) show(61, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = (((f(a) and c) or (b == t.x)) or ((false and c) or (b == 1))) show(62, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while not (("s" and nil) and n) do show(63, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{t.x}, 64) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (((t.x or true) or f(a)) == (true or f(a))) show(65, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{((not n or (1 or 1)) and ((t.x and "s") or (t.x or "s")))}, 66) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = (nil or ((a or a) and (nil and f(a)))) show(67, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while f(a) do show(68, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = not b show(69, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = (((true and b) == (false or c)) == ((false or f(a)) or (t.x or false))) show(70, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = (((1 or c) and (f(a) and a)) and ((t.x or b) or (1 or nil))) show(71, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if (nil or (not a or (false or n))) then show(72, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = not ((nil or a) and true) show(73, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if a then show(74, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = (((nil and t.x) or (a and true)) or (c or not 1)) show(75, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while (((t.x or f(a)) == (a and a)) and a) do show(76, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (((true or c) and (n or f(a))) and ((b or false) or ("s" == f(a)))) show(77, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (((b and false) and (nil and false)) or ((f(a) or false) and (true == b))) show(78, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = (((true == 1) and (n and n)) == ((a or a) or not t.x)) show(79, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (((b and b) or (c and a)) or c) show(80, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if not t.x then show(81, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = ((not 1 or true) == ((n == b) and (false or "s"))) show(82, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = n show(83, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = (((nil and nil) or ("s" or false)) and ((b or nil) and (t.x and true))) show(84, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = ((not a or "s") and c) show(85, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = ((not true or (n and b)) == ((nil and nil) == 1)) show(86, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if (((c or 1) and ("s" or c)) or not (nil or t.x)) then show(87, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if (((false or t.x) or (n and true)) == (not t.x and (true and nil))) then show(88, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while (((n and b) == (c and false)) and ((b or false) or (a or a))) do show(89, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = (((false and t.x) == (true and 1)) or (not n or (n == t.x))) show(90, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{(((1 and true) and not n) or not (1 and f(a)))}, 91) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = ("s" and ((true and f(a)) and not "s")) show(92, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (not ("s" or true) or ((t.x == nil) and (1 and 1))) show(93, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while 1 do show(94, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if (((f(a) or true) and ("s" == true)) or (n == (true or c))) then show(95, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if not (not n or "s") then show(96, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = ((("s" or a) or not nil) and ((n or b) and (false or 1))) show(97, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if t.x then show(98, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{((a or (false and false)) and (("s" and nil) or (1 and f(a))))}, 99) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (((n or false) and (f(a) or b)) or ((false or 1) or ("s" and f(a)))) show(100, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{(((a or c) and (t.x or "s")) == not (n or b))}, 101) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = (t.x or nil) show(102, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = (((nil or b) and ("s" or f(a))) or ((false and f(a)) == false)) show(103, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (((true and n) == (true and nil)) or ((a and 1) and (f(a) == t.x))) show(104, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = ("s" and ((t.x == 1) or (t.x or n))) show(105, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = (not c or (n or c)) show(106, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while (((n or t.x) or (t.x and f(a))) and b) do show(107, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = (((n or c) and (b or b)) == ((a and a) and (b and true))) show(108, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = a show(109, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = ((c and (n and f(a))) and ((a and a) or a)) show(110, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = (((nil or nil) == not "s") and ((n or c) and (1 or "s"))) show(111, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = ((not t.x and (a or c)) or ((1 == 1) and (true or "s"))) show(112, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = ((not a and (t.x and c)) and (("s" or nil) == ("s" or 1))) show(113, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = not (1 and (false and t.x)) show(114, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = (nil or ((f(a) == nil) and (true or true))) show(115, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if false then show(116, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = ((("s" == nil) == ("s" or b)) or ((a or b) or t.x)) show(117, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if (("s" and not c) and ((b and a) and f(a))) then show(118, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = ((t.x == (b == false)) or (n and (c and nil))) show(119, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = (false and ((a and false) and not n)) show(120, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if c then show(121, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{((not b and (1 or b)) == (not n or (true or a)))}, 122) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if ((("s" and b) == (a or n)) and nil) then show(123, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = ((("s" and f(a)) and (c or false)) or (t.x and (c and false))) show(124, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = "s" show(125, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = f(a) show(126, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = not ((true and nil) or (true and true)) show(127, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = (not (n and a) or ((f(a) or false) or (1 or true))) show(128, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = (not (b and b) and not (c and t.x)) show(129, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} if (f(a) and not nil) then show(130, 1) else show(0, 2) end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = ((not c and (c and t.x)) or ((t.x or a) or (f(a) == b))) show(131, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (((t.x == a) == ("s" and "s")) and ((b and true) or (false and false))) show(132, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = true show(133, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = t.x show(134, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{not b}, 135) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = b show(136, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (((t.x and true) and (t.x and "s")) or ((1 == 1) and (a or 1))) show(137, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while (((nil == 1) and (f(a) and c)) and ((n or a) == (b or nil))) do show(138, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = ((("s" == n) or a) or n) show(139, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} t.y = (not b or ((false == b) or (b or a))) show(140, t.y) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} show(#{t.x}, 141) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} a = (((b and f(a)) == (t.x or true)) or ((f(a) or false) and (false or a))) show(142, a) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} local r = (((c == true) == (false and false)) and (a and (nil and "s"))) show(143, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while not not (n == c) do show(144, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} r = ((not f(a) or "s") or (not 1 or (f(a) and t.x))) show(145, r) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while (((t.x == b) or ("s" or false)) == ((1 or n) and not "s")) do show(146, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} n = (((b or nil) and not true) and ((a == a) and t.x)) show(147, n) end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while ((not n or (a or t.x)) or (b or (nil and f(a)))) do show(148, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
do local function g(a, b, c, n) local t, r = {x = b} c = 1 while (((t.x or t.x) and (b or c)) == (false or (false and nil))) do show(149, 5) if c > 2 then break end c = c + 1 end end
for _, a in ipairs{1, true, false} do for _, b in ipairs{0, false} do g(a, b, nil, 3) g(not a, b, 7, nil) end end end
