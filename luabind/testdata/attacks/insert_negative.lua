-- Tries: shifts a list from a place that is far away
-- Want: timeout

function attack(e)
  table.insert({1}, -1e15, 1)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
