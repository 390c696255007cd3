-- Tries: loops in a coroutine
-- Want: timeout

function attack(e)
  coroutine.wrap(function() repeat until false end)()
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
