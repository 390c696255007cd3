-- Tries: loops, with a budget of instructions
-- Want: instructions
-- Instructions: 100000
function attack(e)
  while true do end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
