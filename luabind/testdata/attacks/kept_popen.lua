-- Tries: reads from a process that was started in setup()
-- Want: error

local lines
function setup() lines = io.popen("cat /proc/self/status") end
function attack(e)
  kept = lines:read("*l")
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
