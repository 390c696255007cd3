-- Tries: one assignment that takes all slots below its key
-- Want: memory
-- Peak: 700 MiB
function attack(e)
  kept = {}
  kept[8388607] = 1
  while true do end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
