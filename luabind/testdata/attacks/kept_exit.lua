-- Tries: os.exit that was kept
-- Want: error

local exit = os.exit
function attack(e)
  exit(1)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
