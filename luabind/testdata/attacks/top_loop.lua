-- Tries: loops at the top level
-- Want: timeout
-- Where: setup
while true do end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
