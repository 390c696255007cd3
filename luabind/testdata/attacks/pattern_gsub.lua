-- Tries: a pattern that is quadratic over a long text
-- Want: timeout

function attack(e)
  return string.rep('x', 1e6):gsub('.-b', '')
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
