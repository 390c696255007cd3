-- Tries: a loop behind __index
-- Want: timeout

local t = setmetatable({}, {__index = function() while true do end end})
function attack(e)
  return t.x
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
