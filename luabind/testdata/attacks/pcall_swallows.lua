-- Tries: catches every error and goes on
-- Want: memory

function attack(e)
  local s = 'x'
  while true do pcall(function() s = s .. s end) end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
