-- Tries: emits large events for ever
-- Want: memory

function attack(e)
  local n = 0
  while true do
    n = n + 1
    dragonfly.output_event(default_output, {n = n, text = string.rep('x', 1e4)})
  end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
