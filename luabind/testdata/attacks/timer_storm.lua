-- Tries: sets timers with large events for ever
-- Want: memory

function attack(e)
  while true do dragonfly.timer_event('next', 1e6, {text = string.rep('x', 1e4)}) end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
