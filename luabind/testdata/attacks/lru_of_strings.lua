-- Tries: a cache that is bounded in keys and not in bytes
-- Want: memory

local cache = sketch.lru(1000000)
function attack(e)
  local n = 0
  while true do
    n = n + 1
    cache:put(n, string.rep('x', 1e4))
  end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
