-- Tries: adds keys to one table
-- Want: memory

function attack(e)
  local t, n = {}, 0
  while true do
    n = n + 1
    t['key ' .. n] = n
  end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
