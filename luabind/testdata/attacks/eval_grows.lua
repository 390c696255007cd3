-- Tries: does it in a script of the store
-- Want: ok
-- Peak: 700 MiB
local conn = assert(hiredis.connect())
function attack(e)
  local reply = conn:command('EVAL', [[local t = {} while true do t[#t + 1] = string.rep('x', 1e6) end]], 0)
  assert(tostring(reply):find('was stopped', 1, true), tostring(reply))
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
