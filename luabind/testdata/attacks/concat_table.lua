-- Tries: joins a long text to itself
-- Want: memory

function attack(e)
  local t = {}
  for i = 1, 1000 do t[i] = string.rep('x', 1e5) end
  kept = table.concat(t)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
