-- Tries: builds more in setup() than it may hold
-- Want: memory
-- Where: setup
kept = {}
function setup() for i = 1, 1e7 do kept[i] = {i} end end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
