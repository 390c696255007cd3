-- Tries: doubles a string without a loop
-- Want: memory

function double(s) return s .. s .. s .. s end
function attack(e)
  local s = double(double(double(double(string.rep('x', 1e5)))))
  s = double(double(s))
  kept = double(s)
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
