-- Tries: the same by gmatch
-- Want: timeout

function attack(e)
  for m in string.rep('x', 1e6):gmatch('.-b') do kept = m end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
