-- Tries: uses them up in coroutines
-- Want: instructions
-- Instructions: 100000
function attack(e)
  while true do coroutine.wrap(function() for i = 1, 1000 do end end)() end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
