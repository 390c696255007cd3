-- Tries: emits the event itself for ever
-- Want: memory

function attack(e)
  while true do dragonfly.output_event(default_output, e) end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
