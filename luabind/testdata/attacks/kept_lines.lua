-- Tries: an iterator over the lines of a file that was made in setup()
-- Want: error

local lines
function setup() lines = io.lines("/proc/self/status") end
function attack(e)
  kept = lines()
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
