-- Tries: the same with tables
-- Want: error
-- Where: setup
-- Peak: 400 MiB
function setup() assert(loadstring('return ' .. string.rep('{', 1e5) .. string.rep('}', 1e5))) end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
