-- Tries: loadstring that was kept
-- Want: error

local load = loadstring
function attack(e)
  load('return 1')()
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
