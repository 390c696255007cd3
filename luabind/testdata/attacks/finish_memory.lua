-- Tries: builds too much in finish()
-- Want: memory
-- Where: finish
function attack(e)
  
end
function finish() local t = {} while true do t[#t + 1] = {} end end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
