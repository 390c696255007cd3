-- Tries: doubles a string for ever
-- Want: memory

function attack(e)
  local s = 'x'
  while true do s = s .. s end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
