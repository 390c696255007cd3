-- Tries: the same by table.insert
-- Want: memory

function attack(e)
  kept = {}
  table.insert(kept, 8000000, 1)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
