-- Tries: makes tables with fields, the largest per instruction
-- Want: memory

function attack(e)
  local t = {}
  while true do t[#t + 1] = {x = 1} end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
