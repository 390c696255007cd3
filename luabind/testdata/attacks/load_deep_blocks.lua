-- Tries: the same with blocks
-- Want: error
-- Where: setup
-- Peak: 400 MiB
function setup() assert(loadstring(string.rep('do ', 1e5) .. string.rep(' end', 1e5))) end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
