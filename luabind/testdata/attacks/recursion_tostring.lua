-- Tries: recursion through __tostring
-- Want: error

local t = setmetatable({}, {})
getmetatable(t).__tostring = function(v) return tostring(v) end
function attack(e)
  tostring(t)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
