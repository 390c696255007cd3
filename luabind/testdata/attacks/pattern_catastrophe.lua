-- Tries: a pattern that tries 2^n ways
-- Want: timeout

function attack(e)
  return string.find(string.rep('a', 30000), string.rep('a*', 30) .. 'b')
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
