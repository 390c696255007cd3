-- Tries: the same with elseif
-- Want: error
-- Where: setup
-- Peak: 400 MiB
function setup() assert(loadstring('if x then ' .. string.rep('elseif x then ', 1e5) .. ' end')) end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
