-- Tries: recursion through comparators of table.sort
-- Want: error

local function f(a, b) table.sort({2, 1}, f) return a < b end
function attack(e)
  table.sort({2, 1}, f)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
