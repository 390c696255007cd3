-- Tries: keeps something of each event
-- Want: replaced or memory
-- Calls: 1000000
seen = {}
function attack(e)
  seen[#seen + 1] = {id = e.id, text = string.rep('x', 1000)}
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
