-- Tries: nested brackets, quadratic
-- Want: timeout

function attack(e)
  return string.rep('(', 1e6):find('%b()')
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
