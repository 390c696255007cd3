-- Tries: a string larger than script_memory
-- Want: memory

function attack(e)
  kept = string.rep('x', 1e8)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
