-- Tries: keys that come and go in a live table: they stay
-- Want: replaced or memory
-- Calls: 2000000
seen, n = {}, 0
function attack(e)
  n = n + 1
  seen['key ' .. n] = true
  seen['key ' .. n] = nil
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
