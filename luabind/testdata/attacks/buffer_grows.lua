-- Tries: appends to a string buffer
-- Want: memory

local buffer = require "string.buffer"
function attack(e)
  kept = buffer.new()
  local s = string.rep('x', 1e5)
  while true do kept:put(s) end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
