-- Tries: loops in setup()
-- Want: timeout
-- Where: setup
function setup() while true do end end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
