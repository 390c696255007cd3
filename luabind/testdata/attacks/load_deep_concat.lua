-- Tries: the same with ..
-- Want: error
-- Where: setup
-- Peak: 400 MiB
function setup() assert(loadstring('return x' .. string.rep('..x', 1e5))) end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
