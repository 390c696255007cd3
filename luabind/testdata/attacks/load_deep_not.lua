-- Tries: the same with operators
-- Want: error
-- Where: setup
-- Peak: 400 MiB
function setup() assert(loadstring('return ' .. string.rep('not ', 1e5) .. '1')) end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
