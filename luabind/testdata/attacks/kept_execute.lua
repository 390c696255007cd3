-- Tries: a reference to os.execute that was kept
-- Want: error

local execute = os.execute
function attack(e)
  execute('true')
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
