-- Tries: the same in two functions
-- Want: timeout

local function inner() local n = 0 for j = 1, 99999 do n = n + 1 end return n end
function attack(e)
  for i = 1, 99999 do inner() end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
