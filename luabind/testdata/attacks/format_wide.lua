-- Tries: a width of ten digits
-- Want: error

function attack(e)
  kept = string.format('%9999999999d', 1)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
