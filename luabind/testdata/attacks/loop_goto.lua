-- Tries: loops by goto
-- Want: timeout

function attack(e)
  ::again::
  goto again
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
