-- Tries: a list that is linked: nothing may follow it by recursion
-- Want: memory

function attack(e)
  local t
  while true do t = {t} end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
