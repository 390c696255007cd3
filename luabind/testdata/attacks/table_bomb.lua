-- Tries: makes tables as fast as it can
-- Want: memory

function attack(e)
  local t = {}
  while true do t[#t + 1] = {} end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
