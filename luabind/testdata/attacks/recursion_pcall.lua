-- Tries: recursion through pcall
-- Want: error

local function f() local ok, err = pcall(f) if not ok then error(err, 0) end end
function attack(e)
  f()
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
