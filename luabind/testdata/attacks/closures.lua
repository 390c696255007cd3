-- Tries: makes closures that hold each other
-- Want: memory

function attack(e)
  local f
  while true do
    local before = f
    f = function() return before end
  end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
