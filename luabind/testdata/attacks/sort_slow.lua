-- Tries: a long list with a slow comparator, in a script that cannot loop
-- Want: timeout

local list = {}
for i = 1, 300000 do list[i] = i * 7919 % 300007 end
local function less(a, b) return tostring(a):rep(20) < tostring(b):rep(20) end
function attack(e)
  table.sort(list, less)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
