-- Tries: one assignment that takes all slots below its key
-- Want: memory
-- Peak: 1200 MiB
function attack(e)
  kept = {}
  kept[16777215] = 1
  while true do end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
