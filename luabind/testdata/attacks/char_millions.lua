-- Tries: more arguments than the stack holds
-- Want: error

function attack(e)
  local t = {}
  for i = 1, 99999 do t[i] = 65 end
  local s = string.char(unpack(t))
  assert(#s == 99999)
  return string.char(unpack(t, 1, 1e6))
end

function loop(e)
  if e.attack then attack(e) end
  dragonfly.output_event(default_output, {n = e.n})
end
