-- Tries: loops in finish()
-- Want: timeout
-- Where: finish
function attack(e)
  
end
function finish() while true do end end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
