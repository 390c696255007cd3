-- Tries: catches the end of its instructions
-- Want: instructions
-- Instructions: 100000
function attack(e)
  while true do pcall(function() while true do end end) end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
