-- Tries: many strings, each below script_memory, in a script that cannot loop
-- Want: memory

kept = {}
function attack(e)
  for i = 1, 1000 do kept[i] = string.rep('x', 1e6 + i) end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
