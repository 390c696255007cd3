-- Tries: keys that come and go in a live table: they stay
-- Want: replaced or memory
-- Calls: 2000000
seen, n = {}, 0
function attack(e)
  n = n + 1
  local key = string.rep('k', 500) .. n
  seen[key] = true
  seen[key] = nil
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
