-- Tries: loops with constant bounds that take hours together
-- Want: timeout

function attack(e)
  local n = 0
  for i = 1, 99999 do
    for j = 1, 99999 do n = n + 1 end
  end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
