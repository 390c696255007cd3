-- Tries: a string larger than any may be
-- Want: error

function attack(e)
  kept = string.rep("x", 1e9)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
