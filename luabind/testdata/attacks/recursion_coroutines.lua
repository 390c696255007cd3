-- Tries: coroutines in coroutines, without end
-- Want: memory or error

local function f() return coroutine.wrap(f)() end
function attack(e)
  f()
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
