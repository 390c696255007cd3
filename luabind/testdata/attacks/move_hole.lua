-- Tries: the same by table.move
-- Want: memory

function attack(e)
  kept = table.move({1, 2, 3}, 1, 3, 8000000)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
