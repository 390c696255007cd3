-- Tries: keeps coroutines that wait
-- Want: memory

function attack(e)
  kept = {}
  while true do
    local co = coroutine.wrap(function() coroutine.yield() end)
    co()
    kept[#kept + 1] = co
  end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
