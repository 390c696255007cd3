-- Tries: recursion through functions that gsub calls
-- Want: error

local function f(s) return (s:gsub(".", f)) end
function attack(e)
  f('x')
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
