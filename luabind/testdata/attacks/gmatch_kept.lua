-- Tries: hides strings in iterators
-- Want: memory

function attack(e)
  kept = {}
  for i = 1, 1000 do kept[i] = string.gmatch(string.rep('x', 1e6) .. i, '.') end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
