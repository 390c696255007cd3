-- Tries: a script that cannot loop keeps more than it may hold
-- Want: memory
-- Where: setup
function setup()
  kept = string.rep('x', 9e6)
  kept2 = string.rep('y', 9e6)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
