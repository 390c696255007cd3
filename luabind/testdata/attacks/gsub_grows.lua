-- Tries: replaces each byte by a long text
-- Want: memory

function attack(e)
  kept = string.gsub(string.rep('x', 1e5), 'x', string.rep('y', 1e5))
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
