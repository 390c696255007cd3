-- Tries: keeps what it grows in an upvalue of a local function
-- Want: replaced or memory
-- Calls: 1000000
local add
do
  local list = {}
  add = function(v) list[#list + 1] = v end
end
function attack(e)
  add({e.id, string.rep("x", 2000)})
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
