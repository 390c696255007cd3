-- Tries: ends in a coroutine and goes on outside
-- Want: memory

function attack(e)
  local t = {}
  while true do
    coroutine.resume(coroutine.create(function() while true do t[#t + 1] = {t} end end))
  end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
