-- Tries: stays below its budget
-- Want: ok
-- Instructions: 100000
function attack(e)
  local i = 0
  while i < 1000 do i = i + 1 end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
