-- Tries: catches every error with a handler that allocates, too
-- Want: memory

function attack(e)
  local t = {}
  while true do
    xpcall(function() while true do t[#t + 1] = {} end end, function(m) t[#t + 1] = m return m end)
  end
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
