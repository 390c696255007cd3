-- Tries: starts coroutines that wait, and forgets them
-- Want: ok

function attack(e)
  for i = 1, 3000 do coroutine.wrap(function() coroutine.yield() end)() end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
