-- Tries: more results than the stack holds
-- Want: error

function attack(e)
  kept = {unpack({}, 1, 1e7)}
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
