-- Tries: a table made with room for very much
-- Want: memory

local new = require "table.new"
function attack(e)
  kept = new(1e9, 1e9)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
