-- Tries: a loop behind __gc: there is none
-- Want: ok

function attack(e)
  setmetatable({}, {__gc = function() while true do end end})
  collectgarbage()
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
