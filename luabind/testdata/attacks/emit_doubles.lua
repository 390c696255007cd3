-- Tries: emits such an event
-- Want: memory

function attack(e)
  local t = {1}
  for i = 1, 40 do t = {t, t} end
  dragonfly.output_event(default_output, {t = t})
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
