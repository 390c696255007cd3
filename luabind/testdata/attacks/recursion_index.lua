-- Tries: recursion through __index
-- Want: error

local t = setmetatable({}, {})
getmetatable(t).__index = function(_, k) return t[k] end
function attack(e)
  return t.x
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
