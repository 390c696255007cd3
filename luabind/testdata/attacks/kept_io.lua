-- Tries: a reference to io.open that was kept
-- Want: error

local open = io.open
function attack(e)
  open('/etc/hostname')
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
