-- Tries: bytecode in place of source text
-- Want: error
-- Where: setup
function setup() assert(loadstring('\27Lua')) end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
