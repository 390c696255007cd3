-- Tries: recursion without end
-- Want: error

local function f(n) return 1 + f(n + 1) end
function attack(e)
  f(1)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
