-- Tries: fills one array with numbers
-- Want: memory

function attack(e)
  local t = {}
  for i = 1, math.huge do t[i] = i + 0.5 end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
