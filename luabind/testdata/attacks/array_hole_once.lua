-- Tries: the same in a script that cannot loop, which is measured when the call is over
-- Want: replaced or memory
-- Peak: 700 MiB
function attack(e)
  kept = {}
  kept[8388607] = 1
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
