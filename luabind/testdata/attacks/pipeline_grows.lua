-- Tries: queues commands of Redis and never sends them
-- Want: memory

local conn = assert(hiredis.connect())
function attack(e)
  while true do conn:append_command('SET', 'key', string.rep('x', 1e4)) end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
