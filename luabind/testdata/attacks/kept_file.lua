-- Tries: a file that was opened in setup()
-- Want: error

local file
function setup() file = io.tmpfile() end
function attack(e)
  file:write('x')
  file:read('*a')
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
